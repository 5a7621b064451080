"""Whether a plan is for the TensorRT and the GPU that are here: by its document, or by what TensorRT says of it."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

from segface_edge.errors import IncompatibleEngineError, MissingDependencyError, SegFaceEdgeError

from .driver import driver_is_here, no_driver, old_driver
from .log import Record
from .plan import PlanInfo, PlanWarning
from .runtimes import RUNTIMES, numbers


def check_fit(path: Path, info: PlanInfo, version: str, gpu: str, compute: str) -> None:
    """Compares a plan's document with what is here. Another GPU of the same capability is a `PlanWarning`.

    Args:
        path: the plan, for messages.
        info: its document.
        version: of TensorRT.
        gpu: the GPU's name.
        compute: its compute capability, `8.7`.

    Raises:
        IncompatibleEngineError: it was built with another version, or for other GPUs.
    """
    built, here = numbers(info.runtime_version), numbers(version)
    title, cure = RUNTIMES[info.runtime].title, f"build it again: {info.rebuild(path)}"
    later = bool(info.flags.get("version_compatible")) and built[0] == here[0] and built <= here
    if built[:3] != here[:3] and not later:
        raise IncompatibleEngineError(path, f"was built with {title} {info.runtime_version}, here is {version}", cure)
    if compute not in info.compute:
        raise IncompatibleEngineError(
            path,
            f"was built for compute capability {', '.join(info.compute)}{f' ({info.gpu})' if info.gpu else ''}, "
            f"this GPU ({gpu}) has {compute}",
            cure,
        )
    if info.gpu not in (None, gpu):
        warnings.warn(PlanWarning(f"{path}: was built on {info.gpu}, this is {gpu}; {cure}"), stacklevel=4)


def driver_fault(path: Path, record: Record) -> MissingDependencyError | None:
    """The error for a plan that did not load because CUDA did not start, None where it did: without a driver, or with
    one that is too old, TensorRT finds every plan invalid.

    Args:
        path: the plan, for messages.
        record: what TensorRT said of it.
    """
    said = " ".join(record.errors)
    cuda = re.search(r"cudaError \d+: ([^)]+)|(CUDA initialization failure with error: \d+)", said)
    # What is no plan is none, whatever the driver.
    if cuda is None or "Serialization" in said:
        return None
    return old_driver(path, "TensorRT", cuda[1] or cuda[2]) if driver_is_here() else no_driver(path)


def not_loaded(path: Path, info: PlanInfo | None, record: Record) -> SegFaceEdgeError:
    """Why TensorRT does not load a plan, in our words where they are known.

    Args:
        path: the plan, for messages.
        info: its document, None where there is none.
        record: what TensorRT said of it.
    """
    fault = driver_fault(path, record)
    if fault is not None:
        return fault
    said = " ".join(record.errors)
    cure = f"build it again: {info.rebuild(path) if info else f'segface-edge build MODEL.onnx -o {path}'}"
    # From 10.4 on, TensorRT prints the plan's version as raw bytes; what can be read of it is said.
    version = re.search(r"expecting library version (\S+) got(?: version)?([^,]*)", said)
    if version:
        built = re.search(r"\d+\.\d+\.[\d.]*\d", version[2])
        words = f"TensorRT {built[0]}" if built else "another version of TensorRT"
        return IncompatibleEngineError(path, f"was built with {words}, here is {version[1]}", cure)
    if "Version tag does not match" in said:
        return IncompatibleEngineError(path, "was built with another version of TensorRT", cure)
    device = re.search(r"expecting compute (\S+) got compute (\S+?),", said)
    if device:
        return IncompatibleEngineError(
            path, f"was built for compute capability {device[2]}, this GPU has {device[1]}", cure
        )
    return IncompatibleEngineError(path, f"is damaged, or no plan of TensorRT ({record.last_error()})", cure)
