"""`segface-edge label`: one row a photo, whatever the photo and however often the run is stopped."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.labels import label_set

pa = pytest.importorskip("pyarrow", reason="label needs pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

from segface_edge.cli.bulk import Lines
from segface_edge.errors import DataError
from segface_edge.labelling import parts, run, worker
from segface_edge.labelling.photos import Photos, find, split, without
from segface_edge.labelling.places import Places
from segface_edge.labelling.rows import schema_of

Cli = Callable[..., Any]
MakePhotos = Callable[..., Path]

MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import segface_edge.cli as c; c.main()"


def part_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("part-*.parquet"))


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """All rows, by their paths."""
    tables = [pq.read_table(folder / name) for name in part_names(folder)]
    return sorted(pa.concat_tables(tables).to_pylist(), key=lambda row: row["path"])


def start(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", MAIN, "label", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for_parts(folder: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while len(part_names(folder)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_row_is_what_the_parser_gives(cli: Cli, make_photos: MakePhotos, tmp_path: Path, parser: FaceParser) -> None:
    photos, out = make_photos("photos", 3), tmp_path / "out"
    result = cli("label", photos, "-o", out, "--json", "-")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert (document["photos"], document["labelled"], document["failed"], document["parts"]) == (3, 3, 0, 1)
    assert document["model_sha256"] == hashlib.sha256(zoo.DEFAULT_MODEL.read_bytes()).hexdigest()
    for row, path in zip(rows_of(out), sorted(photos.iterdir()), strict=True):
        face = parser(path)
        assert row["path"] == str(path)
        assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
        assert (row["height"], row["width"]) == face.labels.shape
        assert row["areas"] == face.areas()
        assert row["model_sha256"] == document["model_sha256"]
        assert row["error"] is None
        for found, box in zip(row["faces"], face.faces, strict=True):
            assert found["box"] == pytest.approx([box.left, box.top, box.right, box.bottom], abs=1e-3)
            assert (found["score"], found["turn"]) == (pytest.approx(box.score), box.turn)
            assert (found["landmarks"] is None) == (box.landmarks is None)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pycocotools, by numpy 2
def test_the_masks_load_in_pycocotools(cli: Cli, tmp_path: Path, parser: FaceParser) -> None:
    tools = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    assert cli("label", zoo.PORTRAIT, "-o", tmp_path / "out").code == 0
    (row,) = rows_of(tmp_path / "out")
    labels = np.zeros((row["height"], row["width"]), np.uint8)
    for mask in row["masks"]:
        decoded = tools.decode({"size": [row["height"], row["width"]], "counts": mask["counts"]}).astype(bool)
        assert parser.labels.classes[mask["label"]] == mask["class"]
        assert decoded.sum() == row["areas"][mask["class"]]
        labels[decoded] = mask["label"]
    assert np.array_equal(labels, parser(zoo.PORTRAIT).labels)


def test_the_schema_is_the_documented_one(root: Path) -> None:
    text = (root / "docs" / "label.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", text, re.MULTILINE)
    names = label_set("segface").classes
    areas = f"struct<{', '.join(f'{name}: int32' for name in names)}>"
    documented = {name: kind.replace("struct<CLASS: int32, …>", areas) for name, kind in rows}
    actual = {field.name: str(field.type).replace(": element", "") for field in schema_of(label_set("segface"))}
    assert documented == {name: kind.replace("list<element:", "list<item:") for name, kind in actual.items()}


def test_bad_pictures_are_rows_with_an_error(cli: Cli, make_photos: MakePhotos, tiny: Path, tmp_path: Path) -> None:
    photos, out = make_photos("photos", 9, bad=5), tmp_path / "out"
    gone = tmp_path / "list.txt"
    gone.write_text("\n".join([*map(str, sorted(photos.iterdir())), "photos/absent.jpg", str(photos)]))
    result = cli("label", gone, "-o", out, "--model", tiny, "--locate", "whole")
    assert result.code == 0
    assert "11 photos" in result.out
    assert "7 of them with an error" in result.out
    rows = {Path(row["path"]).name: row for row in rows_of(out)}
    assert len(rows) == 11
    for name, problem in {
        "0004.jpg": "is not a picture that can be read",
        "0006.jpg": "is empty (0 bytes)",
        "0005.jpg": "is damaged",
        "absent.jpg": "no such file or directory",
        "photos": "is no file",
    }.items():
        assert problem in rows[name]["error"]
        assert "\n" not in rows[name]["error"]
        assert rows[name]["path"] in rows[name]["error"]
        assert rows[name]["masks"] is None
    assert rows["0004.jpg"]["sha256"] is not None
    assert rows["absent.jpg"]["sha256"] is None
    assert all(rows[f"000{index}.jpg"]["error"] is None for index in range(4))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_run_that_is_stopped_goes_on(make_photos: MakePhotos, cli: Cli, tmp_path: Path, how: signal.Signals) -> None:
    photos = make_photos("photos", 40, bad=2)
    whole, out = tmp_path / "whole", tmp_path / "out"
    portraits = ("--locate", "whole", "--part-rows", 4)
    assert cli("label", photos, "-o", whole, *portraits).code == 0
    process = start(photos, "-o", out, *portraits)
    wait_for_parts(out, 2, process)
    process.send_signal(how)
    _, said = process.communicate(timeout=60)
    assert process.returncode == (130 if how is signal.SIGINT else -signal.SIGKILL)
    assert b"Traceback" not in said
    before = {name: (out / name).read_bytes() for name in part_names(out)}
    kept = len(rows_of(out))
    assert 8 <= kept < 40
    result = cli("label", photos, "-o", out, *portraits, "--json", "-")
    document = json.loads(result.out)
    assert (document["there_already"], document["labelled"]) == (kept, 40 - kept)
    assert result.err == f"{kept} of 40 are there already\n"
    assert {name: (out / name).read_bytes() for name in before} == before
    assert rows_of(out) == rows_of(whole)
    assert sorted(path.name for path in out.iterdir()) == [".lock", "manifest.json", *part_names(out)]
    again = json.loads(cli("label", photos, "-o", out, *portraits, "--json", "-").out)
    assert (again["labelled"], again["parts"]) == (0, 0)


def test_ctrl_c_while_a_part_is_written_doubles_no_row(
    make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = make_photos("photos", 9), tmp_path / "out"
    arguments = ("label", photos, "-o", out, "--model", tiny, "--locate", "whole", "--part-rows", 4)
    write, calls = parts.Parts.write, []

    def stopped(self: parts.Parts, name: str, content: bytes) -> None:
        write(self, name, content)
        calls.append(name)
        if calls.count("part-000000.parquet") == 1 and name.startswith("part"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(parts.Parts, "write", stopped)
        assert cli(*arguments).code == 130
    assert cli(*arguments).code == 0
    assert [Path(row["path"]).name for row in rows_of(out)] == [f"{index:04}.jpg" for index in range(9)]


def test_what_a_killed_run_left_half_written_is_taken_away(
    make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path
) -> None:
    photos, out = make_photos("photos", 2), tmp_path / "out"
    out.mkdir()
    (out / ".part-000000.parquet.12-0.parquet").write_bytes(b"half")
    assert cli("label", photos, "-o", out, "--model", tiny, "--locate", "whole").code == 0
    assert sorted(path.name for path in out.iterdir()) == [".lock", "manifest.json", "part-000000.parquet"]


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (("--model", str(zoo.DEFAULT_MODEL)), "another model: sha256 "),
        (("--locate", "auto"), "another detector: none, now sha256 "),
        (("--max-faces", "2"), "another --max-faces: none, now 2"),
        (("--min-face", "9"), "another --min-face: 0.0, now 9.0"),
        (("--max-pixels", "100000"), "another --max-pixels: 100000000, now 100000"),
    ],
)
def test_another_model_or_option_is_refused(
    make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path, changed: tuple[str, ...], problem: str
) -> None:
    photos, out = make_photos("photos", 2), tmp_path / "out"
    arguments = ("label", photos, "-o", out, "--model", tiny, "--locate", "whole")
    assert cli(*arguments).code == 0
    before = {path: path.read_bytes() for path in out.iterdir()}
    result = cli(*arguments, *changed)
    assert (result.code, result.out) == (2, "")
    (line,) = result.err.splitlines()
    assert line.startswith(f"error: {out}: was begun with {problem}")
    assert line.endswith("; name another folder, or go on with what it was begun with")
    assert {path: path.read_bytes() for path in out.iterdir()} == before
    assert cli(*arguments, "--part-rows", 5).code == 0  # which no label depends on


def test_another_engine_is_refused(make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    photos, out = make_photos("photos", 2), tmp_path / "out"
    arguments = ("label", photos, "-o", out, "--locate", "whole", "--model")
    assert cli(*arguments, tiny).code == 0
    result = cli(*arguments, f"{tiny}@engine=openvino")
    assert (result.code, result.out) == (2, "")
    assert f"{out}: was begun with another engine: onnxruntime, now openvino; " in result.err
    assert cli(*arguments, f"{tiny}@engine=onnxruntime").code == 0


def test_a_file_whose_suffix_says_nothing_goes_on_in_the_engine_that_is_named(
    make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path
) -> None:
    photos, out = make_photos("photos", 2), tmp_path / "out"
    arguments = ("label", photos, "-o", out, "--locate", "whole", "--model")
    weights = tiny.rename(tmp_path / "weights.bin")
    assert cli(*arguments, f"{weights}@engine=onnxruntime").code == 0
    assert cli(*arguments, f"{weights}@engine=onnxruntime").code == 0


@pytest.mark.parametrize(
    ("name", "engine"),
    [("tiny.onnx", None), ("tiny.onnx", "onnxruntime-tensorrt"), ("weights.bin", "onnxruntime")],
)
def test_the_labels_of_a_model_are_known_before_workers_open_it(
    tiny: Path, tmp_path: Path, name: str, engine: str | None
) -> None:
    """On a machine without a GPU too, and of a file whose suffix does not say what runs it."""
    model = tiny.rename(tmp_path / name)
    options = worker.Options(model=model, engine=engine, look=640, max_pixels=10**8)
    assert worker.labels_of(options).classes == ("background", "skin", "hair")


def test_a_damaged_folder_of_results_is_refused(
    make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path, copied: Callable[[Path, Path], Path]
) -> None:
    photos, out = make_photos("photos", 4), tmp_path / "out"
    arguments = ("label", photos, "--model", tiny, "--locate", "whole", "--part-rows", 2)
    assert cli(*arguments, "-o", out).code == 0

    def refused(folder: Path, *saying: str) -> None:
        result = cli(*arguments, "-o", folder)
        assert (result.code, len(result.err.splitlines())) == (1, 1)
        assert all(words in result.err for words in saying)

    cut = copied(out, tmp_path / "cut")
    (cut / "part-000001.parquet").write_bytes((out / "part-000001.parquet").read_bytes()[:-20])
    refused(cut, f"{cut / 'part-000001.parquet'}: is no part", "take it away")
    (cut / "part-000001.parquet").unlink()
    assert cli(*arguments, "-o", cut).code == 0
    assert rows_of(cut) == rows_of(out)
    doubled = copied(out, tmp_path / "doubled")
    (doubled / "part-000007.parquet").write_bytes((out / "part-000001.parquet").read_bytes())
    refused(doubled, "part-000007.parquet: has rows that are in another part", "take it away")
    bare = copied(out, tmp_path / "bare")
    (bare / "manifest.json").unlink()
    refused(bare, f"{bare / 'manifest.json'}: no such file, and there are parts")
    (bare / "manifest.json").write_text("[]")
    refused(bare, f"{bare / 'manifest.json'}: is no manifest of labels")
    (bare / "manifest.json").write_text("[" * 100_000)
    refused(bare, f"{bare / 'manifest.json'}: is no manifest of labels")
    (bare / "manifest.json").write_text('{"version": 2}')
    refused(bare, "is of version 2, this segface-edge writes 1")


def test_two_runs_do_not_write_to_one_folder(make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path) -> None:
    photos, out = make_photos("photos", 1), tmp_path / "out"
    arguments = ("label", photos, "-o", out, "--model", tiny, "--locate", "whole")
    assert cli(*arguments).code == 0
    with (out / ".lock").open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        result = cli(*arguments)
    assert result.code == 1
    assert result.err == f"error: {out}: is being written to by another run; wait for it, or name another folder\n"


def test_a_full_disk_ends_the_run_and_the_same_command_goes_on(
    make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos, out = make_photos("photos", 6), tmp_path / "out"
    arguments = ("label", photos, "-o", out, "--model", tiny, "--locate", "whole", "--part-rows", 2)
    fsync, calls = os.fsync, []

    def full(file: int) -> None:
        calls.append(file)
        if len(calls) > 2:  # the manifest, a part
            raise OSError(28, "No space left on device")
        fsync(file)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        result = cli(*arguments)
    assert result.code == 1
    assert "no space left on device" in result.err.splitlines()[-1]
    assert part_names(out) == ["part-000000.parquet"]
    assert cli(*arguments).code == 0
    assert len(rows_of(out)) == 6


def test_a_photo_that_is_named_twice_has_one_row(
    make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos("photos", 2)
    monkeypatch.chdir(tmp_path)
    Path("list.txt").write_text(
        f"photos/0000.jpg\n# a remark\n\n./photos/0000.jpg\n{photos}/0000.jpg\nphotos/0001.jpg\n"
    )
    result = cli("label", "list.txt", "-o", "out", "--model", tiny, "--locate", "whole", "--json", "-")
    assert result.err == f"note: 2 photos are named more than once, {photos}/0000.jpg for example: each has one row\n"
    assert json.loads(result.out)["duplicates"] == 2
    assert [row["path"] for row in rows_of(Path("out"))] == [f"{photos}/0000.jpg", f"{photos}/0001.jpg"]


def test_more_photos_join_a_folder(make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path) -> None:
    one, other, out = make_photos("one", 2), make_photos("other", 3), tmp_path / "out"
    for photos, labelled in ((one, 2), (other, 3), (one, 0)):
        result = cli("label", photos, "-o", out, "--model", tiny, "--locate", "whole", "--json", "-")
        assert json.loads(result.out)["labelled"] == labelled
    assert len(rows_of(out)) == 5
    assert part_names(out) == ["part-000000.parquet", "part-000001.parquet"]


def test_folders_in_a_folder_are_labelled_where_it_is_said(
    make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path
) -> None:
    photos = make_photos("one", 1)
    make_photos("one/other", 2)
    for name, options, labelled in (("flat", (), 1), ("deep", ("--recursive",), 3)):
        result = cli(
            "label", photos, "-o", tmp_path / name, "--model", tiny, "--locate", "whole", "--json", "-", *options
        )
        assert json.loads(result.out)["labelled"] == labelled


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere files' names are text")
def test_a_name_that_is_no_text_is_written_out(make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path) -> None:
    photos, out = make_photos("photos", 1), tmp_path / "out"
    (photos / "0000.jpg").rename(os.fsdecode(os.fsencode(photos) + b"/\xff.jpg"))
    for labelled in (1, 0):
        result = cli("label", photos, "-o", out, "--model", tiny, "--locate", "whole", "--json", "-")
        assert json.loads(result.out)["labelled"] == labelled
    assert rows_of(out)[0]["path"] == f"{photos}/\\udcff.jpg"


def test_parts_have_so_many_rows(make_photos: MakePhotos, cli: Cli, tiny: Path, tmp_path: Path) -> None:
    photos, out = make_photos("photos", 23), tmp_path / "out"
    arguments = ("label", photos, "-o", out, "--model", tiny, "--locate", "whole", "--part-rows", 10)
    assert cli(*arguments).code == 0
    assert [pq.read_metadata(out / name).num_rows for name in part_names(out)] == [10, 10, 3]
    about = json.loads(pq.read_schema(out / "part-000000.parquet").metadata[b"segface_edge"])
    assert about == {"version": 1, "label_order": "own", "classes": ["background", "skin", "hair"]}


def test_rows_that_wait_are_bounded_by_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "_MOST_BYTES", 10_000)
    table = pa.table({"path": ["x" * 4000]})
    with parts.Parts(str(tmp_path / "out"), Places(), rows=1000) as written:
        for _ in range(5):
            written.add(table)
        assert written.written == 1
    assert written.written == 2


def test_photos_that_cannot_be_read_wait_for_none_that_can(tiny: Path, tmp_path: Path) -> None:
    labeller = worker.Labeller(worker.Options(model=tiny, locate="whole", look=1280, max_pixels=10**8), Places())
    missing = Photos(tuple(f"{tmp_path}/{index}.jpg" for index in range(5)))
    tables = list(labeller.tables([missing], rows=2))
    labeller.close()
    assert [len(table) for table in tables] == [2, 2, 1]
    rows = pa.concat_tables(tables).to_pylist()
    assert [row["path"] for row in rows] == list(missing.names)
    assert all("no such file" in row["error"] for row in rows)


def test_rows_that_come_twice_are_written_once(make_photos: MakePhotos, tiny: Path, tmp_path: Path) -> None:
    """As those of a worker that was lost after it had sent them."""
    photos, places = make_photos("photos", 5), Places()
    options = worker.Options(model=tiny, locate="whole", look=1280, max_pixels=10**8)

    def twice(some: Any, options: worker.Options, what: Any, places: Places) -> Any:
        labeller = worker.Labeller(options, places, what)
        for one in split(some, 2):
            for _ in range(2):
                yield from labeller.tables([one])
        labeller.close()

    summary = run.label(find(str(photos), places), str(tmp_path / "out"), options, places, pool=twice)
    assert summary.labelled == 5
    assert len(rows_of(tmp_path / "out")) == 5


def test_rows_that_do_not_come_are_missed(make_photos: MakePhotos, tiny: Path, tmp_path: Path) -> None:
    photos, places = make_photos("photos", 5), Places()
    options = worker.Options(model=tiny, locate="whole", look=1280, max_pixels=10**8)

    def some_lost(some: Any, options: worker.Options, what: Any, places: Places) -> Any:
        labeller = worker.Labeller(options, places, what)
        yield from labeller.tables([some[0].only(range(3))])
        labeller.close()

    with pytest.raises(DataError, match=r"lacks 2 photos, .*0003.jpg for example"):
        run.label(find(str(photos), places), str(tmp_path / "out"), options, places, pool=some_lost)


def test_progress_is_a_line_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    now = 0.0
    lines = Lines(10_000, clock=lambda: now)
    for _ in range(8):
        now += 10
        lines.advance(20)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "labelled 60 of 10000 (0.6%), 2.0 a second, 1:22:50 left",
        "labelled 120 of 10000 (1.2%), 2.0 a second, 1:22:20 left",
    ]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--workers", 2), "--workers: is for workers of Ray"),
        (("--num-cpus", 2), "--num-cpus: is for workers of Ray"),
        (("--num-gpus", 1), "--num-gpus: is for workers of Ray"),
        (("--ray", "local", "--threads", 2), "--threads: is not for workers of Ray"),
        (("--ray", "local", "--num-gpus", 1), "--num-gpus: has no use with --device cpu"),
    ],
)
def test_options_that_do_not_fit(cli: Cli, tmp_path: Path, arguments: tuple[object, ...], problem: str) -> None:
    result = cli("label", zoo.PORTRAIT, "-o", tmp_path / "out", *arguments)
    assert result.code == 2
    assert result.err.startswith(f"error: {problem}")
    assert not (tmp_path / "out").exists()


def test_photos_are_split_and_left_out_by_their_names(make_photos: MakePhotos) -> None:
    found = find(str(make_photos("photos", 7)), Places())
    names = found.photos[0].names
    assert [len(one) for one in split(found.photos, 3)] == [3, 3, 1]
    assert [name for one in split(found.photos, 3) for name in one.names] == list(names)
    assert [one.names for one in without(found.photos, set(names[1:]))] == [names[:1]]
    assert without(found.photos, set(names)) == []


@pytest.mark.slow
def test_the_rows_load_in_hugging_face_s_datasets(cli: Cli, tmp_path: Path) -> None:
    pytest.importorskip("datasets", reason="datasets is not installed")
    out = tmp_path / "out"
    assert cli("label", zoo.PORTRAIT, "-o", out).code == 0
    program = f"""
import datasets
files = {str(out / "*.parquet")!r}
rows = datasets.load_dataset("parquet", data_files=files, split="train", cache_dir={str(tmp_path)!r})
row = rows[0]
print(rows.num_rows, row["width"], row["areas"]["hair"], len(row["masks"]), sorted(row["masks"][0]))
"""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (row,) = rows_of(out)
    with Image.open(zoo.PORTRAIT) as picture:
        width = picture.width
    wanted = f"1 {width} {row['areas']['hair']} {len(row['masks'])} ['class', 'counts', 'label']"
    assert done.stdout.strip() == wanted
