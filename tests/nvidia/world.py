"""A machine with or without NVIDIA's packages: `World(...).install(monkeypatch)`."""

# ruff: noqa: ARG002 (signatures are the real ones)
from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Literal

import pytest

from . import fake_cuda_python, fake_pycuda, fake_tensorrt
from .fake_cuda import FakeCudaError, FakeDevice
from .fake_tensorrt import VERSIONS, FakeTensorRTError

Binding = Literal["pycuda", "cuda-python-12.5", "cuda-python-12.6", "cuda-python-12", "cuda-python-13"]
BINDINGS: tuple[Binding, ...] = ("pycuda", "cuda-python-12", "cuda-python-13")
# Up to 12.8 a call without a driver raises, where later releases answer with an error code.
OLD_BINDINGS: tuple[Binding, ...] = ("cuda-python-12.5", "cuda-python-12.6")
HIDDEN = ("tensorrt", "tensorrt_bindings", "pycuda", "cuda")
NO_LIBNVINFER = "libnvinfer.so.{major}: cannot open shared object file: No such file or directory"


class _Loader(importlib.abc.Loader):
    """Gives a module that is made already, or says why it cannot be imported."""

    def __init__(self, module: ModuleType, problem: str | None, warning: str | None) -> None:
        self.module, self.problem, self.warning = module, problem, warning

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self.module

    def exec_module(self, module: ModuleType) -> None:
        if self.warning:
            warnings.warn(self.warning, FutureWarning, stacklevel=2)
        if self.problem:
            raise ImportError(self.problem)


class _Finder(importlib.abc.MetaPathFinder):
    """Knows the world's modules, and hides those of the machine below it."""

    def __init__(self, loaders: dict[str, _Loader]) -> None:
        self.loaders = loaders

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        loader = self.loaders.get(fullname)
        if loader is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, loader, is_package=hasattr(loader.module, "__path__"))


class _Rest(importlib.abc.MetaPathFinder):
    """A finder of the machine, which does not see what the world hides."""

    def __init__(self, finder: object) -> None:
        self.finder = finder

    def __getattr__(self, name: str) -> object:
        return getattr(self.finder, name)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] in HIDDEN:
            return None
        return self.finder.find_spec(fullname, path, target)  # type: ignore[attr-defined, no-any-return]


class World:
    """What is installed, and on what.

    Args:
        version: of TensorRT, one of `VERSIONS`.
        binding: the package that drives CUDA, None for none.
        tensorrt: whether it imports, is not there, or lacks its library.
        gpu: None for a usual Orin, or a `FakeDevice`.
        without: names that this TensorRT lacks beside those of its version.
        refuse_operator, found_precision, one_thread_per_context: see `fake_tensorrt.Fake`.
    """

    def __init__(
        self,
        version: str = "10.3.0",
        binding: Binding | None = "pycuda",
        tensorrt: Literal["present", "absent", "broken"] = "present",
        gpu: FakeDevice | None = None,
        without: str | tuple[str, ...] | None = None,
        *,
        refuse_operator: tuple[str, str] | None = None,
        found_precision: str | None = None,
        one_thread_per_context: bool = True,
    ) -> None:
        self.version, self.binding, self.tensorrt = version, binding, tensorrt
        self.device = FakeDevice() if gpu is None else gpu
        self.trt = fake_tensorrt.make(version, self.device, without=without)
        self.fake = vars(self.trt)["fake"]
        self.fake.refuse_operator, self.fake.found_precision = refuse_operator, found_precision
        self.fake.one_thread_per_context = one_thread_per_context
        self.modules: dict[str, ModuleType] = {}
        self.warning: str | None = None
        if binding == "pycuda":
            self.modules = fake_pycuda.make(self.device)
        elif binding is not None:
            variant = binding.removeprefix("cuda-python-")
            self.modules = fake_cuda_python.make(self.device, variant)
            self.warning = fake_cuda_python.VARIANTS[variant].warns

    def install(self, monkeypatch: pytest.MonkeyPatch) -> World:
        """Puts this world in the place of the machine's packages until the test ends. The product imports them anew for
        every plan."""
        loaders = {name: self._loader(name, module) for name, module in self.modules.items()}
        if self.tensorrt != "absent":
            problem = NO_LIBNVINFER.format(major=self.version.split(".")[0]) if self.tensorrt == "broken" else None
            loaders["tensorrt"] = _Loader(self.trt, problem, None)
        monkeypatch.setattr(sys, "meta_path", [_Finder(loaders), *map(_Rest, sys.meta_path)])
        loaded = {name for name in sys.modules if name.partition(".")[0] in HIDDEN}
        for name in loaded | loaders.keys():
            _forget(monkeypatch, sys.modules, name)
        return self

    def _loader(self, name: str, module: ModuleType) -> _Loader:
        problem = fake_pycuda.NO_LIBCUDA if name == "pycuda.driver" and not self.device.driver else None
        return _Loader(module, problem, self.warning if name == "cuda.cudart" else None)

    def check(self) -> None:
        """Everything is freed, and nothing was refused, also where the product swallowed it.

        The primary context may be kept, once: it goes with the process.
        """
        assert not self.device.refusals, self.device.refusals
        live = self.device.live()
        assert live.pop("retained contexts", 0) <= 1
        assert not live, (live, self.device.notes)


def _forget(monkeypatch: pytest.MonkeyPatch, table: dict[str, object], name: str) -> None:
    """Takes NAME out of TABLE; what stands there when the test ends gives way to what stood there before."""
    monkeypatch.setitem(table, name, None)
    del table[name]


__all__ = ["BINDINGS", "OLD_BINDINGS", "VERSIONS", "FakeCudaError", "FakeDevice", "FakeTensorRTError", "World"]
