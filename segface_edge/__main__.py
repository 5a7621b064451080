"""`python -m segface_edge`: the command line, where its script is not on the path."""

from __future__ import annotations

from segface_edge.cli import main

if __name__ == "__main__":
    main()
