"""The runtimes that `segface-edge export --target` makes files for: a table. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec

from segface_edge.errors import MissingDependencyError, UsageError
from segface_edge.extras import pip_install
from segface_edge.spec import Precision


@dataclass(frozen=True, kw_only=True)
class Target:
    """A runtime, and how a file for it is made and checked.

    Attributes:
        title: what people call it.
        suffix: of the file that comes out.
        companions: suffixes of the files that belong to it.
        convert: `module:function` of what makes it: `function(job: Job) -> {package: version}`, called in a process of
            its own. None: the ONNX file is the file.
        checked_in: engines that must give the ONNX file's labels: keys of `engines.ENGINES`, or `module:Class`.
        needs: {package, as it is imported: the extras that bring it} of the conversion and the check.
        precisions: that files may be in.
        lowers: those of them that the conversion makes itself, from the fp32 file.
        dynamic: whether files may take any number of frames a call.
        several: whether files may take more than one frame a call.
        note: what was changed on the way, for tables.
        minutes, memory_gib: bounds of the conversion, and of each check.
    """

    title: str
    suffix: str
    companions: tuple[str, ...] = ()
    convert: str | None = None
    checked_in: tuple[str, ...]
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    precisions: tuple[Precision, ...] = ("fp32",)
    lowers: tuple[Precision, ...] = ()
    dynamic: bool = True
    several: bool = True
    note: str = "as it is"
    minutes: float = 20.0
    memory_gib: float = 12.0


DEFAULT = "onnxruntime"
TARGETS: dict[str, Target] = {
    DEFAULT: Target(
        title="ONNX Runtime", suffix=".onnx", checked_in=("onnxruntime",), precisions=("fp32", "fp16", "int8")
    ),
    "portable": Target(
        title="OpenCV",
        suffix=".onnx",
        # In ONNX Runtime it was compared with PyTorch: the graph is the same.
        checked_in=("segface_edge.export.targets.opencv:OpenCVEngine",),
        dynamic=False,
    ),
    "openvino": Target(
        title="OpenVINO",
        suffix=".xml",
        companions=(".bin",),
        convert="segface_edge.export.targets.openvino:convert",
        checked_in=("openvino",),
        needs={"openvino": ("openvino",)},
        precisions=("fp32", "fp16", "int8"),
        lowers=("fp16", "int8"),
        note="OpenVINO's own format, the argmax as comparisons; fp16: the weights",
    ),
    "litert": Target(
        title="LiteRT",
        suffix=".tflite",
        convert="segface_edge.export.targets.litert:convert",
        checked_in=("litert",),
        needs={"ai_edge_litert": ("litert",), "litert_torch": ("litert-export",)},
        precisions=("fp32", "fp16", "int8"),
        lowers=("fp16", "int8"),
        dynamic=False,
        several=False,
        note="PyTorch's graph in XNNPACK's operators",
    ),
    "executorch": Target(
        title="ExecuTorch",
        suffix=".pte",
        convert="segface_edge.export.targets.executorch:convert",
        checked_in=("executorch",),
        needs={"executorch": ("executorch",)},
        precisions=("fp32", "int8"),
        lowers=("int8",),
        dynamic=False,
        several=False,
        note="PyTorch's graph in XNNPACK's operators",
    ),
    "ncnn": Target(
        title="ncnn",
        suffix=".param",
        companions=(".bin",),
        convert="segface_edge.export.targets.ncnn:convert",
        checked_in=("ncnn",),
        needs=dict.fromkeys(("pnnx", "ncnn"), ("ncnn", "pnnx")),
        precisions=("fp32", "fp16"),
        lowers=("fp16",),
        dynamic=False,
        note="float planes in, logits out, the argmax left to the host; fp16: the weights",
    ),
}


# What is made of the ONNX file by options of its own.
_OPTIONS = {"tensorrt": "--engine FILE.plan, or segface-edge build", "web": "--web DIR", "triton": "--triton DIR"}


def target(name: str) -> Target:
    """A row. Raises UsageError where there is none of that name."""
    if name in _OPTIONS:
        raise UsageError(f"target '{name}'", "is an option of its own", f"use {_OPTIONS[name]}")
    if name not in TARGETS:
        raise UsageError(f"target {name!r}", "is unknown", f"use one of: {', '.join(TARGETS)}")
    return TARGETS[name]


def check_installed(name: str) -> None:
    """Raises MissingDependencyError where a package that a target needs is not installed: before minutes of work."""
    for package, extras in target(name).needs.items():
        if find_spec(package) is None:
            raise MissingDependencyError(
                f"--target {name}",
                f"the package '{package}' is not installed",
                f"install it with: {pip_install(*extras)}",
            )
