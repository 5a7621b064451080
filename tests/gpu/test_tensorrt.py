"""TensorRT on a real device: plans of the bundled model built, checked against its ONNX file and run."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorrt", reason="TensorRT is not installed", exc_type=ImportError)

from segface_edge import FaceParser, zoo
from segface_edge.engines.nvidia.build import BuildConfig, Built, build, write_plan
from segface_edge.engines.nvidia.cuda import MIB, open_cuda
from segface_edge.engines.nvidia.plan import read_plan_info
from segface_edge.engines.nvidia.run import TensorRTEngine
from segface_edge.engines.ort import OrtEngine
from segface_edge.evaluation.photos import bundled_faces
from segface_edge.evaluation.plan_parity import checked


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


def test_threads_give_what_one_thread_gives(plan: Path) -> None:
    frames = np.stack(bundled_faces(384)[:8])
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
    frame = bundled_faces(384)[0][None]
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
