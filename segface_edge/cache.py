"""Where what was fetched or built once is kept."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import InputError

ENVIRONMENT = "SEGFACE_EDGE_CACHE"


def cache_folder() -> Path:
    """`$SEGFACE_EDGE_CACHE`, else `$XDG_CACHE_HOME/segface-edge`, else `~/.cache/segface-edge`; it may be absent."""
    own = os.environ.get(ENVIRONMENT)
    if own:
        return Path(own)
    try:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home, as services are
        root = Path(tempfile.gettempdir())
    return root / "segface-edge"


def make_folder(folder: Path) -> None:
    """Makes a folder of the cache. Raises InputError where it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(folder, f"cannot be made ({error.strerror})", f"set {ENVIRONMENT} to a folder") from error


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Held by one process at a time; let go of when the process ends, however it does. A file beside `path`.

    Raises:
        InputError: the folder cannot be written to.
    """
    try:
        file = path.with_suffix(".lock").open("w")
    except OSError as error:
        raise InputError(
            path.parent, f"cannot be written ({error.strerror})", f"set {ENVIRONMENT} to another folder"
        ) from error
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
