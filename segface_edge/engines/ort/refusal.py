"""Why ONNX Runtime does not open a file, in one line with a cure that fits: its own reasons are paths and C++."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segface_edge.errors import IncompatibleEngineError, ModelFileError, SegFaceEdgeError
from segface_edge.files import came_instead

_UPGRADE = "upgrade ONNX Runtime (pip install --upgrade onnxruntime, or onnxruntime-gpu where that is here)"
_AGAIN = "copy or download it again, or make it anew: segface-edge export"


@dataclass(frozen=True, kw_only=True)
class _Reason:
    """A row of `_REASONS`.

    Attributes:
        said: what ONNX Runtime says, a regular expression.
        problem, cure: with the expression's groups for {0}, {1}; {here} is this ONNX Runtime, {upgrade} how to get
            another.
        sound: the file is fine, only not for this ONNX Runtime.
    """

    said: str
    problem: str
    cure: str
    sound: bool = True


# Seen with ONNX Runtime 1.20 and 1.32.
_REASONS = (
    _Reason(
        said=r"Unsupported model IR version: (\d+), max supported IR version: (\d+)",
        problem="is written in ONNX's IR version {0}, {here} reads up to {1}",
        cure="{upgrade}, or save the file in the older one: onnx.load, ir_version = {1}, onnx.save",
    ),
    _Reason(
        said=r"Opset (\d+) is under development.*for domain ai\.onnx is till opset (\d+)",
        problem="is in opset {0}, {here} knows up to {1}",
        cure="{upgrade}, or export with a lower one: segface-edge export --opset 18",
    ),
    _Reason(
        said=r"Opset (\d+) is under development.*for domain (\S+) is till opset (\d+)",
        problem="uses version {0} of the operators '{1}', {here} knows up to {2}",
        cure="{upgrade}, or export it with a lower one",
    ),
    _Reason(
        said=r"(\S+?)\(-?\d+\) is not a registered function/op|No Op registered for (\S+) with",
        problem="has the operator {0}, which {here} does not know",
        cure="export it without operators of other makers; or, where a later ONNX Runtime has it, upgrade",
    ),
    _Reason(
        said=r"Could not find an implementation for (\w+)\((\d+)\)",
        problem="computes {0} in a type or version ({1}) that {here} has no code for on this device",
        cure="export it in another precision: segface-edge export --precision fp32",
    ),
    _Reason(
        said=r"External data path|model_path must not be empty|External data type not supported",
        problem="keeps its weights in another file",
        cure="save it as one: onnx.save(onnx.load(FILE), FILE)",
        sound=False,
    ),
)


def refused(path: Path, content: bytes, error: Exception, version: str) -> SegFaceEdgeError:
    """The error for a file that ONNX Runtime does not open.

    Args:
        path: the file.
        content: its bytes.
        error: what ONNX Runtime raised; its errors have no common base but Exception.
        version: ONNX Runtime's.

    Returns:
        IncompatibleEngineError where the file is sound, but not for this ONNX Runtime; else ModelFileError.
    """
    text = " ".join(str(error).split())
    for reason in _REASONS:
        found = re.search(reason.said, text)
        if found:
            groups = [group for group in found.groups() if group is not None]
            kind: Callable[[Path, str, str], SegFaceEdgeError] = (
                IncompatibleEngineError if reason.sound else ModelFileError
            )
            words = {"here": f"ONNX Runtime {version}", "upgrade": _UPGRADE}
            return kind(path, reason.problem.format(*groups, **words), reason.cure.format(*groups, **words))
    if not content:
        return ModelFileError(path, "is not a readable ONNX model (it is empty)", _AGAIN)
    instead = came_instead(content)
    if instead is not None:
        return ModelFileError(path, f"is {instead[0]}, not an ONNX model", instead[1])
    # Behind the code's number and name; where it was found out, in C++, tells a user nothing.
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    return ModelFileError(path, f"is not a readable ONNX model ({said[:200]})", _AGAIN)
