"""The fake `tensorrt` refuses what a version lacks, and what breaks TensorRT's rules."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .driving import SIZE, Log, Ready, build, implicit
from .fake_cuda import FakeCudaError
from .fake_tensorrt import VERSIONS, FakeTensorRTError, make, table
from .tiny import expected, tiny_model
from .trt_parts import MAGIC

FRAME = SIZE * SIZE * 3


# ---------------------------------------------------------------------------------------------------------------------
# The surface of TensorRT
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_version_has_its_names_and_no_others(version: str) -> None:
    trt, names = make(version, implicit()), table(version)
    assert trt.__version__ == version
    for name in names:
        if not name.startswith("__"):
            assert hasattr(trt, name)
    everywhere = {name for v in VERSIONS for name in table(v)}
    for name in everywhere - set(names):
        with pytest.raises(AttributeError, match=f"module 'tensorrt' has no attribute '{name}'"):
            getattr(trt, name)
    builder = trt.Builder(Log(trt).logger)
    config = builder.create_builder_config()
    for thing, owner in ((builder, "Builder"), (config, "IBuilderConfig")):
        own = set(names[owner]["methods"]) | set(names[owner]["properties"])
        for other in {n for v in VERSIONS for part in ("methods", "properties") for n in table(v)[owner][part]} - own:
            assert not hasattr(thing, other)
            assert not hasattr(getattr(trt, owner), other)
    members = names["BuilderFlag"]["members"]
    assert hasattr(trt.BuilderFlag, "FP16") == (version < "11") == ("FP16" in members)
    assert {n: int(m) for n, m in trt.BuilderFlag.__members__.items()} == members
    assert int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED) == (1 if version < "11" else 0)


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_fake_does_not_do_it_says(version: str) -> None:
    device = implicit()
    trt = make(version, device)
    builder = trt.Builder(Log(trt).logger)
    with pytest.raises(FakeTensorRTError, match="does not know Builder.get_plugin_registry; teach it"):
        builder.get_plugin_registry()
    with pytest.raises(FakeTensorRTError, match="does not know DimsExprs; teach it"):
        trt.DimsExprs(1, 2)
    with pytest.raises(FakeTensorRTError, match=r"IBuilderConfig\.DLA_core"):
        builder.create_builder_config().DLA_core = 1
    assert len(device.refusals) == 3
    with pytest.raises(TypeError, match="No constructor defined"):
        trt.ICudaEngine()


def test_arguments_are_counted_named_and_of_the_right_kind() -> None:
    trt = make("10.3.0", implicit())
    config = trt.Builder(logger=Log(trt).logger).create_builder_config()
    for call in (
        lambda: config.set_flag(),
        lambda: config.set_flag(trt.BuilderFlag.TF32, 1),
        lambda: config.set_flag(flags=trt.BuilderFlag.TF32),
        lambda: config.set_flag(6),
        lambda: config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1.5),
        lambda: trt.Builder("logger"),
        lambda: config.create_timing_cache("text"),
    ):
        with pytest.raises(TypeError, match="incompatible function arguments"):
            call()
    config.set_memory_pool_limit(pool=trt.MemoryPoolType.WORKSPACE, pool_size=np.int64(5))
    assert config.get_memory_pool_limit(trt.MemoryPoolType.WORKSPACE) == 5
    with pytest.raises(AttributeError):
        config.max_workspace_size = 1
    with pytest.raises(AttributeError):
        config.set_flag = 1


@pytest.mark.parametrize(
    "name",
    ["IBuilderConfig.set_memory_pool_limit", "BuilderFlag.TF32", "Runtime", "ICudaEngine.num_io_tensors", "volume"],
)
def test_a_name_can_be_taken_away(name: str) -> None:
    trt: Any = make("11.4.0.106", implicit(), without=name)
    thing = trt
    with pytest.raises(AttributeError):
        for part in name.split("."):
            thing = getattr(thing, part)


def test_it_remembers_what_was_touched() -> None:
    trt = make("10.3.0", implicit())
    config = trt.Builder(Log(trt).logger).create_builder_config()
    config.builder_optimization_level = 5
    config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    used = vars(trt)["fake"].used
    assert used >= {
        "Builder",
        "ILogger",
        "Builder.create_builder_config",
        "IBuilderConfig.builder_optimization_level",
        "IBuilderConfig.set_flag",
        "BuilderFlag.VERSION_COMPATIBLE",
    }
    assert "IBuilderConfig.get_flag" not in used
    assert "ILogger.log" not in used


def test_a_logger_calls_its_base() -> None:
    trt: Any = make("10.3.0", implicit())

    class Careless(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            pass

    with pytest.raises(TypeError, match=r"ILogger\.__init__\(\) must be called"):
        Careless()
    assert trt.Logger.WARNING <= trt.ILogger.INFO
    assert trt.Logger(trt.Logger.ERROR).min_severity == trt.Logger.Severity.ERROR


# ---------------------------------------------------------------------------------------------------------------------
# Building
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_a_model_is_built_and_run(version: str, tmp_path: Path) -> None:
    device = implicit()
    trt = make(version, device)
    log, model = Log(trt), tiny_model(tmp_path / "m.onnx", outputs=("labels", "confidence"))
    plan = build(trt, log, model)
    assert bytes(plan)[:4] == MAGIC
    assert plan.nbytes == len(bytes(plan)) == len(memoryview(plan))
    runtime = trt.Runtime(log.logger)
    engine = runtime.deserialize_cuda_engine(plan)
    assert [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)] == ["frames", "labels", "confidence"]
    assert tuple(engine.get_tensor_shape("labels")) == (-1, SIZE, SIZE)
    assert engine.get_tensor_dtype("labels") == trt.DataType.UINT8
    assert trt.nptype(engine.get_tensor_dtype("labels")) is np.uint8
    assert [shape[0] for shape in engine.get_tensor_profile_shape("frames", 0)] == [1, 2, 3]
    context = engine.create_execution_context()
    assert tuple(context.get_tensor_shape("labels")) == (-1, SIZE, SIZE)
    assert context.infer_shapes() == ["frames"]
    assert not context.set_input_shape("frames", (4, SIZE, SIZE, 3))
    assert "does not satisfy any optimization profiles" in log.text
    assert context.set_input_shape("frames", (2, SIZE, SIZE, 3))
    assert trt.volume(context.get_tensor_shape("labels")) == 2 * SIZE * SIZE
    frames = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    blocks = {n: device.allocate(s, "test") for n, s in (("frames", 2 * FRAME), ("labels", 9999), ("confidence", 9999))}
    for name, block in blocks.items():
        assert context.set_tensor_address(name, block.pointer)
    stream = device.create_stream("test")
    blocks["frames"].data[:] = frames.reshape(-1)
    assert context.execute_async_v3(stream.handle)
    labels = blocks["labels"].data[: 2 * SIZE * SIZE].reshape(2, SIZE, SIZE)
    assert (labels == 0xCD).all()
    device.synchronize(stream, "test")
    assert np.array_equal(labels, expected(frames))
    assert np.array_equal(blocks["confidence"].data[: 2 * SIZE * SIZE].reshape(2, SIZE, SIZE), frames[..., 1])
    held = {"engines": 1, "runtimes": 1, "execution contexts": 1}
    assert device.live() == {"device memory": 3, "streams": 1, **held}
    del context, engine, runtime
    for block in blocks.values():
        device.free(block, "test")
    device.destroy_stream(stream, "test")
    assert not device.live()


def test_a_network_without_types_is_refused() -> None:
    trt = make("10.3.0", implicit())
    with pytest.raises(FakeTensorRTError, match="strongly typed networks only"):
        trt.Builder(Log(trt).logger).create_network(0)
    newer = make("11.0.0.114", implicit())
    newer.Builder(Log(newer).logger).create_network(0)


@pytest.mark.parametrize(
    ("version", "words"), [("10.3.0", "No importer registered for op: Foo"), ("11.4.0.106", "Plugin not")]
)
def test_an_operator_can_be_refused(version: str, words: str, tmp_path: Path) -> None:
    trt = make(version, implicit())
    vars(trt)["fake"].refuse_operator = ("/decoder/Foo", "Foo")
    error = build(trt, Log(trt), tiny_model(tmp_path / "m.onnx"))
    assert words in error.desc()
    assert (error.node_name(), error.node_operator()) == ("/decoder/Foo", "Foo")
    assert error.code() == trt.ErrorCode.UNSUPPORTED_NODE


def test_what_is_no_model_and_what_has_no_profile(tmp_path: Path) -> None:
    trt = make("10.3.0", implicit())
    log = Log(trt)
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    assert "Failed to parse" in build(trt, log, tmp_path / "bad.onnx").desc()
    assert build(trt, log, tiny_model(tmp_path / "m.onnx"), largest=None) is None
    assert "no optimization profile has been defined" in log.text
    assert build(trt, log, tiny_model(tmp_path / "m.onnx", batch=2), largest=None) is not None
    profile = trt.Builder(log.logger).create_optimization_profile()
    with pytest.raises(ValueError, match="Shape provided for max is inconsistent"):
        profile.set_shape("frames", (1, 2), (3, 2), (2, 2))


def test_a_monitor_follows_a_build_and_ends_it(tmp_path: Path) -> None:
    trt: Any = make("10.3.0", implicit())
    log, model = Log(trt), tiny_model(tmp_path / "m.onnx")
    seen: list[tuple[Any, ...]] = []

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        def __init__(self, steps: int) -> None:
            super().__init__()
            self.left = steps

        def phase_start(self, *arguments: Any) -> None:
            seen.append(arguments)

        def step_complete(self, *_: Any) -> bool:
            self.left -= 1
            return self.left > 0

        def phase_finish(self, name: str) -> None:
            seen.append((name,))

    assert build(trt, log, model, progress_monitor=Monitor(9)) is not None
    assert [entry[:2] for entry in seen[:2]] == [("Building Engine", None), ("Timing graph nodes", "Building Engine")]
    assert len(seen) == 4
    assert build(trt, log, model, progress_monitor=Monitor(3)) is None
    assert len(seen) == 8
    assert "Build was cancelled" in log.text


def test_a_timing_cache_is_hit_the_second_time(tmp_path: Path) -> None:
    trt = make("10.3.0", implicit())
    log, model = Log(trt), tiny_model(tmp_path / "m.onnx")
    builder = trt.Builder(log.logger)
    config = builder.create_builder_config()
    cache = config.create_timing_cache(b"")
    assert config.create_timing_cache(b"rubbish") is None
    assert config.set_timing_cache(cache, False)
    build(trt, log, model, cache=b"")
    fake = vars(trt)["fake"]
    assert not fake.builds[-1]["hit"]
    assert fake.builds[-1]["pools"] == {"WORKSPACE": 1 << 30}
    other = make("10.7.0", implicit())
    foreign = other.Builder(Log(other).logger).create_builder_config().create_timing_cache(b"").serialize()
    assert not config.set_timing_cache(config.create_timing_cache(foreign), False)
    assert config.set_timing_cache(config.create_timing_cache(foreign), True)


def test_without_a_driver_nothing_is_built() -> None:
    trt = make("10.3.0", implicit(driver=False))
    log = Log(trt)
    for kind in (trt.Builder, trt.Runtime):
        with pytest.raises(TypeError, match="factory function returned nullptr"):
            kind(log.logger)
    assert log.text.count("CUDA initialization failure with error: 35") == 2


# ---------------------------------------------------------------------------------------------------------------------
# Plans
# ---------------------------------------------------------------------------------------------------------------------


def test_plans_that_do_not_belong_here(tmp_path: Path) -> None:
    device = implicit()
    trt = make("10.3.0", device)
    log, model = Log(trt), tiny_model(tmp_path / "m.onnx")
    plan = bytes(build(trt, log, model))
    open_plan = bytes(build(trt, log, model, flag=trt.BuilderFlag.VERSION_COMPATIBLE))
    ampere = bytes(build(trt, log, model, hardware_compatibility_level=trt.HardwareCompatibilityLevel.AMPERE_PLUS))

    def load(
        content: bytes, version: str = "10.3.0", *, trust: bool = False, sm: tuple[int, int] = (8, 7)
    ) -> str | None:
        other = make(version, implicit(sm=sm))
        words = Log(other)
        runtime = other.Runtime(words.logger)
        runtime.engine_host_code_allowed = trust
        return None if runtime.deserialize_cuda_engine(content) else words.text

    assert load(plan) is None
    for broken in (plan[:-1], plan[: len(plan) // 2], b"", b"x" * 100, plan[:200] + b"?" + plan[201:]):
        assert "magicTagRead == kMAGIC_TAG failed.Magic tag does not match" in str(load(broken))
    assert "expecting library version 10.7.0 got \n\x07" in str(load(plan, "10.7.0"))
    assert "expecting compute 8.6 got compute 8.7, please rebuild" in str(load(plan, sm=(8, 6)))
    assert load(ampere, sm=(8, 6)) is None
    assert load(open_plan, "10.7.0", trust=True) is None
    assert "engineHostCodeAllowed" in str(load(open_plan, "10.7.0"))
    assert "expecting library version 11" in str(load(open_plan, "11.0.0.114", trust=True))


@pytest.mark.parametrize(
    ("version", "precision", "found", "words"),
    [
        ("10.3.0", "fp32", None, "Row major linear FP32"),
        ("10.3.0", "fp16", None, "Channel major FP16 format where channel % 8 == 0"),
        ("10.3.0", "int8", None, "Thirty-two wide channel vectorized row major Int8 format"),
        ("10.7.0", "fp16", None, "Half"),
        ("11.4.0.106", "int8", None, "Int8"),
        ("11.4.0.106", "int8", "fp32", "Float"),
    ],
)
def test_the_inspector_tells_the_precision(
    version: str, precision: Any, found: str | None, words: str, tmp_path: Path
) -> None:
    trt = make(version, implicit())
    vars(trt)["fake"].found_precision = found
    log, model = Log(trt), tiny_model(tmp_path / "m.onnx", precision=precision)
    form = trt.LayerInformationFormat.JSON

    def inspect(**settings: Any) -> Any:
        engine = trt.Runtime(log.logger).deserialize_cuda_engine(build(trt, log, model, **settings))
        return json.loads(engine.create_engine_inspector().get_engine_information(form))

    told = inspect(profiling_verbosity=trt.ProfilingVerbosity.DETAILED)
    types = [x["Outputs"][0]["Format/Datatype"] for x in told["Layers"] if x["LayerType"] == "CaskConvolution"]
    assert types == [words]
    assert told["Bindings"] == ["frames", "labels"]
    assert "/labels" in inspect()["Layers"]


# ---------------------------------------------------------------------------------------------------------------------
# The order of execution
# ---------------------------------------------------------------------------------------------------------------------


def test_execution_keeps_its_order(tmp_path: Path) -> None:
    ready = Ready(tmp_path)
    context = ready.engine.create_execution_context()
    with pytest.raises(FakeTensorRTError, match="shape of frames is not set"):
        context.execute_async_v3(ready.stream.handle)
    context.set_input_shape("frames", (1, SIZE, SIZE, 3))
    with pytest.raises(FakeTensorRTError, match="address of frames, labels is not set"):
        context.execute_async_v3(ready.stream.handle)
    with pytest.raises(FakeTensorRTError, match="multiple of 256"):
        context.set_tensor_address("frames", ready.frames.pointer + 1)
    with pytest.raises(FakeCudaError, match="is no stream"):
        ready.context.execute_async_v3(12345)
    ready.run()
    with pytest.raises(FakeCudaError, match="work that uses this memory is pending"):
        ready.device.free(ready.labels, "test")
    ready.wait()


def test_memory_must_be_there_and_large_enough(tmp_path: Path) -> None:
    ready = Ready(tmp_path)
    ready.context.set_input_shape("frames", (2, SIZE, SIZE, 3))
    with pytest.raises(FakeCudaError, match=r"frames: 6144 bytes from 0 on, in an allocation of 3072"):
        ready.run()
    ready.context.set_input_shape("frames", (1, SIZE, SIZE, 3))
    ready.context.set_tensor_address("labels", ready.frames.pointer)
    with pytest.raises(FakeTensorRTError, match="two tensors share memory"):
        ready.run()
    pinned = ready.device.allocate(SIZE * SIZE, "test", pinned=True, mapped=True)
    ready.context.set_tensor_address("labels", pinned.address)
    with pytest.raises(FakeCudaError, match="is a host address"):
        ready.run()
    ready.context.set_tensor_address("labels", pinned.pointer)
    ready.run()
    ready.wait()
    assert np.array_equal(pinned.data, np.full(SIZE * SIZE, 2))
    ready.device.free(pinned, "test")
    with pytest.raises(FakeCudaError, match="was freed"):
        ready.run()


def test_a_context_belongs_to_its_thread_and_its_engine(tmp_path: Path) -> None:
    ready = Ready(tmp_path)
    found: list[BaseException] = []

    def other() -> None:
        try:
            ready.run()
        except BaseException as error:
            found.append(error)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert "another thread than the context's first" in str(found[0])
    vars(ready.trt)["fake"].one_thread_per_context = False
    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert len(found) == 1
    ready.wait()
    ready.run()
    engine, ready.engine = ready.engine, None
    del engine
    with pytest.raises(FakeTensorRTError, match="outlives its engine"):
        ready.run()
    del ready.context
    with pytest.raises(FakeTensorRTError, match="context or engine was freed"):
        ready.wait()


def test_without_a_current_context_nothing_runs(tmp_path: Path) -> None:
    ready = Ready(tmp_path)
    ready.device.implicit = False
    with pytest.raises(FakeCudaError, match="no context is current on this thread"):
        ready.run()


def test_too_little_memory_for_a_context(tmp_path: Path) -> None:
    ready = Ready(tmp_path)
    ready.device.out_of_memory_after = 1 << 20
    assert ready.engine.create_execution_context() is None
    assert "OutOfMemory" in ready.log.text
