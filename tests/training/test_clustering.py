"""Clustering: what it promises of sizes, that it is greedy, that it finds what is there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("dacite", reason="training needs the train extra")

from hypothesis import given, settings
from hypothesis import strategies as st

from segface_edge.errors import UsageError
from segface_edge.training.clustering import _greedy, cluster


def blobs(sizes: list[int], width: int = 16, noise: float = 0.05) -> tuple[torch.Tensor, torch.Tensor]:
    """Points around as many directions as there are sizes, and which each is of."""
    generator = torch.Generator().manual_seed(0)
    truth = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    directions = torch.linalg.qr(torch.randn(width, width, generator=generator))[0][: len(sizes)]
    return directions[truth] + noise * torch.randn(len(truth), width, generator=generator), truth


@pytest.mark.parametrize("balanced", [False, True])
def test_clusters_that_are_there_are_found(balanced: bool) -> None:
    points, truth = blobs([20, 20, 20, 20])
    found = cluster(points, 4, balanced=balanced, seed=0, restarts=3)
    pairs = {(int(a), int(b)) for a, b in zip(truth, found.members, strict=True)}
    assert len(pairs) == 4
    assert found.mean_cosine > 0.95


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.data())
def test_sizes_differ_by_one_at_most_and_none_is_empty(n: int, data: st.DataObject) -> None:
    k = data.draw(st.integers(1, n))
    seed = data.draw(st.integers(0, 99))
    points = torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))
    balanced = cluster(points, k, balanced=True, seed=seed)
    assert sorted(balanced.sizes().tolist()) == sorted([n // k + 1] * (n % k) + [n // k] * (k - n % k))
    plain = cluster(points, k, balanced=False, seed=seed)
    assert int(plain.sizes().min()) >= 1
    assert int(plain.sizes().sum()) == n
    for found in (balanced, plain):
        torch.testing.assert_close(torch.linalg.vector_norm(found.centres, dim=1), torch.ones(k))
        unit = torch.nn.functional.normalize(points, dim=1)
        assert (unit * found.centres[found.members]).sum(1).mean().item() == pytest.approx(found.mean_cosine, abs=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 6), st.integers(1, 8), st.integers(0, 99))
def test_greedy_is_what_walking_through_the_pairs_gives(n: int, k: int, capacity: int, seed: int) -> None:
    scores = torch.rand(n, k, generator=torch.Generator().manual_seed(seed))
    wanted, room = [-1] * n, [capacity] * k
    for pair in scores.flatten().argsort(descending=True).tolist():
        point, where = divmod(pair, k)
        if wanted[point] < 0 and room[where]:
            wanted[point] = where
            room[where] -= 1
    assert _greedy(scores, capacity).tolist() == wanted


def test_the_balanced_version_is_no_worse_than_the_released_code_s(shared: Path) -> None:
    golden = np.load(shared / "golden" / "sbcl.npz")
    found = cluster(torch.tensor(golden["cluster_points"]), 5, balanced=True, seed=0, restarts=5)
    assert sorted(found.sizes().tolist()) == golden["balanced_sizes"].tolist()
    assert found.mean_cosine >= float(golden["balanced_mean_cosine"])


@pytest.mark.parametrize("balanced", [False, True])
def test_points_that_are_all_one_are_still_split(balanced: bool) -> None:
    found = cluster(torch.ones(7, 3), 3, balanced=balanced, seed=0)
    assert int(found.sizes().min()) >= 1
    assert found.mean_cosine == pytest.approx(1)


def test_lengths_do_not_count_and_a_seed_gives_the_same_again() -> None:
    points, _ = blobs([9, 14, 5], noise=0.5)
    lengths = torch.linspace(0.1, 10, len(points))[:, None]
    one, two, scaled = (cluster(x, 3, balanced=True, seed=3) for x in (points, points, points * lengths))
    assert torch.equal(one.members, two.members)
    assert torch.equal(one.members, scaled.members)


def test_more_restarts_are_never_worse() -> None:
    points = torch.randn(60, 8, generator=torch.Generator().manual_seed(1))
    cosines = [cluster(points, 6, balanced=True, seed=0, restarts=n).mean_cosine for n in (1, 2, 6)]
    assert cosines == sorted(cosines)


@pytest.mark.parametrize(
    ("points", "k", "says"),
    [
        (torch.ones(3, 2), 0, "0 clusters"),
        (torch.ones(3, 2), 4, "cannot be made of 3 points"),
        (torch.zeros(3, 2), 2, "hold a zero"),
        (torch.full((3, 2), float("nan")), 2, "not finite"),
    ],
)
def test_what_cannot_be_clustered_is_refused(points: torch.Tensor, k: int, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        cluster(points, k, balanced=True, seed=0)
