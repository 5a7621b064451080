"""Drawn hands and masks: what they cover, what it is called then, and that the rest stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segface_edge.datasets.opening import folder
from segface_edge.labels import IGNORED, LABEL_SETS, LabelSet
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.training.occlusion.hand import draw_hand
from segface_edge.training.occlusion.mask import draw_mask

ORDER, ELEVEN = LABEL_SETS["celebamask-hq"], LABEL_SETS["lapa"]
Draw = Callable[[UInt8Array, UInt8Array, LabelSet, np.random.Generator], tuple[UInt8Array, UInt8Array]]
DRAWS = [draw_hand, draw_mask]


@pytest.fixture
def face(labelled: Path) -> tuple[UInt8Array, UInt8Array]:
    """A portrait of 256 x 256; neither it nor its labels can be written to."""
    image, labels = folder(labelled)[0].read(ORDER)
    for part in (image, labels):
        part.setflags(write=False)
    return image, labels


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("draw", DRAWS)
def test_a_drawing_follows_from_its_numbers(face: tuple[UInt8Array, UInt8Array], draw: Draw) -> None:
    seen = set()
    for seed in range(5):
        one, other = draw(*face, ORDER, rng(seed)), draw(*face, ORDER, rng(seed))
        assert np.array_equal(one[0], other[0])
        assert np.array_equal(one[1], other[1])
        assert one[0].dtype == one[1].dtype == np.uint8
        assert one[0].shape == face[0].shape
        seen.add(one[0].tobytes())
    assert len(seen) == 5


@pytest.mark.parametrize("draw", DRAWS)
def test_a_photo_without_a_face_stays(face: tuple[UInt8Array, UInt8Array], draw: Draw) -> None:
    image, labels = face
    nothing = np.zeros_like(labels)
    for shown in (nothing, np.where(labels == ORDER.index("nose"), 0, labels).astype(np.uint8)):
        drawn, relabelled = draw(image, shown, ORDER, rng(0))
        assert np.array_equal(drawn, image)
        assert np.array_equal(relabelled, shown)


def test_a_hand_is_ignored_on_the_head_and_background_elsewhere(face: tuple[UInt8Array, UInt8Array]) -> None:
    image, labels = face
    elsewhere = np.isin(labels, [0, ORDER.index("cloth")])
    hidden = []
    for seed in range(20):
        drawn, relabelled = draw_hand(image, labels, ORDER, rng(seed))
        changed = relabelled != labels
        assert set(np.unique(relabelled[changed])) <= {0, IGNORED}
        assert not (relabelled[elsewhere] == IGNORED).any()
        assert (relabelled[changed & ~elsewhere] == IGNORED).all()
        covered = relabelled == IGNORED
        assert np.abs(drawn[covered].astype(int) - image[covered]).mean() > 5
        hidden.append(covered.mean())
        # Far from the hand and its shadow the photo is as it was.
        assert (drawn == image).all(-1).mean() > 0.2
    assert 0.02 < float(np.mean(hidden)) < 0.25
    assert len({round(share, 4) for share in hidden}) > 15


def test_a_hand_has_the_colour_of_the_skin(face: tuple[UInt8Array, UInt8Array]) -> None:
    """Also where the photo is as blue as no skin is."""
    image, labels = face
    blue = np.ascontiguousarray(image[..., ::-1])
    for photo in (image, blue):
        skin = photo[labels == ORDER.index("skin")].mean(0)
        for seed in range(5):
            drawn, relabelled = draw_hand(photo, labels, ORDER, rng(seed))
            hand = drawn[relabelled == IGNORED].mean(0)
            assert np.abs(hand / hand.sum() - skin / skin.sum()).max() < 0.06


def test_a_mask_is_cloth_over_mouth_and_chin(face: tuple[UInt8Array, UInt8Array]) -> None:
    image, labels = face
    lips, eyes = (np.isin(labels, ORDER.indices([name])) for name in ("lips", "eyes"))
    for seed in range(20):
        drawn, relabelled = draw_mask(image, labels, ORDER, rng(seed))
        changed = relabelled != labels
        assert (relabelled[changed] == ORDER.index("cloth")).all()
        assert changed[lips].mean() > 0.9
        assert changed[eyes].mean() < 0.1  # the labels are a model's
        assert not changed[labels == ORDER.index("hair")].any()
        assert np.abs(drawn[changed].astype(int) - image[changed]).mean() > 10
        brow = np.flatnonzero(eyes.any(1))[0] - 40
        assert np.array_equal(drawn[:brow], image[:brow])


def test_a_mask_is_background_where_no_class_is_cloth(face: tuple[UInt8Array, UInt8Array]) -> None:
    image, labels = face
    few = ORDER.table_to(ELEVEN)[labels]
    relabelled = draw_mask(image, few, ELEVEN, rng(1))[1]
    changed = relabelled != few
    assert changed.any()
    assert not relabelled[changed].any()


def test_a_mask_is_as_bright_as_the_photo(face: tuple[UInt8Array, UInt8Array]) -> None:
    image, labels = face
    dim = image // 4
    for seed in range(5):
        levels = []
        for photo in (image, dim):
            drawn, relabelled = draw_mask(photo, labels, ORDER, rng(seed))
            levels.append(drawn[relabelled != labels].mean())
        assert levels[1] < 0.75 * levels[0]
