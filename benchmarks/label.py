"""What `segface-edge label` costs beside the parser alone, and whether it loses or doubles a row.

    python benchmarks/label.py overhead    # seconds of a folder, beside FaceParser.stream over the same files
    python benchmarks/label.py scale       # what a row and a name cost: bytes, memory, rows a second
    python benchmarks/label.py survive     # Ray: a worker killed, the run stopped, started again

- overhead: both ways in turn, from opening the model to the last row; the ratio is the median of the rounds'. CPU
  time is that of all threads, which on a busy machine is the one to read.
- scale: the CPU time of a row by itself (the file read and hashed, areas and masks of its 512 x 512 label map, the
  table); the rows of one photo, written again and again under other names; names found and told from those done.
- survive: photos with bad ones among them, small and parsed as portraits; a worker gets SIGKILL, later the run Ctrl-C,
  then the same command ends it. Its rows must be those of a run in one process, each once.

Each writes its part of results/label/label.json.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.bench.machine import environment
from segface_edge.engines.base import cores
from segface_edge.files import write_whole
from segface_edge.labelling import run as running
from segface_edge.labelling.loading import load
from segface_edge.labelling.parts import Parts
from segface_edge.labelling.photos import Found, Photos, find, without
from segface_edge.labelling.places import Places
from segface_edge.labelling.rows import row_of
from segface_edge.labelling.worker import Labeller, Options

RESULT = Path(__file__).resolve().parent / "results" / "label" / "label.json"
MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import segface_edge.cli as c; c.main()"
MIB = 2**20
MANY = 100


def make_photos(folder: Path, count: int, side: int, bad: int = 0) -> Path:
    """The portrait, turned a little and of as many widths; the last ones are damaged."""
    folder.mkdir()
    with Image.open(zoo.PORTRAIT) as picture:
        for index in range(count):
            turned = picture.rotate(index % 11 - 5).resize((side + index % 16, side), Image.Resampling.BICUBIC)
            turned.save(folder / f"{index:06}.jpg", quality=90)
    for index in range(bad):
        # Among the others, not at the end.
        path = folder / f"{(index * count) // bad:06}.jpg"
        content = path.read_bytes()
        path.write_bytes([b"", b"no picture", content[: len(content) // 3]][index % 3])
    return folder


def keep(name: str, document: dict[str, Any]) -> None:
    """Puts a part into the result, and says it."""
    there = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    there[name] = {"environment": environment(), **document}
    write_whole(RESULT, (json.dumps(there, indent=2) + "\n").encode())
    click.echo(json.dumps(document, indent=2))


def resident_mib() -> float:
    """Memory of this process now (Linux)."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MIB


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@click.option("--photos", "count", default=150, show_default=True)
@click.option("--side", default=512, show_default=True, help="Pixels of a photo's height.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--locate", default="auto", show_default=True)
def overhead(count: int, side: int, rounds: int, locate: str) -> None:
    """Label and stream, in turn."""
    options = Options(locate=locate, look=1280, max_pixels=100_000_000)
    times: dict[str, list[float]] = {"stream": [], "label": []}
    cpu: dict[str, list[float]] = {"stream": [], "label": []}
    with tempfile.TemporaryDirectory() as temporary:
        photos = make_photos(Path(temporary) / "photos", count, side)

        def stream(_: Path) -> None:
            with options.open() as parser, closing(parser.stream(photos)) as results:
                assert sum(one.face is not None for one in results) == count

        def label(out: Path) -> None:
            places = Places()
            assert running.label(find(str(photos), places), str(out), options, places).labelled == count

        label(Path(temporary) / "warm")
        for index in range(rounds):
            ways: list[tuple[str, Callable[[Path], None]]] = [("stream", stream), ("label", label)]
            for name, way in ways if index % 2 else reversed(ways):
                began, busy = time.perf_counter(), time.process_time()
                way(Path(temporary) / f"out-{index}")
                times[name].append(time.perf_counter() - began)
                cpu[name].append(time.process_time() - busy)
        size = sum(path.stat().st_size for path in (Path(temporary) / "out-0").glob("*.parquet"))

    def ratios(of: dict[str, list[float]]) -> dict[str, Any]:
        each = [mine / alone for mine, alone in zip(of["label"], of["stream"], strict=True)]
        return {"median": round(statistics.median(each), 4), "rounds": [round(one, 4) for one in each]}

    keep(
        f"overhead at {side}, locate {locate}",
        {
            "photos": count,
            "seconds": {name: [round(value, 3) for value in values] for name, values in times.items()},
            "cpu_seconds_per_photo": round(statistics.median(cpu["label"]) / count, 5),
            "ratio": ratios(times),
            "cpu_ratio": ratios(cpu),
            "load": os.getloadavg()[0],
            "bytes_per_photo": round(size / count),
        },
    )


@main.command()
@click.option("--rows", default=200_000, show_default=True)
@click.option("--names", default=1_000_000, show_default=True)
def scale(rows: int, names: int) -> None:
    """Rows and names by themselves."""
    places = Places()
    options = Options(look=1280, max_pixels=100_000_000)
    labeller = Labeller(options, places)
    (row,) = labeller.tables([Photos((str(zoo.PORTRAIT),))])
    labeller.close()
    making = []
    with FaceParser() as parser:
        face = parser(zoo.PORTRAIT)
    for _ in range(MANY):
        busy = time.process_time()
        (photo,) = load([Photos((str(zoo.PORTRAIT),))], places)
        pa.Table.from_pylist([row_of(photo, face, "")], row.schema)
        making.append(time.process_time() - busy)
    with tempfile.TemporaryDirectory() as out:
        with Parts(out, places, rows=1000) as parts:
            began = time.process_time()
            wanted = {f"/photos/{index:012}.jpg" for index in range(rows)}
            for first in range(0, rows, 16):
                some = range(first, min(first + 16, rows))
                table = pa.concat_tables([row] * len(some))
                paths = pa.array([f"/photos/{index:012}.jpg" for index in some])
                table = table.set_column(0, row.schema.field(0), paths)
                parts.add(running.still_wanted(table, wanted))
            seconds = time.process_time() - began
        began = time.process_time()
        done = Parts(out, places, rows=1000).done()
        reading = time.process_time() - began
        assert len(done) == rows
        size = sum(path.stat().st_size for path in Path(out).glob("*.parquet"))
    before = resident_mib()
    found = Found((Photos(tuple(f"/photos/of/somebody/{index:012}.jpg" for index in range(names))),))
    wanted = {name for some in without(found.photos, set()) for name in some.names}
    assert len(wanted) == names
    keep(
        "scale",
        {
            "rows": rows,
            "cpu_ms_per_row": round(1000 * statistics.median(making), 3),
            "rows_written_per_cpu_second": round(rows / seconds),
            "rows_read_per_cpu_second": round(rows / reading),
            "bytes_per_equal_row": round(size / rows),
            "bytes_of_memory_per_name": round((resident_mib() - before) * MIB / names),
        },
    )


@main.command()
@click.option("--photos", "count", default=2000, show_default=True)
@click.option("--bad", default=40, show_default=True)
@click.option("--side", default=128, show_default=True)
@click.option("--workers", default=2, show_default=True)
@click.option("--part-rows", default=50, show_default=True)
def survive(count: int, bad: int, side: int, workers: int, part_rows: int) -> None:
    """Kill a worker, stop the run, start it again."""
    with tempfile.TemporaryDirectory() as temporary:
        photos, whole, out = (Path(temporary) / name for name in ("photos", "whole", "out"))
        make_photos(photos, count, side, bad)
        common = ["--locate", "whole", "--part-rows", str(part_rows), "--json", "-"]

        def start(target: Path, *more: str) -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", MAIN, "label", str(photos), "-o", str(target), *common, *more]
            return subprocess.Popen(command, stdout=subprocess.PIPE)

        def parts() -> int:
            return len(list(out.glob("part-*.parquet")))

        def wait_for(wanted: int) -> None:
            while parts() < wanted:
                assert process.poll() is None, "it ended too soon"
                time.sleep(0.05)

        def rows(folder: Path) -> list[dict[str, Any]]:
            table = pa.concat_tables(pq.read_table(path) for path in sorted(folder.glob("part-*.parquet")))
            return sorted(table.to_pylist(), key=lambda row: row["path"])

        process = start(whole)
        process.communicate()
        ray = ("--ray", "local", "--workers", str(workers))
        quarter = count // part_rows // 4
        process = start(out, *ray)
        wait_for(quarter)
        started = psutil.Process(process.pid).children(recursive=True)
        killed = next(one.pid for one in started if one.name().startswith("ray::MapWorker"))
        os.kill(killed, signal.SIGKILL)
        wait_for(2 * quarter)
        process.send_signal(signal.SIGINT)
        process.communicate()
        assert process.returncode == 130
        kept = len(rows(out))
        process = start(out, *ray)
        last = json.loads(process.communicate()[0])
        mine, wanted = rows(out), rows(whole)
        document = {
            "photos": count,
            "bad": bad,
            "cores": cores(),
            "workers": workers,
            "rows_when_it_was_stopped": kept,
            "rows_of_the_second_run": last["labelled"],
            "rows": len(mine),
            "paths": len({row["path"] for row in mine}),
            "errors": sum(row["error"] is not None for row in mine),
            "equal_to_one_process": mine == wanted,
        }
        keep("survive", document)
        assert document["rows"] == document["paths"] == count
        assert document["errors"] == bad
        assert document["equal_to_one_process"]


if __name__ == "__main__":
    main()
