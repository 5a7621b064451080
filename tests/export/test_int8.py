"""int8: ranges, scales, Q and DQ, and which layers stay out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("torch", reason="an export needs torch")
onnx = pytest.importorskip("onnx", reason="an export needs onnx")

from onnx import TensorProto, numpy_helper

from segface_edge.evaluation.photos import bundled_faces
from segface_edge.export.constants import fold_batch_norm, plain_weights
from segface_edge.export.cost import macs_by_type
from segface_edge.export.half import to_half
from segface_edge.export.int8 import quantise, scale_of
from segface_edge.export.precision import choose_layers
from segface_edge.export.ranges import calibrate, layers
from segface_edge.export.sensitivity import Sensitivity

from .conftest import SIZE


@pytest.fixture(scope="module")
def deploy(traced: Callable[..., onnx.ModelProto]) -> onnx.ModelProto:
    """The deploy graph, weights plain, BatchNorm folded."""
    model = traced(output="logits", opset=19)
    plain_weights(model)
    fold_batch_norm(model)
    return model


@given(st.floats(1e-6, 1e4))
def test_a_scale_is_held_by_fp16_and_covers_the_magnitude(magnitude: float) -> None:
    scale = scale_of(magnitude)
    assert scale.dtype == np.float32
    assert np.float32(np.float16(scale)) == scale >= 2.0**-14
    assert scale * 127 >= magnitude * (1 - 1e-6)
    assert scale <= max(magnitude / 127 * (1 + 2**-9), 2.0**-14)


def test_layers_in_int8_have_q_and_dq_as_tensorrt_reads_them(deploy: onnx.ModelProto) -> None:
    names = [node.name for node in layers(deploy)][1:9]
    ranges = calibrate(deploy, bundled_faces(SIZE)[:2], "minmax")
    quantised = quantise(deploy, names, ranges)
    onnx.checker.check_model(quantised, full_check=True)
    producers = {name: node for node in quantised.graph.node for name in node.output}
    weights = {weight.name: numpy_helper.to_array(weight) for weight in quantised.graph.initializer}
    for node in layers(quantised):
        inner = [producers.get(name) for name in node.input[:2]]
        if node.name not in names:
            assert all(maker is None or maker.op_type != "DequantizeLinear" for maker in inner)
            continue
        assert [maker.op_type for maker in inner] == ["DequantizeLinear", "DequantizeLinear"]
        kernel, scale, zero = (weights[name] for name in inner[1].input)
        assert (kernel.dtype, scale.shape) == (np.int8, (len(kernel),))
        assert not zero.any()
        assert not weights[inner[0].input[2]].any()
        # Symmetric to the last: -128 has no opposite.
        assert -127 <= kernel.min() <= kernel.max() <= 127
        original = next(n for n in layers(deploy) if n.name == node.name).input[1]
        exact = next(numpy_helper.to_array(w) for w in deploy.graph.initializer if w.name == original)
        steps = scale.reshape(-1, 1, 1, 1)
        assert np.abs(kernel * steps - exact).max() <= 0.5001 * steps.max()
        # Biases stay floats: NVIDIA's parser refuses int32 there.
        assert weights[node.input[2]].dtype == np.float32


def test_with_the_rest_in_half_precision_int8_stays_int8(deploy: onnx.ModelProto) -> None:
    names = [node.name for node in layers(deploy)]
    ranges = calibrate(deploy, bundled_faces(SIZE)[:1], "minmax")
    mixed = to_half(quantise(deploy, names, ranges))
    onnx.checker.check_model(mixed, full_check=True)
    macs = macs_by_type(mixed)
    assert set(macs) == {"INT8", "FLOAT16"}
    # No Cast stands between DQ and the convolution: it would hide the int8 from TensorRT.
    producers = {name: node for node in mixed.graph.node for name in node.output}
    for node in layers(mixed):
        for name in node.input[:2]:
            dequantise = producers[name]
            assert dequantise.op_type == "DequantizeLinear"
            scale = next(w for w in mixed.graph.initializer if w.name == dequantise.input[1])
            assert scale.data_type == TensorProto.FLOAT16


def test_layers_that_cost_the_most_for_what_they_save_leave_first() -> None:
    def one(name: str, error: float) -> Sensitivity:
        return Sensitivity(name=name, kind="Conv", error=error, turned=0.0)

    macs = {"large": 800, "small": 100, "tiny": 100}
    found = [one("large", 2e-2), one("small", 2e-2), one("tiny", 1e-3)]
    assert choose_layers(found, macs, budget=1e-1) == ("large", "small", "tiny")
    assert choose_layers(found, macs, budget=2.5e-2) == ("large", "tiny")
    # Whatever the budget: 72 % of the multiplications become int8.
    assert choose_layers(found, macs, budget=1e-9) == ("large",)
