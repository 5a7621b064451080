"""What ONNX Runtime's profile says of a file's own nodes."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from segface_edge import zoo
from segface_edge.engines import FakeEngine
from segface_edge.engines.layers import Profile
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.engines.ort.nodes import Node, read_nodes
from segface_edge.engines.ort.profile import covers
from segface_edge.errors import UsageError
from segface_edge.evaluation.photos import bundled_faces

RUNS = 4


@pytest.fixture(scope="module")
def profile() -> Profile:
    with OrtEngine(zoo.DEFAULT_MODEL, threads=1) as engine:
        return engine.profile(bundled_faces(engine.spec.size)[0][None], RUNS)


def test_every_node_that_depends_on_the_frames_is_in_one_layer(profile: Profile) -> None:
    nodes = read_nodes(zoo.DEFAULT_MODEL.read_bytes())
    covered = [name for layer in profile.layers for name in layer.covers]
    assert len(covered) == len(set(covered))
    reached = {"frames"}
    for node in nodes:
        if reached & set(node.inputs):
            reached |= set(node.outputs)
    missing = {node.name for node in nodes if reached & set(node.outputs)} - set(covered)
    # What is left computes sides, which ONNX Runtime knows when it opens the file.
    kinds = {node.operator for node in nodes if node.name in missing}
    assert kinds <= {"Shape", "Gather", "Concat", "Unsqueeze", "Squeeze", "Slice", "Mul", "Div", "Floor", "Cast"}
    assert set(covered) <= {node.name for node in nodes}


def test_layers_have_the_kind_of_what_they_cover(profile: Profile) -> None:
    kinds = {node.name: node.operator for node in read_nodes(zoo.DEFAULT_MODEL.read_bytes())}
    for layer in profile.layers:
        inside = {kinds[name] for name in layer.covers}
        if layer.kind in ("Conv", "Softmax", "ArgMax", "Resize", "MatMul", "LayerNormalization"):
            assert layer.kind in inside
        if layer.kind in ("Gelu", "BiasGelu"):
            assert "Erf" in inside
    # One convolution each, with the norm and the activation behind it.
    convolutions = [layer for layer in profile.layers if layer.kind == "Conv"]
    assert len(convolutions) == sum(kind == "Conv" for kind in kinds.values())
    assert any("BatchNormalization" in {kinds[name] for name in layer.covers} for layer in convolutions)


def test_times_are_of_the_measured_runs_and_stay_within_them(profile: Profile) -> None:
    assert len(profile.ms) == RUNS
    assert all(len(layer.ms) == RUNS for layer in profile.layers)
    for run, whole in enumerate(profile.ms):
        inside = math.fsum(layer.ms[run] for layer in profile.layers)
        assert 0 < inside <= 1.05 * whole


def test_profiling_leaves_nothing_behind(profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with OrtEngine(zoo.DEFAULT_MODEL, threads=1) as engine:
        frames = bundled_faces(engine.spec.size)[0][None]
        before = engine.infer(frames).labels
        again = engine.profile(frames, 1)
        np.testing.assert_array_equal(engine.infer(frames).labels, before)
    # ONNX Runtime numbers what it adds anew each time.
    assert {layer.covers for layer in again.layers} == {layer.covers for layer in profile.layers}
    assert list(tmp_path.iterdir()) == []


def test_an_engine_that_cannot_tell_says_so() -> None:
    engine = FakeEngine()
    with pytest.raises(UsageError, match="does not tell its layers' times"):
        engine.profile(np.zeros((1, engine.spec.size, engine.spec.size, 3), np.uint8), 1)


def node(name: str, inputs: str, outputs: str, operator: str = "Op") -> Node:
    return Node(name=name, operator=operator, inputs=tuple(inputs.split()), outputs=tuple(outputs.split()))


def test_what_was_fused_is_covered_by_the_node_that_makes_the_result() -> None:
    file = [node("a", "x w", "t"), node("b", "t", "u"), node("c", "u t", "y")]
    assert covers([node("fused", "x w", "y")], file, ["x"]) == {"fused": ["a", "b", "c"]}
    parts = [node("a", "x w", "t"), node("bc", "t", "y")]
    assert covers(parts, file, ["x"]) == {"a": ["a"], "bc": ["b", "c"]}


def test_a_convolution_in_blocks_of_channels_is_known_by_its_name() -> None:
    file = [node("conv", "x w", "t"), node("clip", "t", "u"), node("next", "u", "y")]
    ran = [node("u_nchwc", "x w", "reorder_1"), node("back", "reorder_1", "u"), node("next", "u", "y")]
    assert covers(ran, file, ["x"]) == {"u_nchwc": ["conv", "clip"], "next": ["next"]}


def test_where_fp16_is_computed_in_fp32_the_layer_is_what_computes() -> None:
    file = [node("conv", "x w", "t"), node("t.q", "t", "t8"), node("t.dq", "t8", "d"), node("next", "d", "y")]
    wide = "InsertedPrecisionFreeCast_"
    ran = [
        node(f"{wide}x", "x", f"{wide}x", "Cast"),
        node("conv", f"{wide}x w", f"{wide}t"),
        node(f"{wide}t", f"{wide}t", "t", "Cast"),
        # What it makes has another name than in the file, the operator has not.
        node("t.q", "t", "quantised_anew"),
        node("t.dq", "quantised_anew", f"{wide}d"),
        node("next", f"{wide}d", "y"),
    ]
    assert covers(ran, file, ["x"]) == {name: [name] for name in ("conv", "t.q", "t.dq", "next")}


def test_what_depends_on_weights_alone_is_in_no_layer() -> None:
    file = [node("widen", "w16", "w"), node("a", "x w", "y")]
    assert covers([node("a", "x w", "y")], file, ["x"]) == {"a": ["a"]}
