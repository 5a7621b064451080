"""Steady video: labels flicker less, follow the face, and are two frames behind at most."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segface_edge import FaceParser, imaging, zoo
from segface_edge.errors import UsageError
from segface_edge.framing import Square, fit_square, frame_of
from segface_edge.imaging import FaceBox, Fitted
from segface_edge.locate import Located
from segface_edge.steady import VOTES, Steady
from segface_edge.tracks import Tracks
from segface_edge.video import VideoWriter

Cli = Callable[..., Any]
SIDE = 64
WHOLE = FaceBox.whole(SIDE, SIDE)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.asarray(cv2.resize(imaging.load(zoo.PORTRAIT), (256, 256), interpolation=cv2.INTER_AREA))


def face_at(x: float, y: float, side: float = 40.0) -> Located:
    face = FaceBox(left=x - side / 2, top=y - side / 2, right=x + side / 2, bottom=y + side / 2)
    return Located(face=face, frame=frame_of(face))


def voted(maps: list[np.ndarray], picture: np.ndarray | list[np.ndarray]) -> list[np.ndarray]:
    """What becomes of label maps, one a frame, of a face that does not move."""
    steady, found = Steady(), []
    for index, labels in enumerate(maps):
        pixels = picture[index] if isinstance(picture, list) else picture
        located = steady.follow([Located(face=WHOLE, frame=None)])
        fitted = imaging.fit(pixels, SIDE)
        found.append(steady.vote(located, [fitted], [labels], [None])[0][0])
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Votes
# ---------------------------------------------------------------------------------------------------------------------


def flat(label: int) -> np.ndarray:
    return np.full((SIDE, SIDE), label, np.uint8)


def test_what_shows_in_one_frame_alone_is_left_out(portrait: np.ndarray) -> None:
    picture = cv2.resize(portrait, (SIDE, SIDE))
    maps = [flat(3) for _ in range(12)]
    maps[4][10:20, 10:20] = 7
    maps[8] = flat(5)
    assert all(np.array_equal(labels, flat(3)) for labels in voted(maps, picture))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=3, max_size=14))
def test_a_label_that_holds_for_three_frames_is_shown(labels: list[int]) -> None:
    """Whatever came before: nothing is more than two frames late."""
    found = voted([flat(label) for label in labels], np.full((SIDE, SIDE, 3), 90, np.uint8))
    for index in range(2, len(labels)):
        if len(set(labels[index - 2 : index + 1])) == 1:
            assert found[index][SIDE // 2, SIDE // 2] == labels[index]
    # And what is shown was seen in the five last frames.
    for index, one in enumerate(found):
        assert set(np.unique(one).tolist()) <= set(labels[max(0, index - VOTES + 1) : index + 1])


def test_where_the_picture_changes_the_label_does_at_once(portrait: np.ndarray) -> None:
    picture = cv2.resize(portrait, (SIDE, SIDE))
    other = picture.copy()
    other[:, :24] = 255 - other[:, :24]
    found = voted([flat(3)] * 6 + [flat(5)] * 3, [picture] * 6 + [other] * 3)
    assert (found[6][10:-10, 5:14] == 5).mean() > 0.9
    assert (found[6][10:-10, 34:-5] == 3).mean() > 0.9
    assert np.array_equal(found[8], flat(5))


def test_after_a_cut_nothing_of_before_is_left(portrait: np.ndarray) -> None:
    picture = cv2.resize(portrait, (SIDE, SIDE))
    found = voted([flat(3)] * 6 + [flat(5)] * 2, [picture] * 6 + [255 - picture] * 2)
    assert np.array_equal(found[5], flat(3))
    assert np.array_equal(found[6], flat(5))


def test_labels_are_not_dragged_behind_a_face_that_moves(portrait: np.ndarray) -> None:
    """The portrait goes 6 pixels a frame, and its labels with it; a camera that shows all of it (`whole`)."""
    rings = np.zeros((256, 256), np.uint8)
    for label, radius in ((1, 110), (2, 70), (3, 30)):
        cv2.circle(rings, (128, 128), radius, label, -1)
    steady, wrong = Steady(), []
    for index in range(10):
        way = np.float32([[1, 0, 40 + 6 * index], [0, 1, 30 + 2 * index]])
        photo, labels = (cv2.warpAffine(values, way, (384, 384)) for values in (portrait, rings))
        located = steady.follow([Located(face=FaceBox.whole(384, 384), frame=None)])
        after = steady.vote(located, [imaging.fit(photo, 384)], [labels], [None])[0][0]
        wrong.append(float((after != labels)[labels > 0].mean()))
    assert max(wrong) < 0.01
    # Unmoved, the labels of two frames ago would be 12 pixels aside.
    assert steady.flicker.pixels > 0
    assert steady.flicker.before / steady.flicker.pixels < 0.03


def test_flicker_is_counted_before_and_after(portrait: np.ndarray) -> None:
    random = np.random.default_rng(0)
    steady = Steady()
    fitted = imaging.fit(portrait, SIDE)
    for _ in range(20):
        labels = flat(3)
        labels[random.random(labels.shape) < 0.1] = 4
        located = steady.follow([Located(face=WHOLE, frame=None)])
        steady.vote(located, [fitted], [labels], [None])
    assert steady.flicker.before / steady.flicker.pixels == pytest.approx(2 * 0.1 * 0.9, rel=0.05)
    assert steady.flicker.after < 0.3 * steady.flicker.before
    assert steady.flicker.to_json()["before"] == pytest.approx(18, rel=0.05)
    assert Steady().flicker.to_json() == {"before": 0.0, "after": 0.0}


def test_confidence_comes_from_where_the_label_does(portrait: np.ndarray) -> None:
    steady = Steady()
    fitted = imaging.fit(portrait, SIDE)
    for label, confidence in ((3, 200), (3, 210), (3, 220), (5, 90)):
        located = steady.follow([Located(face=WHOLE, frame=None)])
        labels, confidences = steady.vote(located, [fitted], [flat(label)], [flat(confidence)])
    assert np.array_equal(labels[0], flat(3))
    assert confidences[0] is not None
    assert np.array_equal(confidences[0], flat(220))


def test_the_first_frame_and_frames_without_a_face_are_as_they_are() -> None:
    steady = Steady()
    assert steady.vote([], [], [], []) == ([], [])
    assert np.array_equal(voted([flat(6)], np.zeros((SIDE, SIDE, 3), np.uint8))[0], flat(6))


# ---------------------------------------------------------------------------------------------------------------------
# Faces followed
# ---------------------------------------------------------------------------------------------------------------------


def test_faces_keep_their_numbers() -> None:
    tracks = Tracks()
    numbers = [
        {one.face.track for one in tracks.follow([face_at(100 + 3 * index, 100), face_at(300 - 3 * index, 90)])}
        for index in range(5)
    ]
    assert numbers == [{0, 1}] * 5
    # In another order, and with a third.
    left, right, new = tracks.follow([face_at(112, 100), face_at(288, 90), face_at(500, 90)])
    assert (left.face.track, right.face.track, new.face.track) == (0, 1, 2)


def test_a_face_that_is_missed_is_held_for_two_frames() -> None:
    tracks = Tracks()
    (first,) = tracks.follow([face_at(100, 100)])
    assert tracks.follow([]) == [first]
    assert tracks.follow([]) == [first]
    assert tracks.follow([]) == []
    (again,) = tracks.follow([face_at(100, 100)])
    assert again.face.track == 1


def test_trembling_is_damped_and_motion_is_followed() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.4, 60)
    tracks = Tracks()
    still = [tracks.follow([face_at(100 + shift, 100)])[0].frame for shift in noise]
    assert np.std(np.diff([frame.x for frame in still if frame])) < 0.7 * np.std(np.diff(noise))
    for speed in (0.5, 3.0, 15.0):
        tracks = Tracks()
        places = [tracks.follow([face_at(100 + speed * index, 100)])[0].frame for index in range(20)]
        behind = [(100 + speed * index - frame.x) / speed for index, frame in enumerate(places) if frame]
        assert max(behind) <= 2
        assert min(behind) >= -1e-6


def test_a_turn_goes_the_short_way() -> None:
    def turned(angle: float) -> Located:
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        points = ((-10, -10), (10, -10), (0, 0), (-8, 14), (8, 14))
        landmarks = tuple((100 + cos * x - sin * y, 100 + sin * x + cos * y) for x, y in points)
        face = FaceBox(left=80, top=80, right=120, bottom=120, landmarks=landmarks)
        return Located(face=face, frame=frame_of(face))

    tracks = Tracks()
    tracks.follow([turned(179)])
    (found,) = tracks.follow([turned(-179)])
    assert found.frame is not None
    assert 179 < found.frame.angle < 181
    # The face that is told lies where its frame does.
    again = frame_of(found.face)
    assert (again.x, again.y, again.side) == pytest.approx((found.frame.x, found.frame.y, found.frame.side))


def test_votes_follow_a_frame_that_moves_in_the_photo(portrait: np.ndarray) -> None:
    """A face that goes through a photo, in frames that go with it: the network sees the same picture each time."""
    steady = Steady()
    photo = np.full((400, 700, 3), 120, np.uint8)
    labels = np.zeros((SIDE, SIDE), np.uint8)
    labels[16:48, 16:48] = 2
    for index in range(6):
        shown = photo.copy()
        shown[60:316, 20 + 40 * index : 276 + 40 * index] = portrait
        square = Square(x=148 + 40 * index, y=188, side=256)
        face = FaceBox(left=square.x - 60, top=120, right=square.x + 60, bottom=290)
        (one,) = steady.follow([Located(face=face, frame=square)])
        assert one.frame is not None
        fitted: Fitted = fit_square(shown, SIDE, one.frame)
        flicker = labels.copy()
        if index == 4:
            flicker[20:30, 20:30] = 9
        ((after,), _) = steady.vote([one], [fitted], [flicker], [None])
        assert (after == 9).mean() < 0.002
        assert (after != labels).mean() < 0.02


# ---------------------------------------------------------------------------------------------------------------------
# Whole videos
# ---------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory, portrait: np.ndarray) -> Path:
    """The portrait in a larger frame, with noise: 8 frames."""
    path = tmp_path_factory.mktemp("steady") / "noisy.avi"
    writer = VideoWriter(path, fps=10)
    random = np.random.default_rng(0)
    for _ in range(8):
        frame = np.full((256, 352, 3), 128, np.uint8)
        frame[:, 50:306] = portrait
        writer.write(np.clip(frame + random.normal(0, 9, frame.shape), 0, 255).astype(np.uint8))
    writer.close()
    return path


@pytest.mark.parametrize("locate", ["self", "whole"])
def test_a_steady_video_flickers_less(locate: str, noisy: Path) -> None:
    with FaceParser(locate=locate, in_flight=3) as parser:
        changes = []
        for steady in (False, True):
            maps = [one.face.labels for one in parser.stream(noisy, steady=steady) if one.face is not None]
            assert len(maps) == 8
            changes.append(np.mean([(one != other).mean() for one, other in pairwise(maps)]))
        assert changes[1] < 0.8 * changes[0]
        tracks = [one.face.faces[0].track for one in parser.stream(noisy, steady=True, limit=3) if one.face]
        assert tracks == [0, 0, 0]


def test_the_command_says_how_much_it_flickered(cli: Cli, noisy: Path, tmp_path: Path) -> None:
    lines = tmp_path / "out.jsonl"
    done = cli("parse", noisy, "-o", tmp_path / "out.mp4", "--jsonl", lines, "--steady", "--json", "-")
    assert (done.code, done.err) == (0, "")
    flicker = json.loads(done.out)["flicker_percent"]
    assert 0 < flicker["after"] < flicker["before"]
    assert [json.loads(line)["faces"][0]["track"] for line in lines.read_text().splitlines()] == [0] * 8
    done = cli("parse", noisy, "-o", tmp_path / "out.mp4", "--jsonl", lines, "--frames", 1, "--json", "-")
    assert json.loads(done.out)["flicker_percent"] is None
    assert "track" not in json.loads(lines.read_text())["faces"][0]
    done = cli("parse", noisy, "-o", tmp_path / "out.mp4", "--steady", "--frames", 4)
    assert "flicker" in done.out


def test_photos_cannot_be_steady(cli: Cli, tmp_path: Path) -> None:
    done = cli("parse", zoo.PORTRAIT, "-o", tmp_path / "out.png", "--steady")
    assert (done.code, done.err.splitlines()) == (
        2,
        ["error: --steady: is for videos and cameras; leave it out, or give a video"],
    )
    with FaceParser() as parser, pytest.raises(UsageError, match="steady: is for videos"):
        list(parser.stream(zoo.PORTRAIT, steady=True))
