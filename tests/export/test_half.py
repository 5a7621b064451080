"""fp16 graphs: types, islands, and that they compute about the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="an export needs torch")
onnx = pytest.importorskip("onnx", reason="an export needs onnx")
ort = pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper, shape_inference

from segface_edge.evaluation.photos import bundled_faces
from segface_edge.export import precision
from segface_edge.export.constants import fold_batch_norm, plain_weights
from segface_edge.export.cost import macs_by_type
from segface_edge.export.finish import compact
from segface_edge.export.half import half_candidates, to_half
from segface_edge.export.precision import GROUPS, MANY, choose_islands, grouped
from segface_edge.export.sensitivity import Candidate, Sensitivity, sensitivities

from .conftest import SIZE
from .small import photos, two_convolutions

HALF, WIDE = TensorProto.FLOAT16, TensorProto.FLOAT


def small() -> onnx.ModelProto:
    """x (1, 4, 6, 6) float -> logits, with a product, an enlargement and a norm."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((8, 4, 1, 1), np.float32),
        "scales": np.array([1, 1, 2, 2], np.float32),
        "one": np.ones(12, np.float32),
        "table": rng.standard_normal((12, 12), np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="conv"),
        helper.make_node("Resize", ["a", "", "scales"], ["b"], name="resize", mode="linear"),
        helper.make_node("MatMul", ["table", "table"], ["square"], name="square"),
        helper.make_node("MatMul", ["b", "square"], ["c"], name="product"),
        helper.make_node("LayerNormalization", ["c", "one"], ["d"], name="norm"),
        helper.make_node("Transpose", ["d"], ["logits"], name="turn", perm=[0, 1, 3, 2]),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info("x", WIDE, (1, 4, 6, 6))],
            [helper.make_tensor_value_info("logits", WIDE, (1, 8, 12, 12))],
            [numpy_helper.from_array(value, name) for name, value in weights.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )


def run(model: onnx.ModelProto, feed: dict[str, np.ndarray]) -> np.ndarray:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, feed)[0]
    return result


def types(model: onnx.ModelProto) -> dict[str, int]:
    """Of the results, by the name of the node."""
    onnx.checker.check_model(model, full_check=True)
    inferred = shape_inference.infer_shapes(model).graph
    found = {value.name: value.type.tensor_type.elem_type for value in (*inferred.value_info, *inferred.output)}
    return {node.name: found[node.output[0]] for node in model.graph.node}


@pytest.mark.parametrize("islands", [(), ("norm",), ("conv", "product"), ("conv", "resize", "product", "norm")])
def test_all_but_the_islands_is_half_and_the_result_stays_close(islands: tuple[str, ...]) -> None:
    model = small()
    half = to_half(model, islands)
    found = types(half)
    for name in ("conv", "resize", "product", "norm"):
        assert found[name] == (WIDE if name in islands else HALF)
    # A move is of the type that it moves; the graph's result is what it was.
    assert found["turn"] == (WIDE if "norm" in islands else HALF if "turn" in found else WIDE)
    assert [value.type.tensor_type.elem_type for value in half.graph.output] == [WIDE]
    x = np.random.default_rng(1).standard_normal((1, 4, 6, 6), np.float32)
    exact, rounded = run(model, {"x": x}), run(half, {"x": x})
    assert np.abs(rounded - exact).max() < 0.02
    if len(islands) == 4:
        np.testing.assert_allclose(rounded, exact, rtol=0, atol=1e-6)
    else:
        assert np.abs(rounded - exact).max() > 1e-5


def test_what_depends_on_weights_alone_is_computed_in_fp32_and_rounded_once() -> None:
    half = to_half(small())
    found = types(half)
    assert found["square"] == WIDE
    kinds = {weight.name: weight.data_type for weight in half.graph.initializer}
    # Weights that only half nodes read are stored as halves; factors of an enlargement are fp32 by definition.
    assert kinds == {"w.half": HALF, "table": WIDE, "one.half": HALF, "scales": WIDE}


def test_the_source_is_not_changed() -> None:
    model = small()
    before = model.SerializeToString()
    to_half(model, ("norm",))
    assert model.SerializeToString() == before


def test_weights_behind_casts_become_plain_again() -> None:
    model = small()
    for weight in model.graph.initializer:
        if weight.name == "table":
            values = numpy_helper.to_array(weight).astype(np.float16).astype(np.float32)
            weight.CopyFrom(numpy_helper.from_array(values, "table"))
    compacted = onnx.ModelProto()
    compacted.CopyFrom(model)
    compact(compacted)
    assert [node.op_type for node in compacted.graph.node if node.op_type == "Cast"] == ["Cast"]
    plain_weights(compacted)
    assert {node.op_type for node in compacted.graph.node} == {node.op_type for node in model.graph.node}
    assert {w.name: numpy_helper.to_array(w).tolist() for w in compacted.graph.initializer} == {
        w.name: numpy_helper.to_array(w).tolist() for w in model.graph.initializer
    }


@pytest.fixture(scope="module")
def deploy(traced: Callable[..., onnx.ModelProto]) -> onnx.ModelProto:
    """The deploy graph, weights plain, BatchNorm folded."""
    model = traced()
    plain_weights(model)
    fold_batch_norm(model)
    return model


@pytest.mark.slow
def test_folding_batch_norm_changes_no_result(traced: Callable[..., onnx.ModelProto]) -> None:
    model = traced(output="logits", opset=19)
    plain_weights(model)
    frame = bundled_faces(SIZE)[0][None]
    exact = run(model, {"frames": frame})
    fold_batch_norm(model)
    assert not any(node.op_type == "BatchNormalization" for node in model.graph.node)
    assert np.abs(run(model, {"frames": frame}) - exact).max() < 1e-5 * np.abs(exact).max()


def test_the_deploy_graph_in_half_precision(deploy: onnx.ModelProto) -> None:
    half = to_half(deploy)
    found = types(half)
    macs = macs_by_type(half)
    assert macs["FLOAT16"] / sum(macs.values()) > 0.9
    # Bytes in and out, cast at once and cast last.
    assert [value.type.tensor_type.elem_type for value in half.graph.output] == [TensorProto.UINT8]
    candidates = {candidate.name for candidate in half_candidates(deploy)}
    assert {kind for name, kind in found.items() if name in candidates} == {HALF}


@pytest.mark.slow
def test_the_sensitivity_of_a_node_is_what_the_node_alone_does(deploy: onnx.ModelProto) -> None:
    """One graph that switches, against what numpy rounds and a graph that takes that for constants."""
    frame = bundled_faces(SIZE)[0]
    chosen = [c for c in half_candidates(deploy) if c.kind in ("Softmax", "LayerNormalization", "Cast", "MatMul")][::3]
    assert {candidate.kind for candidate in chosen} >= {"Softmax", "LayerNormalization", "MatMul"}
    found = sensitivities(deploy, chosen, [frame])
    nodes = {node.name: node for node in deploy.graph.node}
    logits = next(node.input[0] for node in deploy.graph.node if node.op_type == "ArgMax")

    def half_of(values: np.ndarray) -> np.ndarray:
        return values.astype(np.float16).astype(np.float32)

    def value(tensor: str, constants: dict[str, np.ndarray]) -> np.ndarray:
        probed = onnx.ModelProto()
        probed.CopyFrom(deploy)
        del probed.graph.output[:]
        probed.graph.output.append(helper.make_tensor_value_info(tensor, WIDE, None))
        for held in (probed.graph.node, probed.graph.initializer):
            for one in [one for one in held if (one.output[0] if held is probed.graph.node else one.name) in constants]:
                held.remove(one)
        probed.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
        return run(probed, {"frames": frame[None]})

    weights = {weight.name: numpy_helper.to_array(weight) for weight in deploy.graph.initializer}
    exact = value(logits, {}).astype(np.float64)
    apart = []
    for candidate, one in zip(chosen, found, strict=True):
        read = [rounding.tensor for rounding in candidate.roundings if rounding.reader is not None]
        constants = {name: half_of(weights[name] if name in weights else value(name, {})) for name in read}
        output = nodes[candidate.name].output[0]
        constants[output] = half_of(value(output, constants))
        error = np.sqrt(((value(logits, constants) - exact) ** 2).sum() / (exact**2).sum())
        # Bytes made floats are whole numbers, which half precision holds.
        assert one.error == 0 if candidate.kind == "Cast" else 0 < one.error < 0.01
        # Sums in fp32 differ by some 5e-7 of the logits themselves, and the two graphs add in different orders: of a
        # product of few values, one that lies on a tie and is rounded the other way is a tenth of all its error.
        assert one.error == pytest.approx(error, rel=0.25, abs=1e-6)
        if one.error != pytest.approx(error, rel=0.02, abs=1e-6):
            apart.append(candidate.name)
    assert len(apart) <= 2, apart


def sensitivity(name: str, error: float) -> Sensitivity:
    return Sensitivity(name=name, kind="Add", error=error, turned=0.0)


def test_islands_are_the_most_sensitive_until_the_rest_is_within_the_budget() -> None:
    found = [sensitivity(name, error) for name, error in zip("abcd", (1e-4, 9e-3, 3e-4, float("inf")), strict=True)]
    assert choose_islands(found, {}, budget=1e-3) == ("d", "b")
    assert choose_islands(found, {}, budget=1e-2) == ("d",)
    assert choose_islands(found[:1], {}, budget=1e-3) == ()


def test_islands_leave_the_multiplications_in_half_precision() -> None:
    found = [sensitivity("large", 1e-2), sensitivity("small", 2e-2)]
    assert choose_islands(found, {"large": 90, "small": 4, "rest": 6}, budget=1e-3) == ("small",)


def test_where_the_budget_cannot_be_reached_twice_what_cannot_be_avoided_is_enough() -> None:
    """Else every cheap node would stay in fp32, for nothing."""
    macs = {"large": 90, "a": 1, "b": 1, "c": 1}
    found = [sensitivity(name, error) for name, error in (("large", 4e-3), ("a", 6e-3), ("b", 3e-3), ("c", 1e-3))]
    assert choose_islands(found, macs, budget=1e-3) == ("a",)
    assert choose_islands([replace(found[0], error=float("inf")), *found[1:]], macs, budget=1e-3) == ("a", "b", "c")


def test_neighbours_of_a_large_graph_are_tried_together() -> None:
    names = [f"node {index}" for index in range(MANY + 1)]
    candidates = [Candidate(name=name, kind="Add") for name in names]
    macs = dict.fromkeys(names[::3], 7)
    groups = grouped(candidates, macs)
    assert 2 < len(groups) <= GROUPS
    assert sorted(one.name for group in groups for one in group) == sorted(names)
    for group in groups:
        assert len({one.name in macs for one in group}) == 1
        places = [names.index(one.name) for one in group]
        assert places == sorted(places)
    assert grouped(candidates[:MANY], macs) == [[one] for one in candidates[:MANY]]


def test_a_group_stays_in_fp32_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "MANY", 3)
    monkeypatch.setattr(precision, "GROUPS", 2)
    monkeypatch.setattr(precision, "MAX_ISLAND_MACS", 1.0)
    monkeypatch.setattr(precision, "HALF_BUDGET", 0.0)
    choose = precision.choose_islands
    monkeypatch.setattr(precision, "choose_islands", lambda found, macs: choose(found, macs, budget=0.0))
    found = precision.lower(two_convolutions(), "fp16", photos(1))
    assert [one.kind for one in found.half] == ["5 nodes", "2 nodes"]
    assert set(found.islands) == {"cast", "scale", "centre", "conv", "relu", "last", "resize"}
    assert found.together.error == 0
