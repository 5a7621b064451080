"""The command that installs an optional package here."""

from __future__ import annotations

import re
from importlib.util import find_spec

_PACKAGE, _OPENCV = "segface-edge", "opencv-python-headless"


def pip_install(*extras: str) -> str:
    """The command for extras of `pyproject.toml`.

    Where OpenCV is another one than the runtime requires, a Jetson's or one with windows, naming an extra would bring
    the required one over it (pip looks at all requirements again): the extra's packages are named instead.

    Args:
        extras: names, `export`.
    """
    packages = [one for extra in extras for one in _packages(extra)] if _own_opencv() else []
    wanted = " ".join(f"'{one}'" for one in packages) or f"'{_PACKAGE}[{','.join(extras)}]'"
    return f"pip install {wanted}"


def _own_opencv() -> bool:
    return find_spec("cv2") is not None and not _installed(_OPENCV)


def _packages(extra: str) -> list[str]:
    """What an extra asks for, `torch>=2.8`; none where this is no installation."""
    from importlib.metadata import PackageNotFoundError, requires  # 15 ms: where something is missing, only

    try:
        rows = requires(_PACKAGE) or []
    except PackageNotFoundError:
        return []
    asked = re.compile(rf"extra == ['\"]{re.escape(extra)}['\"]")
    return [row.partition(";")[0].strip() for row in rows if asked.search(row.partition(";")[2])]


def _installed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
