"""How fast an engine is, on which machine, said so that the figures can be trusted. Free of torch."""
