"""Numbers below 1.2e-38 cost a CPU tens of times more, and a graph's run takes them for zero; nothing else does."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from segface_edge import zoo
from segface_edge.engines.ort import subnormals
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.engines.ort.session import open_session
from segface_edge.engines.ort.subnormals import flushed
from segface_edge.evaluation.photos import bundled_faces

SMALL = np.array([1e-38], np.float32)
supported = pytest.mark.skipif(not subnormals.SUPPORTED, reason="needs glibc on x86-64")


def product() -> float:
    """Subnormal, unless the thread takes such results for zero."""
    return float((SMALL * np.float32(0.01))[0])


@supported
def test_they_are_zero_inside_and_as_before_outside() -> None:
    assert product() > 0
    with flushed():
        assert product() == 0
        with flushed():
            assert product() == 0
        assert product() == 0
    assert product() > 0


@supported
def test_an_error_inside_leaves_them_as_before() -> None:
    with pytest.raises(ValueError, match="inside"), flushed():
        raise ValueError("inside")
    assert product() > 0


@supported
def test_another_thread_is_left_alone() -> None:
    inside, done = threading.Event(), threading.Event()
    found: list[float] = []

    def other() -> None:
        inside.wait(10)
        found.append(product())
        done.set()

    thread = threading.Thread(target=other)
    thread.start()
    with flushed():
        inside.set()
        done.wait(10)
    thread.join()
    assert found
    assert found[0] > 0


def test_opening_and_running_a_file_leaves_the_thread_as_it_was() -> None:
    before = product()
    with OrtEngine(zoo.DEFAULT_MODEL, threads=2) as engine:
        assert product() == before
        engine.infer(bundled_faces(engine.spec.size)[0][None])
        assert product() == before


@supported
@pytest.mark.parametrize("threads", [1, 2])
def test_a_run_takes_them_for_zero_in_all_its_threads(tmp_path: Path, threads: int) -> None:
    """Of a product of many values, which ONNX Runtime divides among its threads."""
    onnx = pytest.importorskip("onnx", reason="the graph is made with onnx")
    helper, TensorProto = onnx.helper, onnx.TensorProto
    count = 1 << 20
    node = helper.make_node("Mul", ["x", "small"], ["y"])
    small = helper.make_tensor("small", TensorProto.FLOAT, [1], [1e-2])
    sides = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [count]) for name in "xy"]
    graph = helper.make_graph([node], "g", sides[:1], sides[1:], [small])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), tmp_path / "m.onnx")
    session, _, _ = open_session(tmp_path / "m.onnx", "cpu", None, threads, ("CPUExecutionProvider",))
    feed = {"x": np.full(count, 1e-38, np.float32)}
    with flushed():
        assert np.count_nonzero(session.run(None, feed)[0].view(np.uint32)) == 0
