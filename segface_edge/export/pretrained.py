"""Models by name as files that run: the authors' checkpoints imported, any of them exported once and kept."""

from __future__ import annotations

import logging
from pathlib import Path

from segface_edge.cache import lock, make_folder
from segface_edge.errors import CheckpointError
from segface_edge.zoo.fetch import Fetched, forget
from segface_edge.zoo.models import Model, checkpoint_of

from .config import ExportConfig
from .importing import Imported, Kept, import_checkpoint
from .pipeline import run_export

# Shown on standard error where a program sets up no logging of its own.
_LOG = logging.getLogger(__name__)


def import_fetched(fetched: Fetched, *, precision: Kept = "fp32", keep: bool = False) -> Imported:
    """Imports one of the authors' checkpoints into the cache, where its name finds it.

    Args:
        fetched: the checkpoint.
        precision: of the weights that are kept.
        keep: leave the authors' file where it is; two thirds of it are the state of their optimiser.

    Raises:
        CheckpointError: it is not the network that its name says.
        InputError: it cannot be written.
    """
    model = fetched.model
    path = model.cached(".safetensors")
    make_folder(path.parent)
    imported = import_checkpoint(fetched.path, path, precision=precision, terms=model.terms, origin=fetched.origin)
    found = (imported.backbone, imported.label_order, imported.trained_size)
    if found != (model.backbone, model.labels, model.trained_size):
        for file in (imported.path, imported.card):
            file.unlink(missing_ok=True)
        raise CheckpointError(
            fetched.path, f"is {' '.join(map(str, found))}, not {model.name}", "fetch it again, or from another folder"
        )
    model.cached(".onnx").unlink(missing_ok=True)  # of other weights
    if not keep:
        forget(model)
    return imported


def exported(model: Model) -> Path:
    """The model as an ONNX file for any number of frames a call; it is exported if it is not there.

    Raises:
        InputError: it was not fetched, or the file cannot be written.
        ParityError: what was exported does not compute what the checkpoint computes.
    """
    path = model.cached(".onnx")
    weights = checkpoint_of(model)
    make_folder(path.parent)
    with lock(path):
        if not path.is_file():
            _LOG.warning("exporting %s to ONNX, once; this takes minutes", model.name)
            run_export(ExportConfig(weights=weights, dynamic=True, compact=True), path)
    return path
