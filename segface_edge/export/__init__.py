"""From a checkpoint to a file that a device runs, with a parity report after every step."""
