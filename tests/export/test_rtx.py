"""NVIDIA's own parser and builder take every exported file: TensorRT-RTX builds on a machine without a GPU.

What it makes cannot be run or even loaded here; what its parser refuses is what TensorRT on a device would refuse. The
types in which the engine's layers compute are in what the builder says.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="an export needs torch")
onnx = pytest.importorskip("onnx", reason="an export needs onnx")
# It loads the libraries that the bindings need.
pytest.importorskip("onnxruntime_ep_nv_tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install '.[rtx]'")
trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed: pip install '.[rtx]'")

from segface_edge import zoo
from segface_edge.engines.nvidia.build import build as product_build
from segface_edge.engines.nvidia.config import BuildConfig
from segface_edge.engines.nvidia.plan import read_plan
from segface_edge.engines.nvidia.write import write_plan
from segface_edge.errors import IncompatibleEngineError
from segface_edge.evaluation import photos
from segface_edge.export import pipeline, quantize
from segface_edge.export import precision as precision_module
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import run_export
from segface_edge.export.quantize import QuantizeConfig, run_quantize
from segface_edge.export.sensitivity import Candidate, Sensitivity
from segface_edge.spec import METADATA_KEY, ModelSpec, OutputKind, Precision

from .conftest import SIZE

TARGETS = ("SM86", "SM120")
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
OUTPUTS: tuple[OutputKind, ...] = ("labels", "confidence", "logits")
MAX_BATCH = 3
# The builder's account of a layer: its kind, and the type of its first input. A convolution is a `correlation` there, a
# matrix product a `gemm`; either may be part of a `runtime_fusion`.
LAYER = re.compile(r"LayerType: (\w+), Inputs: \[ \{.*?Datatype: (\w+)")


class Log(trt.ILogger):  # type: ignore[misc, name-defined]
    """Keeps what NVIDIA's code complains of, and its account of the engine's layers."""

    def __init__(self) -> None:
        super().__init__()
        self.complaints: list[str] = []
        self.layers: Counter[tuple[str, str]] = Counter()

    def log(self, severity: Any, message: str) -> None:
        if severity <= trt.ILogger.ERROR:
            self.complaints.append(message)
        elif "LayerType" in message:
            self.layers.update(LAYER.findall(message))


@dataclass
class Built:
    """An engine.

    Attributes:
        plan: the serialised engine.
        tensors: name, type and shape of the network's inputs and outputs.
        layers: how many there are by kind and type of the first input.
    """

    plan: bytes
    tensors: list[tuple[str, str, tuple[int, ...]]]
    layers: Counter[tuple[str, str]]

    def products(self, dtype: str) -> int:
        """How many layers multiply matrices of this type or convolve with it."""
        return sum(self.layers[kind, dtype] for kind in ("correlation", "gemm"))


def build(path: Path, target: str) -> Built:
    """An engine for the target.

    Raises:
        AssertionError: the parser or the builder refuses the file, with their words.
    """
    log = Log()
    builder = trt.Builder(log)
    # Precision is what the file says, as TensorRT 11 has it.
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    parsed = parser.parse_from_file(str(path))
    errors = [f"{parser.get_error(i).node_name()}: {parser.get_error(i).desc()}" for i in range(parser.num_errors)]
    assert parsed, f"NVIDIA's parser refuses {path.name}: {errors} {log.complaints}"
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(getattr(trt.ComputeCapability, target), 0)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    source = network.get_input(0)
    if -1 in tuple(source.shape):
        frame = tuple(source.shape)[1:]
        profile = builder.create_optimization_profile()
        profile.set_shape(source.name, (1, *frame), (1, *frame), (MAX_BATCH, *frame))
        config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None, f"NVIDIA's builder refuses {path.name}: {log.complaints}"
    tensors = [source, *(network.get_output(i) for i in range(network.num_outputs))]
    return Built(bytes(plan), [(one.name, str(one.dtype), tuple(one.shape)) for one in tensors], log.layers)


def _set_sensitivities(_: Any, candidates: Sequence[Candidate], *__: Any) -> list[Sensitivity]:
    """What leaves islands of fp32 in a graph of fp16, and the first convolution out of int8."""
    islands = ("LayerNormalization", "Softmax")
    return [
        Sensitivity(name=one.name, kind=one.kind, error=float(index == 0 or one.kind in islands), turned=0.0)
        for index, one in enumerate(candidates)
    ]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Files, each made once. At this size the labels are poor, and no lower precision keeps them: no parity here."""
    folder = tmp_path_factory.mktemp("rtx")
    (folder / "photos").mkdir()
    for index, frame in enumerate(photos.bundled_faces(SIZE)[:3]):
        Image.fromarray(frame).save(folder / "photos" / f"{index}.png")
    made: dict[tuple[object, ...], Path] = {}
    patch = pytest.MonkeyPatch()
    for module in (pipeline, quantize):
        patch.setattr(module, "bundled_faces", lambda size, **_: photos.bundled_faces(size)[:1])
    patch.setattr(pipeline.Parity, "check", lambda *_: None)
    # Measuring takes as long as an export. Which nodes are lowered is tested elsewhere.
    patch.setattr(precision_module, "sensitivities", _set_sensitivities)

    def make(precision: Precision, /, **options: Any) -> Path:
        key = (precision, *options.items())
        if key not in made:
            path = folder / f"{len(made)}.onnx"
            if precision == "fp32":
                run_export(ExportConfig(imgsz=SIZE, **options), path)
            else:
                # As `export --precision` does it, but from a file that is already there.
                calibration = folder / "photos" if precision == "int8" else None
                run_quantize(make("fp32", **options), QuantizeConfig(precision=precision, calib_data=calibration), path)
            made[key] = path
        return made[key]

    yield make
    patch.undo()


# `make test` has the most intricate file (int8 amid fp16), `make test-slow` all others.
QUICK = ("int8", "labels", True, "SM86")
EVERY = [
    pytest.param(
        precision,
        output,
        dynamic,
        target,
        marks=() if (precision, output, dynamic, target) == QUICK else pytest.mark.slow,
        id=f"{precision}-{output}-{'dynamic' if dynamic else 'static'}-{target}",
    )
    for precision in PRECISIONS
    for output in OUTPUTS
    for dynamic in (False, True)
    for target in TARGETS
    # The parser and most of the builder are the same for both; the second gets the outputs that differ in type.
    if target == TARGETS[0] or (dynamic and output != "confidence")
]


@pytest.mark.parametrize(("precision", "output", "dynamic", "target"), EVERY)
def test_nvidias_builder_takes_every_deploy_graph(
    file: Callable[..., Path], precision: Precision, output: OutputKind, dynamic: bool, target: str
) -> None:
    path = file(precision, output=output, dynamic=dynamic)
    built = build(path, target)
    source, *results = built.tensors
    n = -1 if dynamic else 1
    assert source == ("frames", "DataType.UINT8", (n, SIZE, SIZE, 3))
    maps = [(name, "DataType.UINT8", (n, SIZE, SIZE)) for name in ("labels", "confidence")]
    wanted = {"labels": maps[:1], "confidence": maps, "logits": [("logits", "DataType.FLOAT", (n, 19, SIZE, SIZE))]}
    assert results == wanted[output]
    # The weights are in it, each in as many bytes as the file's precision has.
    assert len(built.plan) > _weights(path) * {"fp32": 4, "fp16": 2, "int8": 1}[precision]
    # The engine computes in what the file says: nothing fell back to fp32.
    said = _products(path)
    assert (said["int8"] > 0, said["fp16"] > 0) == (precision == "int8", precision != "fp32")
    assert built.layers["correlation", "Int8"] == said["int8"]
    assert built.products("Float") <= said["fp32"]
    assert (built.products("Half") > 0) is (said["fp16"] > 0)


# Of the other rows one a family and stride: the default model's is in every other test here.
ROWS = ("mobilenet", "mobilenet_s8", "mobilenet_v3_small_s8", "efficientnet_lite2")


@pytest.mark.slow
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("backbone", ROWS)
def test_nvidias_builder_takes_every_row(file: Callable[..., Path], backbone: str, precision: Precision) -> None:
    path = file(precision, dynamic=True, backbone=backbone, random_weights=backbone not in zoo.RELEASED)
    built = build(path, TARGETS[0])
    assert [tensor[2] for tensor in built.tensors] == [(-1, SIZE, SIZE, 3), (-1, SIZE, SIZE)]
    assert (built.layers["correlation", "Int8"] > 0) is (precision == "int8")
    assert (built.products("Half") > 0) is (precision != "fp32")


def _weights(path: Path) -> int:
    """How many weights there are in a file's convolutions and matrix products.

    Others (a position's code, a resampling's matrix) the builder may fold into a kernel.
    """
    graph = onnx.load(path).graph
    sizes = {weight.name: math.prod(weight.dims) for weight in graph.initializer}
    made = {node.output[0]: node.input[0] for node in graph.node if node.op_type in ("DequantizeLinear", "Cast")}
    used = [made.get(node.input[1], node.input[1]) for node in graph.node if node.op_type in ("Conv", "MatMul")]
    return sum(sizes.get(name, 0) for name in set(used))


def _products(path: Path) -> Counter[str]:
    """How many convolutions and matrix products of frames there are in a file, by type."""
    graph = onnx.shape_inference.infer_shapes(onnx.load(path)).graph
    types = {value.name: value.type.tensor_type.elem_type for value in graph.value_info}
    types |= {weight.name: weight.data_type for weight in graph.initializer}
    quantised = {name for node in graph.node if node.op_type == "DequantizeLinear" for name in node.output}
    names = {onnx.TensorProto.FLOAT: "fp32", onnx.TensorProto.FLOAT16: "fp16"}
    return Counter(
        "int8" if node.input[0] in quantised else names[types[node.input[0]]]
        for node in graph.node
        if node.op_type in ("Conv", "MatMul")
    )


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_nvidias_builder_takes_int8_of_the_highest_opset(
    file: Callable[..., Path], target: str, tmp_path: Path
) -> None:
    """Exported in one go, where the other files are made of fp32 ones."""
    calibration = file("int8", output="confidence", dynamic=True).parent / "photos"
    config = ExportConfig(imgsz=SIZE, precision="int8", calib_data=calibration, opset=20)
    path = run_export(config, tmp_path / "model.onnx").path
    assert build(path, target).layers["correlation", "Int8"] == _products(path)["int8"] > 0


@pytest.mark.slow
def test_nvidias_builder_takes_the_reference_graph(file: Callable[..., Path]) -> None:
    source, *results = build(file("fp32", graph="reference", dynamic=True), TARGETS[0]).tensors
    assert source == ("images", "DataType.FLOAT", (-1, 3, SIZE, SIZE))
    assert results == [("logits", "DataType.FLOAT", (-1, 19, SIZE, SIZE))]


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_nvidias_builder_takes_the_bundled_model(target: str) -> None:
    built = build(zoo.DEFAULT_MODEL, target)
    assert len(built.plan) > 4 * _weights(zoo.DEFAULT_MODEL)


@pytest.mark.parametrize(
    "precision", [pytest.param(one, marks=() if one == QUICK[0] else pytest.mark.slow) for one in PRECISIONS]
)
def test_the_product_builds_plans_for_several_targets(
    file: Callable[..., Path], precision: Precision, tmp_path: Path
) -> None:
    path = file(precision, output=QUICK[1], dynamic=QUICK[2])
    plan, told = tmp_path / "model.plan", []
    config = BuildConfig(runtime="rtx", targets=("8.6", "12.0"), opt_batch=2, max_batch=3)
    write_plan(plan, product_build(path, config, progress=lambda _, share: told.append(share)))
    content, info = read_plan(plan)
    assert info is not None
    assert (info.runtime, info.runtime_version, info.gpu) == ("rtx", trt.__version__, None)
    assert (info.compute, info.batches) == (("8.6", "12.0"), (1, 2, 3))
    assert info.onnx_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (info.plan_sha256, info.plan_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert (info.calibration_sha256 is None) is (precision != "int8")
    # Read back: as many convolutions as the file has in int8, and nothing in a type that it does not hold.
    said = _products(path)
    assert info.precision.get("int8", 0) >= said["int8"]
    assert (info.precision.get("int8", 0) > 0) is (precision == "int8")
    assert (info.precision.get("fp16", 0) > 0) is (precision != "fp32")
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_an_operator_that_nvidia_does_not_know_is_named(tmp_path: Path) -> None:
    """Of ONNX Runtime's own, which is no operator of ONNX."""
    spec = ModelSpec(
        backbone="none",
        graph="deploy",
        size=32,
        batch=1,
        label_order="own",
        classes=("background", "skin"),
        outputs=("labels",),
    )
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["frames"], ["pixels"], to=kinds.FLOAT, name="widen"),
            helper.make_node("QuickGelu", ["pixels"], ["mixed"], domain="com.microsoft", name="decoder/act"),
            helper.make_node("ReduceMax", ["mixed", "axis"], ["top"], keepdims=0, name="top"),
            helper.make_node("Cast", ["top"], ["labels"], to=kinds.UINT8, name="narrow"),
        ],
        "odd",
        [helper.make_tensor_value_info("frames", kinds.UINT8, [1, 32, 32, 3])],
        [helper.make_tensor_value_info("labels", kinds.UINT8, [1, 32, 32])],
        [helper.make_tensor("axis", kinds.INT64, [1], [3])],
    )
    domains = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=domains, ir_version=10)
    helper.set_model_props(model, {METADATA_KEY: spec.to_json()})
    onnx.save(model, tmp_path / "odd.onnx")
    with pytest.raises(
        IncompatibleEngineError, match=r"node 'decoder/act' \(QuickGelu\): TensorRT-RTX refuses"
    ) as caught:
        product_build(tmp_path / "odd.onnx", BuildConfig(runtime="rtx", targets=("8.6",)))
    assert "\n" not in str(caught.value)


def test_what_nvidias_parser_refuses_is_a_failure(tmp_path: Path) -> None:
    """Bytes between operators, which ONNX Runtime takes."""
    model = onnx.parser.parse_model(
        """
        <ir_version: 10, opset_import: ["": 18]>
        bytes (float[1, 8] logits, int64[2] shape) => (uint8[n, m] labels)
        {
            narrow = Cast<to = 2>(logits)
            labels = Reshape(narrow, shape)
        }
        """
    )
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "bytes.onnx")
    with pytest.raises(AssertionError, match=r"refuses bytes\.onnx.*UINT8 types for intermediate tensors"):
        build(tmp_path / "bytes.onnx", TARGETS[0])
