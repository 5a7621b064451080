"""Whether two models agree: what passes, what fails, and what the failure says."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from segface_edge.engines import Output
from segface_edge.errors import ParityError
from segface_edge.evaluation.parity import Parity, compare
from segface_edge.labels import label_set

MakeEngine = Callable[..., Any]
Array = npt.NDArray[np.uint8]

SIZE = 256
SEGFACE = label_set("segface")
SKIN, HAIR, NOSE, EYE = (SEGFACE.index(name) for name in ("skin", "hair", "nose", "l_eye"))


@pytest.fixture
def labels() -> Array:
    """Hair above, skin below, a nose of 1600 pixels and an eye of 100."""
    found = np.full((SIZE, SIZE), SKIN, np.uint8)
    found[:100] = HAIR
    found[120:160, 120:160] = NOSE
    found[110:120, 60:70] = EYE
    return found


def frames(count: int = 1) -> list[Array]:
    return [np.zeros((SIZE, SIZE, 3), np.uint8)] * count


def one(reference: Any, candidate: Any, count: int = 1) -> Parity:
    (report,) = compare(reference, {"candidate": candidate}, frames(count), name="reference")
    return report


def test_equal_models_pass(constant_engine: MakeEngine, labels: Array) -> None:
    report = one(constant_engine(labels), constant_engine(labels), 3)
    report.check("model.onnx")
    assert report.failures() == []
    assert report.equal == 1
    assert report.frames == 3
    assert report.per_class_f1["hair"] == 1
    assert report.per_class_f1["hat"] is None
    assert report.pixels["nose"] == 3 * 1600
    assert not any(report.turned.values())
    assert report.logit_error is None
    assert report.confidence_error is None
    assert report.confidence_p999 is None


def test_a_turned_region_fails_and_its_classes_are_named(constant_engine: MakeEngine, labels: Array) -> None:
    turned = labels.copy()
    turned[120:160, 120:160] = SKIN
    report = one(constant_engine(labels), constant_engine(turned))
    with pytest.raises(ParityError, match=r"model\.onnx: differs from reference on 1 faces") as caught:
        report.check("model.onnx")
    assert caught.value.exit_code == 4
    assert "nose: F1 0.0000" in str(caught.value)
    assert "97.5586% equal labels" in str(caught.value)
    assert "hair" not in str(caught.value)
    assert report.equal == pytest.approx(1 - 1600 / SIZE**2)
    assert report.turned["nose"] == report.turned["skin"] == 1600


def test_a_region_that_is_small_in_the_photo_fails_by_its_class(constant_engine: MakeEngine, labels: Array) -> None:
    """40 pixels are little to the skin, and much to the nose."""
    turned = labels.copy()
    turned[120, 120:160] = SKIN
    names = [
        failure.partition(":")[0] for failure in one(constant_engine(labels), constant_engine(turned), 1).failures()
    ]
    assert "nose" in names
    assert "skin" not in names


@pytest.mark.parametrize(("pixels", "passes"), [(0, True), (5, True), (6, False), (30, False)])
def test_of_a_small_class_turned_pixels_count(
    constant_engine: MakeEngine, labels: Array, pixels: int, passes: bool
) -> None:
    turned = labels.copy()
    rows, columns = np.nonzero(labels == EYE)
    turned[rows[:pixels], columns[:pixels]] = SKIN
    failures = one(constant_engine(labels), constant_engine(turned)).failures()
    assert any(failure.startswith(f"l_eye: {pixels} turned pixels") for failure in failures) is not passes
    assert passes is (failures == [])


def test_a_class_that_only_the_candidate_finds_is_a_small_class(constant_engine: MakeEngine, labels: Array) -> None:
    turned = labels.copy()
    turned[200, :6] = SEGFACE.index("hat")
    assert one(constant_engine(labels), constant_engine(turned)).failures() == ["hat: 6 turned pixels (limit 5)"]


def test_few_turned_pixels_of_large_classes_pass(constant_engine: MakeEngine, labels: Array) -> None:
    turned = labels.copy()
    turned[100, :6] = HAIR
    report = one(constant_engine(labels), constant_engine(turned))
    assert report.turned["hair"] == 6
    assert report.failures() == []


@pytest.fixture
def with_outputs(constant_engine: MakeEngine, labels: Array, monkeypatch: pytest.MonkeyPatch) -> MakeEngine:
    """An engine with logits of largest value 10, of which one is off, and a confidence."""

    def make(error: float = 0.0, confidence: int = 200) -> Any:
        engine = constant_engine(labels)
        logits = np.zeros((1, len(SEGFACE), SIZE, SIZE), np.float32)
        logits[0, HAIR] = -10
        logits[0, NOSE, 5, 5] = error
        sure = np.full((1, SIZE, SIZE), confidence, np.uint8)
        engine.spec = replace(engine.spec, outputs=("labels", "confidence", "logits"))
        monkeypatch.setattr(engine, "run", lambda _: Output(labels[None], sure, logits))
        return engine

    return make


def test_logit_error_is_relative_to_the_largest_logit(with_outputs: MakeEngine) -> None:
    report = one(with_outputs(), with_outputs(error=-0.001), 2)
    assert report.logit_error == pytest.approx(1e-4)
    assert report.failures() == []
    report = one(with_outputs(), with_outputs(error=0.01))
    assert report.logit_error == pytest.approx(1e-3)
    assert report.failures() == ["logit error 1.0e-03 of the largest (limit 2e-04)"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_logits_that_are_not_finite_fail(with_outputs: MakeEngine, value: float) -> None:
    with pytest.raises(ParityError, match="candidate: gives logits that are not finite"):
        one(with_outputs(), with_outputs(error=value))


def test_reference_logits_that_are_not_finite_fail(with_outputs: MakeEngine) -> None:
    with pytest.raises(ParityError, match="the reference reference: gives logits that are not finite"):
        one(with_outputs(error=float("nan")), with_outputs())


@pytest.mark.parametrize(("other", "error"), [(200, 0), (202, 2), (198, 2), (203, 3), (0, 200), (255, 55)])
def test_confidence_may_differ_by_2_of_255(with_outputs: MakeEngine, other: int, error: int) -> None:
    report = one(with_outputs(), with_outputs(confidence=other))
    assert report.confidence_error == error
    assert report.failures() == ([] if error <= 2 else [f"confidence differs by {error} of 255 (limit 2)"])


@pytest.mark.parametrize(("turned", "passes"), [(65, True), (66, False)])
def test_in_fp16_the_confidence_of_a_few_pixels_may_differ_much(
    with_outputs: MakeEngine, turned: int, passes: bool
) -> None:
    """65 of 65536 pixels are less than a thousandth, 66 are more."""
    candidate = with_outputs()
    candidate.spec = replace(candidate.spec, precision="fp16")
    found = candidate.run(None)
    found.confidence.reshape(-1)[:turned] = 100
    candidate.run = lambda _: found
    report = one(with_outputs(), candidate)
    assert report.confidence_error == 100
    assert report.confidence_p999 == (0 if passes else 100)
    said = "confidence differs by 100 of 255 at 99.9 % of the pixels (limit 16)"
    assert report.failures() == ([] if passes else [said])


def test_outputs_that_one_of_the_two_lacks_are_not_compared(
    with_outputs: MakeEngine, constant_engine: MakeEngine, labels: Array
) -> None:
    for pair in ((with_outputs(), constant_engine(labels)), (constant_engine(labels), with_outputs())):
        report = one(*pair)
        assert report.logit_error is None
        assert report.confidence_error is None
        assert report.failures() == []


def test_no_frames_do_not_pass(constant_engine: MakeEngine, labels: Array) -> None:
    assert one(constant_engine(labels), constant_engine(labels), 0).failures() != []


def test_several_candidates_are_compared_with_one_run_of_the_reference(
    constant_engine: MakeEngine, labels: Array
) -> None:
    reference, same, other = constant_engine(labels), constant_engine(labels), constant_engine(labels * 0)
    done: list[int] = []
    reports = compare(reference, {"same": same, "other": other}, frames(3), name="fp32", progress=done.append)
    assert [(report.reference, report.candidate) for report in reports] == [("fp32", "same"), ("fp32", "other")]
    assert [bool(report.failures()) for report in reports] == [False, True]
    assert reference.calls == same.calls == other.calls == [3]
    assert done == [3]


def test_the_document_is_json_and_says_whether_it_passed(constant_engine: MakeEngine, labels: Array) -> None:
    report = one(constant_engine(labels), constant_engine(labels * 0))
    document = json.loads(report.to_json())
    assert document == report.to_dict()
    assert document["passed"] is False
    assert set(document) == {
        "reference", "candidate", "frames", "equal", "per_class_f1", "pixels", "turned", "logit_error",
        "confidence_error", "confidence_p999", "finite", "passed", "precision", "limits", "random",
    }  # fmt: skip
    assert one(constant_engine(labels), constant_engine(labels)).to_dict()["passed"] is True
    assert "\n" not in report.summary()
    assert "reference -> candidate" in report.summary()


def test_a_reference_of_nan_fails_even_where_only_labels_are_compared(
    constant_engine: MakeEngine, labels: Array
) -> None:
    reference = constant_engine(labels)
    nan = np.full((1, len(SEGFACE), SIZE, SIZE), np.nan, np.float32)
    reference.run = lambda found: Output(np.repeat(labels[None], len(found), axis=0), None, nan)
    with pytest.raises(ParityError, match="not finite"):
        one(reference, constant_engine(labels))


@pytest.mark.parametrize("batch", [None, 4])
def test_a_model_that_mixes_up_the_frames_of_a_call_fails(echo_engine: MakeEngine, batch: int | None) -> None:
    shades = [np.full((SIZE, SIZE, 3), 16 * shade, np.uint8) for shade in range(6)]
    mixing = echo_engine(SIZE, batch=batch)
    straight = mixing.run

    def mixed(found: Array) -> Output:
        return Output(np.repeat(straight(found).labels[:1], len(found), axis=0))

    mixing.run = mixed
    for candidate, equal in ((echo_engine(SIZE, batch=batch), True), (mixing, False)):
        (report,) = compare(echo_engine(SIZE), {"file": candidate}, shades, name="reference")
        assert (report.failures() == []) == equal
        assert report.frames == 6


@pytest.mark.parametrize(("seen", "passes"), [(True, True), (None, True), (False, False)])
def test_logits_behind_labels_are_asked_for(
    constant_engine: MakeEngine, labels: Array, seen: bool | None, passes: bool
) -> None:
    """An engine says itself what it can see of them; of the reference's, it is asked too."""
    for which in range(2):
        pair = [constant_engine(labels), constant_engine(labels)]
        pair[which].finite = lambda _: seen
        if passes:
            assert one(*pair).finite is (seen if which else None)
            assert one(*pair).failures() == []
        else:
            with pytest.raises(ParityError, match="logits that are not finite"):
                one(*pair)
