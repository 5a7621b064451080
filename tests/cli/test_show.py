"""`segface-edge parse --show`."""

from __future__ import annotations

import sys

import cv2
import pytest

from segface_edge.cli import video
from segface_edge.errors import UsageError


@pytest.mark.parametrize(
    ("gui", "said"),
    [("GUI: NONE", "this OpenCV has no windows; pip"), ("GUI: QT5", "there is no screen here; set DISPLAY")],
)
def test_windows_that_cannot_be_shown_are_refused_with_the_cure(
    monkeypatch: pytest.MonkeyPatch, gui: str, said: str
) -> None:
    def headless(name: str) -> None:
        raise cv2.error(name)

    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: gui)
    monkeypatch.setattr(cv2, "namedWindow", headless)
    with pytest.raises(UsageError, match=said):
        video._check_windows()
