"""`model.plan.json`: what a plan says of itself, beside the plan, which stays as NVIDIA's own tools read it."""

from __future__ import annotations

import hashlib
import json
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segface_edge.engines.documents import document_beside, is_count, parse, read_text
from segface_edge.errors import IncompatibleEngineError, InputError, ModelFileError
from segface_edge.spec import ModelSpec

from .runtimes import RUNTIMES, numbers

PLAN_VERSION = 1


class PlanWarning(UserWarning):
    """A plan that can be run, though not all that should be known of it is."""


@dataclass(frozen=True, kw_only=True)
class PlanInfo:
    """A plan's contract and history.

    Attributes:
        spec: the model's contract.
        runtime: key of `RUNTIMES`.
        runtime_version: that built it.
        cuda: version of CUDA that it was built with, or None.
        gpu: name of the GPU that it was built on; None: on none, for `compute`.
        compute: compute capabilities that it is for, `8.7`.
        batches: fewest, usual and most frames a call.
        flags: of the build: `opt_level`, `workspace_mib`, whether that was given, `version_compatible`.
        precision: layers by type of their first input, as NVIDIA's code says.
        onnx, onnx_sha256: the file that it was built from.
        plan_sha256, plan_bytes: of the plan.
        calibration_sha256: of the photos that int8 was calibrated on, or None.
        parity: of the ONNX file with PyTorch, and of the plan with the ONNX file; None: not measured.
        segface_edge: version that built it.
    """

    spec: ModelSpec
    runtime: str
    runtime_version: str
    cuda: str | None
    gpu: str | None
    compute: tuple[str, ...]
    batches: tuple[int, int, int]
    flags: dict[str, Any]
    precision: dict[str, int]
    onnx: str
    onnx_sha256: str
    plan_sha256: str
    plan_bytes: int
    calibration_sha256: str | None
    parity: dict[str, Any]
    segface_edge: str

    def to_json(self) -> str:
        """The document."""
        document = asdict(self) | {"version": PLAN_VERSION, "spec": json.loads(self.spec.to_json())}
        return json.dumps(document, indent=2, sort_keys=True) + "\n"

    def rebuild(self, path: Path) -> str:
        """The command that builds the plan at `path` again."""
        parts = ["segface-edge", "build", self.onnx, "-o", str(path)]
        if self.runtime != "tensorrt":
            parts += ["--runtime", self.runtime]
        if self.gpu is None:
            parts += ["--target", ",".join(f"sm{one.replace('.', '')}" for one in self.compute)]
        if self.spec.batch is None:
            names = ("--min-batch", "--opt-batch", "--max-batch")
            parts += [word for name, count in zip(names, self.batches, strict=True) for word in (name, str(count))]
        if self.flags.get("workspace_given"):
            parts += ["--workspace", str(self.flags.get("workspace_mib"))]
        if self.flags.get("opt_level", 3) != 3:
            parts += ["--opt-level", str(self.flags["opt_level"])]
        if self.flags.get("version_compatible"):
            parts.append("--version-compatible")
        return shlex.join(parts)


def brief_report(report: dict[str, Any]) -> dict[str, Any]:
    """What a plan's document keeps of a parity report."""
    names = ("reference", "candidate", "precision", "frames", "equal", "per_class_f1", "passed")
    return {name: report.get(name) for name in names}


def sidecar(plan: Path) -> Path:
    """Where a plan's document is."""
    return document_beside(plan)


def read_plan(path: Path) -> tuple[bytes, PlanInfo | None]:
    """A plan's bytes and the document beside it, where there is one.

    Raises:
        ModelFileError: there is no plan.
        InputError: it cannot be read.
        IncompatibleEngineError: it is cut off, or not the one that the document describes.
    """
    info = read_plan_info(path)
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise ModelFileError(path, "no such file", "build it: segface-edge build MODEL.onnx -o FILE.plan") from error
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    if info is None:
        if not content:
            raise _bad(path, "is empty")
        return content, None
    cure = f"build it again: {info.rebuild(path)}"
    if len(content) != info.plan_bytes:
        raise IncompatibleEngineError(
            path, f"is cut off or another plan: {len(content)} bytes of {info.plan_bytes}", cure
        )
    if hashlib.sha256(content).hexdigest() != info.plan_sha256:
        raise IncompatibleEngineError(path, f"is damaged, or not the plan that {sidecar(path).name} describes", cure)
    return content, info


def read_plan_info(plan: Path) -> PlanInfo | None:
    """The document beside a plan; None where there is none.

    Raises:
        InputError: it cannot be read.
        IncompatibleEngineError: it is no such document, or of another version.
    """
    path = sidecar(plan)
    text = read_text(path, lambda problem: _bad(path, problem))
    return None if text is None else parse_plan_info(text, path)


def parse_plan_info(text: str, path: Path) -> PlanInfo:
    """Reads and checks a document. `path` is where it came from, for the message.

    Raises:
        IncompatibleEngineError: it is no such document, or of another version.
    """
    fields = PlanInfo.__dataclass_fields__
    document = parse(text, version=PLAN_VERSION, fields=fields, bad=lambda problem: _bad(path, problem))
    wrong = next((name for name, ok in _checks(document).items() if not ok), None)
    if wrong:
        raise _bad(path, f"says {wrong} {document[wrong]!r:.80}")
    spec = ModelSpec.from_json(json.dumps(document["spec"]), source=path)
    return PlanInfo(
        **{
            **document,
            "spec": spec,
            "compute": tuple(document["compute"]),
            "batches": tuple(document["batches"]),
        }
    )


def _checks(document: dict[str, Any]) -> dict[str, bool]:
    def text(value: object) -> bool:
        return isinstance(value, str)

    def counts(value: object) -> bool:
        return isinstance(value, dict) and all(is_count(one) for one in value.values())

    batches = document["batches"]
    return {
        "spec": isinstance(document["spec"], dict),
        "runtime": text(document["runtime"]) and document["runtime"] in RUNTIMES,
        "runtime_version": text(document["runtime_version"]) and bool(numbers(document["runtime_version"])),
        "cuda": document["cuda"] is None or text(document["cuda"]),
        "gpu": document["gpu"] is None or text(document["gpu"]),
        "compute": isinstance(document["compute"], list) and all(map(text, document["compute"])),
        "batches": isinstance(batches, list)
        and len(batches) == 3
        and all(map(is_count, batches))
        and 1 <= batches[0] <= batches[1] <= batches[2] <= 1024,
        "flags": isinstance(document["flags"], dict),
        "precision": counts(document["precision"]),
        "onnx": text(document["onnx"]),
        "onnx_sha256": text(document["onnx_sha256"]),
        "plan_sha256": text(document["plan_sha256"]),
        "plan_bytes": is_count(document["plan_bytes"]),
        "calibration_sha256": document["calibration_sha256"] is None or text(document["calibration_sha256"]),
        "parity": isinstance(document["parity"], dict),
        "segface_edge": text(document["segface_edge"]),
    }


def _bad(path: Path, problem: str) -> IncompatibleEngineError:
    return IncompatibleEngineError(path, problem, "build the plan again: segface-edge build MODEL.onnx -o FILE.plan")
