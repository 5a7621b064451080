"""`tensorrt` without a GPU: `make` gives the module of one version.

`module.fake` is for tests: `used` (what the code under test touched), `builds` (what it built), and the knobs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from . import trt_build, trt_parts, trt_run
from .fake_cuda import FakeDevice
from .trt_surface import Api, FakeTensorRTError, Surface

FOLDER = Path(__file__).parent / "api"
VERSIONS = ("10.3.0", "10.7.0", "10.13.3.9", "10.16.1.11", "11.0.0.114", "11.4.0.106")
_IMPLS = (
    trt_parts.LoggerImpl,
    trt_parts.PrintingLogger,
    trt_parts.MonitorImpl,
    trt_parts.ProfilerImpl,
    trt_parts.DimsImpl,
    trt_parts.HostMemory,
    trt_build.Builder,
    trt_build.Network,
    trt_build.NetworkTensor,
    trt_build.Parser,
    trt_build.ParserError,
    trt_build.BuilderConfig,
    trt_build.TimingCache,
    trt_build.OptimizationProfile,
    trt_run.Runtime,
    trt_run.Engine,
    trt_run.Inspector,
    trt_run.ExecutionContext,
)
_FUNCTIONS = {
    "nptype": trt_parts.nptype,
    "volume": trt_parts.volume,
    "init_libnvinfer_plugins": trt_parts.init_libnvinfer_plugins,
}


class Fake(Api):
    """The knobs, and what a run left.

    Attributes:
        refuse_operator: (node's name, operator) that the parser refuses.
        found_precision: the arithmetic of every engine, whatever its file says.
        other_types: {input or output: DataType's member} that a network has in place of its file's.
        cuda_fails: CUDA does not start when a plan is loaded.
        one_thread_per_context: whether an execution context belongs to its first thread.
        used: "Class.member", "Enum.MEMBER" and names of the module that were touched.
        builds: one entry a build: header, pools, level, hit (of the timing cache).
    """

    refuse_operator: tuple[str, str] | None = None
    found_precision: str | None = None
    one_thread_per_context: bool = True
    cuda_fails: bool = False

    def __init__(self, table: dict[str, Any], device: FakeDevice) -> None:
        self.builds: list[dict[str, Any]] = []
        self.other_types: dict[str, str] = {}
        super().__init__(table, device, {impl.kind: impl for impl in _IMPLS}, _FUNCTIONS)  # type: ignore[misc]

    def before(self, *version: int) -> bool:
        """Whether this TensorRT is older."""
        return tuple(map(int, self.version.split(".")))[: len(version)] < version


def table(version: str) -> dict[str, Any]:
    """What VERSION has."""
    return json.loads((FOLDER / f"{version}.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def make(version: str, device: FakeDevice, *, without: str | tuple[str, ...] | None = None) -> Surface:
    """The module `tensorrt` of VERSION, less what WITHOUT names: "Class.member", "Enum.MEMBER", a class or function."""
    names = table(version)
    for name in (without,) if isinstance(without, str) else without or ():
        remove(names, name)
    fake = Fake(names, device)
    return Surface(fake, fake.names, version)


def remove(names: dict[str, Any], what: str) -> None:
    """Takes one name out of a version's table."""
    owner, _, member = what.partition(".")
    if not member:
        if owner in names["__functions__"]:
            names["__functions__"].remove(owner)
        else:
            del names[owner]
        return
    entry = names[owner]
    if member in entry.get("properties", []):
        entry["properties"].remove(member)
    else:
        del next(entry[part] for part in ("methods", "members", "enums") if member in entry.get(part, {}))[member]


__all__ = ["VERSIONS", "FakeTensorRTError", "make", "remove", "table"]
