"""Models by name: the file of one that is bundled or was fetched."""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from pathlib import Path

from segface_edge import zoo
from segface_edge.errors import UsageError, missing_extra
from segface_edge.zoo.models import checkpoint_of, find, is_name

# It stands above this room, and needs torch: by name, so that it is imported when it is asked for.
EXPORTER = "segface_edge.export.pretrained"


def model_file(name: str) -> Path:
    """The ONNX file of a model, see `segface-edge models list`. Nothing is fetched.

    Where the cache holds it, nothing but the runtime is needed; else it is exported from the checkpoint, once, which
    takes minutes.

    Raises:
        UsageError: unknown name, or that of the detector.
        InputError: the model was not fetched.
        MissingDependencyError: it is to be exported, and the packages for that are not installed.
    """
    model = find(name)
    if model.backbone is None:
        raise UsageError(f"model '{name}'", "finds faces, and parses none", "name another: segface-edge models list")
    if model.name == zoo.DEFAULT_BACKBONE:
        return zoo.DEFAULT_MODEL
    if (onnx := model.cached(".onnx")).is_file():
        return onnx
    checkpoint_of(model)  # before torch is asked for
    try:
        pretrained = import_module(EXPORTER)
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "export", f"model '{model.name}', which is to be exported") from error
    path: Path = pretrained.exported(model)
    return path


def check_no_name(given: str | PathLike[str]) -> None:
    """Raises UsageError where what was given as a file is none, but the name of a model."""
    if is_name(str(given)):
        name = find(str(given)).name
        raise UsageError(f"'{given}'", "is a model's name, not a file", f"use FaceParser.from_pretrained('{name}')")


def file_of(given: str | Path) -> Path:
    """The file itself, or that of the model whose name it is: for options that take either. Raises as `model_file`."""
    return model_file(str(given)) if is_name(given) else Path(given)
