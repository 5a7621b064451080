"""TensorRT on a real device: plans of the bundled model built, checked against its ONNX file and run."""

from __future__ import annotations

import threading
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorrt", reason="TensorRT is not installed", exc_type=ImportError)

from segface_edge import FaceParser, zoo
from segface_edge.engines.nvidia.build import Built, build
from segface_edge.engines.nvidia.config import BuildConfig
from segface_edge.engines.nvidia.cuda import BINDINGS, MIB, open_cuda
from segface_edge.engines.nvidia.plan import read_plan_info
from segface_edge.engines.nvidia.run import TensorRTEngine
from segface_edge.engines.nvidia.write import write_plan
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.errors import IncompatibleEngineError
from segface_edge.evaluation.photos import bundled_faces
from segface_edge.evaluation.plan_parity import checked

with OrtEngine(zoo.DEFAULT_MODEL) as _engine:
    SIZE = _engine.spec.size


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "model.plan"
    config = BuildConfig(max_batch=2)
    built: Built = checked(zoo.DEFAULT_MODEL, build(zoo.DEFAULT_MODEL, config), config, path)
    write_plan(path, built)
    return path


def test_the_plan_says_what_it_is_and_passed(plan: Path) -> None:
    info = read_plan_info(plan)
    assert info is not None
    assert info.precision["fp32"] > 0
    assert info.parity["plan"]["passed"]


def test_a_plan_that_is_cut_off_is_refused(plan: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.plan"
    cut.write_bytes(plan.read_bytes()[:-100])
    with pytest.raises(IncompatibleEngineError, match="is damaged, or no plan of TensorRT"):
        TensorRTEngine(cut)


def test_lower_precisions_are_read_back(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="fp16 files are made with torch and onnx")
    from segface_edge.export.quantize import QuantizeConfig, run_quantize

    onnx = tmp_path / "fp16.onnx"
    run_quantize(zoo.DEFAULT_MODEL, QuantizeConfig(precision="fp16"), onnx)
    config = BuildConfig(timing_cache=tmp_path / "timings", version_compatible=True)
    for _ in range(2):  # the second with the timings of the first
        built = checked(onnx, build(onnx, config), config, tmp_path / "fp16.plan")
        write_plan(tmp_path / "fp16.plan", built, config)
    assert built.info.precision["fp16"] > built.info.precision.get("fp32", 0)
    with TensorRTEngine(tmp_path / "fp16.plan") as engine:
        assert engine.infer(bundled_faces(SIZE)[0][None]).labels.any()


@pytest.mark.parametrize("binding", BINDINGS)
def test_every_binding_gives_the_same(plan: Path, binding: str) -> None:
    if not any(find_spec(module.partition(".")[0]) for module in BINDINGS[binding].modules):
        pytest.skip(f"{binding} is not installed")
    frame = bundled_faces(SIZE)[0][None]
    with OrtEngine(zoo.DEFAULT_MODEL) as reference, TensorRTEngine(plan, binding=binding) as engine:
        for _ in range(3):
            assert (engine.infer(frame).labels == reference.infer(frame).labels).mean() >= 0.999
        assert engine.describe()["cuda_graph"] == ("yes" if binding == "cuda-python" else "not in pycuda")


def test_threads_give_what_one_thread_gives(plan: Path) -> None:
    frames = np.stack(bundled_faces(SIZE)[:8])
    with TensorRTEngine(plan) as engine:
        wanted = [engine.infer(frame[None]).labels for frame in frames]
        found: dict[int, np.ndarray] = {}

        def work(index: int) -> None:
            found[index] = engine.infer(frames[index][None]).labels

        threads = [threading.Thread(target=work, args=(index,)) for index in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(np.array_equal(found[index], wanted[index]) for index in range(8))


def test_cycles_give_all_memory_back(plan: Path) -> None:
    cuda = open_cuda()
    frame = bundled_faces(SIZE)[0][None]
    with TensorRTEngine(plan) as engine:  # what CUDA keeps for itself is taken once
        engine.infer(frame)
    with cuda.current():
        before = cuda.free_bytes()
    for _ in range(20):
        with TensorRTEngine(plan) as engine:
            engine.infer(frame)
    with cuda.current():
        assert before - cuda.free_bytes() < 64 * MIB
    cuda.close()


def test_a_photo_is_parsed_as_on_the_cpu(plan: Path) -> None:
    with FaceParser(plan) as fast, FaceParser() as slow:
        one, other = fast(zoo.PORTRAIT), slow(zoo.PORTRAIT)
    assert (one.labels == other.labels).mean() >= 0.9999
    with OrtEngine(zoo.DEFAULT_MODEL) as reference:
        assert reference.spec == fast.spec
