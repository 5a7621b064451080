"""From photos to results: `FaceParser`, and what it gives."""
