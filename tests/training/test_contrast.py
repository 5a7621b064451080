"""Regions as samples: what is pooled, which loss a step has, the memory; that training with it keeps its promises."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
for package in ("dacite", "matplotlib"):
    pytest.importorskip(package, reason=f"training needs {package}")

import numpy as np
from PIL import Image

from segface_edge import zoo
from segface_edge.errors import CheckpointError, InputError, UsageError
from segface_edge.labels import label_set
from segface_edge.network import SegFace, build_segface, read_checkpoint
from segface_edge.training import loop, regions
from segface_edge.training.contrast import Contrast, ContrastiveConfig
from segface_edge.training.processes import Processes
from segface_edge.training.recipe_file import read_recipe
from segface_edge.training.regions import EMBEDDING, RegionNetwork, pixel_shares
from segface_edge.training.run_log import read_log
from segface_edge.training.sbcl import SubclassBalancedContrastiveLoss, supervised_contrastive_loss

ALONE = Processes(0, 1, torch.device("cpu"))
SIZE, CLASSES = 32, 19


@pytest.fixture(scope="module")
def network() -> SegFace:
    torch.manual_seed(0)
    return build_segface("mobilenet", "segface", SIZE)


@pytest.fixture(scope="module")
def labels() -> torch.Tensor:
    """Two photos: blocks of a few classes, one pixel of class 18, some pixels without a truth."""
    maps = torch.zeros(2, SIZE, SIZE, dtype=torch.uint8)
    maps[0, :10, :14], maps[0, 10:, 20:], maps[1, 5:30, 3:9] = 2, 14, 14
    maps[0, 31, 0], maps[1, :4] = 18, 255
    return maps


def test_shares_are_counts_of_pixels(labels: torch.Tensor) -> None:
    one_hot = torch.nn.functional.one_hot(labels.long(), 256)[..., :CLASSES].permute(0, 3, 1, 2).float()
    wanted = 16 * torch.nn.functional.avg_pool2d(one_hot, 4).flatten(2)
    assert torch.equal(pixel_shares(labels, CLASSES, SIZE // 4), wanted)


@pytest.mark.parametrize("kind", ["pixels", "tokens"])
@pytest.mark.parametrize("training", [True, False])
def test_logits_are_the_network_s_and_regions_those_of_the_labels(
    network: SegFace, labels: torch.Tensor, kind: Any, training: bool
) -> None:
    images = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    network.train(training)
    logits, embeddings, present = RegionNetwork(network, kind)(images, labels)
    assert torch.equal(logits, network(images))
    assert embeddings.shape == (2, CLASSES, 2, EMBEDDING)
    torch.testing.assert_close(torch.linalg.vector_norm(embeddings, dim=-1), torch.ones(2, CLASSES, 2))
    assert [present[n].nonzero()[:, 0].tolist() for n in range(2)] == [[0, 2, 14, 18], [0, 14]]


@torch.inference_mode()
def test_views_are_means_over_the_two_colours_of_a_chequerboard(network: SegFace, labels: torch.Tensor) -> None:
    network.eval()
    images = torch.randn(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    both_halves = RegionNetwork(network, "pixels")
    _, embeddings, _ = both_halves(images, labels)
    side = SIZE // 4
    fused = network.fusion(network.backbone.features(images))
    tokens, image = network.face_decoder.attend(fused, network.pe_layer(side, side))
    for label in (2, 18):
        for colour in (0, 1):
            total, count = torch.zeros(256), 0
            for y in range(SIZE):
                for x in range(SIZE):
                    # The one pixel of class 18 is in a cell of one colour: it stands for the other too.
                    if int(labels[0, y, x]) == label and (label == 18 or (y // 4 + x // 4) % 2 == colour):
                        total, count = total + image[0, y // 4 * side + x // 4], count + 1
            wanted = torch.nn.functional.normalize(both_halves.projection(total / count), dim=0)
            torch.testing.assert_close(embeddings[0, label, colour], wanted, rtol=1e-4, atol=1e-5)
    both = RegionNetwork(network, "tokens")
    wanted = torch.nn.functional.normalize(both.projection(tokens[0, 14]), dim=0)
    torch.testing.assert_close(both(images, labels)[1][0, 14, 0], wanted, rtol=1e-4, atol=1e-5)


PHOTOS = [frozenset({0, 1})] * 30 + [frozenset({0, 2})] * 10


def contrast(**options: Any) -> Contrast:
    config = ContrastiveConfig(**{"warmup_steps": 3, "recluster_every": 2, **options})
    return Contrast(config, PHOTOS, 3, seed=0, device=torch.device("cpu"))


def a_step(number: int, photos: list[int]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(number)
    z = torch.randn(len(photos), 3, 2, EMBEDDING, generator=generator)
    present = torch.tensor([[label in PHOTOS[photo] for label in range(3)] for photo in photos])
    return torch.nn.functional.normalize(z, dim=-1), present, torch.tensor(photos)


def test_head_and_tail_are_told_apart_by_photos() -> None:
    assert contrast().split == [4, 3, 1]  # of 40, 30 and 10 photos; M is 10
    assert contrast(smallest=20).split == [2, 1, 1]


def test_first_supervised_contrastive_then_sbcl() -> None:
    made = contrast()
    for number in range(3):
        embeddings, present, photos = a_step(number, list(range(10 * number, 10 * number + 10)))
        rows, labels = present.nonzero(as_tuple=True)
        wanted = supervised_contrastive_loss(embeddings[rows, labels], labels)
        torch.testing.assert_close(made(number, embeddings, present, photos), wanted)
        assert not len(made.centres)
    embeddings, present, photos = a_step(3, [0, 5, 11, 29, 35])
    found = made(3, embeddings, present, photos)
    rows, labels = present.nonzero(as_tuple=True)
    # Photo 35 was never seen, and no photo with class 2: nearest centre of class 0; a subclass of its own.
    subclasses = made.subclasses[photos[rows], labels].clone()
    assert (subclasses < 0).tolist() == [False] * 8 + [True] * 2
    cosines = embeddings[rows[8], labels[8]].mean(0) @ made.centres.T
    subclasses[8] = max((i for i, owner in enumerate(made.owners) if owner == 0), key=lambda i: float(cosines[i]))
    subclasses[9] = len(made.centres)
    wanted = SubclassBalancedContrastiveLoss()(embeddings[rows, labels], labels, subclasses, made.temperatures)
    torch.testing.assert_close(found, wanted)


def test_subclasses_are_balanced_among_what_was_seen_and_found_anew() -> None:
    made = contrast(temperatures="static")
    for number in range(4):
        made(number, *a_step(number, list(range(40))))
    assert made.subclasses[:, 0].bincount().tolist() == [10] * 4
    assert sorted(made.subclasses[:30, 1].tolist()) == sorted([4, 5, 6] * 10)
    assert set(made.subclasses[30:, 2].tolist()) == {7}
    assert set(made.subclasses[30:, 1].tolist()) == {-1}  # is not there
    before = made.subclasses.clone()
    made(4, *a_step(4, list(range(40))))
    assert torch.equal(made.subclasses, before)
    made(5, *a_step(5, list(range(40))))
    assert not torch.equal(made.subclasses, before)


def test_a_step_without_regions_costs_nothing() -> None:
    embeddings, present, photos = a_step(0, [0, 1])
    value = contrast()(0, embeddings.requires_grad_(), torch.zeros_like(present), photos)
    value.backward()
    assert value.item() == 0
    assert not embeddings.grad.any()


def test_of_a_photo_that_comes_twice_the_later_is_remembered() -> None:
    made = contrast()
    embeddings, present, photos = a_step(0, [4, 7, 4])
    made(0, embeddings, present, photos)
    wanted = torch.nn.functional.normalize(embeddings[2, 0].mean(0), dim=0)
    torch.testing.assert_close(made.memory[4, 0].float(), wanted, rtol=1e-3, atol=1e-3)


def test_a_state_of_another_training_set_is_refused() -> None:
    made = contrast()
    for state in ({}, {**made.state(), "memory": torch.zeros(3, 3, EMBEDDING)}):
        with pytest.raises(CheckpointError, match="holds no 'memory' for this training set"):
            made.load(state)


def test_it_goes_on_from_its_state() -> None:
    made, other = contrast(), contrast()
    for number in range(4):
        made(number, *a_step(number, list(range(40))))
    other.load({name: tensor.clone() for name, tensor in made.state().items()})
    assert torch.equal(made(4, *a_step(4, [1, 2, 33])), other(4, *a_step(4, [1, 2, 33])))


RANK = """
import os, sys, torch, torch.distributed as dist
from segface_edge.training.contrast import Contrast, ContrastiveConfig
rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
if world > 1:
    store = dist.FileStore(folder + "/store", world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
torch.manual_seed(0)
layer = torch.nn.Linear(16, 128)
with torch.no_grad():
    layer.weight.copy_(torch.sin(torch.arange(16 * 128.0)).reshape(128, 16))
model = torch.nn.parallel.DistributedDataParallel(layer) if world > 1 else layer
config = ContrastiveConfig(warmup_steps=1, recluster_every=1, smallest=3)
shown = [frozenset({0, 1} if photo < 3 else {0}) for photo in range(12)]
contrast = Contrast(config, shown, 2, seed=0, device=torch.device("cpu"))
assert contrast.split == [4, 1]
mine = slice(rank * 12 // world, (rank + 1) * 12 // world)
losses = []
for step in range(3):
    x = torch.randn(12, 2, 2, 16, generator=torch.Generator().manual_seed(step))
    photos = torch.arange(12)
    photos[5] = 2  # twice in a step
    present = torch.tensor([[label in shown[photo] for label in (0, 1)] for photo in photos])
    layer.zero_grad()
    z = torch.nn.functional.normalize(model(x[mine]), dim=-1)
    loss = contrast(step, z, present[mine], photos[mine])
    loss.backward()
    losses.append(loss.item())
torch.save((losses, layer.weight.grad, contrast.state()), f"{folder}/{world}-{rank}.pt")
if world > 1:
    dist.barrier()
    dist.destroy_process_group()
os._exit(0)  # gloo's threads may be there still, and end Python with an error
"""


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(world), str(tmp_path)], env=environment, stderr=subprocess.PIPE
        )
        for rank, world in ((0, 1), (0, 2), (1, 2))
    ]
    for run in runs:
        _, error = run.communicate(timeout=300)
        assert run.returncode == 0, error.decode()
    (losses, gradient, memory), *ranks = (
        torch.load(tmp_path / f"{name}.pt", weights_only=True) for name in ("1-0", "2-0", "2-1")
    )
    for other_losses, other_gradient, other_memory in ranks:
        assert other_losses == pytest.approx(losses, rel=1e-5)
        assert (other_gradient - gradient).abs().max() <= 1e-5 * gradient.abs().max()
        assert torch.equal(other_memory["subclasses"], memory["subclasses"])
        for name in ("memory", "centres", "temperatures"):
            torch.testing.assert_close(other_memory[name], memory[name], rtol=1e-3, atol=1e-3)
    assert len(memory["subclasses"].unique()) == 6  # four, one, and none
    assert all(torch.equal(ranks[0][2][name], ranks[1][2][name]) for name in memory)


TABLE = "[contrastive]\nweight = 0.2\nwarmup_steps = 2\nrecluster_every = 2\nsmallest = 1\n"


def recipe_with(recipe_of: Callable[..., Path], steps: int) -> Path:
    path = recipe_of(steps)
    path.write_text(path.read_text() + TABLE)
    return path


@pytest.mark.slow
def test_a_run_stopped_and_resumed_is_the_uninterrupted_one(
    recipe_of: Callable[..., Path], labelled: Path, tmp_path: Path
) -> None:
    (labelled / "images" / "1.png").rename(labelled / "images" / "2.png")
    (labelled / "labels" / "1.png").rename(labelled / "labels" / "2.png")
    for part in ("images", "labels"):  # a third photo, without most of the classes
        with Image.open(labelled / part / "0.png") as picture:
            picture.crop((0, 0, 256, 70)).save(labelled / part / "1.png")
    with Image.open(labelled / "labels" / "2.png") as picture:
        names = label_set("celebamask-hq").classes
        ids = np.asarray(picture).copy()
    ids[ids == names.index("nose")] = names.index("skin")  # one photo shows a nose: those with two are split
    Image.fromarray(ids).save(labelled / "labels" / "2.png")
    recipe = read_recipe(recipe_with(recipe_of, 5))
    loop.train(recipe, tmp_path / "whole", processes=ALONE)
    loop.train(recipe, tmp_path / "parts", processes=ALONE, stop_after=3)
    loop.train(recipe, tmp_path / "parts", processes=ALONE, resume=True)
    for name in ("last.safetensors", "best.safetensors"):
        whole, parts = (read_checkpoint(tmp_path / run / name).state for run in ("whole", "parts"))
        assert whole.keys() == parts.keys()
        assert all(torch.equal(whole[key], parts[key]) for key in whole)
    state = torch.load(tmp_path / "whole" / "state.pt", weights_only=True)["contrastive"]
    assert len(state["centres"]) > len(state["owners"].unique())  # some class is split
    with Image.open(tmp_path / "whole" / "subclasses.png") as picture:
        assert min(picture.size) > 300
    rows = [row for row in read_log(tmp_path / "whole" / "log.jsonl") if row["kind"] == "step"]
    assert len(rows) == 5
    for row in rows:
        assert row["loss"] == pytest.approx(0.5 * row["ce"] + 0.5 * row["dice"] + 0.2 * row["contrastive"], rel=1e-5)


def test_in_half_precision_means_do_not_overflow() -> None:
    """A face of 512 x 512 has more pixels than fp16 can count."""
    weights = torch.full((1, 1, 128 * 128), 16.0)
    image = torch.full((1, 128 * 128, 256), 3.0)
    with torch.autocast("cpu", dtype=torch.float16):
        found = regions._means(weights, image.half())
    torch.testing.assert_close(found, torch.full((1, 1, 256), 3.0))


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains(recipe_of: Callable[..., Path], tmp_path: Path, precision: str) -> None:
    recipe = read_recipe(recipe_with(recipe_of, 2), [f"run.precision={precision}"])
    loop.train(recipe, tmp_path / "run", processes=ALONE, stop_after=1)
    (row,) = (row for row in read_log(tmp_path / "run" / "log.jsonl") if row["kind"] == "step")
    assert row["contrastive"] > 0


def test_nothing_of_it_is_in_the_weights(recipe_of: Callable[..., Path], tmp_path: Path) -> None:
    loop.train(read_recipe(recipe_with(recipe_of, 1)), tmp_path / "run", processes=ALONE)
    state = read_checkpoint(tmp_path / "run" / "last.safetensors").state
    assert state.keys() == read_checkpoint(zoo.RELEASED["mobilenet"]).state.keys()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("contrastive.weight=0", "positive"),
        ("contrastive.regions=faces", "regions"),
        ("contrastive.recluster_every=0", "use 1 or more"),
        ("contrastive.temperatures=warm", "temperatures"),
        ("contrastive.tau=0.1", "unknown key 'tau'"),
    ],
)
def test_bad_settings_are_one_line(recipe_of: Callable[..., Path], change: str, says: str) -> None:
    with pytest.raises((InputError, UsageError), match=says):
        read_recipe(recipe_of(1), [change])
