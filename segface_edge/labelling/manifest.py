"""What a folder of results was made with: a later run with something else is refused."""

from __future__ import annotations

import json
from typing import Any

from segface_edge import __version__
from segface_edge.errors import DataError, UsageError
from segface_edge.labels import LabelSet

from .parts import MANIFEST, Parts
from .rows import VERSION

# What each entry is called on the command line.
_OPTIONS = {
    "model_sha256": "model",
    "engine": "engine",
    "detector_sha256": "detector",
    "label_order": "label order",
    "classes": "classes",
    **{name: f"--{name.replace('_', '-')}" for name in ("locate", "look", "max_faces", "min_face", "max_pixels")},
}


def agree(parts: Parts, folder: str, what: dict[str, Any], labels: LabelSet) -> None:
    """Writes what a folder's results are made with; where that is written already, it must be the same.

    Args:
        parts: in the folder.
        folder: its name, for messages.
        what: see `Options.what`.
        labels: the model's.

    Raises:
        UsageError: the folder was begun with something else.
        DataError: its manifest is damaged, or absent beside parts.
        InputError: it cannot be read or written.
    """
    wanted = {**what, "label_order": labels.name, "classes": list(labels.classes)}
    place = f"{folder.rstrip('/')}/{MANIFEST}"
    content = parts.read(MANIFEST)
    if content is None:
        if parts.are_there():
            raise DataError(place, "no such file, and there are parts", "name another folder, or bring it back")
        document = {"version": VERSION, "written_by": f"segface-edge {__version__}", **wanted}
        parts.write(MANIFEST, (json.dumps(document, indent=2) + "\n").encode())
        return
    try:
        there = json.loads(content)
        version = there.pop("version")
        there.pop("written_by", None)
    except (ValueError, RecursionError, KeyError, AttributeError, TypeError) as error:
        raise DataError(place, "is no manifest of labels", "name another folder, or bring it back") from error
    if version != VERSION:
        cure = "name another folder, or use that segface-edge"
        raise DataError(place, f"is of version {version!r}, this segface-edge writes {VERSION}", cure)
    for name in [*wanted, *sorted({*there} - {*wanted})]:
        if wanted.get(name) != there.get(name):
            now, before = (_short(name, one.get(name)) for one in (wanted, there))
            what_differs = f"was begun with another {_OPTIONS.get(name, name)}: {before}, now {now}"
            raise UsageError(folder, what_differs, "name another folder, or go on with what it was begun with")


def _short(name: str, value: Any) -> str:
    if value is None:
        return "none"
    return f"sha256 {str(value)[:12]}" if name.endswith("sha256") else str(value)
