"""Exports of weights that warp faces: the warp left to the runtime, or in the graph."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="export needs onnx")
torch = pytest.importorskip("torch", reason="export needs torch")

from segface_edge import FaceParser, zoo
from segface_edge.engines import open_engine
from segface_edge.engines.nvidia.build import build
from segface_edge.engines.nvidia.config import BuildConfig
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.engines.warped import infer_squares
from segface_edge.errors import IncompatibleEngineError, UsageError
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import run_export
from segface_edge.network import build_segface
from segface_edge.network.checkpoint import write_checkpoint
from segface_edge.pictures import fitting, reading

SIZE = 64
POINTS = [(204.0, 105.0), (247.0, 105.0), (224.0, 128.0), (205.0, 145.0), (243.0, 145.0)]


pytestmark = pytest.mark.usefixtures("few_faces")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "lapa.safetensors"
    write_checkpoint(
        path, build_segface("mobilenet", "lapa", SIZE, warps=True), trained_size=SIZE, terms="none", notes={}
    )
    return path


@pytest.fixture(scope="module")
def outside(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_export(ExportConfig(weights=weights), tmp_path_factory.mktemp("out") / "outside.onnx").path


@pytest.fixture(scope="module")
def inside(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = ExportConfig(weights=weights, warp="inside", dynamic=True, output="confidence")
    result = run_export(config, tmp_path_factory.mktemp("in") / "inside.onnx")
    assert all(report.equal >= 0.9999 for report in result.parity)
    assert "landmarks:8x5x2" in result.trtexec
    return result.path


def squares() -> tuple[np.ndarray, list[Any]]:
    """The astronaut three times, with landmarks of its own each."""
    square = fitting.fit(reading.load(zoo.ASTRONAUT), SIZE).pixels
    points = [tuple(((x + 20 * i) / 8, (y + 10 * i) / 8) for x, y in POINTS) for i in range(3)]
    return np.stack([square] * 3), points


@pytest.mark.slow
def test_the_opsets_that_are_exported_have_the_operator(weights: Path, tmp_path: Path) -> None:
    """GridSample's name of bilinear changed with opset 20."""
    config = ExportConfig(weights=weights, warp="inside", opset=20)
    modes = [
        attribute.s
        for node in onnx.load(run_export(config, tmp_path / "x.onnx").path).graph.node
        if node.op_type == "GridSample"
        for attribute in node.attribute
        if attribute.name == "mode"
    ]
    assert set(modes) <= {b"linear"}


def test_a_file_says_that_faces_go_in_warped(outside: Path) -> None:
    with OrtEngine(outside) as engine:
        assert engine.spec.warp == "outside"
    assert [node.name for node in onnx.load(outside).graph.input] == ["frames"]
    assert "GridSample" not in {node.op_type for node in onnx.load(outside).graph.node}


def test_a_graph_that_warps_takes_landmarks_and_computes_what_the_network_does(inside: Path, weights: Path) -> None:
    graph = onnx.load(inside).graph
    assert [node.name for node in graph.input] == ["frames", "landmarks"]
    assert sum(node.op_type == "GridSample" for node in graph.node) == 2
    frames, points = squares()
    with OrtEngine(inside) as engine, open_engine(weights) as network:
        assert engine.spec.warp == "inside"
        wanted = network.run_warped(frames, np.array(points, np.float32))
        found = infer_squares(engine, frames, points)
        assert (found.labels == wanted.labels).mean() >= 0.9999
        assert found.confidence is not None
        assert wanted.confidence is not None
        assert np.abs(found.confidence.astype(int) - wanted.confidence).max() <= 2
        # One call or several: each frame keeps its own landmarks.
        engine.max_batch = 2
        assert np.array_equal(infer_squares(engine, frames, points).labels, found.labels)


def test_both_label_a_photo_alike(inside: Path, outside: Path) -> None:
    with FaceParser(inside) as one, FaceParser(outside) as other:
        one.warmup(1)
        other.warmup(1)
        for options in ({}, {"landmarks": POINTS}):
            first, second = one(zoo.ASTRONAUT, **options), other(zoo.ASTRONAUT, **options)
            assert len(first.faces) == len(second.faces) == 1
            # Masks of the warped square stand for its logits outside, and random weights make labels of a few pixels.
            assert (first.labels == second.labels).mean() > 0.85


def test_a_graph_that_warps_runs_through_its_landmarks_only(inside: Path) -> None:
    frames, points = squares()
    with OrtEngine(inside) as engine:
        with pytest.raises(UsageError, match=r"inside\.onnx: warps faces itself, and wants their landmarks"):
            engine.infer(frames)
        with pytest.raises(UsageError, match=r"warps faces by five landmarks, and there are none"):
            infer_squares(engine, frames, [points[0], None, points[2]])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"warp": "within"}, "warp 'within': is not supported; use outside or inside"),
        ({"warp": "inside", "precision": "fp16"}, "--warp inside: is for the deploy graph in fp32"),
        ({"warp": "inside", "graph": "reference"}, "--warp inside: is for the deploy graph in fp32"),
    ],
)
def test_a_warp_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ExportConfig(**options)


def test_no_plan_is_built_of_a_graph_that_warps(inside: Path) -> None:
    with pytest.raises(IncompatibleEngineError, match=r"inside\.onnx: warps faces itself, .*--warp outside"):
        build(inside, BuildConfig())


def test_nvidias_builder_takes_a_graph_that_warps(inside: Path) -> None:
    pytest.importorskip("onnxruntime_ep_nv_tensorrt_rtx", reason="TensorRT-RTX is not installed: pip install '.[rtx]'")
    trt = pytest.importorskip("tensorrt_rtx_bindings", reason="TensorRT-RTX is not installed: pip install '.[rtx]'")
    builder = trt.Builder(trt.Logger(trt.Logger.ERROR))
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, trt.Logger(trt.Logger.ERROR))
    assert parser.parse_from_file(str(inside)), [parser.get_error(i).desc() for i in range(parser.num_errors)]
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    for index in range(network.num_inputs):
        one = network.get_input(index)
        rest = tuple(one.shape)[1:]
        profile.set_shape(one.name, (1, *rest), (1, *rest), (3, *rest))
    config.add_optimization_profile(profile)
    assert builder.build_serialized_network(network, config) is not None


def test_weights_of_another_order_do_not_warp(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--warp outside: is not for the label order 'segface'"):
        run_export(ExportConfig(warp="outside"), tmp_path / "x.onnx")


@pytest.mark.slow
def test_a_file_can_be_told_to_warp(cli: Callable[..., Any], tmp_path: Path) -> None:
    """Weights of LaPa that say nothing of a warp are not warped, unless it is asked for."""
    path = tmp_path / "plain.safetensors"
    write_checkpoint(path, build_segface("mobilenet", "lapa", 32), trained_size=32, terms="none", notes={})
    result = cli("export", "--weights", path, "--warp", "outside", "-o", tmp_path / "x.onnx", "--json", "-")
    assert result.code == 0, result.err
    assert json.loads(result.out)["spec"]["warp"] == "outside"
