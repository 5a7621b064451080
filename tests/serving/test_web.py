"""`segface-edge export --web`: what is in the folder, and what it is not written for."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from segface_edge import zoo
from segface_edge.engines import open_engine
from segface_edge.serving import web
from segface_edge.serving.onnx_bytes import any_size, names_of

from .package import DEVICES, runtime

Cli = Callable[..., Any]
TinyModel = Callable[..., Path]


@pytest.fixture
def exported(tmp_path: Path, tiny_model: TinyModel, cli: Cli) -> Path:
    """The page of a tiny model."""
    model, package = tiny_model(tmp_path / "faces.onnx"), runtime(tmp_path / "package")
    result = cli("export", "--web", tmp_path / "page", "--model", model, "--web-runtime", package)
    assert (result.code, result.err) == (0, "")
    assert f"wrote {tmp_path / 'page'}: a page of" in result.out
    assert "onnxruntime-web 9.8.7 (WASM and WebGPU)" in result.out
    return tmp_path / "page"


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_every_file_is_there_and_is_what_the_page_is_told(exported: Path, tmp_path: Path) -> None:
    document = json.loads((exported / "page.json").read_text())
    assert set(document["files"]) | {"page.json"} == names(exported)
    for name, said in document["files"].items():
        content = (exported / name).read_bytes()
        assert said == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert (exported / "model.onnx").read_bytes() == (tmp_path / "faces.onnx").read_bytes()
    assert (exported / "runtime" / "ort.wasm.min.mjs").is_file()
    assert document["runtime"] == {
        "version": "9.8.7",
        **{name: {"script": f"ort.{name}.min.mjs", "wasm": f"{start}.wasm"} for name, start in DEVICES.items()},
    }
    assert [one["name"] for one in document["classes"]] == ["background", "skin", "hair"]
    assert document["size"] == 32
    assert not list(tmp_path.glob(".page*"))


def test_every_name_in_the_page_is_one_of_its_files(exported: Path) -> None:
    there = names(exported)
    wanted = set(re.findall(r'(?:src|href)="([^"]+)"', (exported / "index.html").read_text()))
    for path in exported.glob("*.js"):
        text = path.read_text()
        wanted |= set(re.findall(r'from "\./([^"]+)"', text)) | set(re.findall(r'new URL\("([\w.-]+)", import', text))
    assert {"page.js", "page.css", "logo.svg", "opened.js", "worker.js", "engine.js", "connection.js"} <= wanted
    assert wanted <= there
    written = "".join((exported / name).read_text() for name in there if name.endswith((".js", ".html", ".css")))
    assert set(re.findall(r"https?://[\w.]+", written)) <= {"http://127.0.0.1", "http://localhost", "http://www.w3.org"}
    assert "Content-Security-Policy" in (exported / "index.html").read_text()


def test_the_check_is_a_square_and_the_labels_of_it(exported: Path) -> None:
    content = np.frombuffer((exported / "check.bin").read_bytes(), np.uint8)
    square, labels = content[: 3 * 32 * 32].reshape(32, 32, 3), content[3 * 32 * 32 :].reshape(32, 32)
    with open_engine(exported / "model.onnx") as engine:
        assert np.array_equal(engine.run(square[None]).labels[0], labels)
    assert len(np.unique(labels)) > 1


def test_terms_and_licences_are_beside_what_they_are_of(tmp_path: Path, cli: Cli) -> None:
    package = runtime(tmp_path / "package", "wasm")
    command = ("export", "--web", tmp_path / "page", "--model", zoo.DEFAULT_MODEL, "--web-runtime", package)
    document = json.loads(cli(*command, "--json", "-").out)
    assert document == {"path": str(zoo.DEFAULT_MODEL), "web": str(tmp_path / "page")}
    said = json.loads((tmp_path / "page" / "page.json").read_text())
    assert "non-commercial" in said["terms"]
    assert said["terms"] in (tmp_path / "page" / "licences.txt").read_text()
    assert "Apache License" in (tmp_path / "page" / "licences-yunet.txt").read_text()
    assert "webgpu" not in said["runtime"]


def test_the_detector_takes_pictures_of_any_size(tmp_path: Path) -> None:
    path = tmp_path / "faces.onnx"
    path.write_bytes(any_size(zoo.DETECTOR.read_bytes()))
    free, fixed = (
        onnxruntime.InferenceSession(one, providers=["CPUExecutionProvider"]) for one in (path, zoo.DETECTOR)
    )
    picture = np.random.default_rng(0).uniform(0, 255, (1, 3, 640, 640)).astype(np.float32)
    for found, wanted in zip(free.run(None, {"input": picture}), fixed.run(None, {"input": picture}), strict=True):
        assert np.array_equal(found, wanted)
    assert free.run(["cls_8"], {"input": picture[:, :, :96, :320]})[0].shape == (1, 12 * 40, 1)
    for bad in (b"\xff" * 20, zoo.DETECTOR.read_bytes()[:1000]):
        with pytest.raises(ValueError, match="no protobuf message"):
            any_size(bad)


def test_what_the_gpu_computes_wrong_is_named(tmp_path: Path, tiny_model: TinyModel) -> None:
    found = names_of(zoo.DEFAULT_MODEL.read_bytes(), "Resize")
    assert found == [f"node_upsample_bilinear2d{end}" for end in ("", "_1", "_2")]
    assert names_of(tiny_model(tmp_path / "m.onnx").read_bytes(), "Resize") == []


def test_a_page_is_replaced_whole(exported: Path, tmp_path: Path, tiny_model: TinyModel, cli: Cli) -> None:
    old = names(exported)
    model = tiny_model(tmp_path / "other.onnx", size=64)
    package = runtime(tmp_path / "newer", "wasm", version="10.0.0")
    assert cli("export", "--web", exported, "--model", model, "--web-runtime", package).code == 0
    document = json.loads((exported / "page.json").read_text())
    assert (document["model"], document["size"], document["runtime"]["version"]) == ("other.onnx", 64, "10.0.0")
    assert old - names(exported) == {f"runtime/{name}" for name in ("ort.webgpu.min.mjs", *_asyncify())}


def _asyncify() -> list[str]:
    return [f"{DEVICES['webgpu']}.{suffix}" for suffix in ("mjs", "wasm")]


def test_a_page_that_cannot_be_finished_leaves_the_old_one(
    exported: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: (exported / name).read_bytes() for name in names(exported)}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(web.shutil, "copyfile", full)
    command = ("export", "--web", exported, "--model", tmp_path / "faces.onnx", "--web-runtime", tmp_path / "package")
    result = cli(*command)
    assert (result.code, result.err) == (
        1,
        f"error: {exported}: cannot be written (no space left on device); make room, or choose another place\n",
    )
    assert {name: (exported / name).read_bytes() for name in names(exported)} == before
    assert not list(tmp_path.glob(".page*"))


def test_a_file_that_somebody_takes_away_meanwhile_is_missed(
    exported: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = web.shutil.copyfile

    def taken(source: Path, target: Path) -> None:
        copy(source, target)
        if target.name == "LICENSE":
            target.unlink()

    monkeypatch.setattr(web.shutil, "copyfile", taken)
    monkeypatch.setattr(web, "_document", lambda *_: {})
    command = ("export", "--web", tmp_path / "new", "--model", tmp_path / "faces.onnx")
    result = cli(*command, "--web-runtime", tmp_path / "package")
    assert (result.code, result.out) == (1, "")
    assert "lacks runtime/LICENSE, which was removed meanwhile; write it again" in result.err
    assert not (tmp_path / "new").exists()
    assert exported.is_dir()


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("--web", "p", "--model", "m.onnx"), 3, "--web: onnxruntime-web is not in ./node_modules; npm install"),
        (("--web", "p", "--web-runtime", "none"), 1, "none: no such folder; name the folder of onnxruntime-web"),
        (("--web", "p", "--web-runtime", "other"), 1, "other: is no folder of onnxruntime-web (it lacks ort.wasm.min"),
        (("--web", "p", "--web-runtime", "broken"), 1, "broken/dist: lacks ort-wasm-simd-threaded.wasm; npm install"),
        (("--web", "p", "--web-runtime", "strange"), 1, "strange/ort.wasm.min.mjs: is no script of onnxruntime-web"),
        (("--web", "m.onnx", "--web-runtime", "package"), 1, "m.onnx: is a file; name a folder"),
        (("--web", "other", "--web-runtime", "package"), 1, "other: is a folder of other files; name a new"),
        (("--web", "p", "--web-runtime", "package", "--model", "m.plan"), 2, "m.plan: '.plan' files do not run in"),
        (("--web", "p", "--web-runtime", "package", "--model", "m.onnx", "--imgsz", 64), 2, "--model and --imgsz: con"),
        (("--web-runtime", "package"), 2, "--web-runtime: is for a page; give --web DIR too"),
        (("--model", "m.onnx"), 2, "--model: is for a model repository or a page; give --triton DIR or --web DIR"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(
    tmp_path: Path,
    tiny_model: TinyModel,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[object, ...],
    code: int,
    problem: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    tiny_model(tmp_path / "m.onnx")
    (tmp_path / "m.plan").write_text("plan")
    runtime(tmp_path / "package")
    (runtime(tmp_path / "broken") / "dist" / f"{DEVICES['wasm']}.wasm").unlink()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    (tmp_path / "strange").mkdir()
    (tmp_path / "strange" / "ort.wasm.min.mjs").write_text("something else")
    before = names(tmp_path)
    result = cli("export", *arguments)
    assert (result.code, result.err[: len(problem) + 7]) == (code, f"error: {problem}")
    assert result.err.count("\n") == 1
    assert names(tmp_path) == before
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"batch": 4}, "takes 4 frames a call, a page has one; export it with --batch 1 or --dynamic"),
        ({"outputs": ("logits",)}, "gives no labels; export it with --output labels"),
    ],
)
def test_files_that_the_page_cannot_show(
    tmp_path: Path, tiny_model: TinyModel, cli: Cli, options: dict[str, Any], problem: str
) -> None:
    model, package = tiny_model(tmp_path / "m.onnx", **options), runtime(tmp_path / "package")
    result = cli("export", "--web", tmp_path / "page", "--model", model, "--web-runtime", package)
    assert (result.code, result.err) == (5, f"error: {model}: {problem}\n")
    assert not (tmp_path / "page").exists()


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        (("--batch", 4), "takes 4 frames a call, a page has one; export it with --batch 1 or --dynamic"),
        (("--output", "logits"), "gives no labels; export it with --output labels"),
        (
            ("--graph", "reference"),
            "is of the reference graph, which takes numbers in place of pictures; export it",
        ),
    ],
)
def test_an_export_that_the_page_could_not_show_is_not_begun(
    tmp_path: Path, cli: Cli, options: tuple[object, ...], problem: str
) -> None:
    pytest.importorskip("segface_edge.export.pipeline", reason="export needs torch and onnx")
    package = runtime(tmp_path / "package")
    result = cli("export", "--web", tmp_path / "page", "--web-runtime", package, *options, "-o", tmp_path / "m.onnx")
    assert result.code == 2
    assert result.err.startswith(f"error: --web: the file {problem}")
    assert not (tmp_path / "page").exists()


def test_what_somebody_put_beside_the_page_is_not_deleted(exported: Path, tmp_path: Path, cli: Cli) -> None:
    (exported / "CNAME").write_text("faces.example.org")
    command = ("export", "--web", exported, "--model", tmp_path / "faces.onnx", "--web-runtime", tmp_path / "package")
    result = cli(*command)
    assert result.code == 1
    assert "holds CNAME, which is not the page's; move it, or name another folder" in result.err
    assert (exported / "CNAME").is_file()


def test_an_installed_runtime_is_found_and_an_empty_folder_filled(
    tmp_path: Path, tiny_model: TinyModel, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runtime(tmp_path / "node_modules" / "onnxruntime-web", "wasm")
    tiny_model(tmp_path / "m.onnx")
    (tmp_path / "page").mkdir()
    result = cli("export", "--web", "page", "--model", "m.onnx")
    assert (result.code, result.err) == (0, "")
    assert "onnxruntime-web 9.8.7 (WASM)" in result.out


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable(tmp_path: Path, tiny_model: TinyModel, cli: Cli) -> None:
    model, package = tiny_model(tmp_path / "m.onnx"), runtime(tmp_path / "package")
    (tmp_path / "shut").mkdir(mode=0o500)
    result = cli("export", "--web", tmp_path / "shut" / "page", "--model", model, "--web-runtime", package)
    assert result.code == 1
    assert "shut is not writable); choose another place" in result.err
