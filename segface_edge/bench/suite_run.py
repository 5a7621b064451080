"""A suite measured row by row into a folder, which a run that was stopped goes on with.

The folder holds `files/` (exported files and plans), `rows/NAME.json` (a report of each row, with all its samples) and,
when all is done, `record.json`. Each is written whole or not at all.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from segface_edge.errors import InputError, SegFaceEdgeError
from segface_edge.files import make_folder, sha256_of, write_whole

from .choice import Opener
from .gates import read_report
from .machine import environment
from .record import RECORD_NAME, now, record
from .run import bench
from .suite import Row, Suite

# A row that the process did not outlive so often is given up: where memory runs out, it would be so forever.
MAX_DEATHS = 2
# What makes two machines two, or one machine two: rows of a record were measured on one.
_SAME = ("machine", "cpu", "cores", "governor", "gpu", "driver", "cuda", "tensorrt", "l4t", "power_mode")
# Packages that a row does not run through: exporting needs torch, which may be installed on the way.
_NOT_MEASURED = ("torch",)


class Maker(Protocol):
    """What a suite needs besides measuring."""

    def missing(self, row: Row) -> str | None:
        """Why a row cannot be measured here at all, in one line; None: it can."""

    def make(self, row: Row, path: Path) -> None:
        """Makes the row's ONNX file at `path`, or leaves the one there where it fits."""

    def opener(self, row: Row, path: Path) -> Opener:
        """What opens the row's engine of the file at `path`; what takes long is done before it returns."""


def run_suite(
    suite: Suite,
    folder: Path,
    maker: Maker,
    photo: bytes,
    *,
    say: Callable[[str], None] = lambda _: None,
    folders: dict[str, str] | None = None,
    measure: Callable[..., dict[str, Any]] = bench,
) -> dict[str, Any]:
    """Measures every row that is not measured yet, and writes the record.

    Args:
        suite: what to measure.
        folder: where to; absolute, and there.
        maker: makes the files.
        photo: the bytes of an image file.
        say: told of each row as it begins and of each that fails, in one line.
        folders: what else of this machine the record must not name, see `record.without_folders`.
        measure: as `run.bench`.

    Returns:
        the record, which `record.schema.json` describes.

    Raises:
        InputError: the folder cannot be written.
        KeyboardInterrupt: it was stopped; rows that are done are kept.
    """
    began = now()
    machine = environment()
    for part in ("files", "rows"):
        make_folder(folder / part)
    left_out = {row.name: reason for row in suite.rows if (reason := maker.missing(row)) is not None}
    rows = [row for row in suite.rows if row.name not in left_out]
    kept = {row.name: _kept(folder, row, suite, machine) for row in rows}
    reports = {name: report for name, report in kept.items() if report is not None}
    todo = [row for row in rows if row.name not in reports]
    # What ended the process last time comes last, so that it does not keep the others from being measured.
    todo.sort(key=lambda row: _deaths(folder, row))
    failed: dict[str, str] = {}
    refused: dict[str, str] = {}
    spent = _Spent(suite)
    if reports:
        say(f"{len(reports)} of {len(rows)} rows were measured before")
    for index, row in enumerate(todo):
        left = spent.left(todo[index:], [one for one in todo[index:] if not (folder / "files" / one.file).exists()])
        say(f"row {len(rows) - len(todo) + index + 1} of {len(rows)}: {row.name} ({left} left)")
        try:
            if _deaths(folder, row) >= MAX_DEATHS:
                mark = _mark(folder, row).relative_to(folder)
                raise InputError(
                    row.name,
                    f"ended the whole process {MAX_DEATHS} times (out of memory?)",
                    f"free some memory, and remove {mark} to try again",
                )
            with _marked(folder, row):
                report = _measured(suite, row, folder, maker, photo, refused, spent, measure)
        except SegFaceEdgeError as error:
            failed[row.name] = str(error)
        except Exception as error:  # of any runtime, for any reason: the other rows are still worth measuring
            failed[row.name] = " ".join(f"{type(error).__name__}: {error}".split())[:500]
        else:
            write_whole(_report_path(folder, row), _json(report))
            reports[row.name] = report
        if row.name in failed:
            say(f"failed: {row.name}: {failed[row.name]}")
    document = record(
        suite.sha256,
        [reports[row.name] for row in rows if row.name in reports],
        machine=machine,
        began=began,
        failed={row.name: failed[row.name] for row in rows if row.name in failed},
        left_out=left_out,
        folders={str(folder): "", **(folders or {})},
    )
    write_whole(folder / RECORD_NAME, _json(document))
    return document


def _measured(
    suite: Suite,
    row: Row,
    folder: Path,
    maker: Maker,
    photo: bytes,
    refused: dict[str, str],
    spent: _Spent,
    measure: Callable[..., dict[str, Any]],
) -> dict[str, Any]:
    """A row's report. `refused` is {file: why it could not be made}, so that no row tries in vain again."""
    began, path = now(), folder / "files" / row.file
    if row.file in refused:
        raise InputError(row.file, "could not be made for an earlier row", f"see there: {refused[row.file]}")
    with spent.on("file", counts=not path.exists()):
        try:
            maker.make(row, path)
        except Exception:
            refused[row.file] = row.name
            raise
    with spent.on(row.engine):
        report = measure({row.name: maker.opener(row, path)}, photo, suite.scenario(row))
    file = {"name": f"files/{row.file}", "bytes": path.stat().st_size, "sha256": sha256_of(path)}
    return {**report, "suite": {"row": asdict(row), "file": file, "began": began, "ended": now()}}


def _kept(folder: Path, row: Row, suite: Suite, machine: dict[str, Any]) -> dict[str, Any] | None:
    """The report of a row that was measured before: this row, this long, of this file, on this machine; else None."""
    try:
        report = read_report(_report_path(folder, row))
        about, then = report["suite"], report["environment"]
        same = (
            about["row"] == asdict(row)
            and asdict(suite.scenario(row)).items() <= report["scenario"].items()
            and [then[key] for key in _SAME] == [machine[key] for key in _SAME]
            and _packages(then) == _packages(machine)
        )
        path = folder / "files" / row.file
        # Whoever needs the room may remove the files of rows that are done.
        if not same or (path.exists() and about["file"]["sha256"] != sha256_of(path)):
            return None
    except (InputError, KeyError, TypeError, AttributeError):
        return None
    return report


def _packages(machine: dict[str, Any]) -> dict[str, str]:
    return {name: version for name, version in machine["packages"].items() if name not in _NOT_MEASURED}


def _report_path(folder: Path, row: Row) -> Path:
    return folder / "rows" / f"{row.name}.json"


def _mark(folder: Path, row: Row) -> Path:
    return folder / "rows" / f"{row.name}.begun"


def _deaths(folder: Path, row: Row) -> int:
    """How often a row began and the process did not live to say how it ended."""
    try:
        return len(_mark(folder, row).read_bytes())
    except OSError:
        return 0


@contextmanager
def _marked(folder: Path, row: Row) -> Any:
    """Leaves a mark, a letter longer each time, which stays only if the process ends in the middle."""
    mark = _mark(folder, row)
    write_whole(mark, b"x" * (_deaths(folder, row) + 1))
    try:
        yield
    finally:
        mark.unlink(missing_ok=True)


def _json(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1) + "\n").encode()


class _Spent:
    """How long what was done took, by kind (`file`, or an engine), for an estimate of what is left."""

    def __init__(self, suite: Suite) -> None:
        self._least = suite.warmup_s + suite.duration_s
        self._seconds: dict[str, list[float]] = {}

    @contextmanager
    def on(self, kind: str, *, counts: bool = True) -> Any:
        """Times what is done inside."""
        start = time.monotonic()
        try:
            yield
        finally:
            if counts:
                self._seconds.setdefault(kind, []).append(time.monotonic() - start)

    def left(self, rows: Sequence[Row], without_file: Sequence[Row]) -> str:
        """Of rows, some of which have no file yet: `about 12 min`, or `at least` where a kind was not seen yet."""
        kinds = [row.engine for row in rows] + ["file"] * len({row.file for row in without_file})
        known = {kind: sum(times) / len(times) for kind, times in self._seconds.items()}
        seconds = sum(known.get(kind, 0.0 if kind == "file" else self._least) for kind in kinds)
        how = "about" if set(kinds) <= known.keys() else "at least"
        return f"{how} {seconds / 60:.0f} min" if seconds >= 90 else f"{how} {seconds:.0f} s"
