"""`segface-edge parse`."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.cli.lines import Lines
from segface_edge.errors import InputError
from segface_edge.labels import label_set

Cli = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path, photo: Path) -> Path:
    """A folder of two pictures, and what is none."""
    folder = tmp_path / "photos"
    folder.mkdir()
    with Image.open(photo) as picture:
        picture.save(folder / "a.jpg")
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "b.png")
    (folder / "notes.txt").write_text("not a picture, and not meant to be one")
    return folder


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.array(picture)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_becomes_an_overlay_of_its_size(cli: Cli, photo: Path, parser: FaceParser, tmp_path: Path) -> None:
    target = tmp_path / "overlay.png"
    result = cli("parse", photo, "-o", target)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"{photo} -> {target}: ")
    assert "hair" in result.out
    assert np.array_equal(pixels(target), parser(photo).overlay())


def test_each_view_is_what_the_library_gives(cli: Cli, photo: Path, parser: FaceParser, tmp_path: Path) -> None:
    face = parser(photo)
    wanted = {
        "overlay": face.overlay(0.25),
        "mask": face.labels,
        "ids": face.labels,
        "color": face.color(),
        "cutout": face.cutout(),
    }
    for view, picture in wanted.items():
        target = tmp_path / f"{view}.png"
        result = cli("parse", photo, "-o", target, "--visualize", view, "--alpha", 0.25)
        assert result.code == 0, result.err
        assert np.array_equal(pixels(target), picture)
    with Image.open(tmp_path / "mask.png") as mask:
        assert mask.mode == "P"
        assert mask.getpalette()[: 3 * 19] == face.label_set.palette.reshape(-1).tolist()


def test_classes_choose_what_the_cut_out_keeps(cli: Cli, photo: Path, parser: FaceParser, tmp_path: Path) -> None:
    target = tmp_path / "cutout.png"
    result = cli("parse", photo, "-o", target, "--visualize", "cutout", "--classes", "hair, lips")
    assert result.code == 0, result.err
    assert np.array_equal(pixels(target)[..., 3] == 255, parser(photo).mask("hair", "lips"))


def test_classes_choose_what_an_overlay_shows(cli: Cli, photo: Path, parser: FaceParser, tmp_path: Path) -> None:
    target = tmp_path / "overlay.png"
    result = cli("parse", photo, "-o", target, "--classes", "lips")
    assert result.code == 0, result.err
    assert np.array_equal(pixels(target), parser(photo).only("lips").overlay())
    assert "hair" in result.out


def test_an_output_without_a_suffix_is_refused_with_the_cure(cli: Cli, photo: Path, tmp_path: Path) -> None:
    result = cli("parse", photo, "-o", tmp_path / "out")
    assert result.code == 2
    assert f"{tmp_path / 'out'}: has no suffix" in result.err
    assert "out/ for a folder" in result.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [("--order", "nosuch"), ("--model", "absent.onnx"), ("--classes", "wings")])
def test_an_output_folder_is_made_only_when_there_is_something_to_put_into_it(
    cli: Cli, photos: Path, tmp_path: Path, options: tuple[str, str]
) -> None:
    assert cli("parse", photos, "-o", tmp_path / "out", *options).code in (1, 2)
    assert not (tmp_path / "out").exists()


def test_a_folder_whose_only_picture_is_bad_still_gives_its_json(cli: Cli, photos: Path, tmp_path: Path) -> None:
    (photos / "a.jpg").unlink()
    (photos / "b.png").write_bytes(b"no picture")
    result = cli("parse", photos, "-o", tmp_path / "out", "--json", tmp_path / "all.json")
    assert result.code == 1
    document = json.loads((tmp_path / "all.json").read_text())
    assert (document["photos"], len(document["failed"])) == ([], 1)


def test_a_glob_leaves_out_what_is_no_picture(cli: Cli, photos: Path, tmp_path: Path) -> None:
    result = cli("parse", photos / "*", "-o", tmp_path / "out")
    assert result.code == 0, result.err
    assert names(tmp_path / "out") == ["a.jpg", "b.png"]


def test_a_glob_that_matches_one_picture_still_wants_a_folder(cli: Cli, photos: Path, tmp_path: Path) -> None:
    assert cli("parse", photos / "*.jpg", "-o", tmp_path / "out").code == 0
    assert names(tmp_path / "out") == ["a.jpg"]


def test_an_order_renumbers_the_result(cli: Cli, photo: Path, parser: FaceParser, tmp_path: Path) -> None:
    target = tmp_path / "mask.png"
    result = cli("parse", photo, "-o", target, "--visualize", "mask", "--order", "lapa", "--json", tmp_path / "a.json")
    assert result.code == 0, result.err
    labels = pixels(target)
    assert np.array_equal(labels, parser(photo).remap("lapa").labels)
    assert not np.array_equal(labels, parser(photo).labels)
    (document,) = json.loads((tmp_path / "a.json").read_text())["photos"]
    assert document["label_order"] == "lapa"
    assert list(document["areas"]) == list(label_set("lapa").classes)


def test_another_model_is_taken(cli: Cli, photo: Path, tmp_path: Path) -> None:
    model = tmp_path / "copy.onnx"
    model.symlink_to(zoo.DEFAULT_MODEL)
    arguments = ("parse", photo, "--json", "-", "--model", model, "--threads", 1)
    assert json.loads(cli(*arguments).out)["photos"][0]["engine"] == "onnxruntime on cpu"
    model.unlink()
    assert cli(*arguments).code == 1


def test_a_folder_becomes_a_folder(cli: Cli, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    result = cli("parse", photos, "-o", out)
    assert (result.code, result.err) == (0, "")
    assert names(out) == ["a.jpg", "b.png"]
    assert len(result.out.splitlines()) == 2
    result = cli("parse", photos, "-o", f"{out}/", "--visualize", "mask")
    assert result.code == 0, result.err
    assert names(out) == ["a.jpg", "a.png", "b.png"]
    assert pixels(out / "a.png").ndim == 2


def test_a_folder_with_one_picture_is_a_folder_still(cli: Cli, photos: Path, tmp_path: Path) -> None:
    (photos / "a.jpg").unlink()
    assert cli("parse", photos, "-o", tmp_path / "out").code == 0
    assert names(tmp_path / "out") == ["b.png"]


def test_a_glob_takes_what_it_matches(cli: Cli, photos: Path, tmp_path: Path) -> None:
    result = cli("parse", photos / "*.jpg", "-o", f"{tmp_path / 'out'}/")
    assert result.code == 0, result.err
    assert names(tmp_path / "out") == ["a.jpg"]
    result = cli("parse", tmp_path / "**" / "*.png", "-o", tmp_path / "out", "--visualize", "mask")
    assert result.code == 0, result.err
    assert names(tmp_path / "out") == ["a.jpg", "b.png", "photo.png"]


def test_several_sources_are_one_list(cli: Cli, photo: Path, photos: Path, tmp_path: Path) -> None:
    """As an unquoted pattern gives them, or a folder, a pattern and a list together."""
    result = cli("parse", photos / "a.jpg", photos / "b.png", "-o", f"{tmp_path / 'out'}/")
    assert (result.code, result.err) == (0, "")
    assert names(tmp_path / "out") == ["a.jpg", "b.png"]
    (tmp_path / "list.txt").write_text(f"{photo.name}\n")
    sources = (photos / "*.jpg", photos / "b.png", tmp_path / "list.txt")
    result = cli("parse", *sources, "-o", tmp_path / "all", "--jsonl", tmp_path / "all.jsonl")
    assert result.code == 0, result.err
    assert names(tmp_path / "all") == ["a.jpg", "b.png", "photo.png"]
    found = [json.loads(line)["source"] for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert found == [str(photos / "a.jpg"), str(photos / "b.png"), str(photo)]


def test_a_bad_one_of_several_sources_is_skipped(cli: Cli, photos: Path, tmp_path: Path) -> None:
    result = cli("parse", tmp_path / "absent.jpg", photos / "a.jpg", "-o", tmp_path / "out")
    assert (result.code, names(tmp_path / "out")) == (1, ["a.jpg"])
    assert result.err.splitlines()[-1] == "1 of 2 pictures could not be parsed"


def test_one_of_several_sources_is_never_overwritten(cli: Cli, photos: Path) -> None:
    before = (photos / "b.png").read_bytes()
    for options in (("-o", photos), ("--jsonl", photos / "b.png")):
        result = cli("parse", photos / "a.jpg", photos / "b.png", *options)
        assert result.code == 2
        assert "is the picture itself" in result.err or "is the source itself" in result.err
    assert (photos / "b.png").read_bytes() == before


def test_a_glob_that_matches_nothing_is_said(cli: Cli, photos: Path, tmp_path: Path) -> None:
    result = cli("parse", photos / "*.tiff", "-o", tmp_path / "out")
    assert (result.code, result.out) == (1, "")
    assert "*.tiff: matches no file" in result.err
    assert not (tmp_path / "out").exists()


def test_a_name_with_glob_letters_is_a_name_first(cli: Cli, photo: Path, tmp_path: Path) -> None:
    odd = photo.rename(tmp_path / "photo[1].png")
    assert cli("parse", odd, "-o", tmp_path / "overlay.png").code == 0


def test_a_file_goes_into_a_folder_under_its_own_name(cli: Cli, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    assert cli("parse", photo, "-o", tmp_path / "out").code == 0
    assert cli("parse", photo, "-o", f"{tmp_path / 'new'}/").code == 0
    assert names(tmp_path / "out") == names(tmp_path / "new") == ["photo.png"]


def test_standard_input_to_standard_output(script: Cli, photo: Path, parser: FaceParser) -> None:
    done = script(f"segface-edge parse - -o - --visualize mask < {shlex.quote(str(photo))} | cat")
    assert (done.returncode, done.stderr) == (0, b"")
    with Image.open(io.BytesIO(done.stdout)) as picture:
        assert picture.format == "PNG"
        assert np.array_equal(np.array(picture), parser(photo).labels)


def test_standard_input_into_a_folder_and_json(script: Cli, photo: Path, tmp_path: Path) -> None:
    done = script(f"cat {shlex.quote(str(photo))} | segface-edge parse - -o out/ --json -")
    assert (done.returncode, done.stderr) == (0, b"")
    (document,) = json.loads(done.stdout)["photos"]
    assert document["source"] == "standard input"
    assert names(tmp_path / "out") == ["stdin.png"]


@pytest.mark.parametrize("content", ["", "hello"])
def test_bad_standard_input_is_named(script: Cli, content: str) -> None:
    done = script(f"printf '{content}' | segface-edge parse - -o -")
    assert (done.returncode, done.stdout) == (1, b"")
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("error: standard input: ")


def test_json_tells_what_was_found(cli: Cli, photo: Path, parser: FaceParser) -> None:
    result = cli("parse", photo, "--json", "-")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    (found,) = document["photos"]
    face = parser(photo)
    assert document["failed"] == []
    assert found == {
        "source": str(photo),
        "output": None,
        "width": 120,
        "height": 160,
        "label_order": "segface",
        "areas": face.areas(),
        "present": face.present(),
        "faces": found["faces"],
        "turn": 0,
        "locator": "yunet",
        "timings_ms": found["timings_ms"],
        "engine": "onnxruntime on cpu",
    }
    (box,) = face.faces
    assert box.landmarks is not None
    assert found["faces"] == [
        {
            "box": [round(edge, 1) for edge in (box.left, box.top, box.right, box.bottom)],
            "score": round(box.score, 3),
            "landmarks": [[round(x, 1), round(y, 1)] for x, y in box.landmarks],
            "turn": 0,
        }
    ]
    assert list(found["timings_ms"]) == ["decode", "locate", "fit", "inference", "restore"]
    assert all(milliseconds > 0 for milliseconds in found["timings_ms"].values())
    assert sum(found["areas"].values()) == 120 * 160


def test_json_may_go_into_the_folder_that_is_made(cli: Cli, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = cli("parse", photos, "-o", out, "--json", out / "result.json")
    assert result.code == 0, result.err
    assert len(result.out.splitlines()) == 2
    outputs = [found["output"] for found in json.loads((out / "result.json").read_text())["photos"]]
    assert outputs == [str(out / "a.jpg"), str(out / "b.png")]


def test_picture_to_standard_output_and_json_to_a_file(script: Cli, photo: Path, tmp_path: Path) -> None:
    done = script(f"segface-edge parse {shlex.quote(str(photo))} -o - --json result.json")
    assert (done.returncode, done.stderr) == (0, b"")
    with Image.open(io.BytesIO(done.stdout)) as picture:
        picture.load()
    # The picture, the whole picture, and nothing but the picture.
    assert done.stdout.endswith(b"IEND\xaeB`\x82")
    assert json.loads((tmp_path / "result.json").read_text())["photos"][0]["width"] == 120


def test_bad_pictures_among_good_ones_are_listed_and_skipped(cli: Cli, photos: Path, tmp_path: Path) -> None:
    (photos / "0-text.jpg").write_text("hello")
    (photos / "c-cut.jpg").write_bytes((photos / "a.jpg").read_bytes()[:1500])
    result = cli("parse", photos, "-o", tmp_path / "out", "--json", tmp_path / "result.json")
    assert result.code == 1
    assert names(tmp_path / "out") == ["a.jpg", "b.png"]
    assert len(result.out.splitlines()) == 2
    first, second, last = result.err.splitlines()
    assert first.startswith(f"error: {photos / '0-text.jpg'}: is not a picture")
    assert second.startswith(f"error: {photos / 'c-cut.jpg'}: is damaged")
    assert last == "2 of 4 pictures could not be parsed"
    document = json.loads((tmp_path / "result.json").read_text())
    assert len(document["photos"]) == 2
    assert [failed["source"] for failed in document["failed"]] == [
        str(photos / "0-text.jpg"),
        str(photos / "c-cut.jpg"),
    ]


def test_a_picture_is_never_overwritten_by_its_result(cli: Cli, photo: Path, photos: Path, tmp_path: Path) -> None:
    before = photo.read_bytes()
    (tmp_path / "link.png").symlink_to(photo)
    for target in (photo, tmp_path / "link.png", tmp_path):
        result = cli("parse", photo, "-o", target)
        assert (result.code, result.out) == (2, "")
        assert "is the picture itself" in result.err
    result = cli("parse", photos, "-o", photos)
    assert result.code == 2
    assert "a.jpg: is the picture itself" in result.err
    assert photo.read_bytes() == before
    assert names(photos) == ["a.jpg", "b.png", "notes.txt"]


def test_pictures_of_one_stem_do_not_share_a_result(cli: Cli, photos: Path, tmp_path: Path) -> None:
    (photos / "b.png").rename(photos / "a.png")
    out = tmp_path / "out"
    result = cli("parse", photos, "-o", out, "--visualize", "mask")
    assert result.code == 0, result.err
    assert names(out) == ["a.jpg.png", "a.png.png"]
    assert not np.array_equal(pixels(out / "a.jpg.png"), pixels(out / "a.png.png"))
    assert cli("parse", photos, "-o", out).code == 0
    assert names(out) == ["a.jpg", "a.jpg.png", "a.png", "a.png.png"]


def test_results_that_would_overwrite_each_other_are_refused(cli: Cli, photos: Path, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "face.png").write_bytes((photos / "b.png").read_bytes())
    result = cli("parse", tmp_path / "*" / "face.png", "-o", tmp_path / "out")
    assert (result.code, result.out) == (2, "")
    assert "face.png.png: would be the result of 2 pictures" in result.err
    assert not (tmp_path / "out").exists()
    for name in ("a.png", "a.jpg.png"):
        (photos / name).write_bytes((photos / "b.png").read_bytes())
    result = cli("parse", photos, "-o", tmp_path / "out", "--visualize", "cutout")
    assert result.code == 2
    assert "a.jpg.png: would be the result of 2 pictures" in result.err


def test_several_pictures_need_a_folder(cli: Cli, photos: Path, tmp_path: Path) -> None:
    file = tmp_path / "out.png"
    file.write_bytes(b"mine")
    result = cli("parse", photos, "-o", file)
    assert (result.code, result.out) == (2, "")
    assert f"{file}: is a file" in result.err
    assert file.read_bytes() == b"mine"
    result = cli("parse", photos, "-o", tmp_path / "new.png")
    assert result.code == 2
    assert "new.png: is the name of one picture" in result.err
    assert not (tmp_path / "new.png").exists()
    assert "cannot take 2 pictures" in cli("parse", photos, "-o", "-").err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "give -o OUT or --json -"),
        (["-o", ""], "give -o OUT or --json -"),
        (["-o", "-", "--json", "-"], "cannot share standard output"),
        (["-o", "mask.jpg", "--visualize", "mask"], "save masks as .png"),
        (["-o", "cutout.jpg", "--visualize", "cutout"], "has no transparency"),
        (["-o", "overlay.txt"], "'.txt': is not a picture format"),
        (["-o", "overlay"], "overlay: has no suffix"),
        (["-o", "x.png", "--visualize", "masks"], "masks"),
        (["-o", "x.png", "--alpha", "1.5"], "--alpha"),
        (["-o", "x.png", "--classes", "hair,beard"], "class 'beard': is not in the label order 'segface'"),
        (["-o", "x.png", "--classes", "hat", "--order", "lapa"], "class 'hat': is not in the label order 'lapa'"),
        (["-o", "x.png", "--order", "coco"], "label order 'coco': is unknown; use one of: segface, "),
        (["-o", "x.png", "--device", "tpu"], "device 'tpu'"),
        (["-o", "x.png", "--threads", "0"], "--threads"),
        (["-o", "x.png", "--threads", "1000"], "--threads"),
        (["-o", "x.png", "--max-pixels", "0"], "--max-pixels"),
        (["-o", "x.png", "--model", "model.rknn"], "no engine runs '.rknn' files"),
    ],
)
def test_options_that_do_not_exist_or_fit_are_refused(
    cli: Cli, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = names(tmp_path)
    result = cli("parse", photo, *options)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert names(tmp_path) == before


def test_an_empty_source_is_not_this_folder(cli: Cli, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photo.parent)
    result = cli("parse", "", "-o", "out")
    assert (result.code, result.out) == (1, "")
    assert "is empty" in result.err
    assert names(photo.parent) == ["photo.png"]


def test_cuda_without_cuda_is_an_error_and_not_the_cpu(cli: Cli, photo: Path, tmp_path: Path) -> None:
    ort = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    result = cli("parse", photo, "-o", tmp_path / "x.png", "--device", "cuda")
    assert (result.code, result.out) == (3, "")
    assert "pip install onnxruntime-gpu" in result.err


def test_a_folder_goes_on_where_it_was_stopped(cli: Cli, photos: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli("parse", photos, "-o", out).code == 0
    made = sorted(out.iterdir())
    before = made[0].stat().st_mtime_ns
    made[-1].unlink()
    again = cli("parse", photos, "-o", out, "--skip-existing", "--json", "-")
    assert again.code == 0
    assert again.err.splitlines() == [f"{len(made) - 1} of {len(made)} are there already"]
    assert [found["output"] for found in json.loads(again.out)["photos"]] == [str(made[-1])]
    assert (sorted(out.iterdir()), made[0].stat().st_mtime_ns) == (made, before)
    done = cli("parse", photos, "-o", out, "--skip-existing", "--json", "-")
    assert (done.code, json.loads(done.out)) == (0, {"photos": [], "failed": []})


def test_lines_of_photos_are_kept_and_added_to(cli: Cli, photos: Path, tmp_path: Path) -> None:
    """What counts as done has both its picture and its line."""
    out, lines = tmp_path / "out", tmp_path / "out.jsonl"
    (photos / "c.png").write_bytes(b"no picture")
    arguments = ("parse", photos, "-o", out, "--jsonl", lines, "--skip-existing")
    done = cli(*arguments)
    assert (done.code, done.err.splitlines()[-1]) == (1, "1 of 3 pictures could not be parsed")
    first = lines.read_text().splitlines()
    assert [Path(json.loads(line)["source"]).name for line in first] == ["a.jpg", "b.png"]

    lines.write_text(first[1] + "\n")  # a.jpg has its picture and no line
    (photos / "c.png").write_bytes((photos / "b.png").read_bytes())
    done = cli(*arguments)
    assert (done.code, done.err) == (0, "1 of 3 are there already\n")
    again = lines.read_text().splitlines()
    assert again[0] == first[1]
    assert [Path(json.loads(line)["source"]).name for line in again] == ["b.png", "a.jpg", "c.png"]

    alone = tmp_path / "alone.jsonl"
    assert cli("parse", photos, "--jsonl", alone).code == 0
    done = cli("parse", photos, "--jsonl", alone, "--skip-existing")
    assert (done.code, done.err) == (0, "3 of 3 are there already\n")

    lines.write_text("[1]\n")
    done = cli(*arguments)
    assert (done.code, len(done.err.splitlines()), "line 1 is of no photo" in done.err) == (1, 1, True)
    assert lines.read_text() == "[1]\n"


@pytest.mark.parametrize("options", [("--json", "-"), ("--jsonl", "-"), ("-o", "-"), ("--json", "all.json")])
def test_what_is_there_is_told_by_files(
    cli: Cli, photo: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, str]
) -> None:
    monkeypatch.chdir(photo.parent)
    done = cli("parse", photo, *options, "--skip-existing")
    assert (done.code, done.out) == (2, "")
    assert "--skip-existing: goes by results in files, and none is named; give -o or --jsonl" in done.err
    assert names(photo.parent) == ["photo.png"]


def test_lines_to_standard_output_leave_pictures_to_tell_what_is_done(cli: Cli, photos: Path, tmp_path: Path) -> None:
    arguments = ("parse", photos, "-o", tmp_path / "out", "--jsonl", "-", "--skip-existing")
    assert len(cli(*arguments).out.splitlines()) == 2
    done = cli(*arguments)
    assert (done.code, done.out, done.err) == (0, "", "2 of 2 are there already\n")


def test_a_line_whose_picture_is_gone_is_written_once(cli: Cli, photos: Path, tmp_path: Path) -> None:
    out, lines = tmp_path / "out", tmp_path / "out.jsonl"
    arguments = ("parse", photos, "-o", out, "--jsonl", lines, "--skip-existing")
    assert cli(*arguments).code == 0
    (out / "a.jpg").unlink()
    with lines.open("a") as file:
        file.write('{"source": "cut o')  # the power went
    assert cli(*arguments).code == 0
    assert [Path(json.loads(line)["source"]).name for line in lines.read_text().splitlines()] == ["b.png", "a.jpg"]


def test_who_reads_enough_lines_is_no_error(script: Cli, photos: Path) -> None:
    done = script(f"segface-edge parse {shlex.quote(str(photos))} --jsonl - | head -c 10")
    assert (done.stdout, b"error" in done.stderr) == (b'{"source":', False)


def test_lines_that_somebody_removes_are_not_lost_in_silence(tmp_path: Path) -> None:
    lines = Lines(tmp_path / "out.jsonl")
    lines.write({"source": "a"})
    (tmp_path / "out.jsonl").unlink()
    with pytest.raises(InputError, match=r"out\.jsonl: was removed while it was written"):
        lines.write({"source": "b"})
    lines.close()
