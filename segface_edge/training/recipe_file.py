"""A recipe read from TOML, with changes from the command line, and written out with every default."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import dacite

from segface_edge.documents import read_toml, toml_of
from segface_edge.errors import InputError, UsageError

from .recipe import BUNDLED, IMAGENET, Recipe

# Settings that name files: relative to the recipe.
PATHS = (
    ("data", "train"),
    ("data", "val"),
    ("data", "unlabelled"),
    ("model", "weights"),
    ("model", "backbone_weights"),
    ("teacher", "weights"),
)


class Located(str):
    """An absolute path that remembers how it was written."""

    written: str


def read_recipe(path: Path, changes: Sequence[str] = ()) -> Recipe:
    """Reads a recipe (TOML).

    Args:
        path: the file.
        changes: `TABLE.KEY=VALUE`, values as in TOML (a word needs no quotes); paths relative to the current folder.

    Raises:
        InputError: no such file, not TOML, an unknown key, a value of the wrong type or out of range.
        UsageError: a change that is none.
    """
    try:
        document = read_toml(path)
    except FileNotFoundError as error:
        raise InputError(path, "no such file", "give a recipe; docs/training.md has one to start from") from error
    except (OSError, ValueError) as error:
        raise InputError(path, f"is not a recipe ({error})", "write it in TOML") from error
    _resolve(document, path.parent)
    changed: dict[str, Any] = {}
    for change in changes:
        _apply(change, changed)
    _resolve(changed, Path())
    for table, values in changed.items():
        before = document.get(table)
        document[table] = {**before, **values} if isinstance(before, dict) else values
    return parse_recipe(document, source=path)


def parse_recipe(document: dict[str, Any], *, source: object) -> Recipe:
    """A recipe from its tables. Raises InputError as `read_recipe` does; `source` is what the message names."""
    config = dacite.Config(strict=True, cast=[tuple], type_hooks={float: _number})
    try:
        return dacite.from_dict(Recipe, document, config)
    except dacite.UnexpectedDataError as error:
        unknown = ", ".join(sorted(map(str, error.keys)))
        where, known = _known(document, error.keys)
        raise InputError(source, f"has the unknown key '{unknown}'{where}", f"use: {known}") from error
    except dacite.MissingValueError as error:
        raise InputError(source, f"misses '{error.field_path}'", "add it") from error
    except dacite.DaciteError as error:
        raise InputError(source, f"has a value of the wrong type: {error}", "correct it") from error
    except (TypeError, ValueError) as error:  # a number where a list is wanted, a table where an array of tables is
        raise InputError(
            source, f"has a value of the wrong type: {error}", "correct it: sizes = [256], [[stage]]"
        ) from error
    except UsageError as error:
        raise InputError(source, f"{error.subject} {error.problem}", error.cure) from error


def write_recipe(recipe: Recipe) -> dict[str, Any]:
    """The recipe's tables, JSON-ready, with every default; `parse_recipe` reads them back."""

    def plain(value: Any) -> Any:
        if is_dataclass(value):
            return {
                item.name: plain(getattr(value, item.name))
                for item in fields(value)
                if getattr(value, item.name) is not None
            }
        return [plain(item) for item in value] if isinstance(value, tuple) else value

    document: dict[str, Any] = plain(recipe)
    return document


def written_paths(recipe: Recipe) -> dict[str, str | list[str]]:
    """{`table.key`: path as it was written in the recipe, or a list of them} of those that the recipe names."""

    def written(value: str) -> str:
        return value.written if isinstance(value, Located) else value

    found: dict[str, str | list[str]] = {}
    for table, key in PATHS:
        value = getattr(getattr(recipe, table), key, None)
        if value is not None:
            found[f"{table}.{key}"] = written(value) if isinstance(value, str) else [written(one) for one in value]
    return found


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise dacite.WrongTypeError(float, value)
    return float(value)


def _known(document: dict[str, Any], keys: set[str]) -> tuple[str, str]:
    """Where an unknown key stands, and the names that are known there."""
    hints = get_type_hints(Recipe)
    for table, values in document.items():
        rows = values if isinstance(values, list) else [values]
        if table in hints and any(isinstance(row, dict) and keys & set(row) for row in rows):
            kinds = [kind for kind in (hints[table], *get_args(hints[table])) if is_dataclass(kind)]
            if kinds and not keys <= {item.name for item in fields(kinds[0])}:
                return f" in [{table}]", ", ".join(item.name for item in fields(kinds[0]))
    return "", ", ".join(item.name for item in fields(Recipe))


def _resolve(document: dict[str, Any], folder: Path) -> None:
    for table, key in PATHS:
        values = document.get(table)
        if isinstance(values, dict) and key in values:
            values[key] = _resolved(values[key], folder)


def _resolved(value: Any, folder: Path) -> Any:
    """A file's name, or a list of names; what is neither is refused later."""
    if isinstance(value, list):
        return [_resolved(one, folder) for one in value]
    if not isinstance(value, str) or value in (BUNDLED, IMAGENET):
        return value
    path = Located((folder / value).absolute())
    path.written = value
    return path


def _apply(change: str, document: dict[str, Any]) -> None:
    name, equals, text = change.partition("=")
    table, dot, key = name.strip().partition(".")
    if not equals or not dot or not key:
        raise UsageError(f"--set {change}", "is not TABLE.KEY=VALUE", "write --set optimiser.lr=2e-4, for example")
    try:
        value = toml_of(f"value = {text}")["value"]
    except ValueError:
        value = text.strip()
    if table == "stage":
        raise UsageError(f"--set {change}", "stages are a list", "change them in the recipe")
    document.setdefault(table, {})[key] = value
