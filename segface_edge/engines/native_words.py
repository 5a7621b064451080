"""What native code writes to standard error: runtimes say there what their exceptions leave out, and much else."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO


@contextmanager
def native_words() -> Iterator[list[str]]:
    """Whatever this process writes to standard error meanwhile, past Python or through it, is not shown: the list has
    its lines afterwards.

    Of the whole process: for moments only, as the opening of a file.
    """
    lines: list[str] = []
    sys.stderr.flush()
    try:
        shown = os.dup(2)
    except OSError:  # there is no standard error
        yield lines
        return
    with tempfile.TemporaryFile() as file, redirect_stderr(StringIO()) as said:
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(shown, 2)
            os.close(shown)
            file.seek(0)
            text = f"{file.read().decode(errors='replace')}\n{said.getvalue()}"
            lines += [line.strip() for line in text.splitlines() if line.strip()]
