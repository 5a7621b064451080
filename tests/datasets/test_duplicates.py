"""Near-duplicates: against a plain computation, and told apart within and across splits."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from segface_edge.datasets.duplicates import LEAST_CORRELATION, Picture, find_duplicates, near_pairs

from .drawn import picture


def test_splits_that_share_a_chain_of_likeness_never_pass_as_within() -> None:
    """Whatever the order of pairs, likeness that reaches two splits gives a finding across."""
    random = np.random.default_rng(0)
    base = np.asarray(picture(0).convert("L").resize((32, 32)))
    for _ in range(20):
        thumbs = [np.clip(base + random.normal(0, 2, base.shape), 0, 255).astype(np.uint8) for _ in range(3)]
        chosen = random.integers(0, 3, 8)
        splits = random.choice(["train", "val"], 8)
        pictures = [
            Picture(split=str(split), file=Path(f"{i}.png"), thumb=thumbs[which])
            for i, (which, split) in enumerate(zip(chosen, splits, strict=True))
        ]
        found = find_duplicates(pictures)
        assert len(found) == 7
        assert any(one.kind == "leak" for one in found) is (len(set(splits)) > 1)


def test_near_pairs_are_those_of_a_plain_computation() -> None:
    """Against a loop over all pairs, over the borders of blocks too."""
    random = np.random.default_rng(1)
    bases = random.integers(0, 256, (12, 8, 8), np.uint8)
    thumbs = []
    for i in range(40):
        large = np.kron(bases[i % 12], np.ones((4, 4))) + random.normal(0, 3, (32, 32))
        thumb = np.clip(large, 0, 255).astype(np.uint8)
        thumbs.append(np.ascontiguousarray(thumb[:, ::-1]) if i % 5 == 0 else thumb)
    thumbs += [thumbs[3], np.full((32, 32), 9, np.uint8), np.full((32, 32), 200, np.uint8)]
    expected = set()
    for mirrored in (False, True):
        for i, first in enumerate(thumbs):
            turned = first[:, ::-1] if mirrored else first
            for j in range(i + 1, len(thumbs)):
                with np.errstate(invalid="ignore"):
                    correlation = np.corrcoef(turned.reshape(-1), thumbs[j].reshape(-1))[0, 1]
                if correlation >= LEAST_CORRELATION:
                    expected.add((i, j, mirrored))
    # Of equal pictures only the first is compared with others.
    expected = {pair for pair in expected if 40 not in pair[:2]} | {(3, 40, False)}
    whole = set(near_pairs(thumbs))
    assert whole == expected
    assert len(whole) > 40


def test_many_pictures_that_are_equal_are_not_compared_with_each_other() -> None:
    pairs = list(near_pairs([np.zeros((32, 32), np.uint8)] * 20_000))
    assert pairs == [(0, i, False) for i in range(1, 20_000)]


def test_no_pictures_make_no_pairs() -> None:
    assert list(near_pairs([])) == []
