"""Suites measured: interrupted and gone on with, rows that fail, the record."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from segface_edge.bench.choice import Opener
from segface_edge.bench.record import RECORD_NAME, read_record, record_schema, without_folders
from segface_edge.bench.report import Startup
from segface_edge.bench.results import render
from segface_edge.bench.suite import Row, Suite
from segface_edge.bench.suite_run import run_suite
from segface_edge.engines import Engine, FakeEngine
from segface_edge.errors import InputError, ParityError

ROWS = tuple(
    Row(backbone="mobilenet", size=64, graph="deploy", precision=precision, batch=batch, engine=engine)
    for precision, batch, engine in (
        ("fp32", 1, "onnxruntime"),
        ("fp32", 4, "onnxruntime"),
        ("fp16", 1, "onnxruntime"),
        ("fp16", 4, "onnxruntime"),
        ("fp32", 1, "tensorrt"),
    )
)
SUITE = Suite(sha256="0" * 64, rows=ROWS, warmup_s=0, duration_s=0, min_queries=3)


class Fakes:
    """Makes files of a few bytes, and engines that need none. What is in `wrong` fails: a file's name or a row's."""

    def __init__(self) -> None:
        self.made: list[str] = []
        self.opened: list[str] = []
        self.wrong: dict[str, BaseException] = {}

    def missing(self, row: Row) -> str | None:
        return "no TensorRT here" if row.engine == "tensorrt" else None

    def make(self, row: Row, path: Path) -> None:
        if row.file in self.wrong:
            raise self.wrong[row.file]
        if not path.exists():
            self.made.append(row.file)
            path.write_bytes(b"a model")

    def opener(self, row: Row, path: Path) -> Opener:
        return partial(self._open, row, path)

    def _open(self, row: Row, path: Path) -> tuple[Engine, Startup]:
        if row.name in self.wrong:
            raise self.wrong[row.name]
        self.opened.append(row.name)
        engine = FakeEngine()
        engine.source = str(path)
        return engine, Startup(import_ms=None, open_ms=1.0)


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def fakes() -> Fakes:
    return Fakes()


@pytest.fixture
def run(tmp_path: Path, fakes: Fakes) -> Run:
    """Measures into `jo doe/record`."""
    folder = tmp_path / "jo doe" / "record"
    photo = io.BytesIO()
    Image.new("RGB", (64, 64)).save(photo, "png")

    def run(suite: Suite = SUITE, **options: Any) -> dict[str, Any]:
        folder.mkdir(parents=True, exist_ok=True)
        return run_suite(suite, folder, fakes, photo.getvalue(), **options)

    return run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "jo doe" / "record"


def test_the_record_has_every_row_and_follows_the_schema(run: Run, folder: Path, fakes: Fakes) -> None:
    said: list[str] = []
    document = run(say=said.append)
    assert [row["name"] for row in document["rows"]] == fakes.opened == [row.name for row in ROWS[:4]]
    assert document["left_out"] == [{"name": ROWS[4].name, "reason": "no TensorRT here"}]
    assert document["failed"] == []
    assert document["suite_sha256"] == SUITE.sha256
    assert document["began"] <= document["rows"][0]["began"] <= document["ended"]
    assert [row["scenario"]["frames"] for row in document["rows"]] == [1, 4, 1, 4]
    assert all(row["file"]["bytes"] == len(b"a model") for row in document["rows"])
    # Two files for four rows, and samples only in the rows' own reports.
    assert fakes.made == [ROWS[0].file, ROWS[2].file]
    assert "samples_ms" not in json.dumps(document)
    assert "samples_ms" in (folder / "rows" / f"{ROWS[0].name}.json").read_text()
    assert [line.partition(":")[0] for line in said] == [f"row {k} of 4" for k in (1, 2, 3, 4)]
    jsonschema = pytest.importorskip("jsonschema", reason="the schema is checked with jsonschema")
    jsonschema.Draft202012Validator.check_schema(record_schema())
    assert read_record(folder / RECORD_NAME) == document


def test_a_run_that_was_stopped_goes_on(run: Run, folder: Path, fakes: Fakes) -> None:
    fakes.wrong = {ROWS[2].name: KeyboardInterrupt()}
    with pytest.raises(KeyboardInterrupt):
        run()
    assert not (folder / RECORD_NAME).exists()
    assert sorted(path.name for path in (folder / "rows").iterdir()) == sorted(f"{r.name}.json" for r in ROWS[:2])
    fakes.wrong, fakes.opened = {}, []
    said: list[str] = []
    document = run(say=said.append)
    assert fakes.opened == [row.name for row in ROWS[2:4]]
    assert said[0] == "2 of 4 rows were measured before"
    assert said[1].startswith("row 3 of 4: ")
    assert len(document["rows"]) == 4
    assert document["began"] == document["rows"][0]["began"]
    fakes.opened = []
    assert run()["rows"] == document["rows"]
    assert fakes.opened == []


def test_a_row_that_fails_is_an_entry_and_is_tried_again(run: Run, fakes: Fakes) -> None:
    fakes.wrong = {ROWS[2].file: ParityError("x.onnx", "differs", "nothing was written"), ROWS[1].name: MemoryError()}
    said: list[str] = []
    document = run(say=said.append)
    assert [row["name"] for row in document["rows"]] == [ROWS[0].name]
    assert document["failed"] == [
        {"name": ROWS[1].name, "error": "MemoryError:"},
        {"name": ROWS[2].name, "error": "x.onnx: differs; nothing was written"},
        {
            "name": ROWS[3].name,
            "error": f"{ROWS[3].file}: could not be made for an earlier row; see there: {ROWS[2].name}",
        },
    ]
    assert f"failed: {ROWS[1].name}: MemoryError:" in said
    fakes.wrong, fakes.opened = {}, []
    document = run()
    assert (len(document["rows"]), document["failed"]) == (4, [])
    assert fakes.opened == [row.name for row in ROWS[1:4]]


def test_a_row_that_ends_the_process_comes_last_and_is_given_up(run: Run, folder: Path, fakes: Fakes) -> None:
    mark = folder / "rows" / f"{ROWS[0].name}.begun"
    mark.parent.mkdir(parents=True)
    mark.write_bytes(b"x")  # as a process leaves it that is killed in the middle
    assert len(run()["rows"]) == 4
    assert fakes.opened == [row.name for row in (*ROWS[1:4], ROWS[0])]
    assert not mark.exists()
    (folder / "rows" / f"{ROWS[0].name}.json").unlink()
    mark.write_bytes(b"xx")
    (entry,) = run()["failed"]
    assert entry["name"] == ROWS[0].name
    assert (
        f"ended the whole process 2 times (out of memory?); free some memory, and remove rows/{mark.name}"
        in (entry["error"])
    )


@pytest.mark.parametrize("change", ["seconds", "machine", "package", "file", "damaged"])
def test_a_row_of_something_else_is_measured_again(run: Run, folder: Path, fakes: Fakes, change: str) -> None:
    run()
    fakes.opened = []
    suite, path = SUITE, folder / "rows" / f"{ROWS[0].name}.json"
    report = json.loads(path.read_text())
    if change == "seconds":
        suite = replace(SUITE, min_queries=4)
    elif change == "machine":
        report["environment"]["cpu"] = "another"
    elif change == "package":
        report["environment"]["packages"]["onnxruntime"] = "0.1"
    elif change == "file":
        (folder / "files" / ROWS[0].file).write_bytes(b"another model")
    path.write_text("{}" if change == "damaged" else json.dumps(report))
    run(suite)
    again = {"seconds": ROWS[:4], "file": ROWS[:2]}.get(change, ROWS[:1])
    assert fakes.opened == [row.name for row in again]


def test_torch_may_be_installed_on_the_way_and_files_removed(run: Run, folder: Path, fakes: Fakes) -> None:
    run()
    fakes.opened = []
    for row in ROWS[:4]:
        path = folder / "rows" / f"{row.name}.json"
        report = json.loads(path.read_text())
        report["environment"]["packages"]["torch"] = "0.1"
        path.write_text(json.dumps(report))
        (folder / "files" / row.file).unlink(missing_ok=True)
    assert len(run()["rows"]) == 4
    assert fakes.opened == []


def test_no_folder_of_the_machine_is_in_the_record(run: Run, folder: Path, fakes: Fakes, tmp_path: Path) -> None:
    home = tmp_path / "jo doe"
    fakes.wrong = {
        ROWS[0].file: InputError(folder / "files" / "x", "cannot be written", f"see {home}/a.log"),
        ROWS[2].name: OSError("/opt/users/jo/libfoo.so: no such file, see https://example.org/a/b"),
        ROWS[3].name: InputError("/data/jo doe/photos", "holds no pictures", "give others"),
    }
    document = run(folders={str(home): "~", "/data/jo doe/photos": "CALIB_DATA"})
    errors = {entry["name"]: entry["error"] for entry in document["failed"]}
    assert errors[ROWS[0].name] == "files/x: cannot be written; see ~/a.log"
    assert errors[ROWS[2].name] == "OSError: libfoo.so: no such file, see https://example.org/a/b"
    assert errors[ROWS[3].name] == "CALIB_DATA: holds no pictures; give others"
    fakes.wrong = {}
    text = json.dumps(run())
    assert str(tmp_path) not in text
    assert "jo doe" not in text
    assert f'"file": "files/{ROWS[0].file}"' in text


def test_what_only_looks_like_a_folder_is_left() -> None:
    texts = {"a": ["and/or", "1/2 of /proc", "files/x.onnx", "about: out", 3, None, True, "~/a/b", "../c/d"]}
    assert without_folders(texts, {"/home/out": "~"}) == texts
    assert without_folders(["/home/out", "/home/outer/x", "(/home/out/y)"], {"/home/out": "~"}) == ["~", "x", "(~/y)"]


def test_results_md_shows_a_record(run: Run, folder: Path, fakes: Fakes, tmp_path: Path) -> None:
    pytest.importorskip("jsonschema", reason="the schema is checked with jsonschema")
    fakes.wrong = {ROWS[1].name: MemoryError("no room")}
    run()
    device = tmp_path / "results" / "my-jetson"
    device.mkdir(parents=True)
    (device / RECORD_NAME).write_bytes((folder / RECORD_NAME).read_bytes())
    text = render(tmp_path / "results")
    assert "## my-jetson\n\n### record\n" in text
    assert f"| {ROWS[0].name} | " in text
    assert " | fake 1 | 1 | 0.0 |" in text
    assert f"- failed: {ROWS[1].name}: MemoryError: no room\n" in text
    assert f"- left out, no TensorRT here: {ROWS[4].name}" in text
    assert "Machine\n\n```\non: " in text
    (device / RECORD_NAME).write_text("{}")
    with pytest.raises(InputError, match=r"record\.json: is not a device record of version 1 \("):
        render(tmp_path / "results")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda d: d.update(version=2), "version: "),
        (lambda d: d.update(home="/home/jo"), "'home' "),
        (lambda d: d.pop("rows"), "'rows' "),
        (lambda d: d.update(ended="today"), "ended: "),
        (lambda d: d["rows"][0]["engine"].update(file="/home/jo/x.onnx"), "rows[0].engine.file: "),
        (lambda d: d["rows"][0]["row"].update(batch=0), "rows[0].row.batch: "),
        (lambda d: d["rows"][0]["row"].update(precision="fp8"), "rows[0].row.precision: "),
        (lambda d: d["rows"][0]["latency_ms"].pop("p50"), "'p50' "),
        (lambda d: d["rows"][0].update(fps="fast"), "rows[0].fps: "),
        (lambda d: d.update(failed=[{"name": "a", "error": "b\nc"}]), "failed[0].error: "),
    ],
)
def test_a_record_that_does_not_follow_its_schema_is_refused_by_name(
    run: Run, folder: Path, change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    pytest.importorskip("jsonschema", reason="the schema is checked with jsonschema")
    document = run(replace(SUITE, rows=ROWS[:1]))
    assert read_record(folder / RECORD_NAME) == document
    change(document)
    (folder / RECORD_NAME).write_text(json.dumps(document))
    with pytest.raises(InputError) as raised:
        read_record(folder / RECORD_NAME)
    assert problem in str(raised.value)
