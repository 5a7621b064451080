"""The command that installs an optional package here."""

from __future__ import annotations

import re
from importlib.util import find_spec

_PACKAGE = "segface-edge"
# Modules that several packages bring -> the one that the runtime requires.
_SHARED = {"cv2": "opencv-python-headless", "onnxruntime": "onnxruntime"}


def pip_install(*extras: str) -> str:
    """The command for extras of `pyproject.toml`.

    Where OpenCV or ONNX Runtime is another one than the runtime requires (a Jetson's, one with windows, one for a GPU),
    naming an extra would bring the required one over it, since pip looks at all requirements again: the extra's
    packages are named instead.

    Args:
        extras: names, `export`.
    """
    packages = [one for extra in extras for one in _packages(extra)] if _has_its_own() else []
    wanted = " ".join(f"'{one}'" for one in packages) or f"'{_PACKAGE}[{','.join(extras)}]'"
    return f"pip install {wanted}"


def _has_its_own() -> bool:
    return any(find_spec(module) is not None and not _installed(package) for module, package in _SHARED.items())


def _packages(extra: str) -> list[str]:
    """What an extra asks for, `torch>=2.8`, with the machines that it is for; none where this is no installation."""
    from importlib.metadata import PackageNotFoundError, requires  # 15 ms: where something is missing, only

    try:
        rows = requires(_PACKAGE) or []
    except PackageNotFoundError:
        return []
    asked = re.compile(rf";?\s*(and )?extra == ['\"]{re.escape(extra)}['\"]$")
    return [asked.sub("", row).strip().replace("'", '"') for row in rows if asked.search(row)]


def _installed(package: str) -> bool:
    from importlib.metadata import PackageNotFoundError, version

    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True
