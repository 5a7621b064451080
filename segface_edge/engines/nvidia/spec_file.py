"""A model's contract from a file that tells it: an ONNX file, or the document beside a plan."""

from __future__ import annotations

from pathlib import Path

from segface_edge.documents import MAX_JSON, document_text
from segface_edge.engines.ort.metadata import read_metadata
from segface_edge.errors import InputError, UsageError
from segface_edge.spec import ModelSpec

from .plan import parse_plan_info


def read_spec(path: Path) -> ModelSpec:
    """The contract that a `.onnx` or a `.plan.json` holds.

    Raises:
        UsageError: another kind of file.
        InputError, ModelFileError, IncompatibleEngineError: it is absent, damaged, or holds none.
    """
    if path.suffix.lower() == ".onnx":
        return read_metadata(path).spec
    if path.suffix.lower() != ".json":
        raise UsageError(
            f"--spec {path}", "says nothing of a model", "give the ONNX file, or another plan's .plan.json"
        )
    try:
        return parse_plan_info(document_text(path, MAX_JSON), path).spec
    except FileNotFoundError as error:
        raise InputError(path, "no such file", "give the ONNX file, or another plan's .plan.json") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            path, f"cannot be read ({error})", "give the ONNX file, or another plan's .plan.json"
        ) from error
