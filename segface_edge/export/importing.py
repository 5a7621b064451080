"""A checkpoint of the authors' code, or of anyone's, as a file that says of itself what it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from segface_edge import __version__
from segface_edge.errors import UsageError
from segface_edge.files import check_place, write_whole
from segface_edge.network.checkpoint import ORIGIN, load_segface, read_checkpoint, write_checkpoint
from segface_edge.network.engine import DEFAULT_SIZE
from segface_edge.network.recognise import identified, order_named

Kept = Literal["fp32", "fp16"]
UNKNOWN_TERMS = "not stated: ask whoever gave the weights"


@dataclass(frozen=True, kw_only=True)
class Imported:
    """A checkpoint that was imported.

    Attributes:
        path: the new file, `.safetensors`.
        card: its description, in Markdown, beside it.
        source: what it was made of.
        source_sha256: of that.
        backbone, label_order, trained_size: what it is.
        precision: of its weights.
        terms: of use, one line.
        origin: where the weights came from, one line.
        assumed: what neither the file nor its name nor an option said, one line each.
    """

    path: Path
    card: Path
    source: Path
    source_sha256: str
    backbone: str
    label_order: str
    trained_size: int
    precision: Kept
    terms: str
    origin: str
    assumed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in vars(self).items()}


def import_checkpoint(
    source: Path,
    path: Path | None = None,
    *,
    precision: Kept = "fp32",
    backbone: str | None = None,
    labels: str | None = None,
    size: int | None = None,
    terms: str | None = None,
    origin: str | None = None,
) -> Imported:
    """Writes a checkpoint as safetensors that say what they are, with a card beside them. Nothing in it is executed.

    Args:
        source: the checkpoint, with the reference's names.
        path: the file to write; None: `segface_BACKBONE_ORDER_SIZE.safetensors` in the current folder.
        precision: `fp32`, as they were trained, or `fp16`, half the file.
        backbone, labels, size: instead of what the entries and the names of the file and its folder say.
        terms: of use, where the file does not say.
        origin: where the file is from; None: its own name and its folder's.

    Raises:
        CheckpointError: it cannot be read, or is of no network that is known, or not of the one that was named.
        UsageError: an option that does not exist.
        InputError: the file cannot be written.
    """
    if precision not in get_args(Kept):
        raise UsageError(f"precision {precision!r}", "is not supported", f"use {' or '.join(get_args(Kept))}")
    if path is not None:
        if path.suffix != ".safetensors":
            raise UsageError(path, "is not a .safetensors file name", "name the output FILE.safetensors")
        check_place(path)
    read = read_checkpoint(source)
    checkpoint = identified(read, source, backbone)
    trained = size or checkpoint.trained_size or DEFAULT_SIZE
    model = load_segface(checkpoint, labels=labels, image_size=trained, source=source)
    assumed = []
    if not (size or checkpoint.trained_size):
        assumed.append(f"trained at {trained}: neither the file nor its name says so; --imgsz says another")
    if len(model.labels) == 11 and not (labels or read.label_order or order_named(source)):
        assumed.append(f"label order {model.labels.name}: lapa and helen have the same classes; --labels says another")
    path = path or Path(f"segface_{model.backbone_name}_{model.labels.name}_{trained}.safetensors")
    named = "/".join(source.absolute().parts[-2:])
    imported = Imported(
        path=path,
        card=path.with_suffix(".md"),
        source=source,
        source_sha256=checkpoint.sha256,
        backbone=model.backbone_name,
        label_order=model.labels.name,
        trained_size=trained,
        precision=precision,
        terms=read.terms or terms or UNKNOWN_TERMS,
        origin=read.origin or f"{origin or named}, sha256 {checkpoint.sha256}",
        assumed=tuple(assumed),
    )
    write_checkpoint(
        path,
        model,
        trained_size=trained,
        terms=imported.terms,
        notes={ORIGIN: imported.origin, "imported_by": f"segface-edge {__version__}"},
        half=precision == "fp16",
    )
    write_whole(imported.card, _card(imported, model.labels.classes, _parameters(model)).encode())
    return imported


def _parameters(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _card(imported: Imported, classes: tuple[str, ...], parameters: int) -> str:
    rows: Mapping[str, object] = {
        "backbone": imported.backbone,
        "parameters": f"{parameters / 1e6:.2f} million, {imported.precision}",
        "input": f"trained at {imported.trained_size} x {imported.trained_size}, RGB, ImageNet's mean and deviation",
        "labels": f"`{imported.label_order}`: {' '.join(f'{i}={name}' for i, name in enumerate(classes))}",
        "terms of use": imported.terms,
        "made from": imported.origin,
        "assumed": "; ".join(imported.assumed) or "nothing",
    }
    lines = [
        f"# {imported.path.stem}",
        "",
        f"SegFace (Narayan, VS, Patel, AAAI 2025, arXiv 2412.08647), imported by segface-edge {__version__}. The",
        "weights are those of the file that is named below; nothing of them was measured here.",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows.items()),
        "",
        f"    segface-edge export --weights {imported.path.name}",
        f"    segface-edge parse photo.jpg -o overlay.png --model {imported.path.name}",
    ]
    return "\n".join(lines) + "\n"
