"""Training SegFace: recipes, augmentation, objectives, the loop. Reads data through `evaluation`."""
