"""Pictures: read, fitted to the network's square, and label maps brought back."""
