"""`segface-edge bench --suite`: a device record. Exports and plans are made here; measuring is `bench.suite_run`'s."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import cached_property, partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from segface_edge.errors import ModelFileError, SegFaceEdgeError, UsageError, missing_extra
from segface_edge.files import make_folder

from .options import check_alone, check_json, progress_bar, say, say_step

if TYPE_CHECKING:
    from segface_edge.bench.choice import Opener
    from segface_edge.bench.suite import Row

_Command = TypeVar("_Command", bound=Callable[..., Any])
# Parameters that a suite leaves open.
_OPEN = ("suite", "out", "calib_data", "json_to")


def suite_options(function: _Command) -> _Command:
    """`--suite`, `-o`, `--calib-data`."""
    suite = click.option(
        "--suite",
        type=click.Path(path_type=Path),
        help="Measure what a TOML file lists (export/suite.toml), file by file; needs -o.",
    )
    out = click.option(
        "-o", "out", type=click.Path(path_type=Path), metavar="DIR", help="Folder of a suite's files, rows and record."
    )
    calib = click.option(
        "--calib-data", type=click.Path(path_type=Path), help="Folder of photos for a suite's int8 files."
    )
    return suite(out(calib(function)))


def check_suite_options(suite: Path | None, out: Path | None, calib_data: Path | None) -> None:
    """Raises UsageError where options contradict each other, or one that a suite needs is missing."""
    if suite is None:
        for option, given in (("-o", out), ("--calib-data", calib_data)):
            if given is not None:
                raise UsageError(option, "is for suites", "give --suite export/suite.toml, or leave it out")
        return
    check_alone("--suite", _OPEN)
    if out is None:
        raise UsageError("--suite", "has no folder to write to", "give -o DIR")


def run(suite: Path, out: Path, calib_data: Path | None, json_to: str | None) -> int:
    """Measures, and says what came of it; 1 where no row could be measured."""
    from segface_edge import zoo
    from segface_edge.bench.suite import read_suite
    from segface_edge.bench.suite_run import run_suite

    asked = read_suite(suite, zoo.RELEASED)
    check_json(json_to)
    if calib_data is not None:
        from segface_edge.evaluation.photos import check_folder

        check_folder(calib_data)
        calib_data = calib_data.resolve()
    make_folder(out)
    out = out.resolve()
    folders = {str(folder): name for folder, name in ((calib_data, "CALIB_DATA"), (_home(), "~")) if folder}
    document = run_suite(asked, out, Files(calib_data), zoo.PORTRAIT.read_bytes(), say=say_step, folders=folders)
    say(document, json_to, text(document, out))
    return 0 if document["rows"] else 1


class Files:
    """Makes the files of a suite's rows.

    Args:
        calib_data: folder of photos for int8; None: there is none.
    """

    def __init__(self, calib_data: Path | None) -> None:
        self._calib_data = calib_data

    def missing(self, row: Row) -> str | None:
        """Why a row cannot be measured here: no photos, no TensorRT."""
        if row.precision == "int8" and self._calib_data is None:
            return "int8 needs photos for its ranges: --calib-data DIR"
        return self._no_tensorrt if row.engine == "tensorrt" else None

    def make(self, row: Row, path: Path) -> None:
        """Exports the row's file, unless the one that is there, or the bundled one, is it.

        Raises:
            MissingDependencyError: what exports is not installed.
            SegFaceEdgeError: what an export raises.
        """
        from segface_edge import zoo
        from segface_edge.files import write_whole

        if path.exists() and _is_of(path, row):
            return
        if _is_of(zoo.DEFAULT_MODEL, row):
            write_whole(path, zoo.DEFAULT_MODEL.read_bytes())
            return
        say_step(f"exporting {row.file}")
        # In a process of its own: what an export leaves of memory and threads made the rows behind it slower by a tenth
        # to a third; and one that runs out of memory ends no more than itself.
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            try:
                pool.submit(_export, row, path, self._calib_data).result()
            except BrokenProcessPool as error:
                raise ModelFileError(
                    row.file, "was not exported: the process was ended from outside", "see whether memory ran out"
                ) from error

    def opener(self, row: Row, path: Path) -> Opener:
        """Opens it on the CPU, or as a plan for just this batch, which is built now and kept beside the file."""
        from segface_edge.bench.choice import open_choice
        from segface_edge.parsing.choice import Choice

        if row.engine == "onnxruntime":
            threads = {} if row.threads is None else {"threads": row.threads}
            return partial(open_choice, Choice(row.name, path, {"device": "cpu", **threads}))
        from segface_edge.engines.nvidia.cache import cached_plan
        from segface_edge.engines.nvidia.config import BuildConfig
        from segface_edge.evaluation.plan_parity import checked

        config = BuildConfig(min_batch=row.batch, opt_batch=row.batch, max_batch=row.batch)
        plan = cached_plan(path, config, checked, path.parent)
        return partial(open_choice, Choice(row.name, plan, {"device": "cuda"}))

    @cached_property
    def _no_tensorrt(self) -> str | None:
        from segface_edge.engines.nvidia.cuda import open_cuda
        from segface_edge.engines.nvidia.runtimes import load

        try:
            load("tensorrt", "TensorRT")
            open_cuda().close()
        except SegFaceEdgeError as error:
            return f"no TensorRT on a GPU here: {error}"
        return None


def _export(row: Row, path: Path, calib_data: Path | None) -> None:
    try:
        from segface_edge.export.config import ExportConfig
        from segface_edge.export.pipeline import run_export
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "export", f"exporting {row.file}") from error
    config = ExportConfig(
        backbone=row.backbone,
        imgsz=row.size,
        dynamic=True,
        graph=row.graph,  # type: ignore[arg-type] # checked by the suite
        precision=row.precision,  # type: ignore[arg-type]
        calib_data=calib_data if row.precision == "int8" else None,
    )
    run_export(config, path, progress=say_step, bar=progress_bar)


def text(document: dict[str, Any], folder: Path) -> str:
    """For people: a line a row, what is missing, and where the record is."""
    width = max((len(row["name"]) for row in document["rows"]), default=0)
    lines = [
        f"{row['name']:<{width}}  p50 {row['latency_ms']['p50']:9.2f} ms  p99 {row['latency_ms']['p99']:9.2f} ms  "
        f"{row['fps']:8.1f} FPS"
        for row in document["rows"]
    ]
    lines += [f"failed: {entry['name']}: {entry['error']}" for entry in document["failed"]]
    for reason in dict.fromkeys(entry["reason"] for entry in document["left_out"]):
        count = sum(entry["reason"] == reason for entry in document["left_out"])
        lines.append(f"left out, {count} row(s): {reason}")
    counts = f"{len(document['rows'])} rows, {len(document['failed'])} failed, {len(document['left_out'])} left out"
    return "\n".join([*lines, f"wrote {folder / 'record.json'}: {counts}; it names no folder and no user"])


def _is_of(path: Path, row: Row) -> bool:
    """Whether a file is what a row's would be: exported by this version from the weights that are released now."""
    from segface_edge import __version__, zoo
    from segface_edge.engines.ort.metadata import read_metadata
    from segface_edge.files import sha256_of

    try:
        spec = read_metadata(path).spec
    except SegFaceEdgeError:
        return False
    told = (spec.backbone, spec.size, spec.graph, spec.precision, spec.batch, spec.provenance.get("segface_edge"))
    if told != (row.backbone, row.size, row.graph, row.precision, None, __version__):
        return False
    return spec.provenance.get("weights_sha256") == sha256_of(zoo.RELEASED[row.backbone])


def _home() -> Path | None:
    try:
        home = Path.home()
    except RuntimeError:
        return None
    return home if len(home.parts) > 1 else None
