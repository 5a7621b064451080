"""Whether a run's recipe is the one that it is to go on with: compared as written, by the key."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segface_edge.documents import MAX_JSON, document_text
from segface_edge.errors import InputError

from .recipe import Recipe
from .recipe_file import PATHS, parse_recipe, write_recipe, written_paths

# How its paths were written, beside the tables of the recipe: the folder that they start from may have moved.
_WRITTEN = "written"
_SHOWN = 3


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A key that two recipes have different values of.

    Attributes:
        key: `optimiser.lr`, `stage[0].batch`.
        there, here: its value in the run's recipe and in the one that is given; None where one has no such key.
    """

    key: str
    there: object
    here: object

    @property
    def is_path(self) -> bool:
        """Whether it names files."""
        return tuple(self.key.split(".")) in PATHS


def record(recipe: Recipe) -> dict[str, Any]:
    """What a run keeps of its recipe, JSON-ready: `write_recipe`'s tables and, as `written`, its paths as written."""
    document: dict[str, Any] = json.loads(json.dumps({**write_recipe(recipe), _WRITTEN: written_paths(recipe)}))
    return document


def read_record(path: Path) -> tuple[Recipe, dict[str, Any]]:
    """A run's recipe and its paths as written. Raises InputError where the file is damaged."""
    try:
        document = json.loads(document_text(path, MAX_JSON))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(path, "is damaged", "start again in another folder") from error
    if not isinstance(document, dict):
        raise InputError(path, "is damaged", "start again in another folder")
    written = document.pop(_WRITTEN, {})
    return parse_recipe(document, source=path), written if isinstance(written, dict) else {}


def differences(there: Recipe, written_there: Mapping[str, Any], here: Recipe) -> list[Difference]:
    """The keys of which a run's recipe and another have different values.

    Paths that are written alike are the same, wherever they lead to now: a run may move with its recipe and data.
    """
    one, other = dict(_flat(write_recipe(there))), dict(_flat(write_recipe(here)))
    written_here = written_paths(here)
    alike = {key for key, value in written_there.items() if value == json.loads(json.dumps(written_here.get(key)))}
    return [
        Difference(key=key, there=one.get(key), here=other.get(key))
        for key in dict.fromkeys([*one, *other])
        if one.get(key) != other.get(key) and key not in alike
    ]


def extends(there: Recipe, here: Recipe) -> bool:
    """Whether a recipe's stages are a run's and more: more steps in its last stage, or stages behind it."""
    *before, last = write_recipe(there)["stage"]
    stages = write_recipe(here)["stage"]
    if here.steps <= there.steps or len(stages) <= len(before) or stages[: len(before)] != before:
        return False
    again = stages[len(before)]
    return bool({**again, "steps": 0} == {**last, "steps": 0} and again["steps"] >= last["steps"])


def another_recipe(path: Path, found: Sequence[Difference]) -> InputError:
    """The error for a run that is to go on with another recipe than its own, `path`."""
    shown = [f"{one.key} is {_shown(one.there)} there, {_shown(one.here)} here" for one in found[:_SHOWN]]
    more = [f"and {len(found) - _SHOWN} more"] if len(found) > _SHOWN else []
    if all(one.is_path for one in found):
        cure = f"where the same files lie elsewhere now, correct it in {path.name}; else start a new run"
    elif all(one.key.startswith("stage") for one in found):
        cure = "a finished run takes more steps in its last stage, or stages behind it; else start a new run"
    else:
        cure = "resume with the run's own values (the same recipe and --set), or start a new run in another folder"
    return InputError(path, f"is of another recipe: {', '.join([*shown, *more])}", cure)


def _flat(value: object, key: str = "") -> Iterator[tuple[str, object]]:
    """(`table.key`, value) of a document; lists of tables are `table[0].key`, other lists are values."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _flat(inner, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        for index, inner in enumerate(value):
            yield from _flat(inner, f"{key}[{index}]")
    else:
        yield key, value


def _shown(value: object) -> str:
    return "not set" if value is None else json.dumps(value)
