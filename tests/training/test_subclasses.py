"""Subclasses: how many, which, how hot, when; the same in every process."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("dacite", reason="training needs the train extra")

from segface_edge.errors import UsageError
from segface_edge.training.subclasses import SubclassSchedule, class_temperatures, find_subclasses, subclass_counts


def embeddings(counts: list[int], width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors and their labels, classes mixed."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    z = torch.randn(len(labels), width, generator=generator) + 2 * torch.eye(len(counts), width)[labels]
    return torch.nn.functional.normalize(z, dim=1), labels


@pytest.mark.parametrize(
    ("counts", "smallest", "wanted"),
    [
        ([500, 100, 50, 20], 10, [25, 5, 2, 1]),  # M = 20, the smallest class
        ([500, 100, 50, 5], 10, [50, 10, 5, 1]),  # M = 10, the limit
        ([500, 0, 25], 10, [20, 1, 1]),  # a class without samples sets no size
        ([], 10, []),
        ([3, 2], 10, [1, 1]),
    ],
)
def test_how_many_subclasses(counts: list[int], smallest: int, wanted: list[int]) -> None:
    assert subclass_counts(counts, smallest) == wanted


def test_samples_of_a_subclass_are_of_one_class_and_sizes_are_balanced() -> None:
    counts = [47, 21, 9, 0, 1]
    features, labels = embeddings(counts)
    split = [5, 2, 1, 1, 1]
    found = find_subclasses(features, labels, split, seed=0)
    by_class = [sorted(found[labels == label].unique().tolist()) for label in range(len(counts))]
    assert by_class == [[0, 1, 2, 3, 4], [5, 6], [7], [], [9]]
    sizes = found.bincount(minlength=10).tolist()
    assert sorted(sizes[:5]) == [9, 9, 9, 10, 10]
    assert sorted(sizes[5:7]) == [10, 11]
    assert sizes[7:] == [9, 0, 1]


def test_a_class_with_fewer_samples_than_parts_gets_one_a_sample() -> None:
    features, labels = embeddings([3, 8])
    found = find_subclasses(features, labels, [5, 2], seed=0)
    assert sorted(found[labels == 0].tolist()) == [0, 1, 2]
    assert set(found[labels == 1].tolist()) == {3, 4}


def test_the_order_of_samples_is_nothing() -> None:
    """The released code needs the data sorted by class."""
    features, labels = embeddings([30, 12])
    order = labels.argsort(stable=True)
    mixed = find_subclasses(features, labels, [3, 1], seed=1)
    assert torch.equal(mixed[order], find_subclasses(features[order], labels[order], [3, 1], seed=1))


def test_plain_k_means_is_there_too() -> None:
    features, labels = embeddings([40, 10])
    found = find_subclasses(features, labels, [4, 1], seed=0, method="kmeans")
    assert set(found.tolist()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("form", ["linear", "exponential"])
def test_temperatures_are_their_formula(form: str) -> None:
    counts = [60, 30, 20, 12, 8]
    features, labels = embeddings(counts)
    split = [6, 3, 2, 1, 1]
    phi = []
    for label, count in enumerate(counts):
        z = features[labels == label].double().numpy()
        phi.append(np.linalg.norm(z - z.mean(0), axis=1).mean() / math.log(count + 10))
    phi = np.clip(phi, *np.percentile(phi, [20, 80]))
    relative = phi / phi.mean()
    wanted = np.where(np.array(split) > 1, 0.1 * (relative if form == "linear" else np.exp(relative)), 0.1)
    found = class_temperatures(features, labels, split, form=form)
    np.testing.assert_allclose(found.numpy(), wanted, rtol=1e-6)


def test_temperatures_without_spread_or_samples_stay() -> None:
    features, labels = torch.ones(6, 4) / 2, torch.tensor([0, 0, 0, 0, 1, 1])
    assert class_temperatures(features, labels, [2, 1, 1]).tolist() == pytest.approx([0.1, 0.1, 0.1])


def test_a_sample_alone_does_not_cool_its_class_to_zero() -> None:
    features, labels = embeddings([30, 1, 1])
    found = class_temperatures(features, labels, [3, 2, 1])
    assert found.tolist() == pytest.approx([0.1, 0.1, 0.1])


def test_the_schedule() -> None:
    schedule = SubclassSchedule(warmup=3, every=2)
    assert [schedule.warms_up(epoch) for epoch in range(6)] == [True, True, True, False, False, False]
    assert [epoch for epoch in range(10) if schedule.is_due(epoch)] == [3, 5, 7, 9]
    assert SubclassSchedule(warmup=0, every=10).is_due(0)


RANK = """
import sys, torch, torch.distributed as dist
from segface_edge.training.subclasses import find_subclasses
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", store=dist.FileStore(folder + "/store", 2), rank=rank, world_size=2)
z = torch.randn(40, 6, generator=torch.Generator().manual_seed(rank))  # more than sums in another order do
labels = torch.arange(40) % 3
torch.save(find_subclasses(z, labels, [3, 2, 1], seed=0), f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


def test_processes_agree_on_every_id(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    ranks = [
        subprocess.Popen([sys.executable, "-c", RANK, str(rank), str(tmp_path)], env=environment) for rank in (0, 1)
    ]
    assert [process.wait(timeout=120) for process in ranks] == [0, 0]
    one, two = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    assert torch.equal(one, two)
    labels = torch.arange(40) % 3
    alone = [
        find_subclasses(torch.randn(40, 6, generator=torch.Generator().manual_seed(seed)), labels, [3, 2, 1], seed=0)
        for seed in (0, 1)
    ]
    assert torch.equal(one, alone[0])
    assert not torch.equal(one, alone[1])


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: subclass_counts([1, -1]), "cannot be"),
        (lambda: subclass_counts([1], 0), "cannot be"),
        (lambda: SubclassSchedule(warmup=-1), "is no schedule"),
        (lambda: SubclassSchedule(every=0), "is no schedule"),
        (
            lambda: find_subclasses(torch.ones(3, 2), torch.zeros(2, dtype=torch.long), [1], seed=0),
            "one label a sample",
        ),
        (lambda: find_subclasses(torch.ones(2, 2), torch.tensor([0, 1]), [1], seed=0), "not all in 0 to 0"),
        (lambda: find_subclasses(torch.ones(2, 2), torch.tensor([0, 0]), [1], seed=0, method="dbscan"), "use one of"),
        (lambda: class_temperatures(torch.ones(2, 2), torch.tensor([0, 0]), [1], form="cubic"), "use one of"),
        (lambda: class_temperatures(torch.ones(2, 2), torch.tensor([0, 1]), [1]), "not all in 0 to 0"),
    ],
)
def test_bad_input_is_one_line(call: object, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        call()
