"""`segface-edge models`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.errors import MissingDependencyError, missing_extra
from segface_edge.files import sha256_of
from segface_edge.zoo.models import MODELS, Model, find

from .import_checkpoint import PRECISION
from .import_checkpoint import text as imported_text
from .options import check_json, json_option, progress_bar, say

if TYPE_CHECKING:
    from segface_edge.export.importing import Imported
    from segface_edge.zoo.fetch import Fetched

_EXAMPLES = """\b
Examples:
  segface-edge models list
  segface-edge models info segface/swin_base_celeba_512
  segface-edge models fetch yunet --from yunet
  segface-edge models fetch segface/mobilenet_celeba_512 --from weights --json -"""


@click.group(
    "models",
    epilog=f"{_EXAMPLES}\n\nFetched files are kept in SEGFACE_EDGE_CACHE, by default ~/.cache/segface-edge.",
)
def command() -> None:
    """List models by name, fetch those that SegFace's authors publish."""


@command.command("list", epilog=_EXAMPLES)
@json_option
def list_command(json_to: str | None) -> None:
    """List every model that has a name."""
    rows = [(model.name, _state(model), model.what) for model in MODELS.values()]
    width = max(len(name) for name, *_ in rows)
    say(
        [_document(model) for model in MODELS.values()],
        json_to,
        "\n".join(f"{name:<{width}}  {state:<8}  {what}" for name, state, what in rows),
    )


@command.command("info", epilog=_EXAMPLES)
@click.argument("name")
@json_option
def info_command(name: str, json_to: str | None) -> None:
    """Show what NAME is, where it is from, its terms of use, and whether it is here."""
    model = find(name)
    document = _document(model)
    here = [path for path in _files(model) if path.is_file()]
    document["files"] = [{"path": str(path), "sha256": sha256_of(path)} for path in here]
    lines = [
        model.name,
        model.what,
        f"terms of use: {model.terms}",
        f"from: {model.url or 'bundled'}",
        f"size: {f'{model.size / 1e6:.1f} MB' if model.size else 'not known before it is fetched'}",
        f"sha256: {model.sha256 or ('not known before it is fetched' if model.url else 'see below')}",
        *(f"here: {entry['path']}, sha256 {entry['sha256']}" for entry in document["files"]),
    ]
    say(document, json_to, "\n".join(lines if here else [*lines, f"fetch it: segface-edge models fetch {model.name}"]))


@command.command("fetch", epilog=_EXAMPLES)
@click.argument("name")
@click.option("--from", "folder", type=click.Path(path_type=Path), help="Folder with the file: no network then.")
@PRECISION
@click.option("--keep", is_flag=True, help="Keep the authors' own file too, after it has been imported.")
@json_option
def fetch_command(name: str, folder: Path | None, precision: str, keep: bool, json_to: str | None) -> None:
    """Fetch NAME into the cache, or go on with it where it broke off; check its size and sha256.

    A checkpoint of SegFace's authors is imported at once, so that its name can be given as a model.
    """
    from segface_edge.zoo.fetch import Fetched, fetch

    check_json(json_to)
    model = find(name)
    kept = model.cached(".safetensors")
    if model.published and kept.is_file():
        done = Fetched(model=model, path=kept, sha256=sha256_of(kept))
        say({**_document(model), **_told(done), "imported": None}, json_to, f"{kept} is here already")
        return
    fetched = fetch(name, folder=folder, bar=progress_bar)
    imported = _import(fetched, precision, keep) if model.published else None
    lines = [_line(fetched), f"terms of use: {model.terms}"]
    if fetched.recorded:
        lines.insert(1, f"its sha256 was not known, and is recorded now: {fetched.sha256}")
    if imported is not None:
        lines = [*lines[:-1], imported_text(imported), f"use it: segface-edge parse photo.jpg --model {model.name}"]
    document = {**_document(model), **_told(fetched), "imported": imported and imported.to_dict()}
    say(document, json_to, "\n".join(lines))


def _import(fetched: Fetched, precision: str, keep: bool) -> Imported:
    try:
        from segface_edge.export.pretrained import import_fetched
    except ModuleNotFoundError as error:
        missing = missing_extra(str(error.name), "export", fetched.model.name)
        raise MissingDependencyError(
            fetched.path,
            f"was fetched, and is to be imported; {missing.problem}",
            f"{missing.cure}, then fetch it again: it stays",
        ) from error
    return import_fetched(fetched, precision=precision, keep=keep)  # type: ignore[arg-type] # click has checked it


def _line(fetched: Fetched) -> str:
    if not fetched.came:
        return f"{fetched.path} is {'here already' if fetched.model.url else 'bundled'}"
    went_on = f", from byte {fetched.resumed_at} on" if fetched.resumed_at else ""
    return f"fetched {fetched.path} ({fetched.came / 1e6:.1f} MB{went_on})"


def _told(fetched: Fetched) -> dict[str, Any]:
    return {
        "path": str(fetched.path),
        "sha256": fetched.sha256,
        "came": fetched.came,
        "resumed_at": fetched.resumed_at,
        "recorded": fetched.recorded,
    }


def _document(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "what": model.what,
        "state": _state(model),
        "terms": model.terms,
        "url": model.url,
        "size": model.size,
        "sha256": model.sha256,
        "backbone": model.backbone,
        "label_order": model.labels,
        "trained_size": model.trained_size,
    }


def _files(model: Model) -> list[Path]:
    made = [model.cached(suffix) for suffix in (".safetensors", ".onnx") if model.backbone]
    return [model.place, *made]


def _state(model: Model) -> str:
    if model.url is None:
        return "bundled"
    return "here" if any(path.is_file() for path in _files(model)) else "-"
