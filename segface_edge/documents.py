"""Documents, JSON and TOML: whoever wrote them, no more is read than one may have."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from .errors import InputError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Bytes of a document. A benchmark's report has each of its samples.
MAX_JSON, MAX_TOML = 64 * 2**20, 2**20


def document_text(path: Path, largest: int) -> str:
    """The text of a document's file.

    Args:
        path: the file.
        largest: bytes that it may have; no more are read.

    Raises:
        InputError: it has more.
        OSError, UnicodeDecodeError: it cannot be read, or is no text.
    """
    with path.open("rb") as file:
        content = file.read(largest + 1)
    if len(content) > largest:
        raise InputError(path, f"is larger than {largest // 2**20} MiB", "give the file that is meant")
    return content.decode()


def read_json(path: Path, what: str, cure: str) -> Any:
    """The document in a JSON file.

    Args:
        path: the file.
        what: it should be, for messages: `a benchmark report`.
        cure: what to do where it is not.

    Raises:
        InputError: no such file, no JSON, or too large.
    """
    try:
        return json.loads(document_text(path, MAX_JSON))
    except FileNotFoundError as error:
        raise InputError(path, "no such file", cure) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, f"is not {what}", cure) from error


def read_toml(path: Path) -> dict[str, Any]:
    """The document in a TOML file.

    Raises:
        InputError: it is too large.
        OSError, ValueError: it cannot be read, or is none, see `toml_of`.
    """
    return toml_of(document_text(path, MAX_TOML))


def toml_of(text: str) -> dict[str, Any]:
    """The document in a text of TOML. Raises ValueError where it is none, is nested too deeply, or has a number of
    thousands of digits."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
