"""Faces anywhere: found by YuNet, in the parser's own labels, or given; merged into one label map."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.errors import InputError, ModelFileError, UsageError
from segface_edge.faces.locate import faces_in, given, is_portrait
from segface_edge.faces.yunet import YuNet
from segface_edge.labels import label_set
from segface_edge.parsing.merge import merged
from segface_edge.pictures import fitting, reading
from segface_edge.pictures.framing import square_of
from segface_edge.pictures.geometry import FaceBox

ORDER = label_set("segface")


@pytest.fixture(scope="module")
def yunet(shared: Path) -> Path:
    """The detector's model."""
    return shared / "models" / "yunet" / "yunet_n_640_640.onnx"


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return reading.load(zoo.PORTRAIT)


def placed(portrait: np.ndarray, *places: tuple[float, float, float, float], size: tuple[int, int]) -> np.ndarray:
    """A grey photo (H, W, 3) with the portrait at each (x, y, side, angle)."""
    photo = np.full((*size, 3), 128, np.uint8)
    for x, y, side, angle in places:
        small = cv2.resize(portrait, (round(side),) * 2, interpolation=cv2.INTER_AREA)
        way = cv2.getRotationMatrix2D((side / 2 - 0.5,) * 2, -angle, 1)
        way[:, 2] += (x - side / 2, y - side / 2)
        cv2.warpAffine(small, way, size[::-1], dst=photo, borderMode=cv2.BORDER_TRANSPARENT)
    return photo


@pytest.mark.parametrize("how", ["yunet", "self"])
@pytest.mark.parametrize("place", [(350, 300, 240, 0), (500, 250, 300, 20), (230, 330, 280, -25)])
def test_a_face_is_parsed_where_it_is(
    how: str, place: tuple[float, float, float, float], portrait: np.ndarray, yunet: Path, parser: FaceParser
) -> None:
    photo = placed(portrait, place, size=(600, 800))
    with FaceParser(locate=how, detector=yunet if how == "yunet" else None) as anywhere:
        face = anywhere(photo)
    assert len(face.faces) == 1
    frame = square_of(face.faces[0])
    own = square_of(parser(portrait).faces[0])  # what the portrait itself says of its face
    x, y, side, angle = place
    # Eyes and a mouth of labels are blobs: their middles say less than the detector's points.
    assert frame.side == pytest.approx(own.side * side / 512, rel=0.12 if how == "yunet" else 0.2)
    assert np.hypot(frame.x - x, frame.y - y) < 0.12 * side
    if how == "yunet":
        assert frame.angle == pytest.approx(angle + own.angle, abs=10)
    # Parts lie where the portrait's own lie, turned and moved.
    way = cv2.getRotationMatrix2D((256, 256), -angle, side / 512)
    way[:, 2] += (x - 256, y - 256)
    wanted = cv2.warpAffine(parser(portrait).labels, way, (800, 600), flags=cv2.INTER_NEAREST)
    for name in ("skin", "hair", "nose", "l_eye"):
        a, b = face.mask(name), wanted == ORDER.index(name)
        assert 2 * (a & b).sum() / (a.sum() + b.sum()) > (0.6 if "eye" in name else 0.8), name


def test_a_portrait_is_left_as_it_is(portrait: np.ndarray, yunet: Path, parser: FaceParser) -> None:
    """By all ways alike: the frame that it fills is the network's."""
    with FaceParser(locate="whole") as whole:
        wanted = whole(portrait)
    assert np.array_equal(parser(portrait).labels, wanted.labels)
    with FaceParser(detector=yunet) as found:
        face = found(portrait)
    assert np.array_equal(face.labels, wanted.labels)
    assert face.faces[0].score > 0.6
    assert wanted.faces == (FaceBox.whole(512, 512),)


def test_nothing_is_found_where_nobody_is(yunet: Path) -> None:
    photo = np.full((200, 300, 3), 90, np.uint8)
    for options in ({"locate": "self"}, {"locate": "yunet", "detector": yunet}, {"detector": yunet}):
        with FaceParser(**options) as anywhere:
            face = anywhere(photo)
        assert (face.faces, face.face_labels) == ((), ())
        assert not face.labels.any()
        with pytest.raises(UsageError, match="face 0: does not exist: there are 0"):
            face.face(0)


def test_a_group_is_parsed_in_one_call(portrait: np.ndarray, yunet: Path) -> None:
    """Ten faces; each one's labels are what it would have alone."""
    places = [(120 + 200 * (i % 5), 140 + 260 * (i // 5), 150, 8 * (i % 3 - 1)) for i in range(10)]
    photo = placed(portrait, *places, size=(560, 1050))
    calls = []
    with FaceParser(locate="yunet", detector=yunet) as anywhere:
        infer = anywhere.engine.infer
        anywhere.engine.infer = lambda frames: calls.append(len(frames)) or infer(frames)  # type: ignore[method-assign]
        face = anywhere(photo)
        assert calls == [10]
        assert len(face.faces) == len(face.face_labels) == 10
        few = anywhere(photo, boxes=[[one.left, one.top, one.right, one.bottom] for one in face.faces[:3]])
        assert len(few.faces) == 3
    middles = {(round((f.left + f.right) / 400), round((f.top + f.bottom) / 520)) for f in face.faces}
    assert len(middles) == 10
    for index in range(10):
        one = face.face(index)
        assert {"hair", "skin", "nose", "l_eye", "r_eye"} <= set(one.present())
        assert one.faces[0].left > -5
        assert one.image.shape[:2] == one.labels.shape
    assert face.remap("lapa").face(3).label_set.name == "lapa"
    assert set(face.only("hair").face(3).present()) == {"hair"}


def test_few_and_large_faces_can_be_asked_for(portrait: np.ndarray, yunet: Path) -> None:
    photo = placed(portrait, (150, 150, 260, 0), (450, 130, 120, 0), (620, 130, 90, 0), size=(300, 720))
    with FaceParser(locate="yunet", detector=yunet) as every:
        assert len(every(photo).faces) == 3
    with FaceParser(locate="yunet", detector=yunet, max_faces=2) as two:
        assert len(two(photo).faces) == 2
    with FaceParser(locate="yunet", detector=yunet, min_face=80) as large:
        (box,) = large(photo).faces
        assert box.left < 150 < box.right


def test_boxes_are_taken_as_they_are_given(portrait: np.ndarray, parser: FaceParser) -> None:
    box = [132, 136, 380, 454]
    photo = placed(portrait, (300, 300, 512, 0), size=(600, 640))
    moved = [box[0] + 44, box[1] + 44, box[2] + 44, box[3] + 44]
    face = parser(photo, boxes=[moved])
    assert face.faces == (FaceBox(left=moved[0], top=moved[1], right=moved[2], bottom=moved[3]),)
    assert face.mask("nose")[300 + 50, 300]
    assert parser(photo, boxes=np.empty((0, 4))).faces == ()
    with pytest.raises(UsageError, match="boxes of 1 photos: do not fit 2 photos"):
        parser.parse_batch([photo, photo], boxes=[[moved]])


@pytest.mark.parametrize(
    ("boxes", "words"),
    [
        ([[1, 2, 3]], r"are not \(N, 4\)"),
        ([[1, 2, 1, 5]], "hold one without area"),
        ([[1, 2, float("nan"), 5]], "hold one without area"),
        ([1, 2, 3, 4, 5], r"are not \(N, 4\)"),
        ([[0, 0, 9, 9], [70, 0, 90, 9]], r"box 70, 0, 90, 9: lies outside the picture of 60 x 60"),
        ([[5, 5, 5.1, 5.1]], r"lies outside the picture"),
    ],
)
def test_boxes_that_are_none(boxes: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        given(boxes, np.zeros((60, 60, 3), np.uint8))
    assert given([10, 20, 30, 50], np.zeros((60, 60, 3), np.uint8))[0].face == FaceBox(
        left=10, top=20, right=30, bottom=50
    )


def test_faces_are_found_in_labels(portrait: np.ndarray, parser: FaceParser) -> None:
    """In any label order, and behind dark glasses."""
    labels = parser(portrait).labels
    geometry = fitting.fit(portrait, 512).geometry
    (face,) = faces_in(labels, ORDER, geometry)
    frame = square_of(face)
    lapa = label_set("lapa")
    table = np.zeros(256, np.uint8)
    table[: len(ORDER)] = ORDER.table_to(lapa)
    (same,) = faces_in(table[labels], lapa, geometry)
    assert square_of(same).x == pytest.approx(frame.x, abs=6)
    assert square_of(same).side == pytest.approx(frame.side, rel=0.05)
    blind = np.where(np.isin(labels, ORDER.indices(["eyes"])), ORDER.index("eye_g"), labels)
    (guessed,) = faces_in(blind, ORDER, geometry)
    assert square_of(guessed).side == pytest.approx(frame.side, rel=0.2)
    eye = np.where(labels == ORDER.index("l_eye"), labels, 0)
    wall = np.maximum(eye, cv2.dilate(eye, np.ones((9, 9))))
    assert faces_in(wall, ORDER, geometry) == []  # an eye and nothing else is none
    bare = np.where(np.isin(labels, ORDER.indices(["eyes", "brows", "nose", "mouth", "lips"])), 2, labels)
    assert faces_in(bare, ORDER, geometry) == []  # nothing to frame a face by
    two = np.hstack([labels, labels])[:, ::2]
    assert len(faces_in(two[::2].repeat(2, 0), ORDER, geometry)) == 2
    assert faces_in(np.zeros((64, 64), np.uint8), ORDER, geometry) == []


def test_a_portrait_is_one_upright_face_that_fills_the_photo(portrait: np.ndarray) -> None:
    box = [132.0, 136.0, 380.0, 454.0]
    assert is_portrait(given([box], portrait), portrait)
    assert not is_portrait(given([box, box], portrait), portrait)
    assert not is_portrait(given([[200, 200, 280, 300]], portrait), portrait)
    assert not is_portrait([], portrait)


def test_the_surer_face_has_a_pixel_that_two_claim() -> None:
    """Without confidence the nearer one, with it the surer; a face's background never wins over another's part."""
    image = np.zeros((100, 160, 3), np.uint8)
    fits = [fitting.fit(image, 64, box=FaceBox(left=x, top=0, right=x + 100, bottom=100)) for x in (0, 60)]
    geometries = [fitted.geometry for fitted in fits]
    full = [np.full((64, 64), label, np.uint8) for label in (1, 2)]
    labels, sure, own = merged(full, [None, None], geometries, 100, 160)
    assert sure is None
    assert (labels[50, :78] == 1).all()
    assert (labels[50, 82:] == 2).all()
    assert [(one.top, one.left, one.labels.shape) for one in own] == [(0, 0, (100, 100)), (0, 60, (100, 100))]
    confidences = [np.full((64, 64), value, np.uint8) for value in (90, 200)]
    labels, sure, _ = merged(full, confidences, geometries, 100, 160)
    assert sure is not None
    assert (labels[:, :58] == 1).all()
    assert (labels[:, 62:] == 2).all()
    assert (sure[:, :58] == 90).all()
    assert (sure[:, 62:] == 200).all()
    empty = [np.zeros((64, 64), np.uint8), full[0]]
    labels, _, _ = merged(empty, confidences[::-1], geometries, 100, 160)
    assert (labels[:, 62:] == 1).all()


def test_a_model_that_is_none_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file; give YuNet's file, or fetch it"):
        YuNet(tmp_path / "yunet.onnx")
    (tmp_path / "yunet.onnx").write_bytes(b"no model")
    odd = tmp_path / os.fsdecode(b"\xff.onnx")  # as an old file system has them
    odd.write_bytes(b"x")
    with pytest.raises(InputError, match="has a name that is no UTF-8; rename it"):
        YuNet(odd)
    with pytest.raises(ModelFileError, match="is no YuNet model"):
        FaceParser(detector=tmp_path / "yunet.onnx")
    with pytest.raises(ModelFileError):
        FaceParser(locate="yunet", detector=tmp_path / "absent.onnx")
    with pytest.raises(UsageError, match="max_faces 0: is below 1"):
        FaceParser(max_faces=0)


def test_the_command_line(cli: Any, tmp_path: Path, portrait: np.ndarray, yunet: Path) -> None:
    import json

    photo = placed(portrait, (150, 150, 200, 0), (420, 150, 200, 10), size=(300, 580))
    Image.fromarray(photo).save(tmp_path / "group.png")
    found = cli("parse", tmp_path / "group.png", "--detector", yunet, "--json", "-")
    assert (found.code, found.err) == (0, "")
    faces = json.loads(found.out)["photos"][0]["faces"]
    assert len(faces) == 2
    assert all(len(face["landmarks"]) == 5 and 0.6 < face["score"] <= 1 for face in faces)
    box = ",".join(str(edge) for edge in faces[0]["box"])
    found = cli("parse", tmp_path / "group.png", "--boxes", box, "--json", "-")
    assert [face["box"] for face in json.loads(found.out)["photos"][0]["faces"]] == [faces[0]["box"]]
    for boxes in ("1,2,3", "a,b,c,d", "", "1,2,3,4;5"):
        refused = cli("parse", tmp_path / "group.png", "--boxes", boxes, "--json", "-")
        assert (refused.code, len(refused.err.splitlines())) == (2, 1)
        assert "write left,top,right,bottom" in refused.err


def test_corners_without_a_face_end_nothing(faces: Path, parser: FaceParser) -> None:
    """Backgrounds of portraits, enlarged: whatever the parser sees in them, it comes to an end."""
    for path in sorted((faces / "images").iterdir())[:12]:
        photo = reading.load(path)
        corner = cv2.resize(photo[:100, :100], (400, 300), interpolation=cv2.INTER_CUBIC)
        face = parser(corner)
        assert face.labels.shape == (300, 400)
        for one in face.faces:
            frame = square_of(one)
            assert 0 <= frame.x <= 400
            assert 0 <= frame.y <= 300


def test_a_large_photo_is_looked_at_smaller(portrait: np.ndarray, yunet: Path) -> None:
    photo = placed(portrait, (2000, 700, 600, 0), size=(1500, 2600))
    with FaceParser(locate="yunet", detector=yunet) as anywhere:
        (box,) = anywhere(photo).faces
    frame = square_of(box)
    assert np.hypot(frame.x - 2000, frame.y - 700) < 60
    assert box.landmarks is not None
    assert box.left < box.landmarks[0][0] < box.right


def test_landmarks_from_labels_are_near_those_of_the_detector(portrait: np.ndarray, yunet: Path) -> None:
    """Eyes and corners of the mouth; the nose is its middle, not its tip."""
    found = []
    for how in ("self", "yunet"):
        with FaceParser(locate=how, detector=yunet if how == "yunet" else None) as anywhere:
            (face,) = anywhere(placed(portrait, (400, 300, 400, 15), size=(600, 800))).faces
            found.append(np.array(face.landmarks))
    apart = np.hypot(*(found[0] - found[1]).T)
    eyes = np.hypot(*(found[1][0] - found[1][1]))
    assert apart[[0, 1, 3, 4]].max() < 0.2 * eyes
    assert apart[2] < 0.35 * eyes


def test_small_faces_that_are_left_out_are_not_looked_for_again(portrait: np.ndarray, yunet: Path) -> None:
    photo = placed(portrait, (150, 150, 120, 0), size=(300, 400))
    with FaceParser(detector=yunet, min_face=200) as anywhere:
        calls: list[int] = []
        infer = anywhere.engine.infer
        anywhere.engine.infer = lambda frames: calls.append(len(frames)) or infer(frames)  # type: ignore[method-assign]
        assert anywhere(photo).faces == ()
    assert calls == []


def test_a_box_is_framed_as_its_portrait(portrait: np.ndarray, yunet: Path) -> None:
    """The frame of a detector's box alone is near that of its landmarks."""
    (box,) = YuNet(yunet)(portrait)
    alone, pointed = square_of(FaceBox(left=box.left, top=box.top, right=box.right, bottom=box.bottom)), square_of(box)
    assert alone.side == pytest.approx(pointed.side, rel=0.15)
    assert np.hypot(alone.x - pointed.x, alone.y - pointed.y) < 0.08 * pointed.side
