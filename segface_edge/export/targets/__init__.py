"""One model, every runtime: a row of `table.py` each, its conversion a file beside it."""
