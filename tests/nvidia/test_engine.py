"""Plans that do not fit, memory, GPUs that share memory with the CPU, and what is missing on a machine."""

from __future__ import annotations

import _thread
import errno
import json
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from segface_edge import FaceParser
from segface_edge.engines import open_engine
from segface_edge.engines.nvidia import cache as cache_module
from segface_edge.engines.nvidia import cuda, cuda_python, inspector, runtimes
from segface_edge.engines.nvidia.build import build
from segface_edge.engines.nvidia.cache import cached_plan
from segface_edge.engines.nvidia.config import BuildConfig
from segface_edge.engines.nvidia.cuda import open_cuda
from segface_edge.engines.nvidia.plan import PlanWarning, read_plan_info, sidecar
from segface_edge.engines.nvidia.run import LANES, TensorRTEngine
from segface_edge.engines.nvidia.runtimes import load
from segface_edge.engines.nvidia.write import write_plan
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.errors import (
    IncompatibleEngineError,
    InputError,
    MissingDependencyError,
    SegFaceEdgeError,
    UsageError,
)
from segface_edge.evaluation.plan_parity import checked

from .contracts import frames, make
from .fake_cuda import FakeDevice
from .tiny import tiny_model
from .world import BINDINGS, World

Install = Callable[..., World]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """A world in the place of this machine."""
    return lambda *arguments, **options: World(*arguments, **options).install(monkeypatch)


@pytest.mark.parametrize("binding", BINDINGS)
def test_two_hundred_cycles_leave_nothing(binding: str, install: Install, tmp_path: Path) -> None:
    world = install("10.3.0", binding)
    onnx, plan, _ = make(tmp_path)
    with OrtEngine(onnx) as reference:
        wanted = reference.infer(frames(1)).labels
    for _ in range(200):
        with TensorRTEngine(plan) as engine:
            assert np.array_equal(engine.infer(frames(1)).labels, wanted)
    world.check()


@pytest.mark.parametrize(("binding", "words"), [("pycuda", "not in pycuda"), ("cuda-python-13", "yes")])
def test_cuda_graphs_are_used_where_the_binding_has_them(
    binding: str, words: str, install: Install, tmp_path: Path
) -> None:
    install("11.4.0.106", binding)
    _, plan, _ = make(tmp_path)
    with TensorRTEngine(plan) as engine:
        assert engine.describe()["cuda_graph"] == "not run yet"
        engine.infer(frames(1))
        assert engine.describe()["cuda_graph"] == words


def test_an_engine_that_cannot_be_recorded_runs_and_says_so(install: Install, tmp_path: Path) -> None:
    world = install("10.3.0", "cuda-python-12", gpu=FakeDevice(capture_fails=True))
    onnx, plan, _ = make(tmp_path)
    with OrtEngine(onnx) as reference, TensorRTEngine(plan) as engine:
        for seed in range(3):
            assert np.array_equal(engine.infer(frames(1, seed)).labels, reference.infer(frames(1, seed)).labels)
        assert str(engine.describe()["cuda_graph"]).startswith("no (")
    world.check()


@pytest.mark.parametrize("binding", BINDINGS)
def test_a_gpu_that_shares_memory_copies_nothing(binding: str, install: Install, tmp_path: Path) -> None:
    world = install("10.3.0", binding, gpu=FakeDevice(integrated=True))
    onnx, plan, _ = make(tmp_path)
    with OrtEngine(onnx) as reference, TensorRTEngine(plan) as engine:
        assert np.array_equal(engine.infer(frames(3)).labels, reference.infer(frames(3)).labels)
        assert engine.describe()["memory"] == "shared"
        held = world.device.live()
        assert held["pinned memory"] == 2
        assert "device memory" not in held
    world.check()


def test_a_plan_of_another_tensorrt_is_refused_with_the_command_that_rebuilds_it(
    install: Install, tmp_path: Path
) -> None:
    install("10.3.0")
    onnx, plan, _ = make(tmp_path, BuildConfig(max_batch=2))
    install("10.7.0")
    rebuild = f"segface-edge build {onnx} -o {plan} --min-batch 1 --opt-batch 1 --max-batch 2"
    with pytest.raises(IncompatibleEngineError, match="was built with TensorRT 10.3.0, here is 10.7.0") as caught:
        TensorRTEngine(plan)
    assert caught.value.cure == f"build it again: {rebuild}"
    # TensorRT itself says less from 10.4 on: the version of the plan in raw bytes.
    sidecar(plan).unlink()
    with pytest.raises(
        IncompatibleEngineError, match=r"was built with another version of TensorRT, here is 10\.7\.0; "
    ):
        TensorRTEngine(plan)


def test_later_versions_run_a_version_compatible_plan(install: Install, tmp_path: Path) -> None:
    install("10.3.0")
    _, plan, _ = make(tmp_path, BuildConfig(version_compatible=True))
    install("10.16.1.11")
    with TensorRTEngine(plan) as engine:
        assert engine.infer(frames(1)).labels.shape == (1, 32, 32)
    install("11.0.0.114")
    with pytest.raises(IncompatibleEngineError, match="was built with TensorRT 10.3.0"):
        TensorRTEngine(plan)


def test_a_plan_of_another_gpu_is_refused(install: Install, tmp_path: Path) -> None:
    install("10.3.0")
    _, plan, _ = make(tmp_path)
    install("10.3.0", gpu=FakeDevice(name="RTX 4090", sm=(8, 9)))
    words = r"was built for compute capability 8\.7 \(Orin\), this GPU \(RTX 4090\) has 8\.9"
    with pytest.raises(IncompatibleEngineError, match=words):
        TensorRTEngine(plan)
    sidecar(plan).unlink()
    with pytest.raises(IncompatibleEngineError, match=r"was built for compute capability 8\.7, this GPU has 8\.9"):
        TensorRTEngine(plan)
    install("10.3.0", gpu=FakeDevice(name="Orin NX"))
    _, plan, _ = make(tmp_path)
    install("10.3.0", gpu=FakeDevice(name="Orin Nano"))
    with pytest.warns(PlanWarning, match="was built on Orin NX, this is Orin Nano"):
        TensorRTEngine(plan).close()


def test_a_damaged_plan_is_refused_before_anything_of_nvidias_is_needed(install: Install, tmp_path: Path) -> None:
    install("10.3.0")
    _, plan, _ = make(tmp_path)
    content = plan.read_bytes()
    install("10.3.0", None, "absent", gpu=FakeDevice(driver=False))
    for damaged, words in ((content[:-1], "is cut off"), (bytes([content[0] ^ 1]) + content[1:], "is damaged")):
        plan.write_bytes(damaged)
        with pytest.raises(IncompatibleEngineError, match=words) as caught:
            open_engine(plan)
        assert caught.value.exit_code == 5


def test_no_memory_is_one_line_and_leaves_nothing(install: Install, tmp_path: Path) -> None:
    for binding in BINDINGS:
        install("10.3.0", binding)
        _, plan, _ = make(tmp_path)
        world = install("10.3.0", binding, gpu=FakeDevice(out_of_memory_after=2**20 + 20000))
        with TensorRTEngine(plan) as engine:
            with pytest.raises(
                IncompatibleEngineError,
                match=r"(has no 0\.0 MiB left|makes no execution context \(.*OutOfMemory.*\)); lower the batch",
            ):
                engine.infer(frames(8))
            assert engine.infer(frames(1)).labels.shape == (1, 32, 32)
        world.check()


def test_a_closed_engine_says_so(install: Install, tmp_path: Path) -> None:
    world = install("10.3.0")
    _, plan, _ = make(tmp_path)
    engine = TensorRTEngine(plan)
    engine.close()
    engine.close()
    with pytest.raises(UsageError, match="is closed"):
        engine.infer(frames(1))
    world.check()


def test_threads_are_of_no_use(install: Install, tmp_path: Path) -> None:
    install("10.3.0")
    _, plan, _ = make(tmp_path)
    with pytest.raises(UsageError, match="has no meaning for TensorRT"):
        open_engine(plan, threads=2)
    with pytest.raises(UsageError, match="is no NVIDIA GPU"):
        open_engine(plan, device="mps")
    with pytest.raises(UsageError, match="does not exist: there are 1; use cuda:0 to cuda:0"):
        open_engine(plan, device="cuda:3")


def test_a_plan_that_is_not_what_its_document_says(install: Install, tmp_path: Path) -> None:
    world = install("10.3.0")
    _, plan, built = make(tmp_path)
    lie = replace(built.info, spec=replace(built.info.spec, outputs=("labels", "confidence")))
    sidecar(plan).write_text(lie.to_json())
    with pytest.raises(IncompatibleEngineError, match="should have frames Nx32x32x3 uint8, .*confidence"):
        TensorRTEngine(plan)
    world.check()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(version=2), "is of version 2"),
        (lambda d: d.update(batches=[3, 2, 1]), "says batches"),
        (lambda d: d.update(runtime="cudnn"), "says runtime"),
        (lambda d: d.update(runtime=["tensorrt"]), "says runtime"),
        (lambda d: d.pop("onnx_sha256"), "lacks or has too much: onnx_sha256"),
        (lambda d: d.update(spec={"size": 3}), "metadata is wrong"),
        (lambda d: d.update(precision={"fp32": -1}), "says precision"),
        (lambda d: d.update(plan_bytes=True), "says plan_bytes"),
    ],
)
def test_a_wrong_document_is_named(
    change: Callable[[dict[str, Any]], Any], words: str, install: Install, tmp_path: Path
) -> None:
    install("10.3.0")
    _, plan, _ = make(tmp_path)
    document = json.loads(sidecar(plan).read_text())
    change(document)
    sidecar(plan).write_text(json.dumps(document))
    with pytest.raises(IncompatibleEngineError, match=words) as caught:
        open_engine(plan)
    assert str(caught.value).startswith(str(sidecar(plan)))
    for content in ("{", "[]", "é".encode("latin-1").decode("latin-1") * 3):
        sidecar(plan).write_text(content)
        with pytest.raises(IncompatibleEngineError, match="is not"):
            open_engine(plan)


def test_an_onnx_file_is_built_once_and_again_when_anything_changes(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    onnx = tiny_model(tmp_path / "tiny.onnx")
    plans: set[Path] = set()
    for version, gpu in (("10.3.0", "Orin NX"), ("10.7.0", "Orin NX"), ("10.7.0", "Orin Nano")):
        world = install(version, gpu=FakeDevice(name=gpu))
        for _ in range(2):
            with FaceParser(onnx, engine="tensorrt") as parser, OrtEngine(onnx) as reference:
                assert np.array_equal(parser.engine.infer(frames(2)).labels, reference.infer(frames(2)).labels)
                assert parser.engine.device == "cuda:0"
            plans |= set((tmp_path / "cache" / "segface-edge").glob("*.plan"))
        world.check()
    assert len(plans) == 3
    assert len([one for one in caplog.records if "once; this takes minutes" in one.message]) == 3
    (tmp_path / "tiny.onnx").unlink()
    tiny_model(tmp_path / "tiny.onnx", outputs=("labels", "confidence"))
    assert cached_plan(onnx, BuildConfig(), checked) not in plans
    assert cached_plan(onnx, BuildConfig(max_batch=2), checked) != cached_plan(onnx, BuildConfig(max_batch=3), checked)
    before = cached_plan(onnx, BuildConfig(), checked)
    assert cached_plan(onnx, BuildConfig(device="cuda:0", binding="pycuda"), checked) == before


def test_no_driver_is_said_by_every_binding(install: Install, tmp_path: Path) -> None:
    install("10.3.0")
    _, plan, _ = make(tmp_path)
    for binding in BINDINGS:
        for gpu in (FakeDevice(driver=False), FakeDevice(devices=0)):
            install("10.3.0", binding, gpu=gpu)
            with pytest.raises(MissingDependencyError, match="there is no NVIDIA driver and GPU here") as caught:
                TensorRTEngine(plan)
            assert caught.value.exit_code == 3


def test_what_is_missing_is_told_apart(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "driver_is_here", lambda: True)
    monkeypatch.setattr(cuda, "driver_is_here", lambda: True)
    install("10.3.0", None, "absent")
    with pytest.raises(MissingDependencyError, match="TensorRT's Python package is not installed; install it: pip"):
        load("tensorrt", "model.plan")
    with pytest.raises(MissingDependencyError, match="the package cuda-python or pycuda is not installed"):
        open_cuda()
    with pytest.raises(
        MissingDependencyError,
        match="the package pycuda is not installed; install it: pip install 'segface-edge.pycuda",
    ):
        open_cuda("cuda", "pycuda")
    install("10.3.0", None, "broken")
    with pytest.raises(MissingDependencyError, match="package is here, its library is not"):
        load("tensorrt", "model.plan")
    install("10.3.0", None, "absent")
    monkeypatch.setattr(runtimes, "is_jetson", lambda: True)
    with pytest.raises(MissingDependencyError, match="sudo apt install python3-libnvinfer"):
        load("tensorrt", "model.plan")
    monkeypatch.setattr(runtimes, "driver_is_here", lambda: False)
    with pytest.raises(MissingDependencyError, match="there is no NVIDIA driver"):
        load("tensorrt", "model.plan")
    with pytest.raises(UsageError, match="use one of: tensorrt, rtx"):
        load("openvino", "model.plan")


def test_an_old_tensorrt_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for version in ("8.5.2.2", "8.6.2", "10.2.0"):
        monkeypatch.setitem(__import__("sys").modules, "tensorrt", SimpleNamespace(__version__=version))
        with pytest.raises(MissingDependencyError, match=f"TensorRT {version} is older than 10.3") as caught:
            load("tensorrt", "model.plan")
        assert caught.value.exit_code == 3


def test_another_onnx_file_than_ours_is_refused(install: Install, tmp_path: Path) -> None:
    install("10.3.0")
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(SegFaceEdgeError, match="is not a readable ONNX model"):
        build(tmp_path / "x.onnx", BuildConfig())
    with pytest.raises(SegFaceEdgeError, match="no such file"):
        build(tmp_path / "y.onnx", BuildConfig())


def test_a_timing_cache_of_others_is_refused(install: Install, tmp_path: Path) -> None:
    install("10.3.0")
    cache = tmp_path / "timings"
    make(tmp_path, BuildConfig(timing_cache=cache))
    install("10.7.0")
    with pytest.raises(IncompatibleEngineError, match="is a timing cache of another GPU or version"):
        make(tmp_path, BuildConfig(timing_cache=cache))


def test_a_plan_and_its_document_are_written_both_or_neither(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("10.3.0")
    _, plan, built = make(tmp_path)
    (tmp_path / "b").mkdir()
    other = build(tiny_model(tmp_path / "b" / "tiny.onnx", outputs=("labels", "confidence")), BuildConfig())
    assert other.plan != built.plan
    write = Path.write_text

    def full(path: Path, *arguments: Any, **options: Any) -> int:
        if "json" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(path, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(InputError, match="no space left"):
        write_plan(plan, other)
    assert plan.read_bytes() == built.plan
    assert read_plan_info(plan) == built.info
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b", "tiny.onnx", "tiny.plan", "tiny.plan.json"]


def test_a_thread_keeps_a_few_contexts_and_those_of_ended_threads_go(install: Install, tmp_path: Path) -> None:
    world = install("10.3.0", "cuda-python-12")
    onnx, plan, _ = make(tmp_path)
    with TensorRTEngine(plan) as engine, OrtEngine(onnx) as reference:
        for count in (1, 2, 3, 4, 5, 6, 1, 6, 2):
            assert np.array_equal(engine.infer(frames(count)).labels, reference.infer(frames(count)).labels)
            assert len(engine._lanes) <= LANES
        for _ in range(3):
            thread = threading.Thread(target=engine.infer, args=(frames(7),))
            thread.start()
            thread.join()
        engine.infer(frames(3))
        assert {ident for ident, _ in engine._lanes} == {threading.get_ident()}
    world.check()


def test_a_thread_that_python_did_not_start_keeps_its_context(install: Install, tmp_path: Path) -> None:
    install("10.3.0")
    _, plan, _ = make(tmp_path)
    ready, go, found = threading.Event(), threading.Event(), []
    with TensorRTEngine(plan) as engine:

        def work() -> None:
            engine.infer(frames(1))
            ready.set()
            go.wait(10)
            found.append(engine.infer(frames(1)).labels)
            ready.set()

        _thread.start_new_thread(work, ())
        assert ready.wait(10)
        ready.clear()
        engine.infer(frames(2))
        assert len(engine._lanes) == 2
        go.set()
        assert ready.wait(10)
    assert len(found) == 1


def test_closing_waits_for_the_calls_that_run(install: Install, tmp_path: Path) -> None:
    """Closed by one thread while others run: each call gives its labels or says that it is closed."""
    for binding in BINDINGS:
        world = install("10.3.0", binding)
        onnx, plan, _ = make(tmp_path)
        with OrtEngine(onnx) as reference:
            wanted = reference.infer(frames(1)).labels
        engine, wrong = TensorRTEngine(plan), []

        def work(engine: TensorRTEngine = engine, wrong: list[Any] = wrong, wanted: Any = wanted) -> None:
            try:
                while True:
                    if not np.array_equal(engine.infer(frames(1)).labels, wanted):
                        wrong.append("labels")
            except UsageError as error:
                if "is closed" not in str(error):
                    wrong.append(error)
            except BaseException as error:
                wrong.append(error)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.05)
        engine.close()
        for thread in threads:
            thread.join(10)
        assert wrong == []
        world.check()


def test_engines_may_be_closed_in_any_order(install: Install, tmp_path: Path) -> None:
    world = install("10.3.0")
    _, plan, _ = make(tmp_path)
    for order in (slice(None), slice(None, None, -1)):
        engines = [TensorRTEngine(plan) for _ in range(3)]
        for engine in engines:
            engine.infer(frames(1))
        for number, engine in enumerate(engines[order]):
            engine.close()
            for other in engines[order][number + 1 :]:
                other.infer(frames(1))
    world.check()


def test_the_device_of_the_thread_is_as_it_was(install: Install, tmp_path: Path) -> None:
    """Another library of the thread works with the second GPU."""
    world = install("10.3.0", "cuda-python-13", gpu=FakeDevice(devices=2))
    _, plan, _ = make(tmp_path)
    world.device.choose(1)
    with open_engine(plan, device="cuda:0") as engine:
        engine.infer(frames(1))
    assert world.device.chosen() == 1
    with open_engine(plan, device="cuda:1") as engine:
        assert engine.device == "cuda:1"


def test_tensorrt_that_cannot_start_cuda_is_one_line(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pip's newest TensorRT is for a newer CUDA than the driver has."""
    world = install("11.4.0.106", "cuda-python-12")
    onnx, plan, _ = make(tmp_path)
    # TensorRT itself finds no GPU, where the binding does.
    monkeypatch.setattr(open_cuda("cuda"), "free_bytes", lambda: 2**30, raising=False)
    opened = cuda_python.CudaPython.current

    @contextmanager
    def then_without_a_driver(self: Any) -> Iterator[None]:
        with opened(self):
            monkeypatch.setattr(world.device, "devices", 0)
            try:
                yield
            finally:
                monkeypatch.setattr(world.device, "devices", 1)

    monkeypatch.setattr(cuda_python.CudaPython, "current", then_without_a_driver)
    with pytest.raises(MissingDependencyError, match=r"TensorRT cannot use the GPU \(.*; the driver may be too old"):
        TensorRTEngine(plan)
    with pytest.raises(MissingDependencyError, match="TensorRT cannot use the GPU"):
        build(onnx, BuildConfig(workspace_mib=64))
    monkeypatch.setattr(cuda_python.CudaPython, "current", opened)
    monkeypatch.setattr(cuda_python, "driver_is_here", lambda: True)
    install("11.4.0.106", "cuda-python-13", gpu=FakeDevice(driver=False))
    with pytest.raises(MissingDependencyError, match="driver is here and cannot be used by cuda-python"):
        TensorRTEngine(plan)


def test_a_cached_plan_without_its_document_is_built_again(
    install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    install("10.3.0")
    onnx = tiny_model(tmp_path / "tiny.onnx")
    plan = cached_plan(onnx, BuildConfig(), checked)
    sidecar(plan).unlink()
    with FaceParser(onnx, engine="tensorrt") as parser:
        assert parser.spec.label_order == "own"
    info = read_plan_info(plan)
    assert info is not None
    assert info.parity["plan"]["passed"] is True


def test_one_of_several_workers_builds(install: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    install("10.3.0")
    onnx, builds = tiny_model(tmp_path / "tiny.onnx"), []

    def counted(*arguments: Any) -> Any:
        builds.append(1)
        return build(*arguments)

    monkeypatch.setattr(cache_module, "build", counted)
    threads = [threading.Thread(target=cached_plan, args=(onnx, BuildConfig(), checked)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert builds == [1]


@pytest.mark.parametrize(
    ("layers", "asked", "words"),
    [
        ([("CaskConvolution", "Half")] * 3 + [("CaskConvolution", "Float")], "fp16", None),
        ([("CaskConvolution", "Float")] * 3 + [("CaskConvolution", "Half")], "fp16", r"most layers .* fp32 \(3"),
        ([("CaskConvolution", "Float"), ("Reformat", "Half"), ("Reformat", "Half")], "fp16", "no layer"),
        ([("gemm", "Row major linear FP16 format"), ("kgen", "Float"), ("kgen", "Float")], "fp16", None),
        ([("Myelin", "")], "fp16", None),
        ([], "fp32", None),
        ([("CaskConvolution", "Thirty-two wide channel vectorized row major Int8 format")], "int8", None),
        ([("CaskConvolution", "UInt8")], "int8", None),
        ([("CaskConvolution", "Half")], "int8", "no layer"),
    ],
)
def test_what_an_engine_computes_in(layers: list[tuple[str, str]], asked: Any, words: str | None) -> None:
    text = json.dumps(
        {
            "Layers": [
                {"Name": str(n), "LayerType": kind, "Inputs": [{"Name": "x", "Format/Datatype": name}]}
                for n, (kind, name) in enumerate(layers)
            ]
        }
    )
    fault = inspector.found_fault(asked, inspector._types(text))
    assert (fault is None) if words is None else re.search(words, str(fault))
    for bare in ("", "[]", '{"Layers": ["one", "two"]}'):
        assert inspector.found_fault(asked, inspector._types(bare)) is None
