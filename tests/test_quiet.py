"""OpenCV's log, silent while we ask for what may fail; as OpenCV is, and as it was before 4.13."""

from __future__ import annotations

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import pytest
from PIL import Image

from segface_edge import quiet
from segface_edge.errors import ImageError
from segface_edge.pictures.reading import load


class Log:
    """A level that is set and read; what sets it lies elsewhere in every few versions of OpenCV."""

    def __init__(self) -> None:
        self.level = 3

    def getLogLevel(self) -> int:
        return self.level

    def setLogLevel(self, level: int) -> None:
        self.level = level


def opencv_before_4_13() -> tuple[Any, Log]:
    log = Log()
    log.utils = SimpleNamespace()  # type: ignore[attr-defined]
    return log, log


def opencv_from_4_13_on() -> tuple[Any, Log]:
    log = Log()
    return SimpleNamespace(utils=SimpleNamespace(logging=log)), log


@pytest.mark.parametrize("opencv", [opencv_before_4_13, opencv_from_4_13_on])
@pytest.mark.parametrize("fails", [False, True])
def test_the_log_is_silent_and_then_as_before(monkeypatch: pytest.MonkeyPatch, opencv: Any, fails: bool) -> None:
    module, log = opencv()
    monkeypatch.setattr(quiet, "cv2", module)
    try:
        with quiet.quiet_opencv():
            assert log.level == 0
            if fails:
                raise OSError
    except OSError:
        assert fails
    assert log.level == 3


def test_this_opencv_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    nothing = tmp_path / "nothing.avi"
    nothing.write_bytes(b"RIFF")
    quiet.keep_ffmpeg_quiet()
    with quiet.quiet_opencv():
        assert not cv2.VideoCapture(str(nothing)).isOpened()
    assert capfd.readouterr() == ("", "")


def test_libtiff_says_nothing_of_damaged_files(capfd: pytest.CaptureFixture[str]) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (3, 4, 5)).save(buffer, "TIFF", compression="tiff_lzw")
    content = bytearray(buffer.getvalue())
    content[20:60] = b"\x01\x02" * 20
    with pytest.raises(ImageError, match="is damaged"):
        load(bytes(content))
    assert capfd.readouterr().err == ""
