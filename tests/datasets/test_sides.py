"""Left and right exchanged, whatever the roll of the head."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from segface_edge.datasets.sides import wrong_sides
from segface_edge.labels import LabelSet, label_set

from .drawn import face

HQ, LAPA, SEGFACE = label_set("celebamask-hq"), label_set("lapa"), label_set("segface")


@pytest.mark.parametrize("order", [HQ, SEGFACE, LAPA], ids=lambda order: order.name)
@pytest.mark.parametrize("angle", range(0, 360, 30))
def test_a_head_that_is_turned_is_not_taken_for_a_swapped_one(order: LabelSet, angle: int) -> None:
    pairs = len(order.pairs)
    turned = np.asarray(Image.fromarray(face(order)).rotate(angle))
    assert wrong_sides(turned, order) == (pairs, 0)
    assert wrong_sides(order.mirrored[turned], order) == (pairs, pairs)
    # Mirrored with its sides exchanged it is sound again.
    assert wrong_sides(np.ascontiguousarray(order.mirrored[turned[:, ::-1]]), order) == (pairs, 0)


def test_pairs_of_which_one_shows_are_not_judged() -> None:
    assert wrong_sides(face(without=("l_ear", "l_eye", "r_brow")), HQ) == (0, 0)
    assert wrong_sides(np.zeros((8, 8), np.uint8), HQ) == (0, 0)
    ears = np.zeros((8, 8), np.uint8)
    ears[4, 0], ears[4, 7] = HQ.index("r_ear"), HQ.index("l_ear")
    assert wrong_sides(ears, HQ) == (1, 0)  # nothing tells up from down: upright
