"""PyTorch behind the engine seam."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the torch engine needs torch")

from segface_edge import FaceParser, zoo
from segface_edge.errors import MissingDependencyError, UsageError
from segface_edge.network.engine import TorchEngine


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
