"""Losses against independent formulas, and two processes against one."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from hypothesis import given, settings
from hypothesis import strategies as st

from segface_edge.errors import UsageError
from segface_edge.labels import LabelSet
from segface_edge.training.losses import LossConfig, SegmentationLoss

K, S = 4, 6
ORDER = LabelSet(name="four", classes=("background", "skin", "nose", "hat"))
OFF = {"ce": 0.0, "dice": 0.0}


def batch(seed: int = 0, *, ignored: float = 0.2, classes: int = K, n: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits (n, K, S, S) float64 that want a gradient, labels (n, S, S) uint8."""
    generator = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(n, classes, S, S, generator=generator, dtype=torch.float64)
    labels = torch.randint(0, classes, (n, S, S), generator=generator, dtype=torch.uint8)
    labels[torch.rand(n, S, S, generator=generator) < ignored] = 255
    return logits.requires_grad_(), labels


def flat(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Of the pixels with a truth: logits (P, K), one-hot truth (P, K) in float64, labels (P,)."""
    keep = labels.flatten() != 255
    rows = logits.movedim(1, -1).flatten(0, 2)[keep]
    truth = labels.flatten()[keep].long()
    return rows, torch.nn.functional.one_hot(truth, logits.shape[1]).double(), truth


def naive_ce(logits: torch.Tensor, labels: torch.Tensor, *, gamma: float = 0.0, shift: Any = 0.0) -> torch.Tensor:
    rows, one_hot, _ = flat(logits, labels)
    p = (((rows + shift).exp() / (rows + shift).exp().sum(1, keepdim=True)) * one_hot).sum(1)
    return (-((1 - p) ** gamma) * p.log()).mean()


def naive_weighted_ce(logits: torch.Tensor, labels: torch.Tensor, weights: list[float]) -> torch.Tensor:
    rows, _, truth = flat(logits, labels)
    return torch.nn.functional.cross_entropy(rows, truth, torch.tensor(weights, dtype=torch.float64))


def naive_dice(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    rows, g, _ = flat(logits, labels)
    p = rows.softmax(1)
    return (1 - (2 * (p * g).sum(0) + 1e-5) / ((p * p).sum(0) + (g * g).sum(0) + 1e-5)).mean()


def naive_divergence(logits: torch.Tensor, teacher: torch.Tensor, t: float) -> torch.Tensor:
    p, q = (teacher / t).softmax(1), (logits / t).softmax(1)
    return (p * (p.log() - q.log())).sum(1).mean() * t**2


def gradient(loss: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    return torch.autograd.grad(loss, logits)[0]


def same(found: torch.Tensor, wanted: torch.Tensor, logits: torch.Tensor) -> None:
    """Value and gradient."""
    torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradient(found, logits), gradient(wanted, logits), rtol=1e-8, atol=1e-12)


PRIOR = torch.tensor([0.7, 0.2, 0.09, 0.01], dtype=torch.float64).log()

PARTS: dict[str, tuple[dict[str, Any], Any]] = {
    "ce": ({"ce": 1.0}, naive_ce),
    "dice": ({"dice": 1.0}, naive_dice),
    "weighted": (
        {"ce": 1.0, "dice": 0.5, "class_weights": {"hat": 9.0, "skin": 0.0}},
        lambda x, y: naive_weighted_ce(x, y, [1, 0, 1, 9]) + 0.5 * naive_dice(x, y),
    ),
    "segface": ({"ce": 0.5, "dice": 0.5}, lambda x, y: 0.5 * naive_ce(x, y) + 0.5 * naive_dice(x, y)),
    "focal": ({"ce": 1.0, "focal_gamma": 2.0}, lambda x, y: naive_ce(x, y, gamma=2.0)),
    "adjusted": ({"ce": 1.0, "logit_adjustment": 0.5}, lambda x, y: naive_ce(x, y, shift=0.5 * PRIOR)),
    "adjusted, dice not": (
        {"ce": 0.3, "dice": 0.7, "logit_adjustment": 1.0, "focal_gamma": 1.5},
        lambda x, y: 0.3 * naive_ce(x, y, gamma=1.5, shift=PRIOR) + 0.7 * naive_dice(x, y),
    ),
}


@pytest.mark.parametrize("ignored", [0.0, 0.3])
@pytest.mark.parametrize("name", PARTS)
def test_values_and_gradients_are_those_of_the_formulas(name: str, ignored: float) -> None:
    weights, formula = PARTS[name]
    logits, labels = batch(ignored=ignored)
    total, _ = SegmentationLoss(LossConfig(**{**OFF, **weights}), ORDER, PRIOR)(logits, labels)
    same(total, formula(logits, labels), logits)


def test_distillation_is_the_divergence_from_the_teacher_at_every_pixel() -> None:
    logits, labels = batch()
    teacher = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    loss = SegmentationLoss(LossConfig(**OFF, distillation=1.0, temperature=3.0), ORDER)
    total, parts = loss(logits, labels, teacher)
    same(total, naive_divergence(logits, teacher, 3.0), logits)
    assert list(parts) == ["distillation"]
    unlabelled, _ = loss(logits, torch.full_like(labels, 255), teacher)
    assert unlabelled.item() == pytest.approx(total.item())
    assert loss(logits, labels, logits)[0].item() == pytest.approx(0, abs=1e-12)


def jaccard_loss(wrong: tuple[int, ...], truth: tuple[int, ...]) -> float:
    """1 - intersection / union of a class whose pixels are `truth`, where the pixels `wrong` are mispredicted."""
    predicted = set(truth).symmetric_difference(wrong)
    union = predicted | set(truth)
    return 1 - len(predicted & set(truth)) / len(union) if union else 0.0


def extension(errors: list[float], truth: tuple[int, ...]) -> float:
    """The Lovasz extension as the integral of the set function over the errors' level sets."""
    levels = sorted({*errors, 0.0})
    return sum(
        (high - low) * jaccard_loss(tuple(i for i, error in enumerate(errors) if error >= high), truth)
        for low, high in itertools.pairwise(levels)
    )


@given(st.integers(0, 10_000))
@settings(max_examples=25, deadline=None)
def test_lovasz_is_the_extension_of_the_jaccard_loss_over_the_classes_present(seed: int) -> None:
    logits, labels = batch(seed)
    labels[labels == 3] = 0  # an absent class
    total, _ = SegmentationLoss(LossConfig(**OFF, lovasz=1.0), ORDER)(logits, labels)
    rows, one_hot, truth = flat(logits, labels)
    errors = (one_hot - rows.softmax(1)).abs().detach()
    wanted = [
        extension(errors[:, label].tolist(), tuple(torch.nonzero(truth == label)[:, 0].tolist()))
        for label in truth.unique().tolist()
    ]
    assert total.item() == pytest.approx(sum(wanted) / len(wanted), rel=1e-9)


def test_lovasz_of_hard_predictions_is_one_minus_the_mean_iou() -> None:
    _, labels = batch(ignored=0)
    predicted = labels.roll(1, 1).long()
    logits = 100 * torch.nn.functional.one_hot(predicted, K).movedim(-1, 1).float()
    total, _ = SegmentationLoss(LossConfig(**OFF, lovasz=1.0), ORDER)(logits, labels)
    ious = [
        ((predicted == k) & (labels == k)).sum().item() / ((predicted == k) | (labels == k)).sum().item()
        for k in range(K)
    ]
    assert total.item() == pytest.approx(1 - sum(ious) / K, abs=1e-6)


@pytest.mark.parametrize(
    "weights",
    [
        {},
        {"focal_gamma": 2.0, "logit_adjustment": 0.7},
        {"class_weights": {"hat": 9.0}},
        {**OFF, "lovasz": 1.0},
        {**OFF, "distillation": 1.0},
        {"lovasz": 0.5, "distillation": 0.5, "focal_gamma": 0.5},
    ],
)
def test_gradients_are_those_of_finite_differences(weights: dict[str, Any]) -> None:
    logits, labels = batch(n=1)
    loss = SegmentationLoss(LossConfig(**weights), ORDER, PRIOR)
    teacher = torch.randn_like(logits)
    assert torch.autograd.gradcheck(lambda x: loss(x, labels, teacher)[0], [logits])


LABELS = st.lists(st.sampled_from([0, 1, 2, 3, 255]), min_size=2 * S * S, max_size=2 * S * S)
EVERYTHING = LossConfig(lovasz=0.5, focal_gamma=0.5, logit_adjustment=1.0)


@given(LABELS, st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_ignored_pixels_change_nothing(values: list[int], seed: int) -> None:
    logits, _ = batch(seed)
    labels = torch.tensor(values, dtype=torch.uint8).reshape(2, S, S)
    ignored = (labels == 255)[:, None]
    loss = SegmentationLoss(EVERYTHING, ORDER, PRIOR)
    total, _ = loss(logits, labels)
    found = gradient(total, logits)
    assert not found[ignored.expand_as(found)].any()
    changed = torch.where(ignored, batch(seed + 1)[0].detach(), logits.detach()).requires_grad_()
    other, _ = loss(changed, labels)
    torch.testing.assert_close(other, total, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(gradient(other, changed), found, rtol=1e-8, atol=1e-12)


@given(LABELS, st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_any_labels_give_what_the_formulas_give(values: list[int], seed: int) -> None:
    logits, _ = batch(seed)
    labels = torch.tensor(values, dtype=torch.uint8).reshape(2, S, S)
    if (labels == 255).all():
        labels[0, 0, 0] = 1
    total, parts = SegmentationLoss(LossConfig(), ORDER)(logits, labels)
    same(total, 0.5 * naive_ce(logits, labels) + 0.5 * naive_dice(logits, labels), logits)
    assert {name: part.item() for name, part in parts.items()} == pytest.approx(
        {"ce": naive_ce(logits, labels).item(), "dice": naive_dice(logits, labels).item()}
    )
    assert not any(part.requires_grad for part in parts.values())


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
def test_labels_are_bytes_or_long(dtype: torch.dtype) -> None:
    logits, labels = batch()
    total, _ = SegmentationLoss(LossConfig(), ORDER)(logits, labels.to(dtype))
    same(total, 0.5 * naive_ce(logits, labels) + 0.5 * naive_dice(logits, labels), logits)


def test_a_batch_of_one_class_is_finite_even_where_the_network_is_sure() -> None:
    labels = torch.full((1, S, S), 2, dtype=torch.uint8)
    for sure in (1e4, -1e4):
        logits = torch.zeros(1, K, S, S)
        logits[:, 2] = sure
        logits.requires_grad_()
        total, parts = SegmentationLoss(EVERYTHING, ORDER, PRIOR.float())(logits, labels)
        assert total.isfinite()
        assert all(part.isfinite() for part in parts.values())
        assert gradient(total, logits).isfinite().all()
    same_class, _ = SegmentationLoss(LossConfig(), ORDER)(torch.zeros(1, K, S, S), labels)
    assert same_class > 0


def test_a_batch_without_truth_costs_nothing_and_has_a_gradient() -> None:
    logits, labels = batch()
    total, parts = SegmentationLoss(EVERYTHING, ORDER, PRIOR)(logits, torch.full_like(labels, 255))
    assert total.item() == 0
    assert {name: part.item() for name, part in parts.items()} == {"ce": 0, "dice": 0, "lovasz": 0}
    assert not gradient(total, logits).any()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_are_raised_first(dtype: torch.dtype) -> None:
    logits, labels = batch()
    half = logits.detach().to(dtype).requires_grad_()
    config = LossConfig(lovasz=0.5, distillation=0.5)
    total, _ = SegmentationLoss(config, ORDER)(half, labels, half.detach())
    raised, _ = SegmentationLoss(config, ORDER)(half.float(), labels, half.detach().float())
    assert total.dtype == torch.float32
    assert total.item() == raised.item()
    assert gradient(total, half).dtype == dtype


def test_parts_without_a_weight_are_not_computed() -> None:
    logits, labels = batch()
    assert list(SegmentationLoss(LossConfig(dice=0.0), ORDER)(logits, labels)[1]) == ["ce"]
    assert list(SegmentationLoss(LossConfig(ce=0.0, lovasz=0.1), ORDER)(logits, labels)[1]) == ["dice", "lovasz"]


def test_prior_and_weights_are_not_part_of_a_checkpoint() -> None:
    assert not SegmentationLoss(LossConfig(class_weights={"hat": 9.0}), ORDER, PRIOR).state_dict()


def test_a_weight_for_a_class_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="hats"):
        SegmentationLoss(LossConfig(class_weights={"hats": 9.0}), ORDER)


def test_a_batch_of_pixels_that_all_weigh_nothing_costs_nothing() -> None:
    logits, labels = batch(ignored=0.0)
    loss = SegmentationLoss(LossConfig(dice=0.0, class_weights=dict.fromkeys(ORDER.classes, 0.0)), ORDER)
    total, _ = loss(logits, labels)
    assert total.item() == 0
    assert not gradient(total, logits).any()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ce": -0.1}, "loss.ce"),
        ({"dice": float("nan")}, "loss.dice"),
        ({"lovasz": "1"}, "loss.lovasz"),
        ({"focal_gamma": True}, "loss.focal_gamma"),
        ({"temperature": 0.0}, "loss.temperature"),
        ({"distillation": float("inf")}, "loss.distillation"),
        ({"class_weights": {"hat": -1.0}}, "loss.class_weights.hat"),
        (OFF, "no part"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LossConfig(**values)


@pytest.mark.parametrize("prior", [None, torch.zeros(K + 1), torch.tensor([0.0, 0.0, 0.0, -torch.inf])])
def test_logit_adjustment_needs_a_prior_of_every_class(prior: torch.Tensor | None) -> None:
    with pytest.raises(UsageError, match="prior"):
        SegmentationLoss(LossConfig(logit_adjustment=1.0), ORDER, prior)


def test_shapes_that_do_not_fit_are_refused() -> None:
    logits, labels = batch()
    loss = SegmentationLoss(LossConfig(distillation=1.0), ORDER)
    for arguments in ((logits[:, :3], labels, logits), (logits, labels[:1], logits), (logits, labels, logits[:, :3])):
        with pytest.raises(UsageError, match="shape"):
            loss(*arguments)
    with pytest.raises(UsageError, match="teacher"):
        loss(logits, labels)


# One rank of two, or the only one: the same batch, as halves or whole; writes every parameter's gradient.
RANK = """
import sys
import torch
import torch.distributed as dist
from segface_edge.labels import label_set
from segface_edge.network import build_segface
from segface_edge.training.losses import LossConfig, SegmentationLoss

rank, world, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
torch.manual_seed(0)
model = build_segface("mobilenet", "lapa", 64).eval()
images, teacher = torch.randn(4, 3, 64, 64), torch.randn(4, 11, 64, 64)
labels = torch.randint(0, 11, (4, 64, 64), dtype=torch.uint8)
labels[0, :40] = labels[1] = 255  # the first half knows little
labels[3, :, :5] = 255
config = LossConfig(focal_gamma=1.0, logit_adjustment=0.5, distillation=0.2, class_weights={"nose": 7.0})
loss = SegmentationLoss(config, label_set("lapa"), torch.linspace(-5, -1, 11))
if world > 1:
    store = dist.FileStore(folder + "/store", world)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=world)
    model = torch.nn.parallel.DistributedDataParallel(model)
mine = slice(rank * 4 // world, (rank + 1) * 4 // world)
total, parts = loss(model(images[mine]), labels[mine], teacher[mine])
total.backward()
names = [name.removeprefix("module.") for name, _ in model.named_parameters()]
gradients = {name: p.grad for name, p in zip(names, model.parameters())}
torch.save((total.detach(), parts, gradients), f"{folder}/{world}-{rank}.pt")
if world > 1:
    dist.destroy_process_group()
"""


@pytest.mark.slow
def test_two_processes_give_the_gradients_of_one(tmp_path: Path) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", RANK, str(rank), str(world), str(tmp_path)],
            env=environment,
            stderr=subprocess.PIPE,
        )
        for rank, world in ((0, 1), (0, 2), (1, 2))
    ]
    for run in runs:
        _, error = run.communicate(timeout=600)
        assert run.returncode == 0, error.decode()
    (total, parts, alone), *ranks = (torch.load(tmp_path / f"{name}.pt") for name in ("1-0", "2-0", "2-1"))
    assert alone
    for half_total, half_parts, together in ranks:
        assert half_total.item() == pytest.approx(total.item(), rel=1e-5)
        assert {name: part.item() for name, part in half_parts.items()} == pytest.approx(
            {name: part.item() for name, part in parts.items()}, rel=1e-5
        )
        largest = max(float(gradient.abs().max()) for gradient in alone.values())
        apart = max(float((together[name] - gradient).abs().max()) for name, gradient in alone.items())
        assert apart <= 1e-5 * largest
