"""Pasting rare parts: what moves stays aligned, and what makes no sense is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from segface_edge.datasets.opening import folder
from segface_edge.errors import UsageError
from segface_edge.labels import label_set
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.training.pasting.paste import paste_part

ORDER = label_set("celebamask-hq")
PARTS = ("eye_g", "hat", "ear_r", "neck_l")
# A colour per label, far enough apart for every channel to tell; the ignored label has one too.
COLOURS = np.array([(10 + 12 * i, 245 - 12 * i, 10 + 12 * (i * 7 % 19)) for i in range(256)]).astype(np.uint8)

# Of a face in a frame of side 1: class, centre, half axes; later ones lie on top.
FACE = [
    ("hair", (0.5, 0.45), (0.33, 0.40)),
    ("neck", (0.5, 0.9), (0.13, 0.3)),
    ("cloth", (0.2, 1.0), (0.2, 0.08)),
    ("cloth", (0.8, 1.0), (0.2, 0.08)),
    ("r_ear", (0.24, 0.55), (0.035, 0.07)),
    ("l_ear", (0.76, 0.55), (0.035, 0.07)),
    ("skin", (0.5, 0.55), (0.24, 0.30)),
    ("r_brow", (0.4, 0.43), (0.06, 0.012)),
    ("l_brow", (0.6, 0.43), (0.06, 0.012)),
    ("r_eye", (0.4, 0.48), (0.045, 0.02)),
    ("l_eye", (0.6, 0.48), (0.045, 0.02)),
    ("nose", (0.5, 0.58), (0.035, 0.06)),
    ("u_lip", (0.5, 0.71), (0.08, 0.03)),
]
WORN = {
    "eye_g": [("eye_g", (0.4, 0.49), (0.09, 0.06)), ("eye_g", (0.6, 0.49), (0.09, 0.06))],
    "hat": [("hat", (0.5, 0.17), (0.31, 0.15))],
    "ear_r": [("ear_r", (0.24, 0.655), (0.02, 0.035)), ("ear_r", (0.76, 0.655), (0.02, 0.035))],
    "neck_l": [("neck_l", (0.5, 0.92), (0.1, 0.025))],
}


def face(
    size: int = 256, *, wears: str | None = None, without: str = "", scale: float = 1.0, turn: float = 0.0
) -> tuple[UInt8Array, UInt8Array]:
    """A drawn face: a picture whose colours say its labels, and the labels. Neither can be written to."""
    labels = np.zeros((size, size), np.uint8)
    for name, (x, y), (a, b) in FACE + (WORN[wears] if wears else []):
        if name in without.split():
            continue
        x += turn * (name == "nose")
        centre = tuple(round(size * (0.5 + scale * (value - 0.5))) for value in (x, y))
        axes = (round(size * scale * a), round(size * scale * b))
        cv2.ellipse(labels, centre, axes, 0, 0, 360, ORDER.index(name), -1)
    return frozen(COLOURS[labels]), frozen(labels)


def frozen(array: UInt8Array) -> UInt8Array:
    array.flags.writeable = False
    return array


def agree(image: UInt8Array, labels: UInt8Array) -> None:
    """Away from the labels' borders, the picture's colours say the labels."""
    around = np.ones((9, 9), np.uint8)
    inside = cv2.erode(labels, around) == cv2.dilate(labels, around)
    inside[:4] = inside[-4:] = inside[:, :4] = inside[:, -4:] = False  # a border may lie just outside the frame
    assert inside.any()
    apart = np.abs(image[inside].astype(int) - COLOURS[labels[inside]])
    assert apart.max() <= 1


def paste(
    recipient: tuple[UInt8Array, UInt8Array], donor: tuple[UInt8Array, UInt8Array], part: str, seed: int = 0
) -> tuple[UInt8Array, UInt8Array] | None:
    return paste_part(*recipient, *donor, ORDER, part, np.random.default_rng(seed))


@pytest.mark.parametrize("size", [256, 512, 210])
@pytest.mark.parametrize("part", PARTS)
def test_picture_and_labels_stay_aligned(part: str, size: int) -> None:
    recipient, donor = face(), face(size, wears=part, scale=0.9)
    for seed in range(8):
        result = paste(recipient, donor, part, seed)
        assert result is not None
        image, labels = result
        assert image.dtype == labels.dtype == np.uint8
        assert image.shape == (*labels.shape, 3) == recipient[0].shape
        agree(image, labels)
        changed = labels != recipient[1]
        assert (labels[changed] == ORDER.index(part)).all()


@pytest.mark.parametrize("part", PARTS)
def test_a_part_lands_where_the_recipient_would_wear_it(part: str) -> None:
    wanted = face(wears=part)[1] == ORDER.index(part)
    for seed in range(8):
        result = paste(face(), face(wears=part), part, seed)
        assert result is not None
        found = result[1] == ORDER.index(part)
        # Within the jitter: small parts overlap less.
        near = cv2.dilate(wanted.view(np.uint8), np.ones((13, 13), np.uint8)) > 0
        assert np.count_nonzero(found & near) >= 0.98 * np.count_nonzero(found)
        assert np.count_nonzero(found) == pytest.approx(np.count_nonzero(wanted), rel=0.25)


@pytest.mark.parametrize("part", PARTS)
def test_a_face_that_is_larger_wears_the_part_larger(part: str) -> None:
    area = []
    for scale in (0.8, 1.0):
        result = paste(face(scale=scale), face(wears=part), part)
        assert result is not None
        area.append(np.count_nonzero(result[1] == ORDER.index(part)))
    assert area[0] / area[1] == pytest.approx(0.64, rel=0.15)


@pytest.mark.parametrize("part", PARTS)
def test_the_same_generator_gives_the_same_result(part: str) -> None:
    first, again, other = (paste(face(), face(wears=part), part, seed) for seed in (3, 3, 4))
    assert first is not None
    assert again is not None
    assert other is not None
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[1] != other[1]).any()


def test_the_generator_moves_on_alike_whether_or_not_something_was_pasted() -> None:
    states = []
    for recipient in (face(), face(wears="hat"), face(without="nose")):
        rng = np.random.default_rng(0)
        paste_part(*recipient, *face(wears="hat"), ORDER, "hat", rng)
        states.append(rng.random())
    assert len(set(states)) == 1


def test_what_is_ignored_stays_so_beside_the_part() -> None:
    image, labels = face()
    labels = labels.copy()
    labels[-20:] = labels[:, :8] = 255
    result = paste((image, frozen(labels)), face(wears="eye_g"), "eye_g")
    assert result is not None
    assert (result[1][labels == 255] == 255).all()


def test_a_donor_that_looks_the_other_way_is_mirrored() -> None:
    donor_image, donor_labels = face(wears="hat", turn=0.03)
    donor_image = donor_image.copy()
    donor_image[:, :128][donor_labels[:, :128] == ORDER.index("hat")] = (255, 0, 0)
    for turn, red_is_left in ((0.03, True), (-0.03, False)):
        for seed in range(6):
            result = paste(face(turn=turn), (donor_image, donor_labels), "hat", seed)
            assert result is not None
            red = (result[0] == (255, 0, 0)).all(2)
            assert red.any()
            assert (np.flatnonzero(red.any(0)).mean() < 128) == red_is_left


def test_brightness_follows_the_recipients_skin() -> None:
    image, labels = face()
    donor_image, donor_labels = face(wears="eye_g")
    result = paste((frozen((image * 0.8).astype(np.uint8)), labels), (donor_image, donor_labels), "eye_g")
    assert result is not None
    inside = cv2.erode((result[1] == ORDER.index("eye_g")).view(np.uint8), np.ones((9, 9), np.uint8)) > 0
    colour = COLOURS[ORDER.index("eye_g")].astype(float)
    np.testing.assert_allclose(result[0][inside].mean(0), 0.8 * colour, atol=3)


REFUSED: dict[str, Callable[[], tuple[tuple[UInt8Array, UInt8Array], tuple[UInt8Array, UInt8Array], str]]] = {
    "worn already": lambda: (face(wears="hat"), face(wears="hat"), "hat"),
    "absent in the donor": lambda: (face(), face(), "eye_g"),
    "too small in the donor": lambda: (face(), face(wears="eye_g", scale=0.4), "eye_g"),
    "of another size": lambda: (face(scale=0.5), face(wears="hat", scale=1.0), "hat"),
    "an eye hidden": lambda: (face(without="l_eye"), face(wears="eye_g"), "eye_g"),
    "no nose": lambda: (face(without="nose"), face(wears="hat"), "hat"),
    "no nose in the donor": lambda: (face(), face(wears="hat", without="nose"), "hat"),
    "no mouth": lambda: (face(without="u_lip"), face(wears="ear_r"), "ear_r"),
    "no ears": lambda: (face(without="l_ear r_ear"), face(wears="ear_r"), "ear_r"),
    "no neck": lambda: (face(without="neck"), face(wears="neck_l"), "neck_l"),
    "turned otherwise": lambda: (face(turn=0.06), face(wears="eye_g"), "eye_g"),
    "no face": lambda: (
        (np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.uint8)),
        face(wears="neck_l"),
        "neck_l",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused(name: str) -> None:
    recipient, donor, part = REFUSED[name]()
    assert all(paste(recipient, donor, part, seed) is None for seed in range(4))


def test_one_ear_wears_one_earring() -> None:
    for seed in range(6):
        result = paste(face(without="l_ear"), face(wears="ear_r"), "ear_r", seed)
        assert result is not None
        found = result[1] == ORDER.index("ear_r")
        assert found[:, :128].any()
        assert not found[:, 128:].any()


def test_a_necklace_lies_behind_hair() -> None:
    image, labels = face()
    labels = labels.copy()
    labels[220:, 100:112] = ORDER.index("hair")
    result = paste((COLOURS[labels], labels), face(wears="neck_l"), "neck_l")
    assert result is not None
    assert (result[1][220:, 100:112] == ORDER.index("hair")).all()
    assert image.shape == result[0].shape


def test_a_necklace_may_lie_on_cloth_but_for_a_part() -> None:
    """Most necklaces that a network misses lie on cloth: a collar up to the chin leaves a strip of bare neck."""
    _, labels = face()
    # The necklace reaches from row 229 to 241, and moves by two.
    for top, taken in ((234, True), (223, False)):
        collar = labels.copy()
        collar[top:][collar[top:] == ORDER.index("neck")] = ORDER.index("cloth")
        pasted = [paste((COLOURS[collar], collar), face(wears="neck_l"), "neck_l", seed) for seed in range(6)]
        assert all((result is not None) == taken for result in pasted)
        for result in filter(None, pasted):
            under = collar[result[1] == ORDER.index("neck_l")]
            assert set(np.unique(under)) == {ORDER.index("neck"), ORDER.index("cloth")}


def test_the_photos_edge_does_not_show_inside_the_frame() -> None:
    donor_image, donor_labels = (array.copy() for array in face(wears="hat"))
    donor_labels[:40, 60:196] = ORDER.index("hat")  # cut off by the frame's upper edge
    donor_image[:] = COLOURS[donor_labels]
    lower = face()
    moved = np.roll(lower[1], 40, 0)
    moved[:40] = 0
    for seed in range(6):
        assert paste((COLOURS[moved], moved), (donor_image, donor_labels), "hat", seed) is None
        result = paste(lower, (donor_image, donor_labels), "hat", seed)
        assert result is None or (result[1][0, 110:146] == ORDER.index("hat")).all()


def test_names_that_mean_the_part_are_taken() -> None:
    assert paste(face(), face(wears="eye_g"), "glasses") is not None


@pytest.mark.parametrize(
    ("order", "part", "message"),
    [("celebamask-hq", "nose", "eye_g, hat, ear_r, neck_l"), ("lapa", "hat", "not in the label order")],
)
def test_parts_that_cannot_be_pasted_are_refused(order: str, part: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        paste_part(*face(), *face(), label_set(order), part, np.random.default_rng(0))


@pytest.mark.parametrize("part", PARTS)
def test_parts_of_photos_land_aligned(part: str, faces: Path) -> None:
    maps = [sample.read_labels(ORDER) for sample in folder(faces)[:60]]
    label = ORDER.index(part)
    donors = sorted(maps, key=lambda labels: -np.count_nonzero(labels == label))[:3]
    recipients = [labels for labels in maps if not (labels == label).any()][:20]
    pasted = 0
    for number, recipient in enumerate(recipients):
        for donor in donors:
            result = paste((COLOURS[recipient], recipient), (COLOURS[donor], donor), part, number)
            if result is None:
                continue
            pasted += 1
            agree(*result)
            new = result[1] == label
            assert new.any()
            assert (result[1][~new] == recipient[~new]).all()
            if part != "hat":  # a hat's brim may
                kept = np.isin(recipient, ORDER.indices(["mouth", "lips"]))
                assert not (new & kept).any()
    assert pasted >= 3
