"""`segface-edge label`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.errors import UsageError, missing_extra
from segface_edge.memory import keep_small

from .options import HELP_MODEL, ModelWord, check_json, face_options, json_option, model_options, progress_bar, say

if TYPE_CHECKING:
    from segface_edge.labelling.run import Pool, Summary
    from segface_edge.parsing.choice import Choice

# Where no terminal shows a bar: seconds between lines.
_A_LINE_S = 30.0


@click.command(
    "label",
    epilog="""\b
Examples:
  segface-edge label photos/ -o labels/
  segface-edge label 'photos/*.jpg' -o labels/ --locate whole --json -
  segface-edge label photos.txt -o labels/ --part-rows 5000
  segface-edge label photos/ -o labels/ --ray local --workers 2

\b
SOURCE and DEST may be URIs that pyarrow opens (s3://bucket/photos, gs://, hdfs://). A Parquet file has the paths of
photos in its column 'path', or photos in 'bytes' or 'image'. DEST gets Parquet files; the same command goes on where
it was stopped. What is in them, and what many photos cost: docs/label.md.""",
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE…")
@click.option("-o", "out", required=True, metavar="DEST", help="Folder of the results; made where it is absent.")
@click.option("--ray", "address", metavar="ADDRESS", help="On a Ray cluster; local starts Ray on this machine.")
@click.option("--workers", type=click.IntRange(1), help="Of Ray, so many at most; default: as many as fit.")
@click.option("--num-cpus", type=click.IntRange(1), default=1, show_default=True, help="Cores of a worker of Ray.")
@click.option("--num-gpus", type=click.FloatRange(0), default=0.0, help="GPUs of a worker of Ray, or a share of one.")
@click.option(
    "--part-rows",
    type=click.IntRange(1, 1_000_000),
    default=1000,
    show_default=True,
    help="Photos of a file of DEST; so many are done again after a power cut.",
)
@click.option("--model", type=ModelWord(), help=HELP_MODEL)
@face_options
@click.option("--recursive", is_flag=True, help="Of a folder, the pictures of its folders too.")
@model_options
@json_option
def command(
    sources: tuple[str, ...],
    out: str,
    address: str | None,
    workers: int | None,
    num_cpus: int,
    num_gpus: float,
    part_rows: int,
    recursive: bool,
    json_to: str | None,
    model: Choice | None,
    device: str,
    threads: int | None,
    spec: Path | None,
    **options: Any,
) -> None:
    """Label the photos of SOURCE into Parquet files: faces, class areas, masks.

    SOURCE is a picture, a folder, a glob, a list (.txt), an address or a Parquet file; several are one list. A bad
    picture is a row with an error, and the exit code is 0.
    """
    keep_small()
    try:
        from segface_edge.labelling.photos import find
        from segface_edge.labelling.places import Places
        from segface_edge.labelling.run import label
        from segface_edge.labelling.worker import Options
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "pyarrow":
            raise
        raise missing_extra("pyarrow", "label", "segface-edge label") from error
    from segface_edge.parsing.choice import BUNDLED

    options |= (model or BUNDLED).options(model=model and model.file, device=device, threads=threads, spec=spec)
    pool = _pool(address, workers, num_cpus, num_gpus, options)
    check_json(json_to)
    places = Places((*sources, out))
    found = find(sources, places, recursive=recursive)
    if found.duplicates:
        text = f"{found.duplicates} photos are named more than once, {found.example} for example: each has one row"
        click.echo(f"note: {text}", err=True)
    with _progress() as progress:
        summary = label(
            found, places.named(out), Options(**options), places, part_rows=part_rows, pool=pool, progress=progress
        )
    say(summary.to_dict(), json_to, _text(summary))


def _pool(
    address: str | None, workers: int | None, num_cpus: int, num_gpus: float, options: dict[str, Any]
) -> Pool | None:
    if address is None:
        for name, given in (("--workers", workers), ("--num-cpus", num_cpus > 1), ("--num-gpus", num_gpus)):
            if given:
                raise UsageError(name, "is for workers of Ray", "give --ray local or --ray ADDRESS, or leave it out")
        return None
    if "threads" in options:
        raise UsageError("--threads", "is not for workers of Ray", "give --num-cpus, the cores of each")
    if num_gpus and options["device"] == "cpu":
        raise UsageError("--num-gpus", "has no use with --device cpu", "add --device cuda")
    try:
        from segface_edge.labelling import ray_pool
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "segface_edge":
            raise
        raise missing_extra("ray", "ray", "--ray") from error
    return ray_pool.Pool(address=address, workers=workers, num_cpus=num_cpus, num_gpus=num_gpus)


@contextmanager
def _progress() -> Iterator[Callable[[int, int], Callable[[int], None]]]:
    """A bar where standard error is a terminal, else a line now and then; both say how long it will take."""
    with ExitStack() as stack:

        def begin(total: int, before: int) -> Callable[[int], None]:
            if before:
                click.echo(f"{before} of {before + total} are there already", err=True)
            if sys.stderr.isatty():
                return stack.enter_context(progress_bar(total, "labelling"))
            return Lines(total).advance

        yield begin


class Lines:
    """Says how far a run is, a line at most every half minute.

    Args:
        total: photos.
        clock: seconds.
    """

    def __init__(self, total: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._total, self._clock, self._done = total, clock, 0
        self._begin = self._said = clock()

    def advance(self, photos: int) -> None:
        """So many more are labelled."""
        self._done += photos
        now = self._clock()
        if now - self._said < _A_LINE_S:
            return
        self._said = now
        rate = self._done / (now - self._begin)
        minutes, seconds = divmod(round((self._total - self._done) / rate), 60)
        hours, minutes = divmod(minutes, 60)
        share = f"{self._done} of {self._total} ({self._done / self._total:.1%})"
        click.echo(f"labelled {share}, {rate:.1f} a second, {hours}:{minutes:02}:{seconds:02} left", err=True)


def _text(summary: Summary) -> str:
    document = summary.to_dict()
    there = f"{summary.there_already} were there already, " if summary.there_already else ""
    failed = f", {summary.failed} of them with an error" if summary.failed else ""
    return (
        f"{summary.photos} photos in {summary.destination}: {there}{summary.labelled} labelled{failed}, "
        f"{summary.parts} files, {document['photos_per_second']:.1f} a second"
    )
