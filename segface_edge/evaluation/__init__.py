"""How good a model is, and whether two models agree. Free of torch, so that it runs on the device."""
