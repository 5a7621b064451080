"""Faces followed through a video: as if everything of each frame were looked at, for a part of the cost."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np
import pytest

from segface_edge import zoo
from segface_edge.faces.finder import Finder
from segface_edge.faces.levels import Levels
from segface_edge.faces.watch import Watch
from segface_edge.faces.yunet import YuNet
from segface_edge.pictures import reading
from segface_edge.pictures.framing import iou, square_of
from segface_edge.pictures.geometry import FaceBox

WIDTH, HEIGHT = 640, 480


class Counting(YuNet):
    """The detector, and the pixels that it was given."""

    pixels = 0

    def __call__(self, picture: np.ndarray) -> list[FaceBox]:
        self.pixels += picture.shape[0] * picture.shape[1]
        return super().__call__(picture)


class Everywhere(Watch):
    def is_due(self, levels: Levels) -> bool:
        super().is_due(levels)
        return True


@pytest.fixture(scope="module")
def yunet() -> Counting:
    return Counting(zoo.DETECTOR)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return reading.load(zoo.PORTRAIT)


@pytest.fixture(scope="module")
def scenes() -> list[np.ndarray]:
    """Two without faces."""
    astronaut = reading.load(zoo.ASTRONAUT)
    return [cv2.resize(part, (WIDTH, HEIGHT)) for part in (astronaut[330:, :300], astronaut[:200, 330:])]


def drawn(scene: np.ndarray, portrait: np.ndarray, *places: tuple[float, float, int]) -> np.ndarray:
    """Portraits before a scene: left, top, side."""
    frame = scene.copy()
    for left, top, side in places:
        way = np.array([[1, 0, left], [0, 1, top]])
        small = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
        cv2.warpAffine(small, way, (WIDTH, HEIGHT), dst=frame, borderMode=cv2.BORDER_TRANSPARENT)
    return frame


def followed(yunet: Counting, frames: Iterable[np.ndarray], watch: Watch) -> tuple[list[list[FaceBox]], list[int]]:
    """Faces of each frame, and the detector's pixels."""
    finder, found, cost = Finder(yunet), [], []
    for frame in frames:
        yunet.pixels = 0
        found.append(finder(frame, watch))
        cost.append(yunet.pixels)
    return found, cost


@pytest.mark.parametrize("side", [100, 220, 460])
def test_a_face_is_where_a_look_at_everything_has_it(
    side: int, yunet: Counting, portrait: np.ndarray, scenes: list[np.ndarray]
) -> None:
    frames = [drawn(scenes[0], portrait, (90 + 5.3 * i, 10 + 3.7 * np.sin(i), side)) for i in range(14)]
    found, cost = followed(yunet, frames, Watch())
    wanted, full = followed(yunet, frames, Everywhere())
    assert [len(faces) for faces in found] == [1] * 14
    pairs = [(square_of(face), square_of(other)) for (face,), (other,) in zip(found, wanted, strict=True)]
    moved = [np.hypot(square.x - at.x, square.y - at.y) / at.side for square, at in pairs]
    grown = [abs(square.side / at.side - 1) for square, at in pairs]
    # From frame to frame OpenCV 4.8 makes squares of one face that are 5 % apart, OpenCV 5 hardly.
    for parts in (moved, grown):
        assert np.median(parts) < 0.01
        assert max(parts) < (0.02 if int(cv2.__version__.split(".")[0]) >= 5 else 0.05)
    assert sum(cost[1:]) < 0.6 * sum(full[1:])


def test_a_small_face_that_is_new_is_found_in_time(
    yunet: Counting, portrait: np.ndarray, scenes: list[np.ndarray]
) -> None:
    """After eight frames at the latest, or where frames are slow after a quarter of a second."""
    places = [(60.0, 60.0, 300), (500.0, 300.0, 60)]
    frames = [drawn(scenes[0], portrait, *places[: 1 if i < 3 else 2]) for i in range(14)]
    found, _ = followed(yunet, frames, Watch())
    assert next(i for i, faces in enumerate(found) if len(faces) == 2) <= 3 + 8
    watch, finder = Watch(), Finder(yunet)
    counts = []
    for index, frame in enumerate(frames):
        watch.now = 100 + 0.1 * index
        counts.append(len(finder(frame, watch)))
    assert counts[:3] == [1] * 3
    assert counts[5:] == [2] * 9


def test_a_clock_that_is_set_back_is_no_reason_to_wait(
    yunet: Counting, portrait: np.ndarray, scenes: list[np.ndarray]
) -> None:
    watch, finder = Watch(now=1e6), Finder(yunet)
    finder(drawn(scenes[0], portrait, (60.0, 60.0, 300)), watch)
    watch.now = 5.0
    assert len(finder(drawn(scenes[0], portrait, (60.0, 60.0, 300), (500.0, 300.0, 60)), watch)) == 2


def test_a_cut_is_seen_in_its_first_frame(yunet: Counting, portrait: np.ndarray, scenes: list[np.ndarray]) -> None:
    near = drawn(scenes[0], portrait, (100.0, 10.0, 440))
    far = drawn(scenes[1], portrait, (50.0, 60.0, 80), (450.0, 300.0, 70))
    found, _ = followed(yunet, [near, near, far, far, scenes[0], far, near], Watch())
    assert [len(faces) for faces in found] == [1, 1, 2, 2, 0, 2, 1]


def test_fast_faces_are_found_in_every_frame(yunet: Counting, portrait: np.ndarray, scenes: list[np.ndarray]) -> None:
    frames = [drawn(scenes[0], portrait, (230 + 200 * np.sin(i), 150.0, 150)) for i in range(10)]
    found, cost = followed(yunet, frames, Watch())
    wanted, full = followed(yunet, frames, Everywhere())
    for (face,), (other,) in zip(found, wanted, strict=True):
        assert iou(face, other) > 0.95
    assert sum(cost) < 1.2 * sum(full)


def test_nothing_is_followed_where_there_is_nothing(yunet: Counting, scenes: list[np.ndarray]) -> None:
    found, cost = followed(yunet, [scenes[0]] * 7, Watch())
    assert found == [[]] * 7
    assert max(cost[1:]) < 0.3 * WIDTH * HEIGHT
