"""A world has its packages and no others; and the tiny model that they run."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segface_edge.engines.ort.engine import OrtEngine

from .driving import SIZE
from .tiny import expected, tiny_model, tiny_spec
from .world import BINDINGS, Binding, World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Installs a world."""
    return lambda *arguments, **named: World(*arguments, **named).install(monkeypatch)


# ---------------------------------------------------------------------------------------------------------------------
# Worlds
# ---------------------------------------------------------------------------------------------------------------------

MODULES = ("tensorrt", "pycuda", "pycuda.driver", "cuda", "cuda.cudart", "cuda.bindings.runtime")
THERE: dict[Binding | None, set[str]] = {
    "pycuda": {"pycuda", "pycuda.driver"},
    "cuda-python-12.5": {"cuda", "cuda.cudart"},
    "cuda-python-12.6": {"cuda", "cuda.cudart", "cuda.bindings.runtime"},
    "cuda-python-12": {"cuda", "cuda.cudart", "cuda.bindings.runtime"},
    "cuda-python-13": {"cuda", "cuda.bindings.runtime"},
    None: set(),
}


@pytest.mark.filterwarnings("ignore:The cuda.cudart module is deprecated:FutureWarning")
@pytest.mark.parametrize("binding", THERE)
def test_a_world_has_its_packages_and_no_others(binding: Binding | None, world: Callable[..., World]) -> None:
    world(binding=binding, tensorrt="absent")
    for name in MODULES:
        if name in THERE[binding]:
            assert importlib.import_module(name).__spec__ is not None
            assert importlib.util.find_spec(name) is not None
        else:
            with pytest.raises(ModuleNotFoundError, match="No module named"):
                importlib.import_module(name)
            assert name.count(".") or importlib.util.find_spec(name) is None


def test_a_broken_tensorrt(world: Callable[..., World]) -> None:
    world("11.0.0.114", tensorrt="broken")
    assert importlib.util.find_spec("tensorrt") is not None
    for _ in range(2):
        with pytest.raises(ImportError, match=r"libnvinfer\.so\.11: cannot open shared object file"):
            importlib.import_module("tensorrt")


def test_a_world_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {name: sys.modules.get(name) for name in MODULES}
    paths = list(sys.meta_path)
    with monkeypatch.context() as patch:
        here = World().install(patch)
        assert importlib.import_module("tensorrt") is here.trt
        assert importlib.import_module("pycuda.driver").get_driver_version() == 12060
    assert {name: sys.modules.get(name) for name in MODULES} == before
    assert sys.meta_path == paths


def test_cudart_warns_from_129_on(world: Callable[..., World]) -> None:
    world(binding="cuda-python-12")
    with pytest.warns(FutureWarning, match="cuda.cudart module is deprecated"):
        importlib.import_module("cuda.cudart")


@pytest.mark.parametrize("binding", BINDINGS)
def test_all_bindings_are_known(binding: Binding) -> None:
    assert World(binding=binding).modules


# ---------------------------------------------------------------------------------------------------------------------
# The tiny model
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("outputs", [("labels",), ("labels", "confidence"), ("logits",)])
@pytest.mark.parametrize("batch", [None, 2])
def test_the_tiny_model_is_a_model(tmp_path: Path, outputs: tuple[Any, ...], batch: int | None) -> None:
    path = tiny_model(tmp_path / "m.onnx", batch=batch, outputs=outputs, precision="fp32")
    frames = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    with OrtEngine(path) as engine:
        assert engine.spec == tiny_spec(batch=batch, outputs=outputs)
        found = engine.infer(frames)
    assert found.labels.max() == 2
    if "labels" in outputs:
        assert np.array_equal(found.labels, expected(frames))
    if "confidence" in outputs:
        assert np.array_equal(found.confidence, frames[..., 1])


def test_the_tiny_model_passes_the_checker(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="its checker")
    for outputs in (("labels",), ("confidence", "labels"), ("logits",)):
        onnx.checker.check_model(onnx.load(tiny_model(tmp_path / "m.onnx", outputs=outputs)), full_check=True)
