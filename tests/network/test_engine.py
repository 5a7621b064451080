"""PyTorch behind the engine seam."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="the torch engine needs torch")

from segface_edge import FaceParser, zoo
from segface_edge.errors import MissingDependencyError, UsageError
from segface_edge.network.engine import CompiledTorchEngine, TorchEngine
from segface_edge.network.segface import build_segface
from segface_edge.pictures import fitting, reading


def test_a_checkpoint_parses_like_the_bundled_model(parser: FaceParser, portrait: Path) -> None:
    with FaceParser(zoo.DEFAULT_CHECKPOINT) as torch_parser:
        assert torch_parser.engine.describe()["runtime"] == "torch"
        found, wanted = torch_parser(portrait), parser(portrait)
    assert (found.labels == wanted.labels).mean() >= 0.9999
    assert found.confidence is not None
    assert found.confidence.max() > 200


def test_cuda_is_never_replaced_by_the_cpu_in_silence() -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has CUDA")
    with pytest.raises(MissingDependencyError, match="no CUDA device"):
        TorchEngine(zoo.DEFAULT_CHECKPOINT, device="cuda")


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(UsageError, match="use cpu"):
        TorchEngine(zoo.DEFAULT_CHECKPOINT, device="toaster")


def test_outputs_are_of_the_documented_types() -> None:
    with TorchEngine(zoo.DEFAULT_CHECKPOINT) as engine:
        size = engine.spec.size
        output = engine.infer(np.zeros((1, size, size, 3), np.uint8))
    assert output.labels.shape == (1, size, size)
    assert output.labels.dtype == np.uint8
    assert output.confidence is not None
    assert output.confidence.dtype == np.uint8
    assert output.logits is not None
    assert output.logits.shape == (1, 19, size, size)


def test_a_checkpoint_runs_at_the_size_that_is_asked_for(portrait: Path) -> None:
    with TorchEngine(zoo.DEFAULT_CHECKPOINT) as own, TorchEngine(zoo.DEFAULT_CHECKPOINT, size=160) as small:
        assert (own.spec.size, small.spec.size) == (own.spec.trained_size, 160)
        assert small.spec.trained_size == own.spec.trained_size
        image = reading.load(portrait)
        labels = [engine.infer(fitting.fit(image, engine.spec.size).pixels[None]).labels[0] for engine in (own, small)]
    assert labels[1].shape == (160, 160)
    reduced = Image.fromarray(labels[0]).resize((160, 160), Image.Resampling.NEAREST)
    assert (np.asarray(reduced) == labels[1]).mean() > 0.85


@pytest.mark.parametrize("size", [0, 16, 100, -32])
def test_a_size_that_is_no_multiple_of_32_is_refused(size: int) -> None:
    with pytest.raises(UsageError, match="not a positive multiple of 32"):
        TorchEngine(zoo.DEFAULT_CHECKPOINT, size=size)


def test_a_network_in_memory_runs_where_it_is_told() -> None:
    model = build_segface(image_size=64)
    with TorchEngine.of(model, source="mine", device="cpu") as engine:
        assert (engine.source, engine.device, engine.spec.size) == ("mine", "cpu", 64)
        assert engine.infer(np.zeros((1, 64, 64, 3), np.uint8)).labels.shape == (1, 64, 64)
        assert not model.training
    with pytest.raises(UsageError, match="use cpu"):
        TorchEngine.of(model, device="toaster")


def test_each_engine_keeps_its_own_number_of_threads() -> None:
    before = torch.get_num_threads()
    try:
        with (
            TorchEngine(zoo.DEFAULT_CHECKPOINT, threads=1) as one,
            TorchEngine(zoo.DEFAULT_CHECKPOINT, threads=2) as two,
        ):
            frames = np.zeros((1, one.spec.size, one.spec.size, 3), np.uint8)
            for engine, threads in ((one, 1), (two, 2), (one, 1)):
                engine.infer(frames)
                assert torch.get_num_threads() == threads == engine.describe()["threads"]
    finally:
        torch.set_num_threads(before)


def test_compiling_without_a_compiler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MissingDependencyError, match=r"C\+\+ compiler"):
        CompiledTorchEngine(zoo.DEFAULT_CHECKPOINT)


@pytest.mark.slow
def test_the_compiled_engine_labels_like_the_eager_one(portrait: Path, released_size: int) -> None:
    if shutil.which("g++") is None:
        pytest.skip("torch.compile needs a C++ compiler")
    frame = fitting.fit(reading.load(portrait), released_size).pixels[None]
    with TorchEngine(zoo.DEFAULT_CHECKPOINT) as eager, CompiledTorchEngine(zoo.DEFAULT_CHECKPOINT) as compiled:
        assert (eager.infer(frame).labels == compiled.infer(frame).labels).mean() >= 0.9999
        assert compiled.describe()["mode"] == "compiled"
