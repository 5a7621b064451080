"""Clustering of unit vectors by cosine, plain and balanced: how a class is split into subclasses.

Shape letters: N points, D width, k clusters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from segface_edge.errors import UsageError

ITERATIONS = 50
# Mean movement of the centres below which nothing changes any more.
TOLERANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class Clustering:
    """A clustering of N points.

    Attributes:
        members: (N,) int64 in [0, k), the cluster of each point.
        centres: (k, D) unit vectors, directions of the clusters' means.
        mean_cosine: mean of the points' cosines with their centres: what is maximised.
    """

    members: Tensor
    centres: Tensor
    mean_cosine: float

    def sizes(self) -> Tensor:
        """(k,) int64 points of each cluster."""
        return self.members.bincount(minlength=len(self.centres))


def cluster(
    points: Tensor, k: int, *, balanced: bool, seed: int, restarts: int = 1, iterations: int = ITERATIONS
) -> Clustering:
    """Spherical k-means (Dhillon and Modha, 2001), from k-means++ (Arthur and Vassilvitskii, 2007).

    The same points, seed and number of threads give the same clusters.

    Args:
        points: (N, D) float, any length > 0: directions are what is clustered.
        k: clusters, 1 to N. None is empty.
        balanced: sizes differ by one at most. Pairs of point and cluster are taken by descending cosine while the
            point is free and the cluster has fewer than floor(N / k), then the N mod k points that are left over in
            the same way, one a cluster at most (arXiv 2306.15925's code, which first divides each cluster's cosines by
            their sum; that may be negative, and then turns their order).
        seed: of the start.
        restarts: starts to try; the best is kept.
        iterations: at most.

    Raises:
        UsageError: k is not 1 to N, or a point is zero or not finite.
    """
    if not 1 <= k <= len(points):
        raise UsageError(f"{k} clusters", f"cannot be made of {len(points)} points", f"use 1 to {len(points)}")
    points = points.detach().float()
    lengths = torch.linalg.vector_norm(points, dim=1, keepdim=True)
    if not bool((lengths.isfinite() & (lengths > 0)).all()):
        raise UsageError("points", "hold a zero or a number that is not finite", "give vectors that have a direction")
    unit = points / lengths
    generator = torch.Generator().manual_seed(seed)
    found = [_once(unit, k, balanced=balanced, generator=generator, iterations=iterations) for _ in range(restarts)]
    return max(found, key=lambda one: one.mean_cosine)


def _once(unit: Tensor, k: int, *, balanced: bool, generator: torch.Generator, iterations: int) -> Clustering:
    centres = _spread_start(unit, k, generator)
    best: Clustering | None = None
    for _ in range(iterations):
        cosines = unit @ centres.T  # (N, k)
        members = _balanced_members(cosines) if balanced else _plain_members(cosines)
        moved = _directions(unit, members, centres)
        mean = float((unit * moved[members]).sum(1).mean())
        # Greedy assignment may also get worse: what is kept is the best that was seen.
        if best is None or mean > best.mean_cosine:
            best = Clustering(members=members, centres=moved, mean_cosine=mean)
        shift = float(torch.linalg.vector_norm(moved - centres, dim=1).mean())
        centres = moved
        if shift < TOLERANCE:
            break
    assert best is not None
    return best


def _spread_start(unit: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """k-means++: each further centre is a point, drawn by its squared distance to the nearest one so far."""
    first = int(torch.randint(len(unit), (), generator=generator))
    chosen = [first]
    distance = (2 - 2 * (unit @ unit[first])).clamp(min=0)
    for _ in range(k - 1):
        distance[chosen[-1]] = 0
        # Where all points lie on centres, any that is none yet.
        weights = distance.double().cpu()
        if float(weights.sum()) <= 0:
            weights = torch.ones_like(weights).index_fill(0, _index(chosen), 0)
        drawn = int(torch.multinomial(weights, 1, generator=generator))
        chosen.append(drawn)
        distance = torch.minimum(distance, (2 - 2 * (unit @ unit[drawn])).clamp(min=0))
    return unit[_index(chosen).to(unit.device)]


def _index(values: list[int]) -> Tensor:
    return torch.tensor(values, dtype=torch.long)


def _plain_members(cosines: Tensor) -> Tensor:
    """Each point's nearest centre; an empty cluster takes the point that lies farthest from its own."""
    nearest, members = cosines.max(1)
    k = cosines.shape[1]
    sizes = members.bincount(minlength=k)
    for empty in (sizes == 0).nonzero()[:, 0].tolist():
        alone = sizes[members] <= 1
        point = int(nearest.masked_fill(alone, float("inf")).argmin())
        sizes[members[point]] -= 1
        members[point], nearest[point], sizes[empty] = empty, 1.0, 1
    return members


def _balanced_members(cosines: Tensor) -> Tensor:
    """Greedy by descending cosine, floor(N / k) a cluster; then the rest, one more a cluster at most."""
    n, k = cosines.shape
    members = _greedy(cosines, n // k)
    left = (members < 0).nonzero()[:, 0]
    if len(left):
        members[left] = _greedy(cosines[left], 1)
    return members


def _greedy(scores: Tensor, capacity: int) -> Tensor:
    """(N, k) scores in [-1, 1] -> (N,) the cluster of each point, -1 where none had room.

    What taking pairs by descending score gives, without walking through them: every free point asks the best cluster
    that may take it, every cluster keeps its `capacity` best and refuses the rest, until nobody asks (deferred
    acceptance, Gale and Shapley 1962). As both sides go by the same score, there is one stable outcome, and the greedy
    one is stable. A full cluster takes nobody below its worst any more: whom it would refuse does not ask.
    """
    n, k = scores.shape
    left = scores.clone()  # -inf where a cluster has refused a point, or would
    members = torch.full((n,), -1, dtype=torch.long, device=scores.device)
    free = torch.arange(n, device=scores.device)
    clusters = torch.arange(k, device=scores.device)
    while True:
        best, asked = left[free].max(1)
        asking = free[best > -math.inf]
        if not len(asking):
            return members
        members[asking] = asked[best > -math.inf]
        held = (members >= 0).nonzero()[:, 0]
        # By cluster, and there by descending score.
        held = held[(4.0 * members[held] - scores[held, members[held]].double()).argsort(stable=True)]
        where = members[held]
        first = torch.searchsorted(where, clusters)
        place = torch.arange(len(held), device=scores.device) - first[where]
        worst = torch.full((k,), -math.inf, dtype=scores.dtype, device=scores.device)
        last = place == capacity - 1
        worst[where[last]] = scores[held[last], where[last]]
        free = held[place >= capacity]
        left[free, members[free]] = -math.inf
        left[free] = left[free].masked_fill(left[free] < worst, -math.inf)
        members[free] = -1


def _directions(unit: Tensor, members: Tensor, centres: Tensor) -> Tensor:
    """Directions of the clusters' means; where a mean has none, the centre stays."""
    sums = torch.zeros_like(centres).index_add(0, members, unit)
    lengths = torch.linalg.vector_norm(sums, dim=1, keepdim=True)
    return torch.where(lengths > 1e-6, sums / lengths.clamp(min=1e-6), centres)
