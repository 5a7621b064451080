"""Long-tailed recognition: SBCL and its baselines as the paper judges them, on pictures of one object each."""
