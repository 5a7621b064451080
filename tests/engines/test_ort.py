"""ONNX Runtime: the contract between a file's metadata and its graph, and what is no model at all."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from segface_edge import zoo
from segface_edge.engines.ort import optimisation
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.engines.ort.metadata import read_metadata
from segface_edge.engines.ort.optimisation import allowed
from segface_edge.errors import (
    IncompatibleEngineError,
    MissingDependencyError,
    ModelFileError,
    SegFaceEdgeError,
    UsageError,
)
from segface_edge.pictures import fitting, reading
from segface_edge.spec import METADATA_KEY, ModelSpec

SIZE, CLASSES = 32, ("background", "skin", "hair", "nose")
DEPLOY = ModelSpec(
    backbone="none",
    graph="deploy",
    size=SIZE,
    batch=None,
    label_order="own",
    classes=CLASSES,
    outputs=("labels",),
)
REFERENCE = replace(DEPLOY, graph="reference", outputs=("logits",))
WEIGHTS = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0.5, 0.25]], np.float32)

Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Writes a tiny model that keeps `real`'s contract, with the metadata of `stated`.

    Deploy: the label is the red channel, the confidence the green one. Reference: the logits are WEIGHTS times the
    input.
    """
    onnx = pytest.importorskip("onnx", reason="tiny models are built with onnx")
    helper, kinds = onnx.helper, onnx.TensorProto

    def write(
        real: ModelSpec, stated: ModelSpec | str | None, *, input_name: str | None = None, input_type: int | None = None
    ) -> Path:
        n, s, k = real.batch or "N", real.size, len(real.classes)
        deploy = real.graph == "deploy"
        name = input_name or ("frames" if deploy else "images")
        kind = input_type or (kinds.UINT8 if deploy else kinds.FLOAT)
        shape = [n, s, s, 3] if deploy else [n, 3, s, s]
        nodes, constants, outputs = [], [], []
        for i, output in enumerate(real.outputs):
            if deploy:
                constants.append(onnx.numpy_helper.from_array(np.array(i, np.int64), f"channel{i}"))
                nodes.append(helper.make_node("Gather", [name, f"channel{i}"], [f"raw{i}"], axis=3))
                nodes.append(helper.make_node("Cast", [f"raw{i}"], [output], to=kinds.UINT8))
                outputs.append(helper.make_tensor_value_info(output, kinds.UINT8, [n, s, s]))
            else:
                constants.append(onnx.numpy_helper.from_array(WEIGHTS[:k, :, None, None], "weights"))
                nodes.append(helper.make_node("Conv", [name, "weights"], [output]))
                outputs.append(helper.make_tensor_value_info(output, kinds.FLOAT, [n, k, s, s]))
        inputs = [helper.make_tensor_value_info(name, kind, shape)]
        graph = helper.make_graph(nodes, "tiny", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
        if stated is not None:
            text = stated if isinstance(stated, str) else stated.to_json()
            helper.set_model_props(model, {METADATA_KEY: text})
        onnx.checker.check_model(model)
        path = tmp_path / "tiny.onnx"
        onnx.save(model, path)
        return path

    return write


def frames(count: int, classes: int = 4) -> npt.NDArray[np.uint8]:
    stack = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    stack[..., 0] = stack[..., 0].astype(int) % classes
    return stack


# ---------------------------------------------------------------------------------------------------------------------
# What runs
# ---------------------------------------------------------------------------------------------------------------------


def test_a_deploy_graph_takes_and_gives_bytes(build: Build) -> None:
    with OrtEngine(build(DEPLOY, DEPLOY)) as engine:
        given = frames(3)
        output = engine.infer(given)
    assert engine.spec == DEPLOY
    assert output.labels.dtype == np.uint8
    assert np.array_equal(output.labels, given[..., 0])
    assert output.confidence is None
    assert output.logits is None


def test_confidence_is_given_where_the_file_has_it(build: Build) -> None:
    spec = replace(DEPLOY, outputs=("labels", "confidence"))
    given = frames(2)
    output = OrtEngine(build(spec, spec)).infer(given)
    assert np.array_equal(output.labels, given[..., 0])
    assert np.array_equal(output.confidence, given[..., 1])


@pytest.mark.parametrize(("threads", "expected"), [(2, [1, 1, 1]), (8, [3])])
def test_with_few_threads_frames_are_computed_one_after_another(
    threads: int, expected: list[int], build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, calls = frames(3), []
    with OrtEngine(build(DEPLOY, DEPLOY), threads=threads) as engine:
        run = engine.run
        monkeypatch.setattr(engine, "run", lambda part: (calls.append(len(part)), run(part))[1])
        assert np.array_equal(engine.infer(given).labels, given[..., 0])
    assert calls == expected


def test_a_fixed_batch_is_kept(build: Build) -> None:
    spec = replace(DEPLOY, batch=2)
    given = frames(5)
    assert np.array_equal(OrtEngine(build(spec, spec)).infer(given).labels, given[..., 0])


@pytest.mark.parametrize(
    ("mean", "std"),
    [((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), ((0.5, 0.25, 0.125), (1.0, 0.5, 0.25))],
    ids=["imagenet", "other"],
)
def test_a_reference_graph_gets_normalised_planes(
    build: Build, mean: tuple[float, float, float], std: tuple[float, float, float]
) -> None:
    spec = replace(REFERENCE, mean=mean, std=std)
    given = frames(3, classes=256)
    output = OrtEngine(build(spec, spec)).infer(given)
    normalised = (given / 255.0 - mean) / std
    wanted = np.einsum("kc,nyxc->nkyx", WEIGHTS.astype(np.float64), normalised)
    assert output.logits is not None
    assert output.logits.dtype == np.float32
    assert np.abs(output.logits - wanted).max() < 1e-5
    ordered = np.sort(wanted, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 1e-4
    assert clear.mean() > 0.9
    assert output.labels.dtype == np.uint8
    assert np.array_equal(output.labels[clear], wanted.argmax(axis=1)[clear])


@pytest.mark.parametrize("threads", [None, 1, 2])
def test_it_says_what_runs_where(threads: int | None) -> None:
    with OrtEngine(zoo.DEFAULT_MODEL, threads=threads) as engine:
        assert engine.device == "cpu"
        assert engine.describe() == {
            "runtime": "onnxruntime",
            "version": onnxruntime.__version__,
            "providers": ["CPUExecutionProvider"],
            "threads": threads or "default",
            "optimisation": "all",
        }


def test_products_of_int8_are_not_left_to_a_cpu_where_they_saturate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Full weights times full values: 16 bits do not hold the sum of two such products."""
    onnx = pytest.importorskip("onnx", reason="tiny models are built with onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    steps = {"x": np.float32(3 / 127), "w": np.float32(1 / 127)}
    weights = np.full((4, 3, 3, 3), 127, np.int8) * np.array([1, -1, 1, -1], np.int8)[:, None, None, None]
    constants = {
        "w": weights,
        **{f"{name}_step": step for name, step in steps.items()},
        "zero": np.array(0, np.int8),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["images", "x_step", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "x_step", "zero"], ["dq"]),
        helper.make_node("DequantizeLinear", ["w", "w_step", "zero"], ["dw"]),
        helper.make_node("Conv", ["dq", "dw"], ["logits"], pads=[1, 1, 1, 1]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("images", kinds.FLOAT, ["N", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info("logits", kinds.FLOAT, ["N", 4, SIZE, SIZE])],
        [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: replace(REFERENCE, precision="int8").to_json()})
    onnx.save(model, tmp_path / "int8.onnx")
    monkeypatch.setattr(optimisation, "_int8_products", lambda: False)
    with OrtEngine(tmp_path / "int8.onnx") as engine:
        white = np.full((1, SIZE, SIZE, 3), 255, np.uint8)
        logits = engine.infer(white).logits
        assert "products in fp32" in str(engine.describe()["optimisation"])
    largest = np.rint((1 - np.array(REFERENCE.mean)) / REFERENCE.std / steps["x"]) * steps["x"]
    assert logits is not None
    np.testing.assert_allclose(logits[0, :, 5, 5], 9 * largest.sum() * np.array([1, -1, 1, -1]), rtol=1e-5)


def test_the_number_of_threads_does_not_change_the_labels(portrait: Path, released_size: int) -> None:
    frame = fitting.fit(reading.load(portrait), released_size).pixels[None]
    one, two = (OrtEngine(zoo.DEFAULT_MODEL, threads=threads).infer(frame).labels for threads in (1, 2))
    assert (one == two).mean() > 0.9999
    assert len(np.unique(one)) > 5


# ---------------------------------------------------------------------------------------------------------------------
# Metadata that the graph belies
# ---------------------------------------------------------------------------------------------------------------------

LIES: dict[str, tuple[ModelSpec, ModelSpec]] = {
    "size": (DEPLOY, replace(DEPLOY, size=64)),
    "batch fixed": (DEPLOY, replace(DEPLOY, batch=1)),
    "batch open": (replace(DEPLOY, batch=1), DEPLOY),
    "another batch": (replace(DEPLOY, batch=1), replace(DEPLOY, batch=2)),
    "an output too many": (DEPLOY, replace(DEPLOY, outputs=("labels", "confidence"))),
    "an output too few": (replace(DEPLOY, outputs=("labels", "confidence")), DEPLOY),
    "order of outputs": (
        replace(DEPLOY, outputs=("labels", "confidence")),
        replace(DEPLOY, outputs=("confidence", "labels")),
    ),
    "name of the output": (DEPLOY, replace(DEPLOY, outputs=("logits",))),
    "graph": (DEPLOY, replace(DEPLOY, graph="reference")),
    "number of classes": (REFERENCE, replace(REFERENCE, classes=CLASSES[:3])),
}


@pytest.mark.parametrize("lie", LIES)
def test_metadata_that_the_graph_belies_is_refused(build: Build, lie: str) -> None:
    real, stated = LIES[lie]
    path = build(real, stated)
    with pytest.raises(IncompatibleEngineError, match=r"tiny\.onnx: its metadata promises .*, the graph has") as caught:
        OrtEngine(path)
    assert caught.value.exit_code == 5


def test_the_message_tells_the_promise_from_the_fact(build: Build) -> None:
    with pytest.raises(IncompatibleEngineError) as caught:
        OrtEngine(build(DEPLOY, replace(DEPLOY, size=64, batch=2)))
    assert "promises frames 2x64x64x3 uint8, the graph has frames Nx32x32x3 uint8" in str(caught.value)


def test_another_input_name_is_refused(build: Build) -> None:
    with pytest.raises(IncompatibleEngineError, match="the graph has pixels"):
        OrtEngine(build(DEPLOY, DEPLOY, input_name="pixels"))


def test_another_input_type_is_refused(build: Build) -> None:
    onnx = pytest.importorskip("onnx", reason="tiny models are built with onnx")
    with pytest.raises(IncompatibleEngineError, match="the graph has frames Nx32x32x3 float32"):
        OrtEngine(build(DEPLOY, DEPLOY, input_type=onnx.TensorProto.FLOAT))
    with pytest.raises(IncompatibleEngineError, match=r"the graph has frames Nx32x32x3 tensor\(int32\)"):
        OrtEngine(build(DEPLOY, DEPLOY, input_type=onnx.TensorProto.INT32))


def test_labels_beyond_the_classes_are_refused_when_they_appear(build: Build) -> None:
    engine = OrtEngine(build(DEPLOY, DEPLOY))
    assert engine.infer(frames(1)).labels.max() == 3
    with pytest.raises(IncompatibleEngineError, match="gives the label 4, its metadata names 4 classes"):
        engine.infer(frames(1, classes=5))


def test_a_file_without_metadata_is_refused(build: Build) -> None:
    with pytest.raises(IncompatibleEngineError, match="has no segface-edge metadata"):
        OrtEngine(build(DEPLOY, None))


@pytest.mark.parametrize("text", ["", "{", '{"version": 2}', '{"version": 1}'])
def test_metadata_that_is_no_spec_is_refused(build: Build, text: str) -> None:
    with pytest.raises(IncompatibleEngineError, match=r"tiny\.onnx: (its|has no) segface-edge metadata"):
        OrtEngine(build(DEPLOY, text))


def test_a_model_that_keeps_weights_in_another_file_is_refused(build: Build, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="tiny models are built with onnx")
    path = build(REFERENCE, REFERENCE)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").is_file()
    with pytest.raises(ModelFileError, match="keeps its weights in another file"):
        OrtEngine(path)


# ---------------------------------------------------------------------------------------------------------------------
# What is no model
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 1000, b"I am not a model.\n" * 50, np.random.default_rng(0).bytes(5000)],
    ids=["empty", "zeros", "text", "random"],
)
def test_what_is_no_model_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=r"bad\.onnx: is not a readable ONNX model") as caught:
        OrtEngine(path)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.5, 0.9, 0.9999])
def test_a_truncated_model_is_refused(tmp_path: Path, share: float) -> None:
    content = zoo.DEFAULT_MODEL.read_bytes()
    path = tmp_path / "cut.onnx"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SegFaceEdgeError, match=r"cut\.onnx") as caught:
        OrtEngine(path)
    assert isinstance(caught.value, ModelFileError | IncompatibleEngineError)


def test_a_missing_model_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"absent\.onnx: no such file"):
        OrtEngine(tmp_path / "absent.onnx")


def test_a_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        OrtEngine(tmp_path)


# ---------------------------------------------------------------------------------------------------------------------
# Devices
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["cuda", "cuda:0", "cuda:3"])
def test_cuda_without_its_provider_is_an_error_and_never_a_run_on_the_cpu(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(MissingDependencyError, match="pip install onnxruntime-gpu") as caught:
        OrtEngine(zoo.DEFAULT_MODEL, device=device)
    assert caught.value.exit_code == 3
    assert device in str(caught.value)


@pytest.mark.skipif(
    "CUDAExecutionProvider" in onnxruntime.get_available_providers(), reason="this ONNX Runtime is built with CUDA"
)
def test_cuda_on_a_cpu_build_is_a_missing_dependency() -> None:
    with pytest.raises(MissingDependencyError, match="built without CUDA"):
        OrtEngine(zoo.DEFAULT_MODEL, device="cuda")


def test_a_cuda_provider_that_does_not_load_is_an_error_and_never_a_run_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """ONNX Runtime itself falls back to the CPU, with a line in its log."""

    class FallenBack:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def get_providers(self) -> list[str]:
            return ["CPUExecutionProvider"]

        def get_modelmeta(self) -> Any:
            return SimpleNamespace(custom_metadata_map={})

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    monkeypatch.setattr(onnxruntime, "InferenceSession", FallenBack)
    with pytest.raises(MissingDependencyError, match="CUDA provider did not load"):
        OrtEngine(zoo.DEFAULT_MODEL, device="cuda")


@pytest.mark.parametrize("device", ["", "CPU", "gpu", "cpu:", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:0:1"])
def test_an_unknown_device_is_a_usage_error(device: str) -> None:
    with pytest.raises(UsageError, match=f"device '{device}': is unknown"):
        OrtEngine(zoo.DEFAULT_MODEL, device=device)


@pytest.mark.parametrize("kind", ["cpu", "cuda"])
def test_biases_of_int8_files_stay_as_they_are(kind: str) -> None:
    """ONNX Runtime would make int32 of them, by scales whose product fp16 does not hold."""
    left_out, _, words = allowed("int8", kind)
    assert "WeightBiasQuantization" in left_out
    assert "WeightBiasQuantization" in words
    assert allowed("fp32", kind) == ([], {}, "all")
    assert "WeightBiasQuantization" not in allowed("fp16", kind)[0]


def test_what_is_for_a_cpu_has_fp32_around_it_which_may_be_laid_out_for_one() -> None:
    assert "NchwcTransformer" in allowed("int8", "cpu")[0]
    assert allowed("int8", "cpu", "cpu")[0] == ["WeightBiasQuantization"]


def test_metadata_that_are_no_text_are_refused(build: Build) -> None:
    path = build(DEPLOY, DEPLOY)
    content = path.read_bytes()
    at = content.index(b'"backbone"')
    path.write_bytes(content[:at] + b"\xff\xfe" + content[at + 2 :])
    for read in (read_metadata, OrtEngine):
        with pytest.raises(IncompatibleEngineError, match=r"tiny\.onnx: has metadata that are no text"):
            read(path)
