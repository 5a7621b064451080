"""A suite: which rows a device record has, read from TOML (`export/suite.toml`).

A row is a file (backbone, input size, graph, precision), an engine that runs it, frames a call and threads. A block
`[[rows]]` of the TOML is the product of its lists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, get_args

from segface_edge.documents import MAX_TOML, document_text, toml_of
from segface_edge.engines import MAX_THREADS
from segface_edge.errors import InputError
from segface_edge.spec import Graph, Precision

from .scenarios import Scenario

SUITE_VERSION = 1
ENGINES = ("onnxruntime", "tensorrt")
MAX_BATCH = 256
# Of seconds and queries: no more than can be counted.
_LARGEST = 10**9
# Key of a block -> what it is where the block does not say; backbones are then all that the suite names.
_BLOCK: Mapping[str, list[Any]] = {
    "backbones": [],
    "graphs": ["deploy"],
    "precisions": ["fp32"],
    "batches": [1],
    "threads": [],
    "engines": ["onnxruntime"],
}
# Key of `[scenario]` -> its least value.
_SCENARIO = {"warmup_s": 0, "duration_s": 0, "min_queries": 1}


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is measured at once.

    Attributes:
        backbone, size, graph, precision: of the file; `size` is the input side in pixels.
        batch: photos a query, all in one call.
        engine: one of `ENGINES`.
        threads: CPU threads; None: the engine's choice.
    """

    backbone: str
    size: int
    graph: str
    precision: str
    batch: int
    engine: str
    threads: int | None = None

    @property
    def file(self) -> str:
        """Name of the ONNX file, which takes any number of frames a call, so that rows of all batches share it."""
        kind = "reference" if self.graph == "reference" else self.precision
        return f"{self.backbone}-{self.size}-{kind}.onnx"

    @property
    def name(self) -> str:
        """`mobilenet-384-fp16-batch4-tensorrt` and the like."""
        threads = "" if self.threads is None else f"-threads{self.threads}"
        return f"{self.file.removesuffix('.onnx')}-batch{self.batch}-{self.engine}{threads}"


@dataclass(frozen=True, kw_only=True)
class Suite:
    """What is measured.

    Attributes:
        sha256: of the TOML file.
        rows: in order, each once.
        warmup_s, duration_s: seconds before and of measuring, of each row.
        min_queries: of each row at least.
    """

    sha256: str
    rows: tuple[Row, ...]
    warmup_s: float
    duration_s: float
    min_queries: int

    def scenario(self, row: Row) -> Scenario:
        """How a row's queries come: one photo after the other, or `batch` at once."""
        return Scenario(
            name="single-stream" if row.batch == 1 else "offline",
            frames=row.batch,
            warmup_s=self.warmup_s,
            duration_s=self.duration_s,
            min_queries=self.min_queries,
        )


def read_suite(path: Path, released: Collection[str]) -> Suite:
    """Reads a suite.

    Args:
        path: the TOML file.
        released: backbones whose weights are here.

    Raises:
        InputError: no such file, not TOML, an unknown key, a value that is none, no rows.
    """
    try:
        text = document_text(path, MAX_TOML)
        document = toml_of(text)
    except FileNotFoundError as error:
        raise InputError(path, "no such file", "give a suite, export/suite.toml for example") from error
    except (OSError, ValueError) as error:
        raise InputError(path, f"is not a suite ({error})", "write it in TOML, as export/suite.toml is") from error
    return _Reader(path, released).suite(document, hashlib.sha256(text.encode()).hexdigest())


class _Reader:
    """Checks a document key by key; whatever is wrong is said of the file."""

    def __init__(self, path: Path, released: Collection[str]) -> None:
        self._path, self._released = path, released

    def suite(self, document: dict[str, Any], sha256: str) -> Suite:
        self._keys(document, "the suite", ("version", "scenario", "backbones", "rows"), required=True)
        if document["version"] != SUITE_VERSION:
            raise self._bad(f"is of version {document['version']!r}", f"this segface-edge reads {SUITE_VERSION}")
        scenario = self._table(document, "scenario")
        self._keys(scenario, "[scenario]", tuple(_SCENARIO), required=True)
        for key, least in _SCENARIO.items():
            kinds = (int,) if key == "min_queries" else (int, float)
            self._value(f"{key} in [scenario]", scenario[key], kinds, least, _LARGEST)
        sizes = self._table(document, "backbones")
        self._keys(sizes, "[backbones]", tuple(self._released))
        for backbone, found in sizes.items():
            for size in self._list(f"{backbone} in [backbones]", found):
                self._value(f"{backbone} in [backbones]", size, (int,), 32, 2048)
                if size % 32:
                    raise self._bad(f"has the size {size} in [backbones]", "use multiples of 32")
        blocks = document["rows"]
        if not isinstance(blocks, list) or not blocks or not all(isinstance(block, dict) for block in blocks):
            raise self._bad("has no rows", "write some: [[rows]]")
        # Two questions may have an answer in common.
        rows = dict.fromkeys(row for block in blocks for row in self._block(block, sizes))
        return Suite(sha256=sha256, rows=tuple(rows), **{key: scenario[key] for key in _SCENARIO})

    def _block(self, block: dict[str, Any], sizes: dict[str, list[int]]) -> list[Row]:
        self._keys(block, "[[rows]]", tuple(_BLOCK))
        for key, known in (
            ("backbones", tuple(sizes)),
            ("graphs", get_args(Graph)),
            ("precisions", get_args(Precision)),
            ("engines", ENGINES),
        ):
            for value in self._list(f"{key} in [[rows]]", block[key]) if key in block else ():
                if value not in known:
                    raise self._bad(f"has {value!r} among the {key} of [[rows]]", f"use: {', '.join(known)}")
        for key, most in (("batches", MAX_BATCH), ("threads", MAX_THREADS)):
            for value in self._list(f"{key} in [[rows]]", block[key]) if key in block else ():
                self._value(f"{key} in [[rows]]", value, (int,), 1, most)
        full = {**_BLOCK, "backbones": list(sizes), **block}
        if "reference" in full["graphs"] and full["precisions"] != ["fp32"]:
            raise self._bad("has a reference graph that is not fp32", "give it a block [[rows]] of its own")
        if full["threads"] and "tensorrt" in full["engines"]:
            raise self._bad("has threads for tensorrt, which has no use for them", "give them a block of their own")
        return [
            Row(
                backbone=backbone,
                size=size,
                graph=graph,
                precision=precision,
                batch=batch,
                engine=engine,
                threads=count,
            )
            for backbone in full["backbones"]
            for size in sizes[backbone]
            for graph, precision, batch, engine, count in product(
                full["graphs"], full["precisions"], full["batches"], full["engines"], full["threads"] or [None]
            )
        ]

    def _keys(self, table: dict[str, Any], where: str, known: tuple[str, ...], *, required: bool = False) -> None:
        for key in table:
            if key not in known:
                raise self._bad(f"has the unknown key '{key}' in {where}", f"use: {', '.join(known)}")
        for key in known if required else ():
            if key not in table:
                raise self._bad(f"has no '{key}' in {where}", "write it, as export/suite.toml does")

    def _table(self, document: dict[str, Any], key: str) -> dict[str, Any]:
        if not isinstance(document[key], dict) or not document[key]:
            raise self._bad(f"has an empty [{key}]", "write it, as export/suite.toml does")
        found: dict[str, Any] = document[key]
        return found

    def _list(self, where: str, value: Any) -> list[Any]:
        if not isinstance(value, list) or not value:
            raise self._bad(f"has no list as {where}", "write [ONE, TWO], or leave the key out")
        return value

    def _value(self, where: str, value: Any, kinds: tuple[type, ...], least: float, most: float) -> None:
        # `type`, since a bool is an int; the comparison is false for NaN.
        if type(value) not in kinds or not least <= value <= most:
            kind = "a number" if float in kinds else "a whole number"
            upto = f" to {most:g}" if most < _LARGEST else " or more"
            raise self._bad(f"has {value!r} as {where}", f"give {kind}, {least}{upto}")

    def _bad(self, problem: str, cure: str) -> InputError:
        return InputError(self._path, problem, cure)
