"""The reference: every public name is in it, and says shapes, types, ranges, units and errors."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import segface_edge
from segface_edge import errors

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
DIRECTIVES = re.findall(r"^\.\. auto(class|function|module):: ([\w.]+)\n((?:   :[^\n]*\n)*)", PAGE, re.MULTILINE)
# What a number is of, or between.
UNITS = re.compile(
    r"pixel|degree|second|percent|\[0, 1|\b0 to|\b0 shows|so many|how many|number|frames|photos|threads|times|label\b",
    re.IGNORECASE,
)
NUMBERS = ("int", "float", "int | None", "float | None")
SHAPE, TYPE = re.compile(r"\([\w, +]*,[\w, ]*\)"), re.compile(r"uint8|float32|float64|int64|\bbool\b|COCO|PIL|palette")


def named(name: str) -> Any:
    module, _, rest = name.rpartition(".")
    return getattr(import_module(module), rest)


def members(owner: type) -> Iterator[tuple[str, Any]]:
    """Public methods and properties of a class of ours, its own and inherited."""
    bases = [base for base in reversed(owner.__mro__) if base.__module__.startswith("segface_edge")]
    for name, value in {name: value for base in bases for name, value in vars(base).items()}.items():
        if not name.startswith("_") or name == "__call__":
            if isinstance(value, property):
                yield name, value.fget
            elif isinstance(value, cached_property):
                yield name, value.func
            elif isinstance(value, classmethod | staticmethod):
                yield name, value.__func__
            elif inspect.isfunction(value):
                yield name, value


CLASSES = [named(name) for kind, name, _ in DIRECTIVES if kind == "class"]
# Without its members a class is shown for what it holds.
WHOLE = [named(name) for kind, name, options in DIRECTIVES if kind == "class" and ":members:" in options]
FUNCTIONS = [
    *(pytest.param(named(name), id=name) for kind, name, _ in DIRECTIVES if kind == "function"),
    *(pytest.param(function, id=f"{owner.__name__}.{name}") for owner in WHOLE for name, function in members(owner)),
]


def test_every_public_name_is_in_the_reference() -> None:
    there = {name for _, name, _ in DIRECTIVES}
    for name in segface_edge.__all__:
        if name != "__version__":
            home = "segface_edge.errors" if name == "SegFaceEdgeError" else f"segface_edge.{name}"
            assert home in there, f"{name} is missing in docs/python.md"
            value = getattr(segface_edge, name)
            assert name == "SegFaceEdgeError" or value in WHOLE or inspect.isfunction(value)


def test_every_error_is_in_the_reference() -> None:
    assert ("module", "segface_edge.errors") in {(kind, name) for kind, name, _ in DIRECTIVES}
    for name, value in vars(errors).items():
        if inspect.isclass(value):
            assert value.__doc__, name


def arguments_of(documentation: str) -> dict[str, str]:
    """What a docstring's `Args:` or `Attributes:` says of each name."""
    found: dict[str, str] = {}
    for block in re.findall(r"(?:Args|Attributes):\n(.*?)(?:\n\n|\Z)", documentation, re.DOTALL):
        for names, text in re.findall(r"^    (\w[\w, ]*): (.*(?:\n      .*)*)", block, re.MULTILINE):
            found |= dict.fromkeys(names.split(", "), text)
    return found


def takes(function: Any) -> list[inspect.Parameter]:
    return [one for name, one in inspect.signature(function).parameters.items() if name not in ("self", "cls")]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_says_what_it_takes_and_gives(function: Any) -> None:
    text = inspect.getdoc(function) or ""
    assert text
    told = arguments_of(text)
    elsewhere = re.search(r"as for|Arguments and errors as|as `\w+`", text)
    for one in takes(function):
        words = told.get(one.name, "")
        # One line may say it all: "a photo (height, width)", "`seconds` of the video".
        assert words or elsewhere or re.search(rf"\b{one.name}\b", text), f"{one.name} is not told of"
        annotation = f"{one.annotation}"
        if "Array" in annotation:
            assert SHAPE.search(words or text) or words.startswith("as for"), f"{one.name}: its shape"
        if annotation in NUMBERS:
            assert UNITS.search(f"{one.name} {words or text}"), f"{one.name}: its unit or range"
    given = f"{inspect.signature(function).return_annotation}"
    if "Array" in given:
        assert SHAPE.search(text), "the shape of what it gives"
        assert TYPE.search(text) or elsewhere, "the type of what it gives"
    elif given in NUMBERS:
        assert UNITS.search(text), "the unit or range of what it gives"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_function_says_what_it_raises(function: Any) -> None:
    text = inspect.getdoc(function) or ""
    for node in ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            known = vars(errors).get(node.exc.func.id)
            if known is not None:
                assert node.exc.func.id in text or re.search(r"Arguments and errors as", text), node.exc.func.id


@pytest.mark.parametrize("owner", CLASSES, ids=lambda owner: owner.__name__)
def test_a_class_says_what_its_fields_are(owner: type) -> None:
    text = inspect.getdoc(owner) or ""
    told = arguments_of(text)
    for one in takes(owner):
        assert one.name in told or one.name.startswith("_"), f"{one.name} is not told of"
    for field in dataclasses.fields(owner) if dataclasses.is_dataclass(owner) else ():
        if field.name.startswith("_"):
            continue
        words = told.get(field.name, "")
        assert words, f"{field.name} is not told of"
        if "Array" in f"{field.type}":
            assert SHAPE.search(words), f"{field.name}: its shape"
            assert TYPE.search(words), f"{field.name}: its type"
        elif f"{field.type}" in NUMBERS:
            assert UNITS.search(f"{field.name} {words}"), f"{field.name}: its unit or range"
