"""The providers of ONNX Runtime that compute, and their failures told apart. Unverified until run on a GPU."""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from segface_edge.errors import IncompatibleEngineError, MissingDependencyError, SegFaceEdgeError, UsageError

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
WORDS = {CUDA: "CUDA", TENSORRT: "TensorRT"}
_CURES = {
    CUDA: "install the CUDA and cuDNN that it was built for: pip install 'onnxruntime-gpu[cuda,cudnn]'",
    TENSORRT: "install the TensorRT that it was built for, and put the folder of libnvinfer into LD_LIBRARY_PATH",
}
# A graph whose batch is open computes its shapes as it runs. ONNX Runtime gives these few numbers to the CPU on
# purpose: their results are needed there. Of pictures, CUDA has each of these operators itself.
SHAPE_OPERATORS = frozenset({"Shape", "Size", "Gather", "Slice", "Concat", "Reshape", "Squeeze", "Unsqueeze"})
# What a session says that may give nothing to the CPU and would have to.
REFUSED_CPU = "assigned to the default CPU EP"


def built_without(provider: str, device: str) -> MissingDependencyError:
    """The error for a package that does not have the provider at all."""
    if provider not in _CURES:
        return _unknown(provider, device)
    return MissingDependencyError(
        f"device {device!r}",
        f"this ONNX Runtime is built without {WORDS[provider]}",
        "replace it: pip uninstall onnxruntime && pip install onnxruntime-gpu",
    )


def not_loaded(provider: str, device: str, libraries: Path) -> MissingDependencyError:
    """The error for a provider that the package has and a session does not: ONNX Runtime left it out silently.

    Args:
        provider: its name.
        device: as the user named it.
        libraries: the folder with the providers' libraries.
    """
    if provider not in _CURES:
        return _unknown(provider, device)
    missing = _missing_library(libraries / f"libonnxruntime_providers_{WORDS[provider].lower()}.so")
    return MissingDependencyError(
        f"device {device!r}",
        f"ONNX Runtime's {WORDS[provider]} provider did not load{missing and f' ({missing} is missing)'}",
        _CURES[provider],
    )


def _unknown(provider: str, device: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"device {device!r}", f"this ONNX Runtime has no {provider}", f"use {', '.join((CPU, *_CURES))}"
    )


def not_created(provider: str, device: str, said: str) -> SegFaceEdgeError:
    """The error for a provider that loaded, and refused to start with the words `said`."""
    subject = f"device {device!r}"
    # "Invalid device ID: 3, must be between 0 (inclusive) and 1 (exclusive)."
    if unknown := re.search(r"Invalid device ID.*\(inclusive\) and (\d+) \(exclusive\)", said):
        count = int(unknown[1])
        if count:
            devices = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
            return UsageError(subject, "is not in this machine", f"use {devices}; nvidia-smi -L lists them")
        return MissingDependencyError(subject, "this machine has no GPU that CUDA can use", "use cpu")
    # Their full text holds source paths and the machine's name; `said` stays in the error's cause.
    if failure := re.search(r"CUDA failure \d+: [^;\n]+", said):
        return MissingDependencyError(
            subject,
            f"CUDA cannot use it ({failure[0].strip()})",
            "check the GPU and its driver with nvidia-smi, or use cpu",
        )
    return MissingDependencyError(subject, f"ONNX Runtime's {WORDS[provider]} provider did not start", _CURES[provider])


def check_assignment(
    parts: Sequence[tuple[str, Sequence[str]]], providers: Sequence[str], source: str
) -> dict[str, int]:
    """How many nodes each provider got.

    Args:
        parts: (provider, operators) of each part of the graph.
        providers: those that were asked for, the first one first.
        source: the model's name.

    Raises:
        IncompatibleEngineError: nodes that compute went to the CPU, or the first provider took nothing.
    """
    counts: Counter[str] = Counter()
    wrong: set[str] = set()
    for provider, operators in parts:
        counts[provider] += len(operators)
        if provider not in providers:
            wrong |= set(operators) - SHAPE_OPERATORS
    if wrong:
        raise left_to_cpu(source, f"{WORDS[providers[0]]} leaves {', '.join(sorted(wrong))} to the CPU")
    if not counts[providers[0]]:
        raise IncompatibleEngineError(
            source, f"{WORDS[providers[0]]} takes none of its nodes", "use the engine onnxruntime"
        )
    return dict(counts)


def left_to_cpu(source: str, problem: str) -> IncompatibleEngineError:
    """The error for a graph that would run on the CPU in part."""
    return IncompatibleEngineError(
        source, problem, "export it with a fixed batch (segface-edge export --batch 1), or use the device cpu"
    )


def _missing_library(path: Path) -> str:
    """The library that one of ONNX Runtime's lacks; empty where the loader does not say."""
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        # "libcublasLt.so.13: cannot open shared object file: No such file or directory"
        library, _, problem = str(error).partition(": ")
        return Path(library).name if problem.startswith("cannot open shared object file") else ""
    return ""
