"""The released models in every runtime of `segface-edge export --target` that is installed, beside ONNX Runtime.

    python benchmarks/runtimes.py --work DIR [--rows mobilenet] [--data PHOTOS] [--no-measure]

- Whether the file is the ONNX file or made of it, equal labels with it on the bundled faces and those of PHOTOS, bytes,
  and the most memory that opening and running it takes.
- A frame's time over ONNX Runtime's of the same model, one and two threads: both opened in one process of their own, in
  turn, frame by frame.

The files are made once, in DIR: with `--no-measure` beside other work, and the times later on a quiet machine. What is
not installed, or fails, is a row that says so. Writes `results/runtimes/runtimes.json` and the table in
`docs/runtimes.md`.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import click
from graph import most_resident_mb

from segface_edge import zoo
from segface_edge.bench.machine import environment
from segface_edge.errors import MissingDependencyError, SegFaceEdgeError
from segface_edge.evaluation.photos import bundled_faces
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import run_export
from segface_edge.export.targets.apart import run_apart
from segface_edge.export.targets.gate import opened
from segface_edge.export.targets.run import convert_file
from segface_edge.export.targets.table import DEFAULT, TARGETS, check_installed
from segface_edge.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "runtimes" / "runtimes.json"
DOCUMENT = ROOT / "docs" / "runtimes.md"
BEGIN, END = "<!-- table: made by `python benchmarks/runtimes.py` -->", "<!-- end of table -->"
# Runtimes that run the ONNX file itself, by the engine that does, besides ONNX Runtime.
AS_IT_IS = {"openvino": "openvino"}
THREADS = (1, 2)
OPENINGS, WARMUP, FRAMES = 3, 3, 8


@click.command(help=__doc__)
@click.option("--work", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the files.")
@click.option("--rows", default=",".join(sorted(zoo.RELEASED)), help="Released backbones; default: all.")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Folder of more faces to compare on.")
@click.option("--measure/--no-measure", default=True, show_default=True, help="Times, memory, and the table.")
def main(work: Path, rows: str, data: Path | None, measure: bool) -> None:
    """Export, compare, measure, write."""
    found: list[dict[str, Any]] = []
    for backbone in rows.split(","):
        (folder := work / backbone).mkdir(parents=True, exist_ok=True)
        os.chdir(folder.resolve())  # so that results name files, not this machine's folders
        made = make(backbone, data.resolve() if data else None)
        found += [row | measured(row, backbone) if measure and "path" in row else row for row in made]
        os.chdir(ROOT)
    if not measure:
        return
    document = {"environment": environment(), "python": platform.python_version(), "rows": found}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_whole(RESULTS, (json.dumps(document, indent=2) + "\n").encode())
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    write_whole(DOCUMENT, f"{before}{BEGIN}\n{table(found)}{END}{after}".encode())


def make(backbone: str, data: Path | None) -> list[dict[str, Any]]:
    """A row for each target: its file, which is made where it is not there, or why there is none."""
    onnx = Path("onnx.onnx")
    exported = remembered(
        "onnx.json", onnx, lambda: run_export(ExportConfig(backbone=backbone, parity_data=data), onnx).to_dict()
    )
    common = {"backbone": backbone, "size": exported["spec"]["size"]}
    rows = [
        common
        | {"target": DEFAULT, "title": TARGETS[DEFAULT].title, "note": "", "engine": DEFAULT}
        | {"path": str(onnx), "files": {str(onnx): exported["bytes"]}, "parity": exported["parity"][-1]}
    ]
    for name, row in TARGETS.items():
        base = common | {"target": name, "title": row.title, "engine": row.checked_in[-1]}
        if name in AS_IT_IS:
            rows.append(attempt(base, "as it is", lambda name=name: as_it_is(onnx, AS_IT_IS[name], data)))
        if name != DEFAULT:
            rows.append(attempt(base, row.note, lambda name=name: converted(backbone, name, onnx, data)))
    return rows


def attempt(base: dict[str, Any], note: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A row, or one that says why there is none."""
    click.echo(f"{base['backbone']}: {base['title']}, {note}", err=True)
    try:
        check_installed(base["target"])
        return base | {"note": note} | work()
    except MissingDependencyError as error:
        return base | {"note": note, "missing": f"{error.problem}; {error.cure}"}
    except SegFaceEdgeError as error:
        return base | {"note": note, "failed": f"{error.problem}; {error.cure}"}


def converted(backbone: str, name: str, onnx: Path, data: Path | None) -> dict[str, Any]:
    """A target's file."""
    path = onnx.with_name(f"{name}{TARGETS[name].suffix}")
    config = ExportConfig(backbone=backbone, parity_data=data, target=name)

    def work() -> dict[str, Any]:
        # What was exported before, as the exporter told of it.
        return convert_file(again(onnx), config, path).to_dict()

    told = remembered(f"{name}.json", path, work)
    return {"path": str(path), "files": told["files"], "parity": told["parity"][-1], "versions": told["versions"]}


def again(onnx: Path) -> Any:
    """An `Export` of a file that is there, without the reports that it holds itself."""
    from segface_edge.engines.ort.metadata import read_metadata
    from segface_edge.export.pipeline import Export
    from segface_edge.files import sha256_of

    return Export(
        path=onnx,
        bytes=onnx.stat().st_size,
        sha256=sha256_of(onnx),
        spec=read_metadata(onnx).spec,
        parity=(),
        warnings=(),
        trtexec="",
    )


def as_it_is(onnx: Path, engine: str, data: Path | None) -> dict[str, Any]:
    """The ONNX file in another runtime."""

    def work() -> dict[str, Any]:
        report, version = run_apart(
            "segface_edge.export.targets.gate:compared",
            onnx.resolve(),
            onnx.resolve(),
            engine,
            engine,
            data,
            subject=onnx,
            doing=f"its check in {engine}",
        )
        return {"parity": report.to_dict(), "versions": {engine: version}}

    told = remembered(f"{engine}.onnx.json", onnx, work)
    return {"path": str(onnx), "files": {str(onnx): onnx.stat().st_size}, **told}


def remembered(name: str, path: Path, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `work` told, of this run or the one that made `path`."""
    note = Path(f"told-{name}")
    if not (note.is_file() and path.is_file()):
        note.write_text(json.dumps(work(), default=str))
    told: dict[str, Any] = json.loads(note.read_text())
    return told


def measured(row: dict[str, Any], backbone: str) -> dict[str, Any]:
    """Memory, and times beside ONNX Runtime's."""
    click.echo(f"{backbone}: measuring {row['title']}, {row['note']}", err=True)
    path, onnx = Path(row["path"]).resolve(), Path("onnx.onnx").resolve()
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    about = {"subject": path.name, "doing": "measuring it"}
    result: dict[str, Any] = {"memory_mb": run_apart("runtimes:memory", path, row["engine"], row["size"], **about)}
    for threads in THREADS:
        result[f"threads_{threads}"] = run_apart("runtimes:times", onnx, path, row["engine"], threads, **about)
    return result


def memory(path: Path, engine: str, size: int) -> float:
    """MB that opening a model and running it take at most, the runtime's own included."""
    frame = bundled_faces(size)[0][None]
    before = most_resident_mb()
    with opened(path, engine, threads=1) as model:
        for _ in range(WARMUP):
            model.infer(frame)
    return most_resident_mb() - before


def times(onnx: Path, path: Path, engine: str, threads: int) -> dict[str, Any]:
    """Milliseconds of a frame, of both in turn, and their ratio: the middle one of all openings."""
    rounds = []
    for _ in range(OPENINGS):
        with opened(onnx, DEFAULT, threads=threads) as one, opened(path, engine, threads=threads) as other:
            frames = [face[None] for face in bundled_faces(one.spec.size)[:FRAMES]]
            for frame in frames[:WARMUP]:
                one.infer(frame), other.infer(frame)
            taken: list[list[float]] = [[], []]
            for frame in frames:
                for model, found in zip((one, other), taken, strict=True):
                    start = perf_counter()
                    model.infer(frame)
                    found.append(1000 * (perf_counter() - start))
            ort, own = map(statistics.median, taken)
            rounds.append({"ms": own, "onnxruntime_ms": ort, "ratio": own / ort})
    rounds.sort(key=lambda one: one["ratio"])
    return rounds[len(rounds) // 2] | {"ratios": [one["ratio"] for one in rounds]}


def table(rows: list[dict[str, Any]]) -> str:
    """In Markdown."""
    lines = [
        "| model | runtime | file | equal labels on so many faces | time over ONNX Runtime's, 1 and 2 threads "
        "| MB | memory, MB | versions |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        name = f"| `{row['backbone']}` {row['size']} | {row['title']} | {row['note'] or 'the ONNX file'} "
        if "path" not in row:
            lines.append(f"{name}| {row.get('missing') or row['failed']} | - | - | - | - |")
            continue
        if row["target"] == DEFAULT:
            ms = ", ".join(f"{row[f'threads_{threads}']['ms']:.0f} ms" for threads in THREADS)
        else:
            ms = ", ".join(f"{row[f'threads_{threads}']['ratio']:.2f}" for threads in THREADS)
        versions = ", ".join(f"{key} {value}" for key, value in row.get("versions", {}).items()) or "-"
        lines.append(
            f"{name}| {row['parity']['equal']:.4%} on {row['parity']['frames']} | {ms} "
            f"| {sum(row['files'].values()) / 1e6:.1f} | {row['memory_mb']:.0f} | {versions} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
