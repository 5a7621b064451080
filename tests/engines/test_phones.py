"""LiteRT and ExecuTorch: what their engines take, give and refuse, on tiny models whose label is the red channel."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from segface_edge import __version__
from segface_edge.engines import ENGINES, open_engine
from segface_edge.engines.documents import document_beside
from segface_edge.engines.sidecar import Sidecar, fingerprint
from segface_edge.errors import IncompatibleEngineError, MissingDependencyError, ModelFileError, UsageError
from segface_edge.spec import ModelSpec

SIZE = 32
SPEC = ModelSpec(
    backbone="none",
    graph="deploy",
    size=SIZE,
    batch=1,
    label_order="own",
    classes=("background", "skin", "hair", "nose"),
    outputs=("labels",),
)
BOTH = replace(SPEC, outputs=("labels", "confidence"))
SUFFIXES = {"litert": ".tflite", "executorch": ".pte"}
PACKAGES = {"litert": "ai_edge_litert", "executorch": "executorch"}

Build = Callable[..., Path]


def tflite(outputs: tuple[str, ...]) -> bytes:
    """Channel after channel of the frame, one an output: strided slices."""
    flatbuffers = pytest.importorskip("flatbuffers", reason="tiny .tflite files are built with flatbuffers")
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="LiteRT is not installed")
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.buffers = [schema.BufferT()]

    def tensor(name: str, kind: int, shape: tuple[int, ...], content: bytes = b"") -> int:
        made = schema.TensorT()
        made.name, made.type, made.shape = name.encode(), kind, list(shape)
        if content:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(content, np.uint8)
            model.buffers.append(buffer)
            made.buffer = len(model.buffers) - 1
        graph.tensors.append(made)
        return len(graph.tensors) - 1

    def numbers(name: str, *values: int) -> int:
        return tensor(name, schema.TensorType.INT32, (4,), np.array(values, np.int32).tobytes())

    graph.tensors, graph.operators = [], []
    frames = tensor("frames", schema.TensorType.UINT8, (1, SIZE, SIZE, 3))
    steps, graph.outputs = numbers("steps", 1, 1, 1, 1), []
    for channel, output in enumerate(outputs):
        node, options = schema.OperatorT(), schema.StridedSliceOptionsT()
        options.shrinkAxisMask = 0b1000
        node.builtinOptionsType, node.builtinOptions = schema.BuiltinOptions.StridedSliceOptions, options
        ends = numbers(f"from{channel}", 0, 0, 0, channel), numbers(f"to{channel}", 1, SIZE, SIZE, channel + 1)
        graph.outputs.append(tensor(output, schema.TensorType.UINT8, (1, SIZE, SIZE)))
        node.inputs, node.outputs = [frames, *ends, steps], [graph.outputs[-1]]
        graph.operators.append(node)
    graph.inputs = [frames]
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.STRIDED_SLICE
    code.version = 1
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = b"serving_default", 0
    signature.inputs, signature.outputs = [], []
    # Backwards: a signature has no order, names count.
    for ends, places in ((signature.inputs, graph.inputs), (signature.outputs, graph.outputs[::-1])):
        for place in places:
            end = schema.TensorMapT()
            end.name, end.tensorIndex = graph.tensors[place].name, place
            ends.append(end)
    model.version, model.operatorCodes, model.subgraphs, model.signatureDefs = 3, [code], [graph], [signature]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def pte(outputs: tuple[str, ...]) -> bytes:
    """The same by PyTorch."""
    torch = pytest.importorskip("torch", reason="ExecuTorch's files are made with torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own making
        exir = pytest.importorskip("executorch.exir", reason="ExecuTorch is not installed")

    class Channels(torch.nn.Module):
        def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return tuple(frames[..., channel] for channel in range(len(outputs)))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(Channels(), (torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8),))
        return bytes(exir.to_edge(program).to_executorch().buffer)


@pytest.fixture(scope="session")
def contents() -> Callable[[str, tuple[str, ...]], bytes]:
    """A tiny model's bytes, made once."""
    made: dict[tuple[str, tuple[str, ...]], bytes] = {}

    def content(runtime: str, outputs: tuple[str, ...]) -> bytes:
        if (runtime, outputs) not in made:
            made[runtime, outputs] = {"litert": tflite, "executorch": pte}[runtime](outputs)
        return made[runtime, outputs]

    return content


@pytest.fixture(params=SUFFIXES)
def runtime(request: pytest.FixtureRequest) -> str:
    """Each that is installed."""
    name: str = request.param
    pytest.importorskip(PACKAGES[name], reason=f"{name} is not installed: pip install 'segface-edge[{name}]'")
    return name


@pytest.fixture
def build(runtime: str, tmp_path: Path, contents: Callable[[str, tuple[str, ...]], bytes]) -> Build:
    """Writes a tiny model that keeps `real`'s contract, with a document that states another."""

    def write(real: ModelSpec = SPEC, stated: ModelSpec | None = None, content: bytes | None = None) -> Path:
        path = tmp_path / f"tiny{SUFFIXES[runtime]}"
        path.write_bytes(contents(runtime, real.outputs) if content is None else content)
        sidecar = Sidecar(
            spec=stated or real,
            target=runtime,
            files={path.suffix: fingerprint(path)},
            onnx_sha256="0" * 64,
            versions={},
            parity=(),
            segface_edge=__version__,
        )
        document_beside(path).write_text(sidecar.to_json())
        return path

    return write


def frames(count: int, seed: int = 0) -> npt.NDArray[np.uint8]:
    stack = np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    stack[..., 0] %= 4
    return stack


def test_bytes_go_in_and_labels_come_out_one_frame_after_another(build: Build) -> None:
    given = frames(3)
    with open_engine(build()) as engine:
        output = engine.infer(given)
        again = engine.infer(given[:1])
    assert engine.spec == SPEC
    assert output.labels.dtype == np.uint8
    assert np.array_equal(output.labels, given[..., 0])
    assert output.confidence is None
    assert np.array_equal(again.labels, output.labels[:1])


def test_outputs_are_told_apart_whatever_their_order(build: Build) -> None:
    given = frames(2)
    with open_engine(build(BOTH)) as engine:
        output = engine.infer(given)
    assert np.array_equal(output.labels, given[..., 0])
    assert np.array_equal(output.confidence, given[..., 1])


def test_frames_may_lie_in_memory_as_they_like(build: Build) -> None:
    given = frames(1)
    given.flags.writeable = False
    with open_engine(build()) as engine:
        assert np.array_equal(engine.infer(given[:, :, ::-1]).labels, given[:, :, ::-1, 0])


def test_callers_take_turns(build: Build) -> None:
    with open_engine(build(), threads=1) as engine, ThreadPoolExecutor(4) as pool:
        stacks = [frames(1, seed) for seed in range(40)]
        found = list(pool.map(engine.infer, stacks))
    assert all(np.array_equal(one.labels, stack[..., 0]) for one, stack in zip(found, stacks, strict=True))


def test_it_says_what_runs_and_what_no_delegate_takes(build: Build, runtime: str) -> None:
    with open_engine(build(), threads=2) as engine:
        told = engine.describe()
    assert told["runtime"] == runtime
    assert str(told["version"])[0].isdigit()
    assert told["threads"] == 2
    assert told["delegate"] is None
    assert sum(told["not_delegated"].values()) >= 1  # type: ignore[attr-defined]


def test_a_document_that_the_graph_belies_is_refused(build: Build) -> None:
    for stated in (replace(SPEC, size=64), replace(SPEC, outputs=("logits",)), BOTH, replace(SPEC, batch=2)):
        with pytest.raises(IncompatibleEngineError, match="its metadata promises .*, the graph has"):
            open_engine(build(stated=stated))


@pytest.mark.parametrize(
    "content",
    [b"\0" * 64, b"no model at all, whatever its name says " * 50, b"\x89PNG\r\n\x1a\n" * 9],
    ids=["zeros", "text", "png"],
)
def test_what_is_no_model_is_refused_in_one_line(
    build: Build, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    path = build(content=content)
    with pytest.raises(IncompatibleEngineError) as caught:
        open_engine(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "cannot run it (" in text
    assert "()" not in text
    assert "\n" not in text
    assert capfd.readouterr().err == ""  # what the runtime says of it is in the message


def test_a_truncated_file_is_refused(build: Build) -> None:
    path = build()
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(IncompatibleEngineError, match="is cut off or another file"):
        open_engine(path)


def test_a_file_of_others_is_refused(build: Build) -> None:
    path = build()
    document_beside(path).unlink()
    with pytest.raises(IncompatibleEngineError, match=r"has no tiny\.\w+\.json beside it"):
        open_engine(path)


def test_a_file_that_is_not_there(runtime: str, tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        open_engine(tmp_path / f"none{SUFFIXES[runtime]}")


def test_other_devices_are_refused(build: Build) -> None:
    with pytest.raises(UsageError, match="device 'cuda'"):
        open_engine(build(), device="cuda")


def test_a_closed_engine_says_so(build: Build) -> None:
    engine = open_engine(build())
    engine.close()
    with pytest.raises(UsageError, match="is closed"):
        engine.infer(frames(1))


@pytest.mark.parametrize("name", SUFFIXES)
def test_without_its_package_it_names_the_command(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    if name == "executorch":
        pytest.importorskip("torch", reason="without torch, that is what is missing")
    for module in [module for module in sys.modules if module.partition(".")[0] == PACKAGES[name]]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, PACKAGES[name], None)
    monkeypatch.delitem(sys.modules, ENGINES[name].partition(":")[0], raising=False)
    with pytest.raises(MissingDependencyError) as caught:
        open_engine(tmp_path / f"any{SUFFIXES[name]}")
    assert caught.value.exit_code == 3
    assert f"pip install 'segface-edge[{name}]'" in str(caught.value)
