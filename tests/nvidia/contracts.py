"""What the product must do on every version of TensorRT with every CUDA binding.

One function each, so that the mutation check can call them too: with a world that is installed and a folder.
"""

from __future__ import annotations

import hashlib
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segface_edge import zoo
from segface_edge.bench.clock import SystemClock
from segface_edge.bench.layers import measured_layers
from segface_edge.bench.pipeline import Pipeline
from segface_edge.engines import open_engine
from segface_edge.engines.nvidia.build import Built, build
from segface_edge.engines.nvidia.config import BuildConfig
from segface_edge.engines.nvidia.plan import PlanWarning, read_plan_info, sidecar
from segface_edge.engines.nvidia.run import TensorRTEngine
from segface_edge.engines.nvidia.write import write_plan
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.engines.ort.nodes import read_nodes
from segface_edge.errors import IncompatibleEngineError, ParityError

from .tiny import expected, tiny_model
from .world import World

SIZE = 32


def frames(count: int, seed: int = 0) -> np.ndarray:
    """(N, S, S, 3) uint8, any bytes."""
    return np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


def make(folder: Path, config: BuildConfig | None = None, **model: Any) -> tuple[Path, Path, Built]:
    """A tiny ONNX file, its plan, and how it was built."""
    onnx = tiny_model(folder / "tiny.onnx", size=SIZE, **model)
    built = build(onnx, config or BuildConfig())
    write_plan(folder / "tiny.plan", built, config)
    return onnx, folder / "tiny.plan", built


def an_engine_gives_what_its_onnx_file_gives(world: World, folder: Path) -> None:
    """Any number of frames, several calls of the same and of other sizes."""
    onnx, plan, _ = make(folder, BuildConfig(max_batch=4), outputs=("labels", "confidence"))
    with OrtEngine(onnx) as reference, TensorRTEngine(plan) as engine:
        assert (engine.min_batch, engine.max_batch) == (1, 4)
        for seed, count in enumerate((1, 3, 1, 4, 11, 1)):
            wanted, found = reference.infer(frames(count, seed)), engine.infer(frames(count, seed))
            assert np.array_equal(found.labels, wanted.labels)
            assert np.array_equal(found.confidence, wanted.confidence)


def logits_and_a_fixed_batch(world: World, folder: Path) -> None:
    onnx, plan, _ = make(folder, batch=2, outputs=("logits",))
    with OrtEngine(onnx) as reference, open_engine(plan) as engine:
        for count in (1, 2, 5):
            wanted, found = reference.infer(frames(count)), engine.infer(frames(count))
            assert np.allclose(found.logits, wanted.logits, atol=1e-4)
            assert np.array_equal(found.labels, wanted.labels)


def results_are_the_callers_own(world: World, folder: Path) -> None:
    _, plan, _ = make(folder)
    with TensorRTEngine(plan) as engine:
        first = engine.infer(frames(1, 1)).labels
        kept = first.copy()
        engine.infer(frames(1, 2))
        assert np.array_equal(first, kept)
    with TensorRTEngine(plan, copy=False) as engine:
        first = engine.infer(frames(1, 1)).labels
        engine.infer(frames(1, 2))
        assert not np.array_equal(first, kept)
        # Of several calls, the first ones' are not overwritten by the last.
        assert np.array_equal(engine.infer(frames(20)).labels, expected(frames(20)))


def the_document_says_what_the_plan_is(world: World, folder: Path) -> None:
    config = BuildConfig(min_batch=2, opt_batch=3, max_batch=5, workspace_mib=64, opt_level=1)
    onnx, plan, built = make(folder, config, precision="fp16")
    info = read_plan_info(plan)
    assert info == built.info
    assert info is not None
    assert info.onnx_sha256 == hashlib.sha256(onnx.read_bytes()).hexdigest()
    assert (info.plan_sha256, info.plan_bytes) == (
        hashlib.sha256(plan.read_bytes()).hexdigest(),
        plan.stat().st_size,
    )
    assert (info.runtime, info.runtime_version) == ("tensorrt", world.version)
    assert (info.gpu, info.compute, info.batches) == ("Orin", ("8.7",), (2, 3, 5))
    assert info.flags == {
        "opt_level": 1,
        "workspace_mib": 64,
        "workspace_given": True,
        "version_compatible": False,
    }
    assert info.rebuild(plan).endswith("--max-batch 5 --workspace 64 --opt-level 1")
    assert info.precision["fp16"] > 0
    assert info.cuda
    with TensorRTEngine(plan) as engine:
        assert (engine.min_batch, engine.max_batch) == (2, 5)
        assert engine.infer(frames(1)).labels.shape == (1, SIZE, SIZE)
        about = engine.describe()
    assert (about["version"], about["gpu"], about["compute"]) == (world.version, "Orin", "8.7")


def workspace_is_half_of_what_is_free(world: World, folder: Path) -> None:
    _, _, built = make(folder)
    assert 0.4 * 8192 < built.info.flags["workspace_mib"] <= 0.5 * 8192


def int8_is_read_back(world: World, folder: Path) -> None:
    _, _, built = make(folder, precision="int8")
    assert built.info.precision["int8"] > 0


def a_fall_back_to_fp32_is_no_engine(world: World, folder: Path) -> None:
    world.fake.found_precision = "fp32"
    try:
        with pytest.raises(ParityError, match="asks for fp16, and no layer of the engine computes in it: fp32"):
            make(folder, precision="fp16")
    finally:
        world.fake.found_precision = None
    assert not (folder / "tiny.plan").exists()


def timings_are_kept(world: World, folder: Path) -> None:
    """The second build starts from the file of the first."""
    cache = folder / "timings"
    make(folder, BuildConfig(timing_cache=cache))
    assert cache.read_bytes()
    make(folder, BuildConfig(timing_cache=cache))
    assert [build["hit"] for build in world.fake.builds[-2:]] == [False, True]


def a_version_compatible_plan_is_said_to_be(world: World, folder: Path) -> None:
    _, plan, built = make(folder, BuildConfig(version_compatible=True))
    assert built.info.flags["version_compatible"] is True
    with TensorRTEngine(plan) as engine:
        assert engine.infer(frames(1)).labels.shape == (1, SIZE, SIZE)


def a_refused_operator_is_named(world: World, folder: Path) -> None:
    world.fake.refuse_operator = ("decoder/norm", "GroupNorm")
    try:
        with pytest.raises(IncompatibleEngineError, match=r"node 'decoder/norm' \(GroupNorm\): TensorRT refuses it"):
            make(folder)
    finally:
        world.fake.refuse_operator = None


def ctrl_c_ends_a_build(world: World, folder: Path) -> None:
    told: list[float] = []

    def progress(_phase: str, share: float) -> None:
        told.append(share)
        if len(told) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)  # a real build goes on for longer than the main thread needs to hear of it

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    onnx = tiny_model(folder / "tiny.onnx", size=SIZE)
    try:
        with pytest.raises(KeyboardInterrupt):
            build(onnx, BuildConfig(), progress=progress)
    finally:
        signal.signal(signal.SIGINT, before)
    assert told == sorted(told)
    assert told[-1] < 1


def progress_goes_from_nothing_to_all(world: World, folder: Path) -> None:
    told: list[tuple[str, float]] = []
    build(tiny_model(folder / "tiny.onnx", size=SIZE), BuildConfig(), progress=lambda *one: told.append(one))
    shares = [share for _, share in told]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    assert len({phase for phase, _ in told}) > 1


def a_plan_that_is_none_is_one_line(world: World, folder: Path) -> None:
    _, plan, _ = make(folder)
    content = plan.read_bytes()
    sidecar(plan).unlink()
    for part in (content[:-7], content[: len(content) // 2], b"no plan at all"):
        plan.write_bytes(part)
        with pytest.raises(IncompatibleEngineError, match="is damaged, or no plan of TensorRT"):
            TensorRTEngine(plan)


def a_foreign_plan_is_read_by_its_inputs_and_outputs(world: World, folder: Path) -> None:
    onnx, plan, _ = make(folder, outputs=("labels", "confidence"))
    document = sidecar(plan).rename(folder / "other.plan.json")
    with pytest.warns(PlanWarning, match=r"there is no tiny\.plan\.json"), TensorRTEngine(plan) as engine:
        assert (engine.spec.size, engine.spec.batch, engine.spec.label_order) == (SIZE, None, "segface")
    for spec in (onnx, document):
        with OrtEngine(onnx) as reference, open_engine(plan, spec=spec) as engine:
            assert engine.spec == reference.spec
            assert np.array_equal(engine.infer(frames(2)).labels, reference.infer(frames(2)).labels)


def stages_add_up(world: World, folder: Path) -> None:
    _, plan, _ = make(folder)
    clock = iter(range(100))
    with TensorRTEngine(plan) as engine:
        _, stages = engine.infer_staged(frames(1), lambda: 1000.0 * next(clock))
        _, again = engine.infer_staged(frames(11), lambda: 1000.0 * next(clock))
    for found in (stages, again):
        assert set(found) == {"host_to_device", "inference", "device_to_host"}
        assert sum(found.values()) == pytest.approx(1000.0)
        assert found["inference"] > 0


def layers_tell_their_times(world: World, folder: Path) -> None:
    """Of each layer the nodes of the file, as long as the very file is there; their times make up the run."""
    onnx, plan, _ = make(folder)
    with TensorRTEngine(plan) as engine:
        profile = engine.profile(frames(1), 4)
        assert engine.infer(frames(1)).labels.shape == (1, SIZE, SIZE)
        assert profile.graph is not None
        assert profile.graph.samefile(onnx)
        nodes = [node.name for node in read_nodes(onnx.read_bytes())]
        assert [layer.covers for layer in profile.layers] == [(name,) for name in nodes]
        assert {len(layer.ms) for layer in profile.layers} == {len(profile.ms)} == {4}
        assert sum(layer.ms[0] for layer in profile.layers) == pytest.approx(profile.ms[0])
        onnx.write_bytes(onnx.read_bytes() + b"\0")
        with pytest.warns(PlanWarning, match=r"tiny\.onnx, of which it was built, is not here"):
            blind = engine.profile(frames(2), 1)
        assert (blind.graph, {layer.covers for layer in blind.layers}) == (None, {()})


def layers_of_a_plan_for_several_frames(world: World, folder: Path) -> None:
    _, plan, _ = make(folder, BuildConfig(min_batch=2, opt_batch=2, max_batch=3))
    with TensorRTEngine(plan) as engine:
        pipeline = Pipeline(engine, zoo.PORTRAIT.read_bytes(), span="engine", clock=SystemClock())
        document = measured_layers(pipeline, None, lambda _: None)
    assert document["run_ms"] == pytest.approx(document["layers_ms"])


def threads_have_contexts_of_their_own(world: World, folder: Path) -> None:
    """Eight threads on one engine, several calls each; then a second generation of threads."""
    onnx, plan, _ = make(folder)
    with OrtEngine(onnx) as reference:
        wanted = [reference.infer(frames(2, seed)).labels for seed in range(8)]
    with TensorRTEngine(plan) as engine:
        for _ in range(2):
            found = together(engine)
            assert len(engine._lanes) <= 8  # those of threads that have ended are freed
            assert all(np.array_equal(labels, wanted[seed]) for seed in range(8) for labels in found[seed])


def together(engine: TensorRTEngine) -> dict[int, list[np.ndarray]]:
    """The labels that eight threads find, three times each, all at once."""
    found: dict[int, list[np.ndarray]] = {}
    barrier = threading.Barrier(8)

    def work(seed: int) -> None:
        barrier.wait()
        found[seed] = [engine.infer(frames(2, seed)).labels for _ in range(3)]

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


CONTRACTS: dict[str, Callable[[World, Path], None]] = {
    function.__name__: function
    for function in (
        an_engine_gives_what_its_onnx_file_gives,
        logits_and_a_fixed_batch,
        results_are_the_callers_own,
        the_document_says_what_the_plan_is,
        workspace_is_half_of_what_is_free,
        int8_is_read_back,
        a_fall_back_to_fp32_is_no_engine,
        timings_are_kept,
        a_version_compatible_plan_is_said_to_be,
        a_refused_operator_is_named,
        ctrl_c_ends_a_build,
        progress_goes_from_nothing_to_all,
        a_plan_that_is_none_is_one_line,
        a_foreign_plan_is_read_by_its_inputs_and_outputs,
        stages_add_up,
        layers_tell_their_times,
        layers_of_a_plan_for_several_frames,
        threads_have_contexts_of_their_own,
    )
}
