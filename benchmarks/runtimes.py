"""The released models in every runtime of `segface-edge export --target` that is installed, beside ONNX Runtime.

\b
    python benchmarks/runtimes.py --work DIR [--rows mobilenet] [--targets openvino,ncnn] [--data PHOTOS] [--no-measure]
    python benchmarks/runtimes.py --work DIR --precisions fp32,fp16,int8 --calib-data PHOTOS

\b
- Whether the file is the ONNX file or made of it, equal labels with it on the bundled faces and those of PHOTOS, bytes,
  and the most memory that opening and running it takes.
- A frame's time over ONNX Runtime's of the same model, one and two threads: both opened in one process of their own, in
  turn, frame by frame.

The files are made once, in DIR: with `--no-measure` beside other work, and the times later on a quiet machine. What is
not installed, or fails, is a row that says so. Writes `results/runtimes/runtimes.json` and the table in
`docs/runtimes.md`; rows of other models and targets stay as they were, where they are of the same kind of CPU.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import click
from graph import most_resident_mb

from segface_edge import zoo
from segface_edge.bench.machine import environment
from segface_edge.errors import MissingDependencyError, SegFaceEdgeError, UsageError
from segface_edge.evaluation.photos import bundled_faces
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import run_export
from segface_edge.export.targets.apart import run_apart
from segface_edge.export.targets.gate import opened
from segface_edge.export.targets.run import convert_file
from segface_edge.export.targets.table import DEFAULT, TARGETS, check_installed, target
from segface_edge.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "runtimes" / "runtimes.json"
DOCUMENT = ROOT / "docs" / "runtimes.md"
BEGIN, END = "<!-- table: made by `python benchmarks/runtimes.py` -->", "<!-- end of table -->"
# Runtimes that run the ONNX file itself, by the engine that does, besides ONNX Runtime.
AS_IT_IS = {"openvino": "openvino"}
AS_IT_IS_NOTE = "as it is"
THREADS = (1, 2)
OPENINGS, WARMUP, FRAMES = 3, 3, 8


@click.command(help=__doc__)
@click.option("--work", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder for the files.")
@click.option("--rows", default=",".join(sorted(zoo.RELEASED)), help="Released backbones; default: all.")
@click.option("--targets", default=",".join(TARGETS), help="Of `export --target`; default: all.")
@click.option(
    "--precisions", default="fp32", show_default=True, help="fp32, fp16, int8: of the targets that make them."
)
@click.option("--calib-data", type=click.Path(path_type=Path, file_okay=False), help="Folder of photos, for int8.")
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), help="Folder of more faces to compare on.")
@click.option("--measure/--no-measure", default=True, show_default=True, help="Times, memory, and the table.")
def main(
    work: Path, rows: str, targets: str, precisions: str, calib_data: Path | None, data: Path | None, measure: bool
) -> None:
    """Export, convert, compare, measure, write."""
    try:
        wanted = {name: target(name) for name in targets.split(",")}
        lower = _lower(precisions, calib_data)
        if unknown := set(rows.split(",")) - set(zoo.RELEASED):
            raise UsageError(f"--rows {rows}", f"{min(unknown)!r} is unknown", f"use {', '.join(sorted(zoo.RELEASED))}")
    except UsageError as error:
        raise click.ClickException(str(error)) from error
    data = data.resolve() if data else None
    found: list[dict[str, Any]] = []
    for backbone in rows.split(","):
        (folder := work / backbone).mkdir(parents=True, exist_ok=True)
        os.chdir(folder.resolve())  # so that results name files, not this machine's folders
        made = make(backbone, list(wanted), lower, data)
        found += [row | measured(row, backbone) if measure and "path" in row else row for row in made]
        os.chdir(ROOT)
    if not measure:
        return
    here = environment()
    found = sorted([*_others(found, here["cpu"]), *found], key=_place)
    document = {"environment": here, "python": platform.python_version(), "rows": found}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    write_whole(RESULTS, (json.dumps(document, indent=2) + "\n").encode())
    before, _, rest = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    write_whole(DOCUMENT, f"{before}{BEGIN}\n{table(found)}{END}{after}".encode())


def _lower(precisions: str, calib_data: Path | None) -> dict[str, Path | None]:
    """{precision: its photos}."""
    names = precisions.split(",")
    if unknown := set(names) - {"fp32", "fp16", "int8"}:
        raise UsageError(f"--precisions {precisions}", f"{min(unknown)!r} is unknown", "use fp32, fp16, int8")
    if "int8" in names and calib_data is None:
        raise UsageError("--precisions int8", "needs photos for its ranges", "give --calib-data DIR")
    return {name: calib_data.resolve() if name == "int8" and calib_data else None for name in names}


def _key(row: dict[str, Any]) -> tuple[str, str, str, bool]:
    return row["backbone"], row["target"], row.get("precision", "fp32"), row["note"] == AS_IT_IS_NOTE


def _place(row: dict[str, Any]) -> tuple[Any, ...]:
    """Where a row stands in the table: by model, target, the file as it is before what was made of it, precision."""
    backbone, name, precision, as_it_is = _key(row)
    return backbone, list(TARGETS).index(name), not as_it_is, ["fp32", "fp16", "int8"].index(precision)


def _others(found: list[dict[str, Any]], cpu: str) -> list[dict[str, Any]]:
    """The rows that were not made now, where they are of this kind of CPU."""
    if not RESULTS.is_file():
        return []
    earlier = json.loads(RESULTS.read_text())
    again = {_key(row) for row in found}
    rows = [row for row in earlier["rows"] if _key(row) not in again and row["target"] in TARGETS]
    return rows if earlier["environment"]["cpu"] == cpu else []


def make(backbone: str, targets: list[str], lower: dict[str, Path | None], data: Path | None) -> list[dict[str, Any]]:
    """A row for each target and precision: its file, which is made where it is not there, or why there is none."""
    onnx = Path("onnx.onnx")
    exported = remembered(
        "onnx.json", onnx, lambda: run_export(ExportConfig(backbone=backbone, parity_data=data), onnx).to_dict()
    )
    common = {"backbone": backbone, "size": exported["spec"]["size"], "precision": "fp32"}
    rows = []
    if DEFAULT in targets:
        row = common | {"target": DEFAULT, "title": TARGETS[DEFAULT].title, "note": "", "engine": DEFAULT}
        row |= {"path": str(onnx), "files": {str(onnx): exported["bytes"]}, "parity": exported["parity"][-1]}
        rows.append(row)
    for name in targets:
        row = TARGETS[name]
        base = common | {"target": name, "title": row.title, "engine": row.checked_in[-1]}
        if name in AS_IT_IS:
            rows.append(attempt(base, AS_IT_IS_NOTE, partial(as_it_is, onnx, AS_IT_IS[name], data)))
        if name == DEFAULT:
            continue
        for precision, photos in lower.items():
            if precision == "fp32" or precision in row.lowers:
                work = partial(converted, backbone, name, precision, photos, onnx, data)
                rows.append(attempt(base | {"precision": precision}, row.note, work))
    return rows


def attempt(base: dict[str, Any], note: str, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A row, or one that says why there is none."""
    click.echo(f"{base['backbone']}: {base['title']}, {base['precision']}, {note}", err=True)
    try:
        check_installed(base["target"])
        return base | {"note": note} | work()
    except MissingDependencyError as error:
        return base | {"note": note, "missing": f"{error.problem}; {error.cure}"}
    except SegFaceEdgeError as error:
        return base | {"note": note, "failed": f"{error.problem}; {error.cure}"}


def converted(
    backbone: str, name: str, precision: str, photos: Path | None, onnx: Path, data: Path | None
) -> dict[str, Any]:
    """A target's file."""
    stem = name if precision == "fp32" else f"{name}-{precision}"
    path = onnx.with_name(f"{stem}{TARGETS[name].suffix}")
    config = ExportConfig(
        backbone=backbone,
        parity_data=data,
        target=name,
        precision=precision,  # type: ignore[arg-type]
        calib_data=photos,
    )

    def work() -> dict[str, Any]:
        # What was exported before, as the exporter told of it.
        return convert_file(again(onnx), config, path, answers=Path.cwd()).to_dict()

    told = remembered(f"{stem}.json", path, work)
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
            Path.cwd(),
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
        precision = row.get("precision", "fp32")
        what = f"{row['note'] or 'the ONNX file'}{'' if precision == 'fp32' else f' (**{precision}**)'}"
        name = f"| `{row['backbone']}` {row['size']} | {row['title']} | {what} "
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
