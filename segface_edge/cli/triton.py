"""`segface-edge export --triton`: a model repository for NVIDIA Triton. What is in it is `export.triton`'s."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

import click

from segface_edge.errors import InputError, UsageError, missing_extra

from .options import ModelFile, check_alone

if TYPE_CHECKING:
    from collections.abc import Iterable

_Command = TypeVar("_Command", bound=Callable[..., Any])
# Parameters that go with a file that is there.
_OPEN = ("triton_to", "web_to", "web_runtime", "model", "json_to")


def triton_options(function: _Command) -> _Command:
    """`--triton`, `--model`."""
    triton = click.option(
        "--triton",
        "triton_to",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Make a model repository that NVIDIA Triton serves.",
    )
    model = click.option(
        "--model",
        type=ModelFile(),
        help="For --triton and --web, an ONNX file (for --triton a plan too) that is there, or a name: no export.",
    )
    return triton(model(function))


def check_model(model: Path | None, *folders: Path | None) -> None:
    """Raises UsageError where a file that is there is given for nothing, or beside options of an export."""
    if model is None:
        return
    if not any(folders):
        cure = "give --triton DIR or --web DIR, or --weights for an export"
        raise UsageError("--model", "is for a model repository or a page", cure)
    check_alone("--model", _OPEN)


def check_triton(folder: Path | None, model: Path | None, out: Path | None) -> None:
    """Raises before the work where a repository could not be made of it; None as the folder is none.

    Raises:
        UsageError: the name of the file is none for Triton.
        MissingDependencyError: what writes the configuration is not installed.
        InputError: the folder cannot be made.
    """
    if folder is None:
        return
    module = _module()
    named = model or out
    if named is not None:
        module.triton_name(named)
    nearest = next((one for one in (folder, *folder.parents) if one.exists()), None)
    if nearest is not None and not nearest.is_dir():
        raise InputError(folder, "cannot be made (not a directory)", "choose another folder")


def write_triton(folder: Path, models: Iterable[Path]) -> list[str]:
    """Puts models into a repository. Returns a line about each. Raises as `export.triton.write_repository`."""
    return [
        f"wrote {_module().write_repository(model, folder)}: for NVIDIA Triton (docs/triton.md)" for model in models
    ]


def _module() -> ModuleType:
    try:
        from segface_edge.export import triton
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("tritonclient", "google", "grpc"):
            raise
        raise missing_extra(str(error.name), "triton", "--triton") from error
    return triton
