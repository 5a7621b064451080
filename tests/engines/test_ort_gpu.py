"""ONNX Runtime on a GPU, checked without one: its real classes compute on the CPU and say that they are a GPU.

Names and arguments are the real package's: what it lacks, fails here. What a GPU itself does is not tested.
"""

from __future__ import annotations

import ctypes
import itertools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest

from segface_edge import zoo
from segface_edge.engines.base import MAX_BATCH
from segface_edge.engines.ort import providers
from segface_edge.engines.ort.bound import BoundSession
from segface_edge.engines.ort.engine import OrtEngine, OrtTensorRTEngine
from segface_edge.engines.ort.providers import CPU, CUDA, TENSORRT
from segface_edge.engines.ort.session import open_session
from segface_edge.errors import IncompatibleEngineError, MissingDependencyError, SegFaceEdgeError, UsageError
from segface_edge.spec import METADATA_KEY, ModelSpec

SIZE, CLASSES = 32, ("background", "skin", "hair", "nose")
DEPLOY = ModelSpec(
    backbone="none",
    graph="deploy",
    size=SIZE,
    batch=None,
    label_order="own",
    classes=CLASSES,
    outputs=("labels", "confidence"),
)
REFERENCE = replace(DEPLOY, graph="reference", outputs=("logits",))
WEIGHTS = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0.5, 0.25]], np.float32)
REAL = onnxruntime.InferenceSession
REAL_VALUE = onnxruntime.OrtValue.ortvalue_from_shape_and_type
ENGINES = {"cuda": (OrtEngine, [CUDA]), "tensorrt": (OrtTensorRTEngine, [TENSORRT, CUDA])}
NO_LIBRARY = "libcublasLt.so.13: cannot open shared object file: No such file or directory"


def model(folder: Path, spec: ModelSpec) -> Path:
    """A tiny file. Deploy: label = red channel, confidence = green. Reference: logits = WEIGHTS times the input."""
    onnx = pytest.importorskip("onnx", reason="tiny models are built with onnx")
    helper, kinds = onnx.helper, onnx.TensorProto
    n = spec.batch or "N"
    nodes, constants, outputs = [], [], []
    for i, name in enumerate(spec.outputs):
        if spec.graph == "deploy":
            constants.append(onnx.numpy_helper.from_array(np.array(i, np.int64), f"channel{i}"))
            nodes.append(helper.make_node("Gather", ["frames", f"channel{i}"], [name], axis=3))
            outputs.append(helper.make_tensor_value_info(name, kinds.UINT8, [n, SIZE, SIZE]))
        else:
            constants.append(onnx.numpy_helper.from_array(WEIGHTS[:, :, None, None], "weights"))
            nodes.append(helper.make_node("Conv", ["images", "weights"], [name]))
            outputs.append(helper.make_tensor_value_info(name, kinds.FLOAT, [n, len(CLASSES), SIZE, SIZE]))
    feed = (
        helper.make_tensor_value_info("frames", kinds.UINT8, [n, SIZE, SIZE, 3])
        if spec.graph == "deploy"
        else helper.make_tensor_value_info("images", kinds.FLOAT, [n, 3, SIZE, SIZE])
    )
    graph = helper.make_graph(nodes, "tiny", [feed], outputs, constants)
    built = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    helper.set_model_props(built, {METADATA_KEY: spec.to_json()})
    onnx.save(built, folder / "tiny.onnx")
    return folder / "tiny.onnx"


def frames(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    stack = np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    stack[..., 0] %= len(CLASSES)
    return stack


class Gpu(REAL):
    """The real session, on the CPU, that takes itself for one on the providers that were asked for."""

    opened: ClassVar[list[dict[str, Any]]]
    loads: ClassVar[tuple[str, ...]]  # the providers that load
    on_cpu: ClassVar[list[str]]  # operators that are left to the CPU
    first_takes: ClassVar[int]  # nodes that the first provider takes
    fails: ClassVar[Exception | None]

    def __init__(self, content: bytes, options: Any, *, providers: list[str], **others: Any) -> None:
        self.asked = providers
        if providers == [CPU]:
            super().__init__(content, options, providers=providers, **others)
            return
        self.opened.append({"options": options, "providers": providers, **others})
        if self.fails is not None:
            raise self.fails
        others.pop("provider_options")
        super().__init__(content, options, providers=[CPU], **others)

    def get_providers(self) -> list[str]:
        return [CPU] if self.asked == [CPU] else [*(name for name in self.asked if name in self.loads), CPU]

    def get_provider_graph_assignment_info(self) -> list[Any]:
        assert super().get_provider_graph_assignment_info(), "it records nothing unless it is told to"

        def part(name: str, operators: list[str]) -> Any:
            nodes = [SimpleNamespace(op_type=operator) for operator in operators]
            return SimpleNamespace(ep_name=name, get_nodes=lambda: nodes)

        parts = [part(self.asked[0], ["Conv"] * self.first_takes), part(CPU, self.on_cpu)]
        return parts + [part(name, ["Conv"]) for name in self.asked[1:]]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Puts the GPU in place. Returns the names of the calls that move data, as they happen."""
    found: list[str] = []
    monkeypatch.setattr(Gpu, "opened", [], raising=False)
    monkeypatch.setattr(Gpu, "loads", (TENSORRT, CUDA), raising=False)
    monkeypatch.setattr(Gpu, "on_cpu", ["Shape", "Concat"], raising=False)
    monkeypatch.setattr(Gpu, "first_takes", 5, raising=False)
    monkeypatch.setattr(Gpu, "fails", None, raising=False)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [TENSORRT, CUDA, CPU])
    monkeypatch.setattr(onnxruntime, "InferenceSession", Gpu)

    def allocate(shape: Any, dtype: Any, device_type: str, device_id: int) -> Any:
        found.append(f"allocate {device_type}:{device_id} {'x'.join(map(str, shape))} {np.dtype(dtype)}")
        return REAL_VALUE(shape, dtype, "cpu", 0)

    monkeypatch.setattr(onnxruntime.OrtValue, "ortvalue_from_shape_and_type", allocate)
    recorded = {
        onnxruntime.OrtValue: ["update_inplace"],
        onnxruntime.IOBinding: ["synchronize_inputs", "synchronize_outputs", "copy_outputs_to_cpu"],
        REAL: ["run", "run_with_iobinding"],
    }
    for kind, names in recorded.items():
        for name in names:
            monkeypatch.setattr(kind, name, _recording(getattr(kind, name), name, found))
    return found


def _recording(method: Callable[..., Any], name: str, found: list[str]) -> Callable[..., Any]:
    def call(*args: Any) -> Any:
        found.append(name)
        return method(*args)

    return call


# ---------------------------------------------------------------------------------------------------------------------
# Bound memory
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [None, 2])
def test_bound_memory_gives_what_a_plain_run_gives(tmp_path: Path, batch: int | None) -> None:
    """The real binding on the real CPU, nothing in place of anything."""
    path = model(tmp_path, replace(DEPLOY, batch=batch))
    session = REAL(path.read_bytes(), providers=[CPU])
    outputs = [(name, np.uint8, (batch, SIZE, SIZE)) for name in DEPLOY.outputs]
    feed = ("frames", np.uint8, (batch, SIZE, SIZE, 3))
    bound = BoundSession(session, "tiny", lambda shape, dtype: REAL_VALUE(shape, dtype, "cpu", 0), feed, outputs)
    for seed, count in enumerate([2, 2] if batch else [1, 3, 1, 3]):
        given = frames(count, seed)
        found, there, back = bound.run(given)
        wanted = session.run(list(DEPLOY.outputs), {"frames": given})
        assert list(found) == list(DEPLOY.outputs)
        assert all(np.array_equal(found[name], value) for name, value in zip(DEPLOY.outputs, wanted, strict=True))
        assert there >= 0 <= back


def test_what_is_handed_out_is_a_copy(tmp_path: Path, calls: list[str]) -> None:  # noqa: ARG001 - in place
    with OrtEngine(model(tmp_path, DEPLOY), device="cuda") as engine:
        one, two = frames(2, 1), frames(2, 2)
        first = engine.infer(one)
        second = engine.infer(two)
    assert np.array_equal(first.labels, one[..., 0])
    assert np.array_equal(first.confidence, one[..., 1])
    assert np.array_equal(second.labels, two[..., 0])


def test_memory_is_allocated_once_per_batch_size(tmp_path: Path, calls: list[str]) -> None:
    with OrtEngine(model(tmp_path, DEPLOY), device="cuda:3") as engine:
        for count in (1, 1, 3, 1, 3):
            engine.infer(frames(count))
    allocated = [call for call in calls if call.startswith("allocate")]
    shapes = [(f"{n}x32x32x3", f"{n}x32x32", f"{n}x32x32") for n in (1, 3)]
    assert allocated == [f"allocate cuda:3 {shape} uint8" for shape in itertools.chain(*shapes)]
    assert "run" not in calls


def test_a_run_waits_for_its_copies(tmp_path: Path, calls: list[str]) -> None:
    with OrtEngine(model(tmp_path, DEPLOY), device="cuda") as engine:
        engine.infer(frames(1))
    moves = [call for call in calls if not call.startswith("allocate")]
    assert moves == [
        "update_inplace", "synchronize_inputs", "run_with_iobinding", "synchronize_outputs", "copy_outputs_to_cpu",
    ]  # fmt: skip


def test_ever_other_batch_sizes_do_not_fill_the_device(tmp_path: Path, calls: list[str]) -> None:  # noqa: ARG001
    with OrtEngine(model(tmp_path, DEPLOY), device="cuda") as engine:
        for count in range(1, MAX_BATCH + 4):
            given = frames(count)
            assert np.array_equal(engine.run(given).labels, given[..., 0])
        assert engine._bound is not None
        assert list(engine._bound._bindings) == list(range(4, MAX_BATCH + 4))


@pytest.mark.parametrize("spec", [DEPLOY, replace(DEPLOY, batch=2), REFERENCE], ids=["deploy", "fixed", "reference"])
def test_a_gpu_gives_what_the_cpu_gives(tmp_path: Path, calls: list[str], spec: ModelSpec) -> None:
    path, given = model(tmp_path, spec), frames(5)
    with OrtEngine(path) as cpu, OrtEngine(path, device="cuda") as gpu:
        one, other = cpu.infer(given), gpu.infer(given)
    assert np.array_equal(one.labels, other.labels)
    for name in ("confidence", "logits"):
        values = getattr(one, name), getattr(other, name)
        assert (values[0] is None) == (values[1] is None)
        assert values[0] is None or np.array_equal(*values)
    assert calls.count("run_with_iobinding") == (3 if spec.batch else 1)


def test_frames_need_not_lie_in_a_row(tmp_path: Path, calls: list[str]) -> None:  # noqa: ARG001 - in place
    given = frames(4)[::2, :, ::-1]
    with OrtEngine(model(tmp_path, DEPLOY), device="cuda") as engine:
        assert np.array_equal(engine.infer(given).labels, given[..., 0])


def test_threads_do_not_write_into_each_others_memory(tmp_path: Path, calls: list[str]) -> None:  # noqa: ARG001
    with OrtEngine(model(tmp_path, DEPLOY), device="cuda") as engine, ThreadPoolExecutor(4) as pool:
        given = [frames(2, seed) for seed in range(40)]
        ticks = itertools.count()
        staged = pool.map(lambda stack: engine.infer_staged(stack, lambda: next(ticks))[0], given)
        for stack, plain, timed in zip(given, pool.map(engine.infer, given), staged, strict=True):
            assert np.array_equal(plain.labels, stack[..., 0])
            assert np.array_equal(timed.confidence, stack[..., 1])


@pytest.mark.parametrize(("batch", "calls_of_it"), [(None, 1), (2, 3)])
def test_stages_are_measured_apart_and_add_up(
    tmp_path: Path, calls: list[str], batch: int | None, calls_of_it: int
) -> None:
    given = frames(5)
    with OrtEngine(model(tmp_path, replace(DEPLOY, batch=batch)), device="cuda") as engine:
        ticks = itertools.count()
        output, stages = engine.infer_staged(given, lambda: float(next(ticks)))
        total = next(ticks) - 1
        engine.infer(given)
        assert next(ticks) == total + 2, "a plain run does not ask the clock of a staged one"
    assert np.array_equal(output.labels, given[..., 0])
    assert list(stages) == ["host_to_device", "inference", "device_to_host"]
    assert stages["host_to_device"] == stages["device_to_host"] == calls_of_it
    assert sum(stages.values()) == total
    assert calls.count("run_with_iobinding") == 2 * calls_of_it


def test_a_cpu_keeps_its_plain_run(tmp_path: Path, calls: list[str]) -> None:
    with OrtEngine(model(tmp_path, DEPLOY)) as engine:
        _, stages = engine.infer_staged(frames(1), lambda: 0.0)
        assert "io_binding" not in engine.describe()
    assert list(stages) == ["inference"]
    assert calls == ["run"]


@pytest.mark.parametrize("kind", ENGINES)
def test_a_closed_engine_holds_nothing_and_says_so(tmp_path: Path, calls: list[str], kind: str) -> None:  # noqa: ARG001
    engine = ENGINES[kind][0](model(tmp_path, DEPLOY), device="cuda")
    engine.infer(frames(1))
    bound = engine._bound
    assert bound is not None
    engine.close()
    engine.close()
    assert (bound._session, bound._bindings) == (None, {})
    with pytest.raises(UsageError, match="is closed"):
        engine.infer(frames(1))
    with pytest.raises(UsageError, match=r"tiny\.onnx: is closed"):
        bound.run(frames(1))


def test_a_run_that_fails_is_one_line(
    tmp_path: Path,
    calls: list[str],  # noqa: ARG001 - in place
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("BFCArena::AllocateRawInternal\nFailed to allocate memory")

    with OrtEngine(model(tmp_path, DEPLOY), device="cuda") as engine:
        monkeypatch.setattr(Gpu, "run_with_iobinding", fail)
        with pytest.raises(IncompatibleEngineError, match="Failed to allocate memory.*use fewer frames") as caught:
            engine.infer(frames(1))
    assert "\n" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------------------
# Opening
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize(("device", "index"), [("cuda", "0"), ("cuda:0", "0"), ("cuda:2", "2")])
def test_providers_are_asked_for_in_order(
    tmp_path: Path, calls: list[str], kind: str, device: str, index: str  # noqa: ARG001
) -> None:  # fmt: skip
    engine, providers = ENGINES[kind]
    with engine(model(tmp_path, DEPLOY), device=device, threads=2) as opened:
        assert opened.describe() == {
            "runtime": "onnxruntime",
            "version": onnxruntime.__version__,
            "providers": [*providers, CPU],
            "threads": 2,
            "optimisation": "all",
            "device": device,
            "io_binding": True,
            "nodes": {providers[0]: 5, CPU: 2} | dict.fromkeys(providers[1:], 1),
        }
    (session,) = Gpu.opened
    assert session["providers"] == providers
    assert session["provider_options"] == [{"device_id": index}] * len(providers), "nothing of precision"
    assert session["enable_fallback"] == 0


def test_tensorrt_does_not_run_on_a_cpu() -> None:
    with pytest.raises(UsageError, match="device 'cpu': is not one for TensorRT; use cuda"):
        OrtTensorRTEngine(zoo.DEFAULT_MODEL)


@pytest.mark.parametrize(
    ("kind", "has", "lacks"),
    [("cuda", [CPU], "CUDA"), ("tensorrt", [CPU], "TensorRT"), ("tensorrt", [CUDA, CPU], "TensorRT"),
     ("tensorrt", [TENSORRT, CPU], "CUDA")],
)  # fmt: skip
def test_a_package_without_the_provider(monkeypatch: pytest.MonkeyPatch, kind: str, has: list[str], lacks: str) -> None:
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: has)
    with pytest.raises(MissingDependencyError, match=f"built without {lacks}; .*pip install onnxruntime-gpu") as caught:
        ENGINES[kind][0](zoo.DEFAULT_MODEL, device="cuda")
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("kind", "loads", "lacks", "cure"),
    [("cuda", (), "CUDA", "cudnn"), ("tensorrt", (), "TensorRT", "libnvinfer"),
     ("tensorrt", (CUDA,), "TensorRT", "libnvinfer"), ("tensorrt", (TENSORRT,), "CUDA", "cudnn")],
)  # fmt: skip
@pytest.mark.parametrize("reason", [NO_LIBRARY, "x.so: undefined symbol: Provider_GetHost", None])
def test_a_provider_that_was_left_out_silently(
    tmp_path: Path,
    calls: list[str],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    loads: tuple[str, ...],
    lacks: str,
    cure: str,
    reason: str | None,
) -> None:
    def load(path: str) -> None:
        assert path.endswith(f"capi/libonnxruntime_providers_{lacks.lower()}.so")
        if reason is not None:
            raise OSError(reason)

    monkeypatch.setattr(Gpu, "loads", loads)
    path = model(tmp_path, DEPLOY)
    monkeypatch.setattr(ctypes, "CDLL", load)
    with pytest.raises(MissingDependencyError, match=f"ONNX Runtime's {lacks} provider did not load.*{cure}") as caught:
        ENGINES[kind][0](path, device="cuda:0")
    assert caught.value.exit_code == 3
    assert ("(libcublasLt.so.13 is missing)" in str(caught.value)) == (reason == NO_LIBRARY)
    assert "\n" not in str(caught.value)
    assert calls == [], "nothing ran"


@pytest.mark.parametrize("asked", [(CPU, "CUDAExecutionProvder"), ("TensorRTExecutionProvider", CUDA), ("cuda",)])
@pytest.mark.parametrize("index", [None, 0])
def test_a_provider_that_is_misspelt_is_an_error(tmp_path: Path, asked: tuple[str, ...], index: int | None) -> None:
    """ONNX Runtime by itself warns, and computes on the CPU."""
    path = model(tmp_path, DEPLOY)
    with pytest.raises(MissingDependencyError, match="this ONNX Runtime has no "):
        open_session(path, "cuda", index, None, asked)


@pytest.mark.parametrize("missing", ["OpenVINOExecutionProvider", "DmlExecutionProvider"])
@pytest.mark.parametrize("index", [None, 0])
def test_a_session_that_got_less_than_was_asked_for_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str, index: int | None
) -> None:
    """A package may list a provider that its sessions leave out with a warning."""
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: [missing, CPU])
    path = model(tmp_path, DEPLOY)
    with (
        pytest.warns(UserWarning, match="is not in available provider names"),
        pytest.raises(MissingDependencyError, match=f"this ONNX Runtime has no {missing}"),
    ):
        open_session(path, "cuda", index, None, (missing, CPU))


@pytest.mark.parametrize("providers_got", [[], ["AzureExecutionProvider"]])
def test_a_session_without_the_cpu_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, providers_got: list[str]
) -> None:
    path = model(tmp_path, DEPLOY)
    monkeypatch.setattr(onnxruntime.InferenceSession, "get_providers", lambda _: providers_got)
    with pytest.raises(MissingDependencyError, match="has no CPUExecutionProvider"):
        OrtEngine(path)


def test_the_missing_library_is_named_without_its_folder(tmp_path: Path) -> None:
    error = providers.not_loaded(TENSORRT, "cuda", tmp_path)
    assert "(libonnxruntime_providers_tensorrt.so is missing)" in str(error)
    assert str(tmp_path) not in str(error)


STARTS: dict[str, tuple[str, type[SegFaceEdgeError], str]] = {
    "one GPU": (
        'Failed to parse provider option "device_id": Invalid device ID: 3, must be between 0 (inclusive) and 1 '
        "(exclusive).",
        UsageError,
        "device 'cuda:3': is not in this machine; use cuda:0; nvidia-smi",
    ),
    "four GPUs": (
        "Invalid device ID: 7, must be between 0 (inclusive) and 4 (exclusive).",
        UsageError,
        "use cuda:0 to cuda:3",
    ),
    "none": (
        "Invalid device ID: 3, must be between 0 (inclusive) and 0 (exclusive).",
        MissingDependencyError,
        "this machine has no GPU",
    ),
    "no device": (
        "/src/cuda_call.cc:129 CudaCall(...) CUDA failure 100: no CUDA-capable device is detected ; GPU=-1 ; "
        "hostname=secret ; file=/src/x.cc ; line=24 ; expr=cudaSetDevice(0);\n",
        MissingDependencyError,
        r"cannot use it \(CUDA failure 100: no CUDA-capable device is detected\); check the GPU",
    ),
    "else": ("/src/provider_bridge_ort.cc:1 something\nelse", MissingDependencyError, "provider did not start"),
}


@pytest.mark.parametrize("kind", ENGINES)
@pytest.mark.parametrize("case", STARTS)
def test_a_provider_that_does_not_start(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch, kind: str, case: str  # noqa: ARG001
) -> None:  # fmt: skip
    said, error, message = STARTS[case]
    monkeypatch.setattr(Gpu, "fails", RuntimeError(said))
    path = model(tmp_path, DEPLOY)
    with pytest.raises(error, match=message) as caught:
        ENGINES[kind][0](path, device="cuda:3")
    assert caught.value.exit_code == (2 if error is UsageError else 3)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value.__cause__) == said
    assert len(Gpu.opened) == 1, "it does not try again"


def test_a_session_that_a_provider_refuses(tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setattr(Gpu, "fails", Exception("[ONNXRuntimeError] : 11 : EP_FAIL :\nTensorRT EP failed"))
    with pytest.raises(IncompatibleEngineError, match="cannot open it on the GPU .*TensorRT EP failed") as caught:
        OrtTensorRTEngine(model(tmp_path, DEPLOY), device="cuda")
    assert caught.value.exit_code == 5


@pytest.mark.parametrize("kind", ENGINES)
def test_nothing_that_computes_is_left_to_the_cpu(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch, kind: str  # noqa: ARG001
) -> None:  # fmt: skip
    monkeypatch.setattr(Gpu, "on_cpu", ["Shape", "Resize", "Concat", "ArgMax", "Resize"])
    with pytest.raises(IncompatibleEngineError, match="leaves ArgMax, Resize to the CPU") as caught:
        ENGINES[kind][0](model(tmp_path, DEPLOY), device="cuda")
    assert caught.value.exit_code == 5


def test_tensorrt_that_takes_nothing_is_not_tensorrt(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch  # noqa: ARG001
) -> None:  # fmt: skip
    monkeypatch.setattr(Gpu, "first_takes", 0)
    with pytest.raises(IncompatibleEngineError, match="TensorRT takes none of its nodes"):
        OrtTensorRTEngine(model(tmp_path, DEPLOY), device="cuda")


def test_onnxruntime_tells_which_node_went_where(tmp_path: Path) -> None:
    """The real one, whose all nodes are on the CPU."""
    if not hasattr(REAL, "get_provider_graph_assignment_info"):
        pytest.skip("ONNX Runtime tells from 1.24 on")
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    session = REAL(model(tmp_path, REFERENCE).read_bytes(), options, providers=[CPU])
    parts = [
        (p.ep_name, [node.op_type for node in p.get_nodes()]) for p in session.get_provider_graph_assignment_info()
    ]
    assert parts == [(CPU, ["Conv"])]
    with pytest.raises(IncompatibleEngineError, match="CUDA leaves Conv to the CPU"):
        providers.check_assignment(parts, [CUDA], "x")


class TestBefore124:
    """Versions that do not tell are forbidden the CPU. The refusal is the real one's: no provider is there at all."""

    @pytest.fixture
    def loads(self, calls: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """What the session claims to have, where it opens."""
        claimed: list[str] = []

        class Session(REAL):
            def get_providers(self) -> list[str]:
                return [*claimed, CPU]

        def old(content: bytes, options: Any, *, providers: list[str], **others: Any) -> Any:
            if providers == [CPU]:
                return REAL(content, options, providers=providers, **others)
            calls.append("open " + options.get_session_config_entry("session.disable_cpu_ep_fallback"))
            others.pop("provider_options")
            return Session(content, options, providers=[], **others)

        monkeypatch.setattr(onnxruntime, "InferenceSession", old)
        return claimed

    def test_a_provider_that_was_left_out(self, tmp_path: Path, calls: list[str], loads: list[str]) -> None:
        assert loads == []
        with pytest.raises(MissingDependencyError, match="CUDA provider did not load"):
            OrtEngine(model(tmp_path, DEPLOY), device="cuda")
        assert [call for call in calls if call.startswith("open")] == ["open 1", "open 0"]

    def test_nodes_that_the_cpu_would_compute(self, tmp_path: Path, loads: list[str]) -> None:
        loads += [CUDA]
        with pytest.raises(
            IncompatibleEngineError, match="would run on the CPU; export it with a fixed batch"
        ) as caught:
            OrtEngine(model(tmp_path, DEPLOY), device="cuda")
        assert providers.REFUSED_CPU in str(caught.value.__cause__)


def test_opening_prints_nothing_and_leaves_the_log_as_it_was(
    tmp_path: Path, calls: list[str], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]  # noqa: ARG001
) -> None:  # fmt: skip
    levels: list[int] = []
    monkeypatch.setattr(onnxruntime, "set_default_logger_severity", levels.append)
    says = lambda: print("Failed to load libcudart.so.13")  # noqa: E731
    monkeypatch.setattr(onnxruntime, "preload_dlls", says, raising=False)  # from 1.21 on
    path = model(tmp_path, DEPLOY)
    OrtEngine(path, device="cuda").close()
    monkeypatch.setattr(Gpu, "loads", ())
    with pytest.raises(MissingDependencyError):
        OrtEngine(path, device="cuda")
    OrtEngine(path).close()
    # On the GPU and on the CPU, and where the file is only looked at: silent, and as it was.
    assert levels == [4, 2] * 6
    assert capfd.readouterr() == ("", "")
