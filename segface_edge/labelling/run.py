"""A run: what is done is read from the parts, the rest is labelled, and each row written once."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

import pyarrow as pa

from segface_edge.errors import DataError, UsageError

from .manifest import agree
from .parts import Parts
from .photos import Found, Photos, without
from .places import Places, text_of
from .worker import Labeller, Options, labels_of

PART_ROWS = 1000
# Labels photos in another way than by one engine here: (photos, options, what they are, places) -> tables of rows, in
# any order.
Pool = Callable[[list[Photos], Options, dict[str, Any], Places], Generator[pa.Table, None, None]]
# Told how many photos are to be labelled and how many were before; what it gives is told how many more are.
Progress = Callable[[int, int], Callable[[int], None]]


def silent(_total: int, _before: int) -> Callable[[int], None]:
    """No progress."""
    return lambda _: None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a run did.

    Attributes:
        destination: the folder.
        photos: that the source names, each counted once.
        duplicates: how often one of them was named again.
        there_already: labelled by runs before.
        labelled: by this one, those with an error included.
        failed: rows of this run with an error.
        parts: that it wrote.
        seconds: that it took, without finding the photos.
        model_sha256: of the model's file.
    """

    destination: str
    photos: int
    duplicates: int
    there_already: int
    labelled: int
    failed: int
    parts: int
    seconds: float
    model_sha256: str

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        rate = self.labelled / self.seconds if self.seconds else 0.0
        return {**asdict(self), "seconds": round(self.seconds, 3), "photos_per_second": round(rate, 3)}


def label(
    found: Found,
    destination: str,
    options: Options,
    places: Places,
    *,
    part_rows: int = PART_ROWS,
    pool: Pool | None = None,
    progress: Progress = silent,
) -> Summary:
    """Labels photos into a folder, from where an earlier run stopped.

    Args:
        found: the photos.
        destination: a folder's name, see `Places.named`.
        options: how.
        places: opens both.
        part_rows: rows of a part; so many are lost, and done again, where a run is killed.
        pool: labels them instead of one engine in this process.
        progress: told how many are to be labelled and how many were before; its result hears of each more.

    Raises:
        UsageError: the folder was begun with another model or other options.
        DataError: the folder's parts are damaged; photos are without a row in the end.
        InputError: the folder cannot be written to.
        SegFaceEdgeError: the model cannot be opened.
    """
    if part_rows < 1:
        raise UsageError(f"part rows {part_rows}", "are below 1", "use 1 or more")
    start = perf_counter()
    with ExitStack() as stack:
        # Before the folder is made: the model may be none.
        if pool is None:
            labeller = stack.enter_context(closing(Labeller(options, places)))
            labels, what = labeller.labels, labeller.what
        else:
            labels, what = labels_of(options), options.what()
        parts = stack.enter_context(Parts(destination, places, rows=part_rows))
        agree(parts, destination, what, labels)
        left = without(found.photos, parts.done())
        wanted = {text_of(name) for some in left for name in some.names}
        total, failed = len(wanted), 0
        advance = progress(total, len(found) - total)
        if left:
            tables = labeller.tables(left) if pool is None else pool(left, options, what, places)
            with closing(tables):
                for table in tables:
                    new = still_wanted(table, wanted)
                    failed += len(new) - new.column("error").null_count
                    parts.add(new)
                    advance(len(new))
        if wanted:
            cure = "run the same command again: it labels what is missing"
            raise DataError(destination, f"lacks {len(wanted)} photos, {min(wanted)} for example", cure)
    return Summary(
        destination=destination,
        photos=len(found),
        duplicates=found.duplicates,
        there_already=len(found) - total,
        labelled=total,
        failed=failed,
        parts=parts.written,
        seconds=perf_counter() - start,
        model_sha256=what["model_sha256"],
    )


def still_wanted(table: pa.Table, wanted: set[str]) -> pa.Table:
    """The rows that are still wanted, which then are not: of a worker that was lost, some may come a second time."""
    kept = []
    for path in table.column("path").to_pylist():
        kept.append(path in wanted)
        wanted.discard(path)
    return table if all(kept) else table.filter(pa.array(kept, pa.bool_()))
