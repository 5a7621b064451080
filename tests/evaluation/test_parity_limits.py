"""Limits by precision: what a candidate may lose, rare classes apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segface_edge.engines import FakeEngine, Output
from segface_edge.errors import ParityError
from segface_edge.evaluation.limits import LIMITS, RANDOM, SMALL_CLASS
from segface_edge.evaluation.parity import Parity, compare
from segface_edge.labels import RARE_PARTS, label_set
from segface_edge.spec import Precision

ORDER = label_set("segface")
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")


def report(precision: Precision, **changes: object) -> Parity:
    """Of a candidate without a fault."""
    perfect = Parity(
        reference="fp32",
        candidate="other",
        precision=precision,
        frames=9,
        equal=1.0,
        per_class_f1=dict.fromkeys(ORDER.classes, 1.0),
        pixels=dict.fromkeys(ORDER.classes, 100_000),
        turned=dict.fromkeys(ORDER.classes, 0),
        logit_error=0.0,
        confidence_error=0,
        confidence_p999=0,
    )
    return replace(perfect, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_without_a_fault_all_pass(precision: Precision) -> None:
    assert report(precision).failures() == []
    assert report(precision).to_dict()["passed"]


@pytest.mark.parametrize(
    ("changes", "passing"),
    [
        ({"equal": 0.9995}, ("fp16", "int8")),
        ({"equal": 0.98}, ("int8",)),
        ({"equal": 0.5}, ()),
        ({"equal": float("nan")}, ()),
        ({"logit_error": 1e-2}, ("fp16", "int8")),
        ({"logit_error": 0.2}, ("int8",)),
        ({"logit_error": float("nan")}, ("int8",)),
        ({"confidence_error": 60}, ("fp16", "int8")),
        ({"confidence_p999": 16}, PRECISIONS),
        ({"confidence_p999": 17}, ("fp32", "int8")),
        ({"logit_error": None, "confidence_error": None, "confidence_p999": None}, PRECISIONS),
    ],
)
def test_what_each_precision_may_lose(changes: dict[str, object], passing: tuple[str, ...]) -> None:
    assert tuple(p for p in PRECISIONS if not report(p, **changes).failures()) == passing


@pytest.mark.parametrize("precision", PRECISIONS[1:])
def test_a_rare_class_has_its_own_floor(precision: Precision) -> None:
    limits = LIMITS[precision]
    assert limits.rare_f1 < limits.class_f1
    between = (limits.rare_f1 + limits.class_f1) / 2
    for name in ORDER.classes:
        scores = {**dict.fromkeys(ORDER.classes, 1.0), name: between}
        failures = report(precision, per_class_f1=scores).failures()
        assert [failure.split(":")[0] for failure in failures] == ([] if name in RARE_PARTS else [name])
    for name in RARE_PARTS:
        scores = {**dict.fromkeys(ORDER.classes, 1.0), name: limits.rare_f1 - 0.01}
        assert len(report(precision, per_class_f1=scores).failures()) == 1


@pytest.mark.parametrize("precision", PRECISIONS)
def test_of_a_class_of_few_pixels_the_turned_ones_are_counted(precision: Precision) -> None:
    for name, most in (("neck_l", LIMITS[precision].small_rare_turned), ("l_eye", LIMITS[precision].small_turned)):
        few = {**dict.fromkeys(ORDER.classes, 100_000), name: 30}
        scores = {**dict.fromkeys(ORDER.classes, 1.0), name: 0.5}
        turned = {**dict.fromkeys(ORDER.classes, 0), name: most}
        assert report(precision, pixels=few, per_class_f1=scores, turned=turned).failures() == []
        turned[name] += 1
        (failure,) = report(precision, pixels=few, per_class_f1=scores, turned=turned).failures()
        assert failure == f"{name}: {most + 1} turned pixels (limit {most})"


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["l_eye", "hat"])
def test_a_class_of_few_pixels_may_turn_no_more_than_one_of_just_enough(precision: Precision, name: str) -> None:
    found = report(precision)
    # F1 = 2 TP / (2 TP + turned), and of n pixels that all but k keep, k lost and k won: 1 - k / n.
    assert 2 <= found.few(name) <= round(2 * (1 - found.floor(name)) * SMALL_CLASS)


@pytest.mark.parametrize("order", ["lapa", "helen"])
def test_an_order_without_rare_classes_has_the_floor_of_ordinary_ones(order: str) -> None:
    engine = FakeEngine(order=label_set(order))
    (found,) = compare(engine, {"itself": engine}, [np.zeros((64, 64, 3), np.uint8)], name="itself")
    assert {found.floor(name) for name in found.per_class_f1} == {LIMITS["fp32"].class_f1}
    assert found.failures() == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_advice_fits_the_precision(precision: Precision) -> None:
    with pytest.raises(ParityError) as caught:
        report(precision, equal=0.5).check("model.onnx")
    words = {"fp32": "--no-simplify", "fp16": "use fp32", "int8": "calibrate"}
    assert [name for name, word in words.items() if word in str(caught.value)] == [precision]
    assert "nothing was written" in str(caught.value)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_fail_in_every_precision(precision: Precision, value: float) -> None:
    labels = np.zeros((1, 32, 32), np.uint8)
    logits = np.zeros((1, len(ORDER), 32, 32), np.float32)
    logits[0, 0, 3, 4] = value
    candidate = FakeEngine(labels[0])
    candidate.spec = replace(candidate.spec, precision=precision)
    candidate.run = lambda _: Output(labels, None, logits)  # type: ignore[method-assign]
    with pytest.raises(ParityError, match="not finite"):
        compare(FakeEngine(labels[0]), {"other": candidate}, [np.zeros((32, 32, 3), np.uint8)], name="fp32")


def test_the_candidates_precision_is_what_counts() -> None:
    labels = np.zeros((32, 32))
    reference, candidate = FakeEngine(labels), FakeEngine(labels)
    candidate.spec = replace(candidate.spec, precision="int8")
    (found,) = compare(reference, {"other": candidate}, [np.zeros((32, 32, 3), np.uint8)], name="fp32")
    assert found.precision == "int8"
    assert found.to_dict()["limits"]["equal"] == LIMITS["int8"].equal


@given(st.integers(0, 2**32 - 1))
def test_against_oneself_every_class_scores_1(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 19, (32, 32))
    engine = FakeEngine(labels)
    (found,) = compare(engine, {"itself": engine}, [np.zeros((32, 32, 3), np.uint8)], name="itself")
    assert found.equal == 1
    assert set(found.per_class_f1.values()) <= {1.0, None}
    assert sum(found.turned.values()) == 0


def test_random_weights_have_limits_of_their_own_in_half_precision() -> None:
    """Nothing tells their classes apart: labels turn inside regions too."""
    lost = {"equal": 0.996, "per_class_f1": dict.fromkeys(ORDER.classes, 0.95), "confidence_p999": 30}
    assert report("fp16", **lost).failures()
    assert not report("fp16", random=True, **lost).failures()
    assert report("fp16", random=True, equal=0.994).failures()
    assert {name: limits == RANDOM[name] for name, limits in LIMITS.items()} == {
        "fp32": True,
        "fp16": False,
        "int8": True,
    }


def test_a_report_knows_random_weights_by_what_the_file_says() -> None:
    engine = FakeEngine()
    frames = [np.zeros((64, 64, 3), np.uint8)]
    assert not compare(engine, {"itself": engine}, frames, name="itself")[0].random
    engine.spec = replace(engine.spec, provenance={"weights_sha256": "random"})
    assert compare(engine, {"itself": engine}, frames, name="itself")[0].random
