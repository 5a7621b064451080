"""Training SegFace: recipes, augmentation, objectives, the loop. Data comes from `datasets`, F1 from `evaluation`."""
