"""Faces of any size and turn: found once each, whole, and parsed as they are in the upright photo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.errors import UsageError
from segface_edge.faces.finder import Finder, joined
from segface_edge.faces.watch import Watch
from segface_edge.faces.yunet import YuNet
from segface_edge.pictures import reading
from segface_edge.pictures.framing import square_of
from segface_edge.pictures.geometry import FaceBox

Quarters = Callable[[np.ndarray, int], np.ndarray]


class Counting(YuNet):
    """The detector, and the pixels that it was given."""

    pixels = 0

    def __call__(self, picture: np.ndarray) -> list[FaceBox]:
        self.pixels += picture.shape[0] * picture.shape[1]
        return super().__call__(picture)


@pytest.fixture(scope="module")
def yunet() -> Counting:
    return Counting(zoo.DETECTOR)


@pytest.fixture(scope="module")
def finder(yunet: Counting) -> Finder:
    return Finder(yunet)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return reading.load(zoo.ASTRONAUT)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return reading.load(zoo.PORTRAIT)


def clockwise(photo: np.ndarray, quarters: int) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(photo, -quarters))


def framed(portrait: np.ndarray, height: int, *, share: float) -> np.ndarray:
    """A photo as high as this, and a third wider, in which the portrait has this share of the height."""
    side = round(share * height)
    photo = np.full((height, height * 4 // 3, 3), (90, 110, 100), np.uint8)
    top, left = (height - side) // 2, (photo.shape[1] - side) // 3
    photo[top : top + side, left : left + side] = cv2.resize(portrait, (side, side), interpolation=cv2.INTER_AREA)
    return photo


# How a photo is framed: what is shown of the portrait, or how small it lies in a photo; the photo's height.
FRAMINGS = {
    "the whole picture": lambda astronaut, _: astronaut,
    "a portrait of 512": lambda _, portrait: portrait,
    "a portrait of 1600": lambda _, portrait: cv2.resize(portrait, (1600, 1600), interpolation=cv2.INTER_CUBIC),
    "a close-up of 300": lambda _, portrait: cv2.resize(portrait[110:470, 100:412], (260, 300)),
    "a close-up of 1800": lambda _, portrait: cv2.resize(portrait[110:470, 100:412], (1560, 1800)),
    "half of 1200": lambda _, portrait: framed(portrait, 1200, share=0.5),
    "a sixth of 1200": lambda _, portrait: framed(portrait, 1200, share=1 / 6),
    "a twelfth of 960": lambda _, portrait: framed(portrait, 960, share=1 / 12),
}


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_one_face_is_found_once_where_it_is(
    framing: str, quarters: int, finder: Finder, astronaut: np.ndarray, portrait: np.ndarray
) -> None:
    upright = FRAMINGS[framing](astronaut, portrait)
    (wanted,) = finder(upright)
    assert wanted.turn == 0
    photo = clockwise(upright, quarters)
    (face,) = finder(photo)
    assert face.turn == 90 * quarters
    found, square = square_of(face.turned(-quarters, *photo.shape[:2])), square_of(wanted)
    assert np.hypot(found.x - square.x, found.y - square.y) < 0.03 * square.side
    assert found.side == pytest.approx(square.side, rel=0.05)
    assert found.angle == pytest.approx(square.angle, abs=3)


def test_a_close_face_is_as_in_its_small_copy(finder: Finder, portrait: np.ndarray) -> None:
    """The detector alone finds parts of the large one."""
    close = portrait[110:470, 100:412]
    squares = []
    for height in (360, 1300, 2400):
        photo = cv2.resize(close, (round(height / 360 * 312), height), interpolation=cv2.INTER_CUBIC)
        (face,) = finder(photo)
        square = square_of(face)
        squares.append((square.x / height, square.y / height, square.side / height, square.angle / 100))
    assert np.ptp(np.array(squares), axis=0).max() < 0.02


@pytest.mark.parametrize("picture", [zoo.ASTRONAUT, zoo.PORTRAIT], ids=lambda path: path.stem)
def test_labels_of_a_turned_photo_are_those_of_the_upright_one(picture: Any, parser: FaceParser) -> None:
    """In the photo's own pixels; left stays the subject's left."""
    photo = reading.load(picture)
    upright = parser(photo)
    assert upright.turn == 0
    for quarters in (1, 2, 3):
        turned = parser(clockwise(photo, quarters))
        assert (turned.turn, turned.to_json()["turn"]) == (90 * quarters, 90 * quarters)
        assert turned.to_json()["faces"][0]["turn"] == 90 * quarters
        assert turned.labels.shape == turned.image.shape[:2]
        back = np.rot90(turned.labels, quarters)
        for name in upright.present(min_pixels=20):
            a, b = upright.mask(name), back == upright.label_set.index(name)
            assert 2 * (a & b).sum() / (a.sum() + b.sum()) > 0.97, (quarters, name)


def test_a_close_up_and_a_turned_photo_that_users_sent(shared: Any, parser: FaceParser) -> None:
    if not (shared / "reports").is_dir():
        pytest.skip("no ../shared/reports here")
    close, small = (parser(shared / "reports" / f"close-up{name}.jpg") for name in ("", "-small"))
    assert len(close.faces) == len(small.faces) == 1
    order = "lapa"  # parts that are a few pixels in the small copy say little
    a, b = close.remap(order), small.remap(order)
    enlarged = cv2.resize(b.labels, a.labels.shape[::-1], interpolation=cv2.INTER_NEAREST)
    f1 = [
        2 * ((a.labels == i) & (enlarged == i)).sum() / ((a.labels == i).sum() + (enlarged == i).sum())
        for i in range(11)
    ]
    assert np.mean(f1) > 0.95
    assert parser(shared / "reports" / "turned-180.jpg").turn == 180


def test_faces_of_one_photo_may_be_turned_each_in_its_way(finder: Finder, portrait: np.ndarray) -> None:
    photo = np.full((400, 1000, 3), 120, np.uint8)
    small = cv2.resize(portrait, (200, 200), interpolation=cv2.INTER_AREA)
    for place, quarters in enumerate((0, 0, 0, 2)):
        photo[100:300, 40 + 240 * place : 240 + 240 * place] = clockwise(small, quarters)
    found = sorted(finder(photo), key=lambda face: face.left)
    assert [face.turn for face in found] == [0, 0, 0, 180]


def test_nothing_is_made_of_a_picture_without_faces(finder: Finder) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (600, 800, 3), np.uint8)
    assert finder(noise) == []
    assert finder(cv2.GaussianBlur(noise, (0, 0), 9)) == []
    for height, width in ((3, 900), (20, 640), (32, 320), (900, 16)):
        assert finder(np.zeros((height, width, 3), np.uint8)) == []
    assert finder(np.zeros((1, 1, 3), np.uint8)) == []


def test_a_larger_look_finds_smaller_faces(yunet: Counting, portrait: np.ndarray) -> None:
    photo = framed(portrait, 2400, share=1 / 80)
    assert Finder(yunet)(photo) == []
    (face,) = Finder(yunet, look=3200)(photo)
    assert 10 < face.bottom - face.top < 30
    with pytest.raises(UsageError, match="look 0: is below 1"):
        FaceParser(look=0)


def test_a_face_has_one_box_and_neighbours_keep_theirs() -> None:
    def box(left: float, top: float, side: float, score: float) -> FaceBox:
        return FaceBox(left=left, top=top, right=left + side, bottom=top + side, score=score)

    whole, part, beside = box(0, 0, 100, 0.9), box(40, 50, 45, 0.8), box(80, 0, 90, 0.7)
    assert joined([whole, part, beside]) == [whole, beside]
    assert joined([]) == []


def test_a_video_pays_for_turns_at_its_beginning(yunet: Counting, astronaut: np.ndarray) -> None:
    """Then it is looked at as it was turned; a cut to another turn is noticed within half a second."""
    finder, watch, cost = Finder(yunet), Watch(), []
    small = cv2.resize(astronaut, (320, 320), interpolation=cv2.INTER_AREA)
    for frame in range(40):
        yunet.pixels = 0
        found = finder(clockwise(small, 1 if frame < 20 else 2), watch)
        cost.append(yunet.pixels / small[..., 0].size)
        if frame < 20 or frame >= 30:
            assert [face.turn for face in found] == [90 if frame < 20 else 180]
    assert max(cost[1:15]) < 1.01
    assert sum(cost[:20]) / 20 < 1.3


def test_a_doubt_is_not_looked_at_in_each_frame(yunet: Counting, portrait: np.ndarray) -> None:
    """A blurred face that is below the score of certainty, and one that is turned otherwise than the rest."""
    photo = np.full((300, 620, 3), 120, np.uint8)
    small = cv2.resize(portrait, (240, 240), interpolation=cv2.INTER_AREA)
    photo[30:270, 30:270] = small
    photo[30:270, 330:570] = clockwise(small, 2)
    finder, watch, cost = Finder(yunet), Watch(), []
    for _ in range(10):
        yunet.pixels = 0
        found = finder(photo, watch)
        assert sorted(face.turn for face in found) == [0, 180]
        cost.append(yunet.pixels)
    assert max(cost[1:]) < cost[0] + 240 * 240


def test_the_command_line_tells_the_turn(cli: Any, tmp_path: Any, astronaut: np.ndarray) -> None:
    import json

    Image.fromarray(clockwise(astronaut, 3)).save(tmp_path / "turned.png")
    done = cli("parse", tmp_path / "turned.png", "--look", 640, "--json", "-")
    (photo,) = json.loads(done.out)["photos"]
    assert (photo["turn"], [face["turn"] for face in photo["faces"]]) == (270, [270])
