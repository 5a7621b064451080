"""What hides part of a face: hands and medical masks, drawn. Torch-free."""
