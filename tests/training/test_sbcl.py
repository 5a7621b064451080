"""The contrastive losses against their formulas, anchor by anchor, and against the released code's numbers."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("dacite", reason="training needs the train extra")

from hypothesis import given, settings
from hypothesis import strategies as st

from segface_edge.errors import UsageError
from segface_edge.training.sbcl import SubclassBalancedContrastiveLoss, supervised_contrastive_loss

T, T0, W = 0.1, 0.07, 0.25


def unit(seed: int, samples: int, width: int = 8, *, double: bool = True) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(samples, 2, width, generator=generator, dtype=torch.float64 if double else torch.float32)
    return torch.nn.functional.normalize(z, dim=-1)


def mean_log(z: torch.Tensor, anchor: int, positives: list[int], others: list[int], t: float) -> torch.Tensor:
    """mean over positives of log(e^(s / t) / sum over others of e^(s / t))."""
    s = z @ z[anchor] / t
    total = sum(s[other].exp() for other in others)
    return sum((s[positive].exp() / total).log() for positive in positives) / len(positives)


def by_hand(
    features: torch.Tensor,
    labels: list[int],
    subclasses: list[int] | None,
    temperatures: list[float] | None = None,
) -> torch.Tensor:
    """The loss, as the specification's sets say; `subclasses` None: supervised contrastive."""
    n = len(labels)
    z = torch.cat([features[:, 0], features[:, 1]])
    y = labels * 2
    views = range(2 * n)
    losses = []
    for i in views:
        all_others = [a for a in views if a != i]
        of_class = [p for p in all_others if y[p] == y[i]]
        if subclasses is None:
            losses.append(-mean_log(z, i, of_class, all_others, T))
            continue
        g = subclasses * 2
        near = [p for p in of_class if g[p] == g[i]]
        loss = -T / T0 * mean_log(z, i, near, all_others, T)
        if temperatures is None:
            loss = loss - W * mean_log(z, i, of_class, all_others, T)
        else:
            other_view = (i + n) % (2 * n)
            far = [p for p in of_class if g[p] != g[i]] + [other_view]
            outside = [d for d in views if (y[d], g[d]) != (y[i], g[i])] + [other_view]
            loss = loss - W * mean_log(z, i, far, outside, temperatures[y[i]])
        losses.append(loss)
    return torch.stack(losses).mean()


SAMPLES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=9)


@settings(max_examples=40, deadline=None)
@given(SAMPLES, st.integers(0, 1000))
def test_all_three_forms_are_their_formulas(samples: list[tuple[int, int]], seed: int) -> None:
    """Also a class with one sample, a batch of one class or of one sample, subclasses that are not there."""
    labels, subclasses = ([pair[side] for pair in samples] for side in (0, 1))
    features = unit(seed, len(samples)).requires_grad_()
    temperatures = [0.14, 0.1, 0.06, 0.2]
    y, g = torch.tensor(labels), torch.tensor(subclasses)
    loss = SubclassBalancedContrastiveLoss()
    pairs = [
        (supervised_contrastive_loss(features, y), by_hand(features, labels, None)),
        (loss(features, y, g), by_hand(features, labels, subclasses)),
        (loss(features, y, g, torch.tensor(temperatures)), by_hand(features, labels, subclasses, temperatures)),
    ]
    for found, wanted in pairs:
        assert math.isfinite(found.item())
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-9)
        gradients = [torch.autograd.grad(value, features, retain_graph=True)[0] for value in (found, wanted)]
        assert bool(gradients[0].isfinite().all())
        torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("form", ["supcon", "static_temperature", "dynamic_temperature"])
def test_losses_and_gradients_are_the_released_code_s(shared: Path, form: str) -> None:
    golden = np.load(shared / "golden" / "sbcl.npz")
    features = torch.tensor(golden["features"]).requires_grad_()
    labels, subclasses = torch.tensor(golden["labels"]), torch.tensor(golden["subclasses"])
    if form == "supcon":
        found = supervised_contrastive_loss(features, labels)
    else:
        temperatures = torch.tensor(golden["class_temperatures"]) if form == "dynamic_temperature" else None
        found = SubclassBalancedContrastiveLoss()(features, labels, subclasses, temperatures)
    found.backward()
    wanted, gradient = float(golden[f"loss_{form}"]), torch.tensor(golden[f"grad_{form}"])
    assert abs(found.item() - wanted) <= 1e-5 * wanted
    assert (features.grad - gradient).abs().max() <= 1e-5 * gradient.abs().max()


def test_subclass_ids_may_repeat_between_classes_and_their_order_is_nothing() -> None:
    features, labels = unit(0, 6), torch.tensor([2, 0, 0, 2, 1, 0])
    loss = SubclassBalancedContrastiveLoss()
    wanted = loss(features, labels, torch.tensor([5, 0, 1, 6, 3, 0]))
    torch.testing.assert_close(loss(features, labels, torch.tensor([0, 1, 0, 1, 0, 1])), wanted)


def test_one_subclass_a_class_leaves_supervised_contrastive_twice() -> None:
    """S is then all of the class: (t / t0 + w) times the warm-up's loss."""
    features, labels = unit(1, 7), torch.tensor([0, 0, 0, 1, 1, 2, 2])
    found = SubclassBalancedContrastiveLoss()(features, labels, torch.zeros_like(labels))
    torch.testing.assert_close(found, (T / T0 + W) * supervised_contrastive_loss(features, labels))


def test_half_precision_is_raised_to_fp32() -> None:
    features, labels = unit(2, 5, double=False), torch.tensor([0, 0, 1, 1, 1])
    subclasses = torch.tensor([0, 0, 0, 1, 1])
    half = features.bfloat16()
    loss = SubclassBalancedContrastiveLoss()
    found = loss(half, labels, subclasses, torch.tensor([0.1, 0.2]))
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, loss(half.float(), labels, subclasses, torch.tensor([0.1, 0.2])))


def test_small_temperatures_do_not_overflow() -> None:
    features, labels = unit(3, 4, double=False).requires_grad_(), torch.tensor([0, 0, 1, 1])
    loss = SubclassBalancedContrastiveLoss(temperature=1e-3)
    found = loss(features, labels, torch.tensor([0, 1, 0, 0]), torch.tensor([1e-3, 1e-3]))
    found.backward()
    assert math.isfinite(found.item())
    assert bool(features.grad.isfinite().all())


@pytest.mark.parametrize(
    ("features", "labels", "subclasses"),
    [((3, 8), 3, 3), ((3, 1, 8), 3, 3), ((3, 2, 8), 2, 2), ((3, 2, 8), 3, 2), ((0, 2, 8), 0, 0)],
)
def test_shapes_that_do_not_fit_are_refused(features: tuple[int, ...], labels: int, subclasses: int) -> None:
    with pytest.raises(UsageError, match="are not|one a sample"):
        SubclassBalancedContrastiveLoss()(
            torch.ones(features), torch.zeros(labels, dtype=torch.long), torch.zeros(subclasses, dtype=torch.long)
        )


@pytest.mark.parametrize(
    "options", [{"temperature": 0.0}, {"base_temperature": -1.0}, {"class_weight": -0.1}, {"temperature": math.nan}]
)
def test_options_out_of_range_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="number"):
        SubclassBalancedContrastiveLoss(**options)
