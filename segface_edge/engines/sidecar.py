"""`model.tflite.json` and the like: what a file of `export --target` says of itself, where its format has no place."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from segface_edge.errors import IncompatibleEngineError, InputError, ModelFileError
from segface_edge.spec import ModelSpec

from .documents import document_beside, is_count, parse, read_text

SIDECAR_VERSION = 1
_CURE = "export it again: segface-edge export --target"


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """A converted file's contract and history.

    Attributes:
        spec: the model's contract.
        target: key of `export.targets.table.TARGETS`.
        files: {suffix: {"bytes": its size, "sha256": of its content}} of the file and those that belong to it, which
            have its name but for the suffix.
        onnx_sha256: of the ONNX file that it was converted from.
        versions: {package: version} of what converted it and what it was checked in.
        parity: reports, as `Parity.to_dict` makes them: of the ONNX file with PyTorch, of this file with the ONNX file.
        segface_edge: version that wrote it.
    """

    spec: ModelSpec
    target: str
    files: Mapping[str, Mapping[str, Any]]
    onnx_sha256: str
    versions: Mapping[str, str]
    parity: tuple[Mapping[str, Any], ...]
    segface_edge: str

    def to_json(self) -> str:
        """The document."""
        document = asdict(self) | {"version": SIDECAR_VERSION, "spec": json.loads(self.spec.to_json())}
        return json.dumps(document, indent=2, sort_keys=True) + "\n"


def fingerprint(path: Path) -> dict[str, Any]:
    """Size and hash of a file, as `Sidecar.files` has them."""
    content = path.read_bytes()
    return {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def read_sidecar(path: Path) -> Sidecar:
    """The document beside a model file, which describes the files that are there.

    Raises:
        ModelFileError: there is no model file, or one that belongs to it is missing.
        InputError: a file cannot be read.
        IncompatibleEngineError: there is no document, it is no such document or of another version, or the files are
            cut off, damaged or others.
    """
    if not path.is_file():
        raise ModelFileError(path, "no such file", f"make one: {_CURE.partition(': ')[2]}")
    place = document_beside(path)

    def bad(problem: str) -> IncompatibleEngineError:
        return IncompatibleEngineError(place, problem, _CURE)

    text = read_text(place, bad)
    if text is None:
        raise IncompatibleEngineError(
            path, f"has no {place.name} beside it, which says what it is", f"put it there, or {_CURE}"
        )
    document = parse(text, version=SIDECAR_VERSION, fields=Sidecar.__dataclass_fields__, bad=bad)
    wrong = next((name for name, ok in _checks(document).items() if not ok), None)
    if wrong:
        raise bad(f"says {wrong} {document[wrong]!r:.80}")
    spec = ModelSpec.from_json(json.dumps(document["spec"]), source=place)
    found = Sidecar(**{**document, "spec": spec, "parity": tuple(document["parity"])})
    for suffix, told in found.files.items():
        _check_file(path, path if suffix == path.suffix.lower() else path.with_suffix(suffix), told)
    return found


def _check_file(path: Path, file: Path, told: Mapping[str, Any]) -> None:
    try:
        real = fingerprint(file)
    except FileNotFoundError as error:
        raise ModelFileError(file, f"is missing; {path.name} cannot be read without it", _CURE) from error
    except OSError as error:
        raise InputError(file, f"cannot be read ({error.strerror})", "check its permissions") from error
    if real["bytes"] != told["bytes"]:
        raise IncompatibleEngineError(
            file, f"is cut off or another file: {real['bytes']} bytes of {told['bytes']}", _CURE
        )
    if real["sha256"] != told["sha256"]:
        raise IncompatibleEngineError(
            file, f"is damaged, or not the file that {document_beside(path).name} describes", _CURE
        )


def _checks(document: dict[str, Any]) -> dict[str, bool]:
    def text(value: object) -> bool:
        return isinstance(value, str)

    def file(value: object) -> bool:
        return isinstance(value, dict) and is_count(value.get("bytes")) and text(value.get("sha256"))

    files, versions, parity = document["files"], document["versions"], document["parity"]
    return {
        "spec": isinstance(document["spec"], dict),
        "target": text(document["target"]),
        # A suffix, no path: it must not lead elsewhere.
        "files": isinstance(files, dict)
        and bool(files)
        and all(name.startswith(".") and name[1:].isalnum() and file(one) for name, one in files.items()),
        "onnx_sha256": text(document["onnx_sha256"]),
        "versions": isinstance(versions, dict) and all(map(text, versions.values())),
        "parity": isinstance(parity, list) and all(isinstance(report, dict) for report in parity),
        "segface_edge": text(document["segface_edge"]),
    }
