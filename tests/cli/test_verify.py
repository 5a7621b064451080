"""`segface-edge verify`: a model file against its reference."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

onnx = pytest.importorskip("onnx", reason="the files in question are made with onnx")

from onnx import helper, numpy_helper

from segface_edge import zoo
from segface_edge.evaluation import photos
from segface_edge.labels import RARE_PARTS, label_set
from segface_edge.spec import METADATA_KEY, ModelSpec, OutputKind

Cli = Callable[..., Any]


@pytest.fixture(autouse=True)
def few_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "bundled_faces", lambda size, real=photos.bundled_faces, **_: real(size)[::24])


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model with a tenth of one layer's weights gone."""
    model = onnx.load(zoo.DEFAULT_MODEL)
    weight = max(
        (w for w in model.graph.initializer if w.name.startswith("head.first_weight")), key=lambda w: np.prod(w.dims)
    )
    values = numpy_helper.to_array(weight).copy()
    values[:26] = 0
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    path: Path = tmp_path_factory.mktemp("damaged") / "damaged.onnx"
    onnx.save(model, path)
    return path


def renamed(path: Path, target: Path, **changes: object) -> Path:
    """A copy whose metadata says something else."""
    model = onnx.load(path)
    for entry in model.metadata_props:
        if entry.key == METADATA_KEY:
            entry.value = json.dumps(json.loads(entry.value) | changes)
    onnx.save(model, target)
    return target


def tiny(
    path: Path,
    *,
    size: int = 64,
    precision: str = "fp32",
    scale: float | Sequence[float] = 1.0,
    output: OutputKind = "logits",
    half: bool = False,
) -> Path:
    """A file whose logits follow from the red of a pixel; of two scales, the labels are the same but for rounding.

    SCALE may be one number a class; of OUTPUT `labels`, the file ends in an ArgMax, in fp16 where HALF.
    """
    order = label_set("segface")
    spec = ModelSpec(
        backbone="none",
        graph="deploy",
        size=size,
        batch=None,
        label_order=order.name,
        classes=order.classes,
        outputs=(output,),
    )
    levels = np.linspace(0, 255, len(order), dtype=np.float32).reshape(1, -1, 1, 1)
    nodes = [
        helper.make_node("Cast", ["frames"], ["floats"], to=onnx.TensorProto.FLOAT),
        helper.make_node("Gather", ["floats", "red"], ["plane"], axis=3),
        helper.make_node("Unsqueeze", ["plane", "axis"], ["planes"]),
        helper.make_node("Sub", ["planes", "levels"], ["differences"]),
        helper.make_node("Abs", ["differences"], ["distances"]),
        helper.make_node("Mul", ["distances", "scale"], ["logits"]),
    ]
    scales = -np.broadcast_to(np.float32(scale), len(order)).reshape(1, -1, 1, 1)
    constants = {"red": np.array(0), "axis": np.array([1]), "levels": levels, "scale": scales}
    results = [helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, ["N", len(order), size, size])]
    if output == "labels":
        last = "logits"
        if half:
            nodes.append(helper.make_node("Cast", ["logits"], ["halves"], to=onnx.TensorProto.FLOAT16))
            last = "halves"
        nodes += [
            helper.make_node("ArgMax", [last], ["ids"], axis=1, keepdims=0, name="last/argmax"),
            helper.make_node("Cast", ["ids"], ["labels"], to=onnx.TensorProto.UINT8),
        ]
        results = [helper.make_tensor_value_info("labels", onnx.TensorProto.UINT8, ["N", size, size])]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("frames", onnx.TensorProto.UINT8, ["N", size, size, 3])],
        results,
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: json.dumps(json.loads(spec.to_json()) | {"precision": precision})})
    onnx.save(model, path)
    return path


def test_a_file_passes_against_itself(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(zoo.PORTRAIT) as picture:
        picture.resize((200, 240)).save(folder / "0.png")
    result = cli("verify", "--ref", zoo.DEFAULT_MODEL, "--model", zoo.DEFAULT_MODEL, "--data", folder, "--json", "-")
    assert result.code == 0
    document = json.loads(result.out)
    assert document["passed"]
    assert (document["equal"], document["frames"], document["precision"]) == (1, 3, "fp32")
    assert document["limits"]["equal"] == 0.9999


def test_a_damaged_file_fails_and_is_reported_all_the_same(cli: Cli, damaged: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    result = cli("verify", "--ref", zoo.DEFAULT_MODEL, "--model", damaged, "--json", report)
    assert result.code == 4
    assert "equal labels (limit 99.99%)" in result.err
    document = json.loads(report.read_text())
    assert not document["passed"]
    assert document["equal"] < 0.9999
    lines = result.out.splitlines()
    assert "does not pass the limits of fp32" in lines[-1]
    (skin,) = (line.split() for line in lines if line.startswith("  skin "))
    assert skin[1] == str(document["pixels"]["skin"])
    assert float(skin[3]) == pytest.approx(100 * document["per_class_f1"]["skin"], abs=0.006)


def test_lower_precision_has_wider_limits(cli: Cli, tmp_path: Path) -> None:
    """The limits are those that the file's own precision has."""
    lower = renamed(zoo.DEFAULT_MODEL, tmp_path / "int8.onnx", precision="int8")
    result = cli("verify", "--ref", zoo.DEFAULT_MODEL, "--model", lower)
    assert result.code == 0
    assert "passes the limits of int8" in result.out
    warned = cli("verify", "--ref", lower, "--model", zoo.DEFAULT_MODEL)
    assert warned.code == 0
    assert "is itself int8" in warned.err


@pytest.mark.parametrize("missing", ["--ref", "--model"])
def test_a_file_that_is_not_there(cli: Cli, missing: str, tmp_path: Path) -> None:
    files = {"--ref": zoo.DEFAULT_MODEL, "--model": zoo.DEFAULT_MODEL, missing: tmp_path / "absent.onnx"}
    result = cli("verify", *(word for pair in files.items() for word in pair))
    assert result.code == 1
    assert "absent.onnx: no such file" in result.err


def test_other_classes_cannot_be_compared(cli: Cli, tmp_path: Path) -> None:
    other = renamed(zoo.DEFAULT_MODEL, tmp_path / "other.onnx", label_order="mine")
    result = cli("verify", "--ref", zoo.DEFAULT_MODEL, "--model", other)
    assert result.code == 5
    assert "another label order" in result.err


def test_a_checkpoint_is_a_reference_at_the_models_size(cli: Cli) -> None:
    pytest.importorskip("torch", reason="a checkpoint needs torch")
    result = cli("verify", "--ref", zoo.DEFAULT_CHECKPOINT, "--model", zoo.DEFAULT_MODEL)
    assert result.code == 0
    assert f"{zoo.DEFAULT_CHECKPOINT.name} -> {zoo.DEFAULT_MODEL.name}" in result.out


def test_the_limits_follow_from_the_precision(cli: Cli, tmp_path: Path) -> None:
    """Logits that are off by a thousandth of the largest are much in fp32, and little in fp16."""
    ref = tiny(tmp_path / "ref.onnx")
    for precision, code in (("fp32", 4), ("fp16", 0), ("int8", 0)):
        model = tiny(tmp_path / f"{precision}.onnx", precision=precision, scale=1.001)
        result = cli("verify", "--ref", ref, "--model", model, "--json", "-")
        document = json.loads(result.out)
        assert result.code == code, result.err
        assert document["passed"] is (code == 0)
        assert document["precision"] == precision
        assert document["logit_error"] == pytest.approx(1e-3, rel=0.01)
        assert set(document["per_class_f1"].values()) <= {1.0, None}
        assert ("logit error" in result.err) is (code == 4)


def test_a_class_that_fails_is_marked_in_its_row(cli: Cli, damaged: Path) -> None:
    lines = cli("verify", "--ref", zoo.DEFAULT_MODEL, "--model", damaged).out.splitlines()
    document = json.loads(cli("verify", "--ref", zoo.DEFAULT_MODEL, "--model", damaged, "--json", "-").out)
    for name, f1 in document["per_class_f1"].items():
        (row,) = (line for line in lines if line.split()[:1] == [name])
        if document["pixels"][name] < 1000:
            limit = "small_rare_turned" if name in RARE_PARTS else "small_turned"
            assert ("FAILS" in row) is (document["turned"][name] > document["limits"][limit])
            assert row.split()[4] == "few"
        else:
            assert ("FAILS" in row) is (f1 < 0.995)
            assert row.split()[4] == "99.50"
    assert any("FAILS" in line for line in lines)


def test_two_sizes_cannot_be_compared(cli: Cli, tmp_path: Path) -> None:
    ref, model = tiny(tmp_path / "ref.onnx", size=64), tiny(tmp_path / "model.onnx", size=96)
    result = cli("verify", "--ref", ref, "--model", model)
    assert (result.code, result.out) == (5, "")
    assert f"{model}: has another input size than {ref} (96, not 64)" in result.err


def test_a_precision_that_there_is_not(cli: Cli, tmp_path: Path) -> None:
    ref, model = tiny(tmp_path / "ref.onnx"), tiny(tmp_path / "model.onnx", precision="fp8")
    result = cli("verify", "--ref", ref, "--model", model)
    assert (result.code, result.out) == (5, "")
    assert "model.onnx: its segface-edge metadata is wrong: precision is 'fp8'" in result.err


@pytest.mark.parametrize("scale", [float("nan"), float("inf")])
@pytest.mark.parametrize("which", ["--ref", "--model"])
def test_logits_that_are_not_finite_fail(cli: Cli, tmp_path: Path, which: str, scale: float) -> None:
    files = {"--ref": tiny(tmp_path / "ref.onnx"), "--model": tiny(tmp_path / "model.onnx", precision="int8")}
    files[which] = tiny(tmp_path / "broken.onnx", precision="int8", scale=scale)
    result = cli("verify", *(word for pair in files.items() for word in pair))
    assert (result.code, result.out) == (4, "")
    assert "not finite" in result.err


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("which", ["--ref", "--model"])
def test_a_file_that_gives_labels_only_does_not_hide_its_logits(
    cli: Cli, tmp_path: Path, which: str, value: float
) -> None:
    """One class of 19 is not finite: ArgMax never takes it for a NaN, so that all labels seem to be those of a sound
    file that does not know the class."""
    scales = [1.0] * 18 + [value]
    files = {
        name: tiny(tmp_path / f"{name[2:]}.onnx", output="labels", precision="int8") for name in ("--ref", "--model")
    }
    assert cli("verify", *(word for pair in files.items() for word in pair)).code == 0
    files[which] = tiny(tmp_path / "broken.onnx", output="labels", precision="int8", scale=scales)
    result = cli("verify", *(word for pair in files.items() for word in pair))
    assert (result.code, result.out) == (4, "")
    assert "broken.onnx" in result.err
    assert "logits that are not finite" in result.err


def test_what_half_precision_does_not_hold_is_seen_in_a_file_that_gives_labels_only(cli: Cli, tmp_path: Path) -> None:
    """Logits of some 255,000 in fp32 are infinite in fp16: several classes are then equally large."""
    ref = tiny(tmp_path / "ref.onnx", output="labels", scale=1000.0)
    model = tiny(tmp_path / "half.onnx", output="labels", scale=1000.0, precision="fp16", half=True)
    result = cli("verify", "--ref", ref, "--model", model)
    assert (result.code, result.out) == (4, "")
    assert "half.onnx: gives logits that are not finite" in result.err
    assert "half precision" in result.err
    fine = tiny(tmp_path / "fine.onnx", output="labels", scale=100.0, precision="fp16", half=True)
    passed = cli("verify", "--ref", ref, "--model", fine, "--json", "-")
    assert (passed.code, json.loads(passed.out)["finite"]) == (0, True)


def test_a_file_whose_logits_cannot_be_seen_says_so(cli: Cli, tmp_path: Path) -> None:
    """Without an ArgMax there is nothing to look before."""
    order = label_set("segface")
    spec = ModelSpec(
        backbone="none",
        graph="deploy",
        size=64,
        batch=None,
        label_order=order.name,
        classes=order.classes,
        outputs=("labels",),
    )
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["": 18]>
        hidden (uint8[N, 64, 64, 3] frames) => (uint8[N, 64, 64] labels)
        <int64 red = {0}> { wide = Cast<to = 1>(frames)  plane = Gather<axis = 3>(wide, red)
          many = Constant<value_float = 14.0>()  few = Div(plane, many)  labels = Cast<to = 2>(few) }"""
    )
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.save(model, tmp_path / "hidden.onnx")
    result = cli("verify", "--ref", tmp_path / "hidden.onnx", "--model", tmp_path / "hidden.onnx")
    assert result.code == 0
    assert "logits: not to be seen in this file" in result.out
    ref = tiny(tmp_path / "ref.onnx")
    assert "logits: finite on all faces" in cli("verify", "--ref", ref, "--model", ref).out


@pytest.mark.parametrize("arguments", [["--model", "a.onnx"], ["--ref", "a.onnx"], []])
def test_both_files_must_be_named(cli: Cli, arguments: list[str]) -> None:
    result = cli("verify", *arguments)
    assert (result.code, result.out) == (2, "")
    assert "Missing option" in result.err
