"""Photos made worse: labels move along with geometry, by an independent formula, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segface_edge import zoo
from segface_edge.datasets.opening import folder
from segface_edge.errors import UsageError
from segface_edge.evaluation.corruptions import CORRUPTIONS, STRENGTHS, CorruptedSample, corrupt
from segface_edge.evaluation.evaluate import evaluate
from segface_edge.evaluation.robustness import evenly, rare_f1, robustness
from segface_edge.labels import IGNORED, label_set
from segface_edge.pictures import reading

Array = npt.NDArray[np.uint8]

HQ, SEGFACE = label_set("celebamask-hq"), label_set("segface")
GEOMETRY = ("turn", "tight-crop", "wide-crop")
SIDE = 192


@pytest.fixture(scope="module")
def photo() -> Array:
    """A portrait of 192 x 192 that cannot be written to."""
    with Image.open(zoo.PORTRAIT) as picture:
        pixels = np.asarray(picture.convert("RGB").resize((SIDE, SIDE)))
    pixels.setflags(write=False)
    return pixels


def coded(labels: Array) -> Array:
    """A picture that says its labels: 12 times as bright."""
    return np.repeat(12 * labels[..., None], 3, axis=2)


def blobs(height: int = SIDE, width: int = SIDE, seed: int = 0) -> Array:
    """Labels of 19 classes in coarse blocks, a face in the middle; it cannot be written to."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 19, (height // 16 + 1, width // 16 + 1), np.uint8)
    labels = np.repeat(np.repeat(coarse, 16, axis=0), 16, axis=1)[:height, :width].copy()
    labels[labels == HQ.index("nose")] = 0
    labels[height // 2 - 8 : height // 2 + 8, width // 2 - 8 : width // 2 + 8] = HQ.index("nose")
    labels.setflags(write=False)
    return labels


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_no_strength_is_the_photo_and_a_strength_follows_from_name_and_seed(photo: Array, name: str) -> None:
    labels = blobs()
    image, same = corrupt(photo, labels, HQ, name, 0, photo="a.jpg")
    assert image is photo
    assert same is labels
    for strength in STRENGTHS:
        one = corrupt(photo, labels, HQ, name, strength, photo="a.jpg")
        other = corrupt(photo.copy(), labels.copy(), HQ, name, strength, photo="a.jpg")
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
        assert one[0].dtype == one[1].dtype == np.uint8
        assert not np.array_equal(one[0], photo)


@pytest.mark.parametrize("name", ["motion", "noise", "occlusion", "wide-crop", "turn"])
def test_what_is_random_differs_by_photo_and_by_seed(photo: Array, name: str) -> None:
    seen = {
        corrupt(photo, blobs(), HQ, name, 2, photo=f"{i}.jpg", seed=seed)[0].tobytes()
        for i in range(8)
        for seed in range(2)
    }
    assert len(seen) == (2 if name == "turn" else 16)


@pytest.mark.parametrize("name", [name for name in CORRUPTIONS if name not in (*GEOMETRY, "occlusion")])
def test_labels_stay_where_the_picture_does(photo: Array, name: str) -> None:
    """And more strength changes more."""
    labels, differences = blobs(), []
    for strength in STRENGTHS:
        image, same = corrupt(photo, labels, HQ, name, strength, photo="b.jpg")
        assert same is labels
        assert image.shape == photo.shape
        differences.append(float(np.abs(image.astype(int) - photo).mean()))
    assert 0 < differences[0] < differences[1] < differences[2]


def test_stops_are_halves_and_doubles_of_light() -> None:
    """Linear light of sRGB: 0.2140 at 127.5, and 0.5 at 187.5 (IEC 61966-2-1)."""
    grey = np.full((4, 4, 3), 188, np.uint8)
    darker = corrupt(grey, blobs(4, 4), HQ, "dark", 1, photo="")[0]
    assert CORRUPTIONS["dark"].values[0] == -1
    assert (darker == 137).all()  # half of 0.5: 0.25 is 136.96
    brighter = corrupt(grey, blobs(4, 4), HQ, "bright", 2, photo="")[0]
    assert (brighter == 255).all()


def test_light_that_is_lost_is_lost_alike_everywhere() -> None:
    """A white pixel of 40 photons has the noise of 40: its relative deviation is 1 / sqrt(40)."""
    grey = np.full((SIDE, SIDE, 3), 128, np.uint8)
    noisy = corrupt(grey, blobs(), HQ, "noise", 2, photo="c.jpg")[0].astype(float)
    photons = 40 * 128 / 255
    assert noisy.mean() == pytest.approx(128, abs=1)
    assert noisy.std() / 128 == pytest.approx(1 / np.sqrt(photons), rel=0.05)
    # Each colour for itself.
    assert abs(np.corrcoef(noisy[..., 0].reshape(-1), noisy[..., 1].reshape(-1))[0, 1]) < 0.05


def test_a_point_out_of_focus_is_a_disc_and_a_moving_one_a_line() -> None:
    black = np.zeros((251, 251, 3), np.uint8)
    black[123:128, 123:128] = 255
    disc = corrupt(black, blobs(251, 251), HQ, "blur", 3, photo="d.jpg")[0][..., 0]
    line = corrupt(black, blobs(251, 251), HQ, "motion", 3, photo="d.jpg")[0][..., 0]
    for blurred in (disc, line):
        assert int(blurred.sum()) == pytest.approx(25 * 255, rel=0.15)
    rows, columns = np.nonzero(disc)
    reach = 0.024 * 251 + 2
    assert np.hypot(rows - 125, columns - 125).max() < reach + 2.5
    rows, columns = np.nonzero(line)
    long, short = np.sqrt(np.linalg.eigvalsh(np.cov(np.stack([rows, columns]), aweights=line[rows, columns]))[::-1])
    assert long == pytest.approx(np.hypot(0.08 * 251, 5) / np.sqrt(12), rel=0.15)
    assert short < 2.2


def test_grey_has_so_much_colour_left(photo: Array) -> None:
    spread = [int(np.ptp(photo, axis=2).sum())]
    for strength in STRENGTHS:
        image = corrupt(photo, blobs(), HQ, "grey", strength, photo="")[0]
        spread.append(int(np.ptp(image, axis=2).sum()))
    assert np.array(spread[1:]) / spread[0] == pytest.approx(CORRUPTIONS["grey"].values, abs=0.02)


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_turned_label_is_the_label_that_was_there(strength: int) -> None:
    """Each pixel looked up by hand: about the middle, nearest, ignored outside."""
    labels = blobs(96, 128)
    degrees = CORRUPTIONS["turn"].values[strength - 1]
    image, turned = corrupt(coded(labels), labels, HQ, "turn", strength, photo="e.jpg")
    wanted = {}
    y, x = np.mgrid[:96, :128].astype(float)
    for sign in (-1, 1):
        angle = sign * np.deg2rad(degrees)
        from_x = 63.5 + (x - 63.5) * np.cos(angle) - (y - 47.5) * np.sin(angle)
        from_y = 47.5 + (x - 63.5) * np.sin(angle) + (y - 47.5) * np.cos(angle)
        column, row = np.rint(from_x).astype(int), np.rint(from_y).astype(int)
        inside = (column >= 0) & (column < 128) & (row >= 0) & (row < 96)
        looked_up = labels[row.clip(0, 95), column.clip(0, 127)]
        wanted[sign] = np.where(inside, looked_up, IGNORED)
    # OpenCV's nearest is to a thirty-second of a pixel: pixels half way between two may differ.
    agree = {sign: (turned == one).mean() for sign, one in wanted.items()}
    assert max(agree.values()) > 0.98
    assert min(agree.values()) < 0.7
    assert_says(image, turned)


def assert_says(image: Array, labels: Array) -> None:
    """A coded picture and its labels are still aligned: wherever all around is one label."""
    height, width = labels.shape
    flat = np.ones((height - 4, width - 4), bool)
    for dy in range(5):
        for dx in range(5):
            flat &= labels[dy : height - 4 + dy, dx : width - 4 + dx] == labels[2:-2, 2:-2]
    flat &= labels[2:-2, 2:-2] != IGNORED
    assert flat.mean() > 0.05
    assert np.abs(image[2:-2, 2:-2, 0].astype(int) - 12 * labels[2:-2, 2:-2])[flat].max() <= 2


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_tight_crop_is_a_part_of_the_photo_about_the_nose(strength: int) -> None:
    labels = blobs(96, 128)
    share = CORRUPTIONS["tight-crop"].values[strength - 1]
    image, cut = corrupt(coded(labels), labels, HQ, "tight-crop", strength, photo="f.jpg")
    height, width = round(96 * share), round(128 * share)
    top, left = (96 - height + 1) // 2, (128 - width + 1) // 2
    places = [
        np.array_equal(cut, labels[row : row + height, column : column + width])
        for row in (top - 1, top)
        for column in (left - 1, left)
    ]
    assert any(places)
    assert np.array_equal(image, coded(cut))


def test_a_tight_crop_stays_in_the_photo() -> None:
    """With the nose in a corner, or none; and with a photo twice as large as its labels."""
    corner = np.full((64, 64), HQ.index("skin"), np.uint8)
    corner[:4, -4:] = HQ.index("nose")
    image, cut = corrupt(coded(np.repeat(np.repeat(corner, 2, 0), 2, 1)), corner, HQ, "tight-crop", 3, photo="g")
    assert np.array_equal(cut, corner[:32, 32:])
    assert np.array_equal(image, coded(np.repeat(np.repeat(cut, 2, 0), 2, 1)))
    plain = np.full((64, 64), HQ.index("skin"), np.uint8)
    plain[20:44, 20:44] = HQ.index("hair")
    assert np.array_equal(corrupt(coded(plain), plain, HQ, "tight-crop", 3, photo="g")[1], plain[16:48, 16:48])


@pytest.mark.parametrize("strength", STRENGTHS)
def test_a_wide_crop_has_the_photo_somewhere_and_knows_nothing_of_the_rest(strength: int) -> None:
    labels = blobs(96, 128)
    share = CORRUPTIONS["wide-crop"].values[strength - 1]
    image, wide = corrupt(coded(labels), labels, HQ, "wide-crop", strength, photo="h.jpg")
    assert wide.shape == (round(96 / share), round(128 / share))
    rows, columns = np.nonzero(wide != IGNORED)
    box = np.s_[rows[0] : rows[0] + 96, columns.min() : columns.min() + 128]
    assert len(rows) == 96 * 128
    assert np.array_equal(wide[box], labels)
    assert np.array_equal(image[box], coded(labels))


def test_what_is_hidden_is_ignored_and_nothing_else_changes(photo: Array) -> None:
    labels = blobs()
    face = np.isin(labels, [HQ.index(name) for name in ("skin", "l_eye", "r_eye", "nose", "mouth", "u_lip", "l_lip")])
    for number in range(12):
        shares = []
        for strength in STRENGTHS:
            image, hidden = corrupt(photo, labels, HQ, "occlusion", strength, photo=f"{number}.jpg")
            covered = hidden == IGNORED
            assert np.array_equal(hidden[~covered], labels[~covered])
            assert (covered & face).any()
            # A thing's edge is half a pixel soft.
            changed = (image != photo).any(2)
            edge = np.zeros_like(covered)
            edge[1:-1, 1:-1] = np.stack([covered[1 + dy : SIDE - 1 + dy, 1 + dx : SIDE - 1 + dx]
                                         for dy in (-1, 0, 1) for dx in (-1, 0, 1)]).any(0)  # fmt: skip
            edge |= covered
            assert not (changed[1:-1, 1:-1] & ~edge[1:-1, 1:-1]).any()
            shares.append(covered.mean())
        assert 0 < shares[0] < shares[1] < shares[2] < 0.26


def test_a_map_without_a_face_is_hidden_by_nothing(photo: Array) -> None:
    image, labels = corrupt(photo, np.zeros((SIDE, SIDE), np.uint8), HQ, "occlusion", 3, photo="i.jpg")
    assert image is photo
    assert not labels.any()


@pytest.mark.parametrize("name", [*GEOMETRY, "occlusion"])
def test_labels_smaller_than_their_photo_stay_aligned(name: str) -> None:
    """As in CelebAMask-HQ: photos of 1024, label maps of 512 pixels."""
    labels = blobs(128, 128, seed=3)
    large = coded(np.repeat(np.repeat(labels, 2, axis=0), 2, axis=1))
    for strength in STRENGTHS:
        image, moved = corrupt(large, labels, HQ, name, strength, photo="j.jpg")
        half = np.asarray(Image.fromarray(image).resize(moved.shape[::-1], Image.Resampling.BOX))
        assert_says(half, moved)


def test_unknown_corruptions_and_strengths_are_refused(photo: Array) -> None:
    with pytest.raises(UsageError, match="corruption 'rain': is unknown"):
        corrupt(photo, blobs(), HQ, "rain", 1, photo="a.jpg")
    with pytest.raises(UsageError, match="strength 4"):
        corrupt(photo, blobs(), HQ, "dark", 4, photo="a.jpg")


def test_a_sample_is_corrupted_when_it_is_read(labelled: Path) -> None:
    sample = folder(labelled)[0]
    image, labels = sample.read(HQ)
    worse = CorruptedSample(sample, "turn", 2, seed=5)
    assert worse.image == sample.image
    wanted = corrupt(image, labels, HQ, "turn", 2, photo="0.png", seed=5)
    assert all(np.array_equal(a, b) for a, b in zip(worse.read(HQ), wanted, strict=True))
    assert np.array_equal(CorruptedSample(sample, "turn", 0).read(HQ)[0], reading.load(sample.image))


def test_the_document_holds_each_evaluation(labelled: Path, constant_engine: Callable[..., Any]) -> None:
    samples = folder(labelled)
    engine = constant_engine(np.full((32, 32), SEGFACE.index("skin")))
    done: list[int] = []
    found = robustness(engine, samples, HQ, "paper", names=["tight-crop", "grey"], progress=done.append)
    assert sum(done) == 2 * 7
    clean = evaluate(engine, samples, HQ, "paper")
    document = found.to_dict()
    assert document["clean"] == {"mean_f1": clean.mean_f1(), "rare_f1": rare_f1(clean)}
    rows = {(row["corruption"], row["strength"]): row for row in document["corrupted"]}
    assert list(rows) == [(name, strength) for name in ("tight-crop", "grey") for strength in STRENGTHS]
    # An engine that calls everything skin sees no colour, and gains where there is more skin.
    for strength in STRENGTHS:
        assert rows["grey", strength]["loss"] == 0
        worse = [CorruptedSample(sample, "tight-crop", strength) for sample in samples]
        wanted = evaluate(engine, worse, HQ, "paper")
        row = rows["tight-crop", strength]
        assert row["mean_f1"] == wanted.mean_f1()
        assert row["loss"] == pytest.approx(clean.mean_f1() - wanted.mean_f1())  # type: ignore[operator]
    assert document["mean_loss"] == pytest.approx(np.mean([row["loss"] for row in rows.values()]))
    assert rows["tight-crop", 1]["what"] == "0.8 of each side left"


def test_rare_f1_is_the_mean_of_worn_things(labelled: Path, constant_engine: Callable[..., Any]) -> None:
    prediction = np.full((32, 32), SEGFACE.index("hat"))
    found = evaluate(constant_engine(prediction), folder(labelled), HQ, "paper")
    f1 = found.to_dict()["per_class_f1"]
    present = [f1[name] for name in ("eye_g", "hat", "ear_r", "neck_l") if f1[name] is not None]
    assert rare_f1(found) == pytest.approx(sum(present) / len(present))
    assert rare_f1(evaluate(constant_engine(np.zeros((32, 32)), label_set("lapa")), [], HQ, "paper")) is None


def test_photos_are_taken_at_even_distances() -> None:
    assert evenly(range(300), 100) == list(range(0, 300, 3))
    assert evenly("abcde", 2) == ["a", "c"]
    assert evenly("abc", 7) == ["a", "b", "c"]
    assert evenly([], 3) == []
