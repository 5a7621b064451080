"""What a model file says of itself."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from segface_edge.errors import IncompatibleEngineError
from segface_edge.labels import LABEL_SETS
from segface_edge.spec import ModelSpec

SPEC = ModelSpec(
    backbone="mobilenet",
    graph="deploy",
    size=256,
    batch=None,
    label_order="segface",
    classes=LABEL_SETS["segface"].classes,
    outputs=("labels", "confidence"),
    trained_size=512,
    precision="fp16",
    terms="research only",
    provenance={"weights_sha256": "ab" * 32, "segface_edge": "0.1.0"},
)


def document(**changes: object) -> str:
    return json.dumps({**json.loads(SPEC.to_json()), **changes})


def without(name: str) -> str:
    return json.dumps({key: value for key, value in json.loads(SPEC.to_json()).items() if key != name})


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        replace(SPEC, batch=4, graph="reference", outputs=("logits",), trained_size=None, precision="int8"),
        replace(SPEC, mean=(0.5, 0.5, 0.5), std=(0.25, 0.5, 1.0), provenance={}),
        replace(SPEC, label_order="own", classes=("background", "thing")),
        replace(SPEC, warp="outside"),
        replace(SPEC, warp="inside"),
    ],
    ids=["deploy", "reference", "statistics", "own order", "warped", "warps"],
)
def test_a_spec_round_trips(spec: ModelSpec) -> None:
    assert ModelSpec.from_json(spec.to_json(), source="x.onnx") == spec


def test_equal_specs_are_equal_texts() -> None:
    shuffled = replace(SPEC, provenance={"segface_edge": "0.1.0", "weights_sha256": "ab" * 32})
    assert shuffled.to_json() == SPEC.to_json()
    assert replace(SPEC, size=512).to_json() != SPEC.to_json()


def test_who_knows_of_no_warp_reads_what_does_not_warp() -> None:
    assert "warp" not in json.loads(SPEC.to_json())
    assert ModelSpec.from_json(SPEC.to_json(), source="x.onnx").warp == "none"


def test_whose_kernels_int8_is_for_is_said_where_it_is_not_as_ever() -> None:
    assert "made_for" not in json.loads(SPEC.to_json())
    spec = replace(SPEC, precision="int8", made_for="cpu")
    assert ModelSpec.from_json(spec.to_json(), source="x.onnx") == spec
    with pytest.raises(IncompatibleEngineError, match="made_for is 'npu'"):
        ModelSpec.from_json(document(made_for="npu"), source="x.onnx")


def test_the_document_states_version_1() -> None:
    assert json.loads(SPEC.to_json())["version"] == 1


def test_optional_entries_have_defaults() -> None:
    names = ("backbone", "graph", "size", "batch", "label_order", "classes", "outputs", "version")
    text = json.dumps({key: value for key, value in json.loads(SPEC.to_json()).items() if key in names})
    spec = ModelSpec.from_json(text, source="x.onnx")
    assert (spec.precision, spec.trained_size, spec.terms) == ("fp32", None, "not stated")
    assert spec.mean == (0.485, 0.456, 0.406)
    assert spec.std == (0.229, 0.224, 0.225)


def test_labels_are_the_files_own_classes() -> None:
    spec = replace(SPEC, label_order="own", classes=("background", "thing"))
    assert spec.labels.name == "own"
    assert spec.labels.classes == ("background", "thing")


@pytest.mark.parametrize(
    ("order", "classes", "message"),
    [
        # As files of 11 classes were written when LaPa's left was taken for the subject's.
        (
            "lapa",
            "background skin l_brow r_brow l_eye r_eye nose u_lip mouth l_lip hair",
            "id 2 of the label order 'lapa' is called l_brow, which is r_brow",
        ),
        (
            "helen",
            "background skin r_brow l_brow l_eye r_eye nose u_lip mouth l_lip hair",
            "id 4 of the label order 'helen' is called l_eye, which is r_eye",
        ),
        ("lapa", "background skin", "id 2 of the label order 'lapa' is called nothing, which is r_brow"),
        (
            "lapa",
            "background skin r_brow l_brow r_eye l_eye nose u_lip mouth l_lip hair hat",
            "id 11 of the label order 'lapa' is called hat, which is not in it",
        ),
    ],
)
def test_a_known_order_under_other_names_is_refused(order: str, classes: str, message: str) -> None:
    text = document(label_order=order, classes=classes.split())
    with pytest.raises(IncompatibleEngineError, match=message):
        ModelSpec.from_json(text, source="x.onnx")


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        SPEC.size = 64  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backbone", 7),
        ("backbone", None),
        ("graph", "training"),
        ("graph", ["deploy"]),
        ("size", 0),
        ("size", -256),
        ("size", 250),
        ("size", 8192),
        ("size", 256.0),
        ("size", "256"),
        ("size", True),
        ("size", None),
        ("batch", 0),
        ("batch", 1025),
        ("batch", True),
        ("batch", "N"),
        ("label_order", 1),
        ("classes", []),
        ("classes", ["skin", "background"]),
        ("classes", ["background", "skin", "skin"]),
        ("classes", ["background", 1]),
        ("classes", "background"),
        ("classes", ["background", *map(str, range(256))]),
        ("outputs", []),
        ("outputs", ["labels", "depth"]),
        ("outputs", "labels"),
        ("outputs", ["confidence"]),
        ("outputs", ["labels", "labels"]),
        ("trained_size", 0),
        ("trained_size", "512"),
        ("warp", "tanh"),
        ("warp", True),
        ("precision", "bf16"),
        ("precision", None),
        ("mean", [0.5, 0.5]),
        ("mean", "grey"),
        ("mean", [0.5, 0.5, None]),
        ("mean", [0.5, 0.5, float("nan")]),
        ("std", [0.5, 0.0, 0.5]),
        ("std", [0.5, -1, 0.5]),
        ("std", [0.5, True, 0.5]),
        ("std", [0.5, 0.5, float("inf")]),
        ("terms", None),
        ("terms", ["a"]),
        ("provenance", "the web"),
        ("provenance", {"torch": 2}),
    ],
)
def test_a_wrong_entry_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(IncompatibleEngineError, match=rf"^model\.onnx: .*wrong: {name} is ") as caught:
        ModelSpec.from_json(document(**{name: value}), source="model.onnx")
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("name", ["backbone", "graph", "size", "batch", "label_order", "classes", "outputs"])
def test_a_missing_entry_is_refused_by_name(name: str) -> None:
    with pytest.raises(IncompatibleEngineError, match=rf"missing: {name}"):
        ModelSpec.from_json(without(name), source="model.onnx")


def test_unknown_entries_are_refused_by_name() -> None:
    with pytest.raises(IncompatibleEngineError, match="unknown entries color, zoom"):
        ModelSpec.from_json(document(zoom=1, color="bgr"), source="model.onnx")


@pytest.mark.parametrize("version", [0, 2, "1", None, 1.5])
def test_another_version_is_refused(version: object) -> None:
    with pytest.raises(IncompatibleEngineError, match=r"version .*reads version 1"):
        ModelSpec.from_json(document(version=version), source="model.onnx")


def test_a_document_without_version_is_refused() -> None:
    with pytest.raises(IncompatibleEngineError, match="version None"):
        ModelSpec.from_json(without("version"), source="model.onnx")


@pytest.mark.parametrize("text", ["", "{", "hello", "[1, 2]", "null", "3", "[" * 100_000])
def test_text_that_is_no_document_is_refused(text: str) -> None:
    with pytest.raises(IncompatibleEngineError, match=r"not JSON|not a JSON object"):
        ModelSpec.from_json(text, source="model.onnx")
