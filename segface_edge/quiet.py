"""What OpenCV and FFmpeg would write to the terminal by themselves, kept back: what fails is said in our words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2

_SILENT = 0


def keep_ffmpeg_quiet() -> None:
    """FFmpeg writes to the terminal by itself, unless OpenCV finds this when it first uses it."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


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
