"""Pictures: read, fitted to the network's frame, and label maps brought back."""
