"""Copy-paste of rare parts between faces: glasses, hats, earrings and necklaces of a donor. Torch-free."""
