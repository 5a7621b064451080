"""Steady video: labels flicker less, follow the face, and are two frames behind at most."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segface_edge import FaceParser, zoo
from segface_edge.engines import FakeEngine
from segface_edge.errors import UsageError
from segface_edge.faces.locate import Located
from segface_edge.faces.steady import VOTES, Steady, Voted
from segface_edge.faces.tracks import Tracks
from segface_edge.parsing.stages import Stages
from segface_edge.parsing.stream import streamed
from segface_edge.pictures import fitting, reading
from segface_edge.pictures.framing import square_of
from segface_edge.pictures.geometry import FaceBox
from segface_edge.sources.video import Video
from segface_edge.sources.video_out import VideoWriter

Cli = Callable[..., Any]
SIDE = 64
WHOLE = FaceBox.whole(SIDE, SIDE)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return np.asarray(cv2.resize(reading.load(zoo.PORTRAIT), (256, 256), interpolation=cv2.INTER_AREA))


def face_at(x: float, y: float, side: float = 40.0) -> Located:
    face = FaceBox(left=x - side / 2, top=y - side / 2, right=x + side / 2, bottom=y + side / 2)
    return Located(face=face, square=square_of(face))


def labels_of(voted: Voted | None) -> np.ndarray:
    assert voted is not None
    return voted.labels


def voted(maps: list[np.ndarray], picture: np.ndarray | list[np.ndarray]) -> list[np.ndarray]:
    """What becomes of label maps, one a frame, of a face that does not move."""
    steady, found = Steady(), []
    for index, labels in enumerate(maps):
        pixels = picture[index] if isinstance(picture, list) else picture
        located = steady.follow([Located(face=WHOLE, square=None)])
        fitted = fitting.fit(pixels, SIDE)
        found.append(labels_of(steady.vote(located, [fitted], [labels], [None])[0]))
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


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.booleans()), min_size=3, max_size=12))
@example([(1, False), (1, False), (2, True), (2, True), (2, False)])
def test_so_it_is_where_the_picture_changes(frames: list[tuple[int, bool]]) -> None:
    """A patch that is brighter in some frames: a frame that has no vote takes those before it with it."""
    dark = np.full((SIDE, SIDE, 3), 90, np.uint8)
    bright = dark.copy()
    bright[20:44, 20:44] = 160
    labels = [label for label, _ in frames]
    found = voted([flat(label) for label in labels], [bright if change else dark for _, change in frames])
    for index in range(2, len(labels)):
        if len(set(labels[index - 2 : index + 1])) == 1:
            assert (found[index] == labels[index]).all()


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


@pytest.mark.parametrize("size", [(640, 360), (360, 640), (720, 300), (512, 512)])
def test_padding_does_not_hide_a_cut(size: tuple[int, int], portrait: np.ndarray) -> None:
    first = cv2.resize(portrait, size)
    found = voted([flat(3)] * 5 + [flat(5)], [first] * 5 + [255 - first])
    assert np.array_equal(found[5], flat(5))


def test_labels_are_not_dragged_behind_a_face_that_moves(portrait: np.ndarray) -> None:
    """The portrait goes 6 pixels a frame, and its labels with it; a camera that shows all of it (`whole`)."""
    rings = np.zeros((256, 256), np.uint8)
    for label, radius in ((1, 110), (2, 70), (3, 30)):
        cv2.circle(rings, (128, 128), radius, label, -1)
    steady, wrong = Steady(), []
    for index in range(10):
        way = np.float32([[1, 0, 40 + 6 * index], [0, 1, 30 + 2 * index]])
        photo, labels = (cv2.warpAffine(values, way, (384, 384)) for values in (portrait, rings))
        located = steady.follow([Located(face=FaceBox.whole(384, 384), square=None)])
        after = labels_of(steady.vote(located, [fitting.fit(photo, 384)], [labels], [None])[0])
        wrong.append(float((after != labels)[labels > 0].mean()))
    assert max(wrong) < 0.01
    # Unmoved, the labels of two frames ago would be 12 pixels aside.
    assert steady.flicker.pixels > 0
    assert steady.flicker.before / steady.flicker.pixels < 0.03


def test_flicker_is_counted_before_and_after(portrait: np.ndarray) -> None:
    random = np.random.default_rng(0)
    steady = Steady()
    fitted = fitting.fit(portrait, SIDE)
    for _ in range(20):
        labels = flat(3)
        labels[random.random(labels.shape) < 0.1] = 4
        located = steady.follow([Located(face=WHOLE, square=None)])
        steady.vote(located, [fitted], [labels], [None])
    assert steady.flicker.before / steady.flicker.pixels == pytest.approx(2 * 0.1 * 0.9, rel=0.05)
    assert steady.flicker.after < 0.3 * steady.flicker.before
    assert steady.flicker.to_json()["before"] == pytest.approx(18, rel=0.05)
    assert Steady().flicker.to_json() == {"before": 0.0, "after": 0.0}


@pytest.mark.parametrize(
    ("given_labels", "given_confidences", "expected"),
    [
        ((3, 3, 3, 5), (200, 210, 220, 90), (3, 220)),
        # What was voted down before is not what its labels are sure of.
        ((3, 3, 3, 5, 5, 7), (201, 202, 203, 91, 92, 50), (5, 92)),
    ],
)
def test_confidence_comes_from_where_the_label_does(
    given_labels: tuple[int, ...], given_confidences: tuple[int, ...], expected: tuple[int, int], portrait: np.ndarray
) -> None:
    steady = Steady()
    fitted = fitting.fit(portrait, SIDE)
    for label, confidence in zip(given_labels, given_confidences, strict=True):
        located = steady.follow([Located(face=WHOLE, square=None)])
        (found,) = steady.vote(located, [fitted], [flat(label)], [flat(confidence)])
    assert found is not None
    assert found.confidence is not None
    assert (int(found.labels[9, 9]), int(found.confidence[9, 9])) == expected


def test_the_first_frame_and_frames_without_a_face_are_as_they_are() -> None:
    steady = Steady()
    assert steady.vote([], [], [], []) == []
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
    held = replace(first, held=True)
    assert tracks.follow([]) == [held]
    assert tracks.follow([]) == [held]
    assert tracks.follow([]) == []
    (again,) = tracks.follow([face_at(100, 100)])
    assert again.face.track == 1


def test_those_that_are_there_longest_come_first() -> None:
    """So that of several the same ones are kept (`max_faces`), whoever is surest in a frame."""
    tracks = Tracks()
    one, other = face_at(100, 100), face_at(300, 100)
    for index in range(4):
        found = tracks.follow([one, other] if index % 2 == 0 else [other, one])
        assert [face.face.track for face in found] == [0, 1]
    assert [face.face.track for face in tracks.follow([other])] == [0, 1]
    assert [face.held for face in tracks.follow([other])] == [True, False]


def test_of_two_faces_that_overlap_a_little_the_nearer_one_is_it() -> None:
    tracks = Tracks()
    tracks.follow([face_at(100, 100), face_at(118, 100)])
    found = tracks.follow([face_at(116, 100), face_at(102, 100)])
    assert [(face.face.track, round(face.face.left)) for face in found] == [(0, 82), (1, 96)]


def test_growth_is_followed_as_motion_is() -> None:
    tracks = Tracks()
    tracks.follow([face_at(100, 100, 40)])
    (found,) = tracks.follow([face_at(100, 100, 44)])
    assert found.square is not None
    assert found.square.side == pytest.approx(1.1 * 1.35 * 40)


def test_trembling_is_damped_and_motion_is_followed() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.4, 60)
    tracks = Tracks()
    still = [tracks.follow([face_at(100 + shift, 100)])[0].square for shift in noise]
    assert np.std(np.diff([frame.x for frame in still if frame])) < 0.7 * np.std(np.diff(noise))
    for speed in (0.5, 3.0, 15.0):
        tracks = Tracks()
        places = [tracks.follow([face_at(100 + speed * index, 100)])[0].square for index in range(20)]
        behind = [(100 + speed * index - frame.x) / speed for index, frame in enumerate(places) if frame]
        assert max(behind) <= 2
        assert min(behind) >= -1e-6


def test_a_turn_goes_the_short_way() -> None:
    def turned(angle: float) -> Located:
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        points = ((-10, -10), (10, -10), (0, 0), (-8, 14), (8, 14))
        landmarks = tuple((100 + cos * x - sin * y, 100 + sin * x + cos * y) for x, y in points)
        face = FaceBox(left=80, top=80, right=120, bottom=120, landmarks=landmarks)
        return Located(face=face, square=square_of(face))

    tracks = Tracks()
    tracks.follow([turned(179)])
    (found,) = tracks.follow([turned(-179)])
    assert found.square is not None
    assert 179 < found.square.angle < 181
    # The face that is told lies where its frame does.
    again = square_of(found.face)
    assert (again.x, again.y, again.side) == pytest.approx((found.square.x, found.square.y, found.square.side))


@pytest.mark.parametrize("moves", [True, False])
def test_votes_go_with_the_face_further_than_flow_sees(moves: bool) -> None:
    """A face without texture that goes 70 pixels a frame through a photo that is shown whole; its labels go with it."""
    steady, wrong = Steady(), []
    for index in range(6):
        x = 100 + 70 * index * moves
        photo = np.full((512, 512, 3), 120, np.uint8)
        labels = np.zeros((512, 512), np.uint8)
        cv2.circle(photo, (x, 250), 40, (200, 150, 130), -1)
        cv2.circle(labels, (x, 250), 40, 2, -1)
        face = FaceBox(left=x - 40, top=210, right=x + 40, bottom=290)
        # Its own box is known, and overlaps with the one before.
        face = FaceBox(left=face.left - 60, top=150, right=face.right + 60, bottom=350)
        (one,) = steady.follow([Located(face=face, square=None)])
        assert one.face.track == 0
        seen = labels.copy()
        if index == 4:
            cv2.circle(seen, (x, 250), 12, 9, -1)
        after = labels_of(steady.vote([one], [fitting.fit(photo, 512)], [seen], [None])[0])
        wrong.append(int((after != labels).sum()))
    assert wrong[4] < 40  # of 441 that flickered
    assert max(wrong) < 200  # of 5027


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


def test_a_face_that_is_held_is_gone_after_a_cut(portrait: np.ndarray, tmp_path: Path, shared: Path) -> None:
    """In frames of the same scene it is parsed where it was; in others nothing is made up."""
    detector = shared / "models" / "yunet" / "yunet_n_640_640.onnx"
    blurred = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (256, 352, 3), np.uint8), (0, 0), 12)
    writer = VideoWriter(tmp_path / "cut.avi", fps=10)
    for index in range(8):
        frame = np.full((256, 352, 3), 128, np.uint8)
        frame[:, 50:306] = portrait
        writer.write(frame if index < 5 else blurred)
    writer.close()
    with FaceParser(locate="yunet", detector=detector) as parser:
        found = [one.face for one in parser.stream(tmp_path / "cut.avi", steady=True)]
    assert [len(face.faces) for face in found if face] == [1] * 5 + [0] * 3
    assert all(face is not None and not face.labels.any() for face in found[5:])


def test_of_two_faces_the_same_one_is_kept_and_frames_may_change_their_size() -> None:
    """A detector that is surer now of one, now of the other; the second one's frame lies outside of smaller photos."""
    left, right = (FaceBox(left=x, top=60, right=x + 80, bottom=160) for x in (60, 700))

    class Detector:
        """Both faces, in an order that changes."""

        calls = 0

        def __call__(self, image: np.ndarray, _: object) -> list[FaceBox]:
            self.calls += 1
            found = [left, right] if image.shape[1] > 400 else []
            return found[:: (-1) ** self.calls]

    stages = Stages(
        engine=FakeEngine(),
        locate="yunet",
        yunet=Detector(),  # type: ignore[arg-type]
        max_faces=1,
        min_face=0,
        max_pixels=10**8,
    )
    steady, tracks = Steady(), []
    for width in (1000, 1000, 1000, 1000, 320, 320, 320):
        work = stages.find(stages.take(np.full((480 if width == 1000 else 240, width, 3), 128, np.uint8)))
        stages.infer([work], steady)
        tracks.append([face.track for face in stages.finish(work, steady).faces])
    assert tracks[:4] == [[0]] * 4
    assert all(len(found) <= 1 for found in tracks)


def test_a_portrait_beside_a_face_that_is_held_is_parsed_again(portrait: np.ndarray, parser: FaceParser) -> None:
    """Its labels are there, of the whole photo; the held one's are not."""
    stages = Stages(engine=parser.engine, locate="self", yunet=None, max_faces=None, min_face=0, max_pixels=10**8)
    photo = portrait
    first = stages.take(photo)
    stages.infer([first])
    assert [one.square for one in first.located or ()] == [None]  # a portrait
    steady = Steady()
    steady.follow([face_at(40, 40)])
    work = stages.take(photo)
    stages.infer([work], steady)
    assert len(work.located or ()) == len(work.fits) == len(work.labels) == 2
    assert len(stages.finish(work, steady).faces) == 1  # nothing tells that the held one is there


def test_a_face_that_is_gone_is_forgotten() -> None:
    steady = Steady()
    fitted = fitting.fit(np.zeros((SIDE, SIDE, 3), np.uint8), SIDE)
    steady.vote(steady.follow([Located(face=WHOLE, square=None)]), [fitted], [flat(3)], [None])
    assert list(steady._history) == [0]
    steady.vote([], [], [], [])
    assert steady._history == {}


def test_the_network_sees_damped_frames(noisy: Path) -> None:
    """A detector that trembles by four pixels."""

    class Detector:
        """The portrait's face, a little to the left and to the right of where it is."""

        calls = 0

        def __call__(self, image: np.ndarray, _: object) -> list[FaceBox]:
            self.calls += 1
            assert image.shape == (256, 352, 3)
            x = 120 + 2 * (-1) ** self.calls
            return [FaceBox(left=x, top=60, right=x + 110, bottom=200)]

    moved = []
    for steady in (None, Steady()):
        stages = Stages(
            engine=FakeEngine(),
            locate="yunet",
            yunet=Detector(),  # type: ignore[arg-type]
            max_faces=None,
            min_face=0,
            max_pixels=10**8,
        )
        with Video(str(noisy)) as video:
            left = [
                one.face.face_labels[0].left
                for one in streamed(stages, video, limit=None, boxes=None, in_flight=1, steady=steady)
                if one.face is not None
            ]
        moved.append(np.abs(np.diff(left[2:])).mean())
    assert moved[0] == 4
    assert moved[1] < 3


def test_photos_cannot_be_steady(cli: Cli, tmp_path: Path) -> None:
    done = cli("parse", zoo.PORTRAIT, "-o", tmp_path / "out.png", "--steady")
    assert (done.code, done.err.splitlines()) == (
        2,
        ["error: --steady: is for videos and cameras; leave it out, or give a video"],
    )
    with FaceParser() as parser, pytest.raises(UsageError, match="steady: is for videos"):
        list(parser.stream(zoo.PORTRAIT, steady=True))
