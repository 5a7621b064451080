"""`segface-edge import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from segface_edge.errors import missing_extra
from segface_edge.zoo.models import of_folder

from .options import check_json, json_option, say

if TYPE_CHECKING:
    from segface_edge.export.importing import Imported

PRECISION = click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16"]),
    default="fp32",
    show_default=True,
    help="Of the weights that are written: as they were trained, or half the file.",
)


@click.command(
    "import",
    epilog="""\b
Examples:
  segface-edge import swinb_celeba_512/model_299.pt
  segface-edge import model_299.pt --precision fp16 -o segface.safetensors
  segface-edge import model_299.pt --imgsz 256 --json -""",
)
@click.argument("source", metavar="CHECKPOINT", type=click.Path(path_type=Path))
@click.option("-o", "out", type=click.Path(path_type=Path), help="File to write; default: segface_….safetensors.")
@PRECISION
@click.option("--backbone", help="Default: what the entries of the checkpoint show.")
@click.option("--labels", help="Label order; default: by the number of classes and the names of file and folder.")
@click.option("--imgsz", type=int, help="Side that it was trained at; default: as its folder is called, or 512.")
@json_option
def command(
    source: Path,
    out: Path | None,
    precision: str,
    backbone: str | None,
    labels: str | None,
    imgsz: int | None,
    json_to: str | None,
) -> None:
    """Make safetensors of CHECKPOINT that say what they are, so that every command takes them without an option; with a
    card beside them. For the weights that SegFace's authors publish, model_299.pt. No code in it is executed."""
    try:
        from segface_edge.export.importing import import_checkpoint
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "export", "segface-edge import") from error
    check_json(json_to)
    # Anyone can call a folder so: what its name says is said as that.
    known = of_folder(source.absolute().parent.name)
    imported = import_checkpoint(
        source,
        out,
        precision=precision,  # type: ignore[arg-type] # click has checked it
        backbone=backbone,
        labels=labels,
        size=imgsz,
        terms=f"by its name: {known.terms}" if known else None,
        origin=f"{source.absolute().parent.name}/{source.name}, by its name {known.url}" if known else None,
    )
    say(imported.to_dict(), json_to, text(imported))


def text(imported: Imported) -> str:
    """What was made, for people."""
    return "\n".join(
        [
            f"wrote {imported.path} ({imported.path.stat().st_size / 1e6:.1f} MB): {imported.backbone}, label order "
            f"{imported.label_order}, {imported.trained_size} x {imported.trained_size}, {imported.precision}",
            f"card: {imported.card}",
            *(f"assumed: {line}" for line in imported.assumed),
            f"terms of use: {imported.terms}",
        ]
    )
