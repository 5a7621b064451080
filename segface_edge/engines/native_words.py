"""What native code writes to standard error: runtimes say there what their exceptions leave out, and much else."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def native_words() -> Iterator[list[str]]:
    """Whatever this process writes to standard error meanwhile is not shown: the list has its lines afterwards.

    Of the whole process: for moments only, as the opening of a file.
    """
    lines: list[str] = []
    sys.stderr.flush()
    try:
        shown = os.dup(2)
    except OSError:  # there is no standard error
        yield lines
        return
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            sys.stderr.flush()
            os.dup2(shown, 2)
            os.close(shown)
            file.seek(0)
            text = file.read().decode(errors="replace")
            lines += [line.strip() for line in text.splitlines() if line.strip()]
