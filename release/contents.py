"""What a wheel and a source distribution must hold, and must not: the package's tracked files, all of them, and what
tells of them."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

_PACKAGE = "segface_edge/"
# Beside the package in a source distribution: what it is built from.
_SOURCES = {"LICENSE", "MANIFEST.in", "NOTICE", "README.md", "pyproject.toml"}
# What setuptools adds.
_MADE = {"PKG-INFO", "setup.cfg"}
_EGG = "segface_edge.egg-info/"
# The wheel of 0.2.0 has 33.4 MB, nearly all of it models.
LIMIT = 36 * 2**20


def check_wheel(path: Path, tracked: Sequence[str]) -> list[str]:
    """What is wrong with a wheel; nothing where it is right.

    Args:
        path: the wheel.
        tracked: the commit's files.
    """
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
    about = {name for name in names if name.partition("/")[0].endswith(".dist-info")}
    found = _compared(names - about, {name for name in tracked if name.startswith(_PACKAGE)})
    missing = {"LICENSE", "NOTICE"} - {Path(name).name for name in about if "/licenses/" in name}
    return found + [f"lacks licenses/{name}" for name in sorted(missing)] + _size(path)


def check_sdist(path: Path, tracked: Sequence[str]) -> list[str]:
    """The same of a source distribution."""
    with tarfile.open(path) as archive:
        names = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    made = {name for name in names if name in _MADE or name.startswith(_EGG)}
    wanted = {name for name in tracked if name.startswith(_PACKAGE) or name in _SOURCES}
    return _compared(names - made, wanted) + _size(path)


def _compared(names: set[str], wanted: set[str]) -> list[str]:
    return [f"lacks {name}" for name in sorted(wanted - names)] + [f"holds {name}" for name in sorted(names - wanted)]


def _size(path: Path) -> list[str]:
    size = path.stat().st_size
    return [f"is {size / 2**20:.1f} MiB, over {LIMIT // 2**20}"] if size > LIMIT else []
