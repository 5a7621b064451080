"""What is read of an ONNX file, and added to it, without the package onnx: as the package has it."""

from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

onnx = pytest.importorskip("onnx", reason="it says what is right")

from segface_edge import zoo
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.engines.ort.nodes import read_nodes, with_outputs
from segface_edge.evaluation.photos import bundled_faces


def _packages_nodes(content: bytes) -> list[tuple[str, str, tuple[str, ...], tuple[str, ...]]]:
    nodes = onnx.load_from_string(content).graph.node
    return [(node.name, node.op_type, tuple(node.input), tuple(node.output)) for node in nodes]


MIXED = """<ir_version: 10, opset_import: ["": 18]>
mixed (float[N, 4] x, float[N, 4] unused) => (float[N, 4] y, int64[N] best)
<float[4] low = {-1.0, 0.5, 2.25, 1e30}, double[1] other = {3.0}, int64 one = {1}>
{ a = Clip(x, , b)  b = Constant<value_float = 2.0>()
  y = LeakyRelu<alpha = 0.25>(a)  best = ArgMax<axis = -1, keepdims = 0>(y) }"""


@pytest.mark.parametrize("name", ["bundled", "mixed", "named", "empty"])
def test_nodes_are_what_the_package_reads(name: str) -> None:
    model = onnx.load(zoo.DEFAULT_MODEL) if name == "bundled" else onnx.parser.parse_model(MIXED)
    if name == "named":
        for index, node in enumerate(model.graph.node):
            node.name = f"ein/Knoten-{index}-\N{GREEK SMALL LETTER ALPHA}" + 200 * "x"
        model.doc_string = "with a word"
        model.training_info.add()
    if name == "empty":
        del model.graph.node[:]
    content = model.SerializeToString()
    found = [(node.name, node.operator, node.inputs, node.outputs) for node in read_nodes(content)]
    assert found == _packages_nodes(content)
    assert (len(found) > 0) is (name != "empty")


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b"], ["y", "a"], ["best"]])
def test_further_outputs_are_what_the_package_would_add(names: list[str]) -> None:
    content = onnx.parser.parse_model(MIXED.replace("(x, , b)  b = Constant<value_float = 2.0>()", "(x)  b = Abs(x)"))
    more = onnx.load_from_string(with_outputs(content.SerializeToString(), names))
    added = [name for name in names if name not in ("y", "best")]
    assert [value.name for value in more.graph.output] == ["y", "best", *added]
    del more.graph.output[2:]
    assert more == content
    session = ort.InferenceSession(with_outputs(content.SerializeToString(), names))
    x = np.float32([[-4, 1, 2, 3]])
    found = dict(
        zip([one.name for one in session.get_outputs()], session.run(None, {"x": x, "unused": x}), strict=True)
    )
    for name in added:
        assert np.array_equal(found[name], {"a": x, "b": np.abs(x)}[name])


def test_the_bundled_models_logits_are_seen_and_its_labels_stay(released_size: int) -> None:
    frames = np.stack(bundled_faces(released_size)[:1])
    with OrtEngine(zoo.DEFAULT_MODEL) as engine:
        before = engine.infer(frames).labels
        assert engine.finite(frames) is True
        assert np.array_equal(engine.infer(frames).labels, before)
    model = onnx.load(zoo.DEFAULT_MODEL)
    assert [node.operator for node in read_nodes(model.SerializeToString())].count("ArgMax") == 1
