"""What OpenCV, FFmpeg and libtiff would write to the terminal by themselves, kept back: what fails is said in ours."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

import cv2
from PIL import features

_SILENT = 0


def keep_ffmpeg_quiet() -> None:
    """FFmpeg writes to the terminal by itself, unless OpenCV finds this when it first uses it."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


@cache
def keep_libtiff_quiet() -> None:
    """libtiff writes to the terminal what is wrong with a file, unless its handler of errors is taken away, as Pillow
    takes away that of warnings. Where it is not found (Windows, a Pillow without it), it goes on writing."""
    if not features.check("libtiff"):
        return
    with suppress(OSError, AttributeError, UnicodeDecodeError):
        for path in set(re.findall(r"\S*/libtiff[^/\s]*\.so\S*", Path("/proc/self/maps").read_text())):
            ctypes.CDLL(path).TIFFSetErrorHandler(None)


@contextmanager
def quiet_opencv() -> Iterator[None]:
    """OpenCV's own log, silent meanwhile."""
    log = getattr(cv2.utils, "logging", cv2)  # its place from OpenCV 4.13 on; before that, as in JetPack 6, cv2 itself
    level = log.getLogLevel()
    log.setLogLevel(_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)
