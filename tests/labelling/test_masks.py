"""Masks as run lengths: COCO's own tools read them, and find the label map."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segface_edge import FaceParser, zoo
from segface_edge.labelling.masks import compressed, masks_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pycocotools, by numpy 2


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)))
def test_decoded_they_are_the_label_map(labels: np.ndarray) -> None:
    tools = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    found = np.zeros_like(labels)
    for label, pixels, counts in masks_of(labels):
        mask = tools.decode({"size": list(labels.shape), "counts": counts})
        assert mask.sum() == pixels > 0
        found[mask.astype(bool)] = label
    assert np.array_equal(found, labels)


@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40)), elements=st.integers(0, 1)))
def test_they_are_the_text_that_coco_s_own_encoder_writes(mask: np.ndarray) -> None:
    tools = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    wanted = tools.encode(np.asfortranarray(mask))["counts"].decode()
    assert [counts for _, _, counts in masks_of(mask)] == ([wanted] if mask.any() else [])


@given(st.lists(st.integers(0, 2**29), min_size=1, max_size=12))
def test_counts_of_the_largest_photos_keep_their_value(counts: list[int]) -> None:
    """Read back as `rleFrString` of COCO's maskApi.c does."""
    text, numbers, at = compressed(np.array(counts)), [], 0
    while at < len(text):
        value, shift, more = 0, 0, True
        while more:
            letter = ord(text[at]) - 48
            value |= (letter & 0x1F) << shift
            more, at, shift = bool(letter & 0x20), at + 1, shift + 5
        if letter & 0x10:
            value -= 1 << shift
        numbers.append(value + (numbers[-2] if len(numbers) > 2 else 0))
    assert numbers == counts


def test_a_portrait_s_masks_are_its_classes(parser: FaceParser) -> None:
    face = parser(zoo.PORTRAIT)
    pixels = {face.label_set.classes[label]: area for label, area, _ in masks_of(face.labels)}
    assert pixels == {name: area for name, area in list(face.areas().items())[1:] if area}
    assert len(pixels) > 8
