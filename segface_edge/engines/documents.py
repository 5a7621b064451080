"""Documents beside model files whose formats have no place for what a model says of itself: `FILE.json` beside FILE."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from segface_edge.documents import document_text
from segface_edge.errors import InputError, SegFaceEdgeError

_LARGEST = 2**20
# Makes the error of what is wrong with a document.
Bad = Callable[[str], SegFaceEdgeError]


def document_beside(file: Path) -> Path:
    """Where a file's document is."""
    return file.parent / f"{file.name}.json"  # also of a folder without a name, the current one


def read_text(path: Path, bad: Bad) -> str | None:
    """A document's text; None where there is none.

    Raises:
        InputError: it cannot be read.
        SegFaceEdgeError: what `bad` makes, where it is too large or no text.
    """
    try:
        return document_text(path, _LARGEST)
    except FileNotFoundError:
        return None
    except InputError as error:
        raise bad(error.problem) from error
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
    except UnicodeDecodeError as error:
        raise bad("is not text") from error


def parse(text: str, *, version: int, fields: Collection[str], bad: Bad) -> dict[str, Any]:
    """A document's entries, which are just `fields`.

    Raises:
        SegFaceEdgeError: what `bad` makes, where it is no JSON object, of another version, or has other entries.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise bad("is not JSON") from error
    if not isinstance(document, dict):
        raise bad("is not a JSON object")
    found = document.pop("version", None)
    if found != version:
        raise bad(f"is of version {found!r}, this segface-edge reads version {version}")
    if set(document) != set(fields):
        raise bad(f"lacks or has too much: {', '.join(sorted(set(document) ^ set(fields)))}")
    return document


def is_count(value: object) -> bool:
    """Whether it is a whole number, 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
