"""`segface-edge parse --show`."""

from __future__ import annotations

import sys

import cv2
import numpy as np
import pytest

from segface_edge.cli import video
from segface_edge.errors import UsageError
from segface_edge.labels import label_set
from segface_edge.parsing.result import FaceParse


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


NO_KEY, UNKNOWN, GONE = -1, -1.0, None


@pytest.mark.parametrize(
    ("keys", "visible", "goes_on"),
    [
        ([NO_KEY] * 3, [1.0, 1.0, 1.0], [True, True, True]),
        ([NO_KEY, ord("x"), ord("q")], [1.0, 1.0, 1.0], [True, True, False]),
        ([NO_KEY, 27], [1.0, 1.0], [True, False]),
        ([NO_KEY] * 2, [1.0, 0.0], [True, False]),  # Qt hides what is closed
        ([NO_KEY] * 2, [1.0, GONE], [True, False]),
        ([NO_KEY] * 3, [0.0, 1.0, 0.0], [True, True, False]),  # not on the screen yet
        ([NO_KEY] * 3, [UNKNOWN, UNKNOWN, UNKNOWN], [True, True, True]),  # GTK, which does not know
    ],
)
def test_a_key_or_closing_the_window_ends_what_is_shown(
    monkeypatch: pytest.MonkeyPatch, keys: list[int], visible: list[float | None], goes_on: list[bool]
) -> None:
    shown: list[str] = []
    pressed, seen = iter(keys), iter(visible)

    def visibility(*_: object) -> float:
        if (value := next(seen)) is None:
            raise cv2.error("NULL guiReceiver (please create a window)")
        return value

    monkeypatch.setattr(cv2, "imshow", lambda name, _: shown.append(name))
    monkeypatch.setattr(cv2, "waitKey", lambda _: next(pressed))
    monkeypatch.setattr(cv2, "getWindowProperty", visibility)
    labels = np.zeros((4, 6), np.uint8)
    face = FaceParse(image=np.zeros((4, 6, 3), np.uint8), labels=labels, label_set=label_set("segface"))
    window = video._Window("overlay", 0.5)
    assert [window.show(face) for _ in goes_on] == goes_on
    assert len(shown) == len(goes_on)
