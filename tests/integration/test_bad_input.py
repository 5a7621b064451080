"""Bad input ends with one line that names it, says what is wrong and what to do; nothing is left behind."""

from __future__ import annotations

import errno
import json
import os
import pickle
import shutil
import struct
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.cli import COMMANDS, app
from segface_edge.cli.options import ModelFile, ModelWord
from segface_edge.errors import ImageError
from segface_edge.evaluation import parity
from segface_edge.spec import METADATA_KEY
from tests.serving.package import runtime as web_package

Refuses = Callable[..., str]

BAD_INPUT, USAGE, PARITY, INCOMPATIBLE = 1, 2, 4, 5


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a good photo in it; temporary files go into its `temp`."""
    (tmp_path / "temp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    monkeypatch.chdir(tmp_path)
    with Image.open(zoo.PORTRAIT) as picture:
        picture.resize((96, 96)).save("photo.png")
    return tmp_path


@pytest.fixture
def refuses(here: Path, cli: Callable[..., Any]) -> Refuses:
    """Runs a command line that must fail as documented; returns what it said."""

    def state() -> dict[Path, tuple[int, int]]:
        return {
            path: (path.stat().st_mtime_ns, path.stat().st_size)
            for path in here.rglob("*")
            if path.parent != here and "torchinductor" not in path.name  # torch's own, made when it is imported
        } | {path: (0, path.stat().st_size) for path in here.iterdir()}

    def run(code: int, *arguments: object, saying: tuple[str, ...]) -> str:
        before = state()
        result = cli(*arguments)
        lines = [line for line in result.err.splitlines() if not line.startswith("…")]
        assert result.code == code, result.err
        assert result.out == ""
        assert len(lines) == 1, result.err
        assert lines[0].startswith("error: ")
        assert "Traceback" not in result.err
        what, separator, cure = lines[0].removeprefix("error: ").rpartition("; ")
        assert separator, "the cure is missing"
        assert what
        assert cure
        for words in saying:
            assert words in lines[0]
        assert state() == before, "something was left behind or changed"
        return lines[0]

    return run


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises so many pixels and has none."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")


def one_pixel() -> bytes:
    Image.new("RGB", (1, 1)).save("one.png")
    content = Path("one.png").read_bytes()
    Path("one.png").unlink()
    return content


BAD_PICTURES: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "text": ("text.jpg", lambda: b"this is text, whatever its name says\n", "is not a picture that can be read"),
    "truncated": ("cut.png", lambda: Path("photo.png").read_bytes()[:2000], "is damaged"),
    "empty": ("empty.jpg", lambda: b"", "is empty (0 bytes)"),
    "one pixel": ("dot.png", one_pixel, "is only 1 x 1 pixels"),
    "over the limit": ("big.png", lambda: png_header(12_000, 12_000), "12000 x 12000 pixels, over the limit"),
    "far over the limit": ("huge.png", lambda: png_header(60_000, 60_000), "60000 x 60000 pixels, over 500000000"),
}


@pytest.mark.parametrize("kind", BAD_PICTURES)
def test_bad_pictures(refuses: Refuses, kind: str) -> None:
    name, content, problem = BAD_PICTURES[kind]
    Path(name).write_bytes(content())
    refuses(BAD_INPUT, "parse", name, "-o", "out.png", saying=(name, problem))
    refuses(BAD_INPUT, "parse", name, "--json", "out.json", saying=(name, problem))
    refuses(BAD_INPUT, "bench", "--image", name, "--json", "out.json", saying=(name, problem))


def test_a_bad_picture_in_a_data_set(refuses: Refuses, labelled: Path) -> None:
    bad = labelled / "images" / "1.png"
    bad.write_text("text")
    arguments = ("eval", "--data", labelled, "--label-order", "celebamask-hq", "--json", "out.json")
    refuses(BAD_INPUT, *arguments, saying=(str(bad), "is not a picture"))


def test_the_pixel_limit_is_the_user_s(refuses: Refuses) -> None:
    arguments = ("parse", "photo.png", "-o", "out.png", "--max-pixels", 1000)
    refuses(BAD_INPUT, *arguments, saying=("photo.png", "96 x 96 pixels, over the limit of 1000", "raise --max-pixels"))


@pytest.mark.parametrize(
    ("array", "cure"),
    [
        (np.zeros((64, 64, 3), np.float32), "array.astype(np.uint8)"),
        (np.zeros((64, 64, 3), np.int64), "array.astype(np.uint8)"),
        (np.zeros((64, 64), np.uint8), "three channels"),
        (np.zeros((3, 64, 64), np.uint8), "three channels last"),
        (np.zeros((0, 0, 3), np.uint8), "16 x 16"),
    ],
    ids=lambda value: f"{value.shape} {value.dtype}" if isinstance(value, np.ndarray) else "",
)
def test_bad_arrays(parser: FaceParser, array: np.ndarray, cure: str) -> None:
    with pytest.raises(ImageError) as caught:
        parser(array)
    assert caught.value.exit_code == BAD_INPUT
    assert str(array.shape) in str(caught.value)
    assert cure in caught.value.cure


def test_a_folder_without_pictures(refuses: Refuses, here: Path, labelled: Path) -> None:
    folder = here / "nothing"
    folder.mkdir()
    (folder / "notes.txt").write_text("no picture")
    refuses(BAD_INPUT, "parse", folder, "-o", "out", saying=(str(folder), "holds no pictures"))
    refuses(BAD_INPUT, "eval", "--data", folder, saying=(str(folder), "is of no known layout", "images/NAME"))
    for path in (labelled / "images").iterdir():
        path.unlink()
    refuses(BAD_INPUT, "eval", "--data", labelled, saying=(str(labelled / "images"), "holds no pictures"))


def test_bad_label_maps(refuses: Refuses, labelled: Path) -> None:
    labels = labelled / "labels" / "0.png"
    Image.new("RGB", (256, 256)).save(labels)
    refuses(BAD_INPUT, "eval", "--data", labelled, saying=(str(labels), "mode RGB"))
    Image.new("L", (256, 256), 77).save(labels)
    refuses(BAD_INPUT, "eval", "--data", labelled, saying=(str(labels), "has the id 77", "--label-order"))
    labels.write_bytes(labels.read_bytes()[:60])
    refuses(BAD_INPUT, "eval", "--data", labelled, saying=(str(labels), "is not a label map"))
    labels.unlink()
    refuses(BAD_INPUT, "eval", "--data", labelled, saying=(str(labels), "no such file (1 of 2 photos"))


def uses_of(model: object, data: Path) -> Iterator[tuple[object, ...]]:
    """Every command that opens a model."""
    yield "info", model, "--json", "out.json"
    if find_spec("onnxscript"):
        yield "estimate", model, "--device", "l4", "--json", "out.json"
    yield "parse", "photo.png", "-o", "out.png", "--model", model
    yield "bench", "--engine", model, "--duration", 0, "--warmup", 0, "--json", "out.json"
    yield "eval", "--model", model, "--data", data, "--label-order", "celebamask-hq", "--json", "out.json"


@pytest.mark.parametrize("damage", ["empty", "text", "web page", "random", "truncated", "a folder"])
def test_damaged_onnx_files(refuses: Refuses, here: Path, labelled: Path, damage: str) -> None:
    model = here / "model.onnx"
    if damage == "a folder":
        model.mkdir()
    else:
        whole = zoo.DEFAULT_MODEL.read_bytes()
        content = {
            "empty": b"",
            "text": b"404 Not Found",
            "web page": b"<html>404 Not Found</html>",
            "random": np.random.default_rng(0).bytes(100_000),
            "truncated": whole[: len(whole) // 2],
        }
        model.write_bytes(content[damage])
    cure = "download the file itself" if damage == "web page" else "segface-edge export"
    for arguments in uses_of("model.onnx", labelled):
        refuses(BAD_INPUT, *arguments, saying=("model.onnx", cure))


def change_metadata(change: Callable[[dict[str, Any]], object]) -> None:
    """Writes model.onnx: the bundled one with other metadata; None takes them away."""
    onnx = pytest.importorskip("onnx", reason="making a lying file needs onnx")
    model = onnx.load(zoo.DEFAULT_MODEL)
    (entry,) = (entry for entry in model.metadata_props if entry.key == METADATA_KEY)
    document = json.loads(entry.value)
    changed = change(document)
    if changed is None:
        model.metadata_props.remove(entry)
    else:
        entry.value = changed if isinstance(changed, str) else json.dumps(changed)
    onnx.save(model, "model.onnx")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda spec: spec | {"size": 544}, "metadata promises frames Nx544x544x3 uint8, the graph has frames NxSIDE"),
        (lambda spec: spec | {"size": 250}, "metadata is wrong: size is 250"),
        (lambda spec: spec | {"size": 10**9}, "metadata is wrong: size is 1000000000"),
        (lambda spec: spec | {"batch": 4}, "metadata promises frames 4xSIDExSIDEx3"),
        (lambda spec: spec | {"outputs": ["labels", "confidence"]}, "metadata promises labels NxSIDExSIDE uint8, conf"),
        (lambda spec: spec | {"outputs": ["logits"]}, "metadata promises logits Nx19xSIDExSIDE float32"),
        (lambda spec: spec | {"graph": "reference"}, "metadata promises images Nx3xSIDExSIDE float32"),
        (lambda spec: spec | {"classes": []}, "metadata is wrong: classes is []"),
        (lambda spec: spec | {"classes": ["background"] * 19}, "metadata is wrong: classes"),
        (lambda spec: spec | {"std": [0, 0, 0]}, "metadata is wrong: std"),
        (lambda spec: spec | {"version": 2}, "metadata is wrong: version 2"),
        (lambda spec: spec | {"password": "x"}, "metadata is wrong: unknown entries password"),
        (lambda _: {"version": 1}, "metadata is wrong: entries missing: backbone"),
        (lambda spec: [spec], "metadata is wrong: not a JSON object"),
        (lambda spec: json.dumps(spec)[:-20], "metadata is wrong: not JSON"),
        (lambda _: None, "has no segface-edge metadata"),
    ],
)
def test_onnx_files_whose_metadata_lie(
    refuses: Refuses,
    labelled: Path,
    change: Callable[[dict[str, Any]], object],
    problem: str,
    released_size: int,
) -> None:
    change_metadata(change)
    problem = problem.replace("SIDE", str(released_size))
    for arguments in uses_of("model.onnx", labelled):
        refuses(INCOMPATIBLE, *arguments, saying=("model.onnx", problem, "segface-edge export"))


def test_labels_beyond_the_classes_of_the_metadata(refuses: Refuses, labelled: Path) -> None:
    change_metadata(lambda spec: spec | {"label_order": "mine", "classes": spec["classes"][:5]})
    for command, *arguments in uses_of("model.onnx", labelled):
        if command not in ("info", "estimate"):  # which run nothing, so cannot know
            refuses(
                INCOMPATIBLE, command, *arguments, saying=("model.onnx", "gives the label ", "metadata names 5 classes")
            )


def test_logits_of_another_number_of_classes(refuses: Refuses, labelled: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="making a lying file needs onnx")
    from onnx import TensorProto, helper

    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3, 32, 32])
    graph = helper.make_graph([helper.make_node("Identity", ["images"], ["logits"])], "tiny", [images], [logits])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    spec = {
        "version": 1,
        "backbone": "mobilenet",
        "graph": "reference",
        "size": 32,
        "batch": 1,
        "label_order": "mine",
        "classes": ["background", "skin"],
        "outputs": ["logits"],
    }
    model.metadata_props.add(key=METADATA_KEY, value=json.dumps(spec))
    onnx.save(model, "model.onnx")
    for arguments in uses_of("model.onnx", labelled):
        refuses(INCOMPATIBLE, *arguments, saying=("model.onnx", "promises logits 1x2x32x32", "has logits 1x3x32x32"))


@pytest.fixture
def state() -> dict[str, Any]:
    """The bundled checkpoint's tensors."""
    pytest.importorskip("torch", reason="checkpoints need torch")
    from segface_edge.network.checkpoint import read_checkpoint

    return dict(read_checkpoint(zoo.RELEASED["mobilenet"]).state)


class Payload:
    """Unpickling it would make a file."""

    def __reduce__(self) -> object:
        return (Path.touch, (Path("executed"),))


def uses_of_checkpoint(path: str) -> Iterator[tuple[object, ...]]:
    yield "export", "--weights", path, "-o", "out.onnx"
    yield "parse", "photo.png", "-o", "out.png", "--model", path
    yield "info", path, "--json", "out.json"


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("damage", ["empty", "text", "random", "truncated"])
def test_damaged_checkpoints(refuses: Refuses, state: dict[str, Any], damage: str, suffix: str) -> None:
    import torch
    from safetensors.torch import save_file

    name = f"weights.{suffix}"
    if suffix == "pt":
        torch.save(state, name)
    else:
        save_file(state, name)
    whole = Path(name).read_bytes()
    content = {
        "empty": b"",
        "text": b"404 Not Found",
        "random": np.random.default_rng(0).bytes(100_000),
        "truncated": whole[: len(whole) // 2],
    }
    Path(name).write_bytes(content[damage])
    for arguments in uses_of_checkpoint(name):
        refuses(BAD_INPUT, *arguments, saying=(name, "download it again"))


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda state: state.pop("linear_fuse.weight"), "1 missing of "),
        (lambda state: state.update({"linear_fuse.weight": state["linear_fuse.weight"][:8]}), "1 wrongly shaped of "),
        (lambda state: state.update({"extra.weight": state["linear_fuse.weight"].clone()}), "1 unexpected of "),
        (lambda state: state.clear(), "class tokens"),
    ],
)
def test_checkpoints_that_do_not_fit(
    refuses: Refuses, state: dict[str, Any], change: Callable[[dict[str, Any]], object], problem: str
) -> None:
    from safetensors.torch import save_file

    change(state)
    save_file(state, "weights.safetensors")
    for arguments in uses_of_checkpoint("weights.safetensors"):
        refuses(BAD_INPUT, *arguments, saying=("weights.safetensors", problem, "give "))


def test_weights_of_another_order_do_not_fit(refuses: Refuses) -> None:
    pytest.importorskip("torch", reason="export needs torch")
    weights = str(zoo.DEFAULT_CHECKPOINT)
    line = refuses(BAD_INPUT, "export", "--labels", "lapa", "-o", "out.onnx", saying=(weights, "not 'lapa'"))
    assert "leave --labels out" in line


def test_a_checkpoint_that_names_an_unknown_order(refuses: Refuses, state: dict[str, Any]) -> None:
    from safetensors.torch import save_file

    save_file(state, "weights.safetensors", metadata={"label_order": "coco"})
    for arguments in uses_of_checkpoint("weights.safetensors"):
        refuses(BAD_INPUT, *arguments, saying=("weights.safetensors", "unknown label order 'coco'", "segface, "))


@pytest.mark.parametrize("wrap", [lambda bomb: bomb, lambda bomb: {"state_dict_backbone": {"weight": bomb}}])
def test_code_in_a_pickle_is_not_executed(refuses: Refuses, wrap: Callable[[Payload], object]) -> None:
    torch = pytest.importorskip("torch", reason="checkpoints need torch")

    torch.save(wrap(Payload()), "zip.pt")
    Path("plain.pth").write_bytes(pickle.dumps(wrap(Payload())))
    for name in ("zip.pt", "plain.pth"):
        for arguments in uses_of_checkpoint(name):
            refuses(BAD_INPUT, *arguments, saying=(name, "was not loaded"))
    assert not Path("executed").exists()
    # The payload is live: whoever unpickles it blindly does execute it.
    pickle.loads(Path("plain.pth").read_bytes())
    assert Path("executed").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ([1, 2, 3], "holds no state dict"),
        ({}, "holds no state dict"),
        ({"epoch": 3}, "entry 'epoch' is not a tensor"),
        ({3: 4}, "entry 3 is not a tensor"),
    ],
)
def test_pickles_without_weights(refuses: Refuses, content: object, problem: str) -> None:
    torch = pytest.importorskip("torch", reason="checkpoints need torch")

    torch.save(content, "weights.pt")
    for arguments in uses_of_checkpoint("weights.pt"):
        refuses(BAD_INPUT, *arguments, saying=("weights.pt", problem))


def test_unknown_names_are_answered_with_the_known_ones(refuses: Refuses, labelled: Path) -> None:
    orders = ("'coco'", "is unknown", "use one of: segface, celebamask-hq")
    refuses(USAGE, "labels", "coco", saying=orders)
    refuses(USAGE, "parse", "photo.png", "-o", "out.png", "--order", "coco", saying=orders)
    refuses(USAGE, "eval", "--data", labelled, "--label-order", "coco", saying=orders)
    for option in ("--device", "--model"):
        refuses(USAGE, "parse", "photo.png", "-o", "out.png", option, "abacus", saying=("abacus",))


def test_unknown_names_of_an_export(refuses: Refuses) -> None:
    pytest.importorskip("torch", reason="export needs torch")
    export = ("export", "-o", "out.onnx")
    refuses(USAGE, *export, "--backbone", "vgg", saying=("backbone 'vgg'", "is unknown", "mobilenet"))
    refuses(USAGE, *export, "--backbone", "vgg", "--random-weights", saying=("backbone 'vgg'", "mobilenet"))
    random = (*export, "--random-weights", "--imgsz", 64)
    refuses(USAGE, *random, "--labels", "coco", saying=("label order 'coco'", "use one of: segface"))
    refuses(USAGE, "export", "-o", "out.plan", saying=("out.plan", "name the output FILE.onnx"))
    for option, value in (("opset", 5), ("batch", 0), ("graph", "plain"), ("output", "mask"), ("imgsz", 100)):
        refuses(USAGE, *export, f"--{option}", value, saying=(str(value), "is not supported", "use "))


def test_devices_that_pytorch_knows_and_we_do_not(refuses: Refuses) -> None:
    pytest.importorskip("torch", reason="checkpoints need torch")
    for device in ("meta", "mps", "tpu", "cuda:x"):
        arguments = ("parse", "photo.png", "-o", "out.png", "--model", zoo.DEFAULT_CHECKPOINT, "--device", device)
        refuses(USAGE, *arguments, saying=(f"device '{device}'", "use cpu, cuda or cuda:N"))


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        (b"colour = 'red'", "has the unknown key 'colour'"),
        (b"batch = '1'", "batch = '1' is not of type int"),
        (b"dynamic = 1", "dynamic = 1 is not of type bool"),
        (b"batch = true", "batch = True is not of type int"),
        (b"backbone = ['mobilenet']", "is not of type str"),
        (b"[backbone]\nname = 'mobilenet'", "is not of type str"),
        (b"backbone: mobilenet\n", "is not a recipe"),
        (b"\x89PNG\r\n\x1a\n", "is not a recipe"),
        (b"\xff\xfe", "is not a recipe"),
        (b"batch = " + b"[" * 5000, "is not a recipe (nested too deeply)"),
        (b"batch = " + b"9" * 5000, "is not a recipe"),
    ],
)
def test_bad_recipes(refuses: Refuses, recipe: bytes, problem: str) -> None:
    pytest.importorskip("torch", reason="export needs torch")
    Path("recipe.toml").write_bytes(recipe)
    refuses(BAD_INPUT, "export", "--recipe", "recipe.toml", "-o", "out.onnx", saying=("recipe.toml", problem))


@pytest.mark.parametrize("name", ["", ".", "/"])
def test_models_without_a_name(refuses: Refuses, name: str) -> None:
    for arguments in (("build", name), ("quantize", name, "--precision", "fp16"), ("info", name)):
        refuses(BAD_INPUT, *arguments, saying=(f"'{name}'", "is the name of no file"))


# Every option and argument that takes a path to read, in a command line that is sound but for it.
MODEL = str(zoo.DEFAULT_MODEL)
CHECKPOINT = str(zoo.DEFAULT_CHECKPOINT)
SUITE = str(Path(__file__).parents[2] / "export" / "suite.toml")
PATHS_TO_READ = {
    "parse sources": ("parse", "{}.jpg", "-o", "out.png"),
    "parse model": ("parse", "photo.png", "-o", "out.png", "--model", "{}.onnx"),
    "parse detector": ("parse", "photo.png", "-o", "out.png", "--detector", "{}.onnx"),
    "parse landmarks": ("parse", "photo.png", "-o", "out.png", "--landmarks", "{}.txt"),
    "serve model": ("serve", "--port", "0", "--model", "{}.onnx"),
    "serve detector": ("serve", "--port", "0", "--detector", "{}.onnx"),
    "serve spec": ("serve", "--port", "0", "--model", "x.plan", "--spec", "{}.onnx"),
    "label sources": ("label", "{}.jpg", "-o", "out"),
    "label model": ("label", "photo.png", "-o", "out", "--model", "{}.onnx"),
    "label detector": ("label", "photo.png", "-o", "out", "--detector", "{}.onnx"),
    "label spec": ("label", "photo.png", "-o", "out", "--model", "x.plan", "--spec", "{}.onnx"),
    "eval landmarks": ("eval", "--data", "labelled", "--landmarks", "{}.txt"),
    "parse spec": ("parse", "photo.png", "-o", "out.png", "--model", "x.plan", "--spec", "{}.onnx"),
    "eval spec": ("eval", "--data", "labelled", "--model", "x.plan", "--spec", "{}.json"),
    "bench spec": ("bench", "--engine", "x.plan", "--spec", "{}.onnx"),
    "verify spec": ("verify", "--ref", MODEL, "--model", "x.plan", "--spec", "{}.json"),
    "build model": ("build", "{}.onnx"),
    "eval model": ("eval", "--data", "labelled", "--model", "{}.onnx"),
    "eval data": ("eval", "--data", "{}"),
    "bench engines": ("bench", "--engine", "{}.onnx"),
    "bench base": ("bench", "--compare", "{}.json"),
    "bench suite": ("bench", "--suite", "{}.toml", "-o", "out"),
    "bench calib_data": ("bench", "--suite", SUITE, "-o", "out", "--calib-data", "{}"),
    "bench image": ("bench", "--image", "{}.jpg"),
    "info model": ("info", "{}.onnx"),
    "estimate model": ("estimate", "{}.onnx", "--all"),
    "export weights": ("export", "-o", "out.onnx", "--weights", "{}.pt"),
    "export recipe": ("export", "-o", "out.onnx", "--recipe", "{}.toml"),
    "export parity_data": ("export", "-o", "out.onnx", "--random-weights", "--imgsz", "64", "--data", "{}"),
    "export calib_data": ("export", "-o", "out.onnx", "--precision", "int8", "--calib-data", "{}"),
    "export model": ("export", "--triton", "out", "--model", "{}.onnx"),
    "export web_runtime": ("export", "-o", "out.onnx", "--web", "page", "--web-runtime", "{}"),
    "quantize model": ("quantize", "{}.onnx", "--precision", "fp16", "-o", "out.onnx"),
    "quantize calib_data": ("quantize", MODEL, "-o", "out.onnx", "--calib-data", "{}"),
    "quantize parity_data": ("quantize", MODEL, "--precision", "fp16", "-o", "out.onnx", "--data", "{}"),
    "verify ref": ("verify", "--ref", "{}.onnx", "--model", MODEL),
    "verify model": ("verify", "--ref", MODEL, "--model", "{}.onnx"),
    "verify data": ("verify", "--ref", MODEL, "--model", MODEL, "--data", "{}"),
    "train config": ("train", "-o", "out", "--config", "{}.toml"),
    "data check root": ("data", "check", "{}"),
    "import source": ("import", "{}.pt"),
    "models fetch folder": ("models", "fetch", "yunet", "--from", "{}"),
    "longtail root": ("longtail", "--data", "cifar10", "--root", "{}"),
}
PATHS_TO_WRITE = {
    "parse out": ("parse", "photo.png", "-o", "{}.png"),
    "export out": ("export", "-o", "{}.onnx"),
    "parse lines_to": ("parse", "clip.mp4", "--jsonl", "{}.jsonl"),
    "label json_to": ("label", "photo.png", "-o", "out", "--json", "{}.json"),
    "parse json_to": ("parse", "photo.png", "--json", "{}.json"),
    "eval json_to": ("eval", "--data", "labelled", "--json", "{}.json"),
    "bench json_to": ("bench", "--json", "{}.json"),
    "bench plot_to": ("bench", "--profile-plot", "{}.png"),
    "bench html_to": ("bench", "--html", "{}.html"),
    "bench csv_to": ("bench", "--csv", "{}.csv"),
    "bench markdown_to": ("bench", "--markdown", "{}.md"),
    "info json_to": ("info", "--json", "{}.json"),
    "estimate json_to": ("estimate", "--all", "--json", "{}.json"),
    "labels json_to": ("labels", "--json", "{}.json"),
    "doctor json_to": ("doctor", "--json", "{}.json"),
    "export engine": ("export", "-o", "out.onnx", "--engine", "{}.plan"),
    "build out": ("build", MODEL, "-o", "{}.plan"),
    "build timing_cache": ("build", MODEL, "--timing-cache", "{}.bin"),
    "build json_to": ("build", MODEL, "--json", "{}.json"),
    "export json_to": ("export", "-o", "out.onnx", "--json", "{}.json"),
    "quantize out": ("quantize", MODEL, "--precision", "fp16", "-o", "{}.onnx"),
    "quantize json_to": ("quantize", MODEL, "--precision", "fp16", "-o", "out.onnx", "--json", "{}.json"),
    "quantize plot_to": ("quantize", MODEL, "--precision", "fp16", "--sensitivity", "--plot", "{}.png"),
    "verify json_to": ("verify", "--ref", MODEL, "--model", MODEL, "--json", "{}.json"),
    "train json_to": ("train", "--config", "recipe.toml", "-o", "out", "--json", "{}.json"),
    "import out": ("import", CHECKPOINT, "-o", "{}.safetensors"),
    "import json_to": ("import", CHECKPOINT, "-o", "out.safetensors", "--json", "{}.json"),
    "models list json_to": ("models", "list", "--json", "{}.json"),
    "models info json_to": ("models", "info", "yunet", "--json", "{}.json"),
    "models fetch json_to": ("models", "fetch", zoo.DEFAULT_BACKBONE, "--json", "{}.json"),
    "data check json_to": ("data", "check", "labelled", "--json", "{}.json"),
    "data check plot": ("data", "check", "labelled", "--plot", "{}.png"),
    "longtail json_to": ("longtail", "--json", "{}.json"),
    "longtail plot_to": ("longtail", "--plot", "{}.png"),
    "longtail subclasses_to": ("longtail", "--subclasses", "{}.png"),
}
# Folders that are made where they are absent.
FOLDERS_TO_MAKE = {
    "train out": ("train", "--config", "recipe.toml", "-o", "{}"),
    "eval plots_to": ("eval", "--data", "labelled", "--plots", "{}"),
    "bench out": ("bench", "--suite", SUITE, "-o", "{}"),
    "label out": ("label", "photo.png", "-o", "{}"),
    "export triton_to": ("export", "-o", "out.onnx", "--triton", "{}"),
    "export web_to": ("export", "-o", "out.onnx", "--web", "{}", "--web-runtime", "package"),
}
TAKE_PATHS = (click.Path, ModelFile, ModelWord)
# What a command needs besides the runtime.
NEEDS = {
    "export": ("torch", "onnx", "tritonclient"),
    "label": ("pyarrow",),
    "quantize": ("torch", "onnx", "matplotlib"),
    "train": ("torch", "dacite", "matplotlib"),
    "data": ("matplotlib",),
    "import": ("torch",),
    "serve": ("starlette", "uvicorn", "websockets", "python_multipart", "prometheus_client"),
    "estimate": ("onnx", "onnxscript"),
    "longtail": ("torch", "dacite", "matplotlib"),
}


def test_the_tables_have_every_path_of_the_command_line() -> None:
    found = set()
    commands = {name: app.get_command(click.Context(app), name) for name in COMMANDS}
    for name, command in list(commands.items()):
        if isinstance(command, click.Group):
            commands |= {f"{name} {inner}": part for inner, part in command.commands.items()}
    for name, command in commands.items():
        assert command is not None
        for param in command.params:
            if isinstance(param.type, TAKE_PATHS) or param.name in ("source", "sources", "out", "json_to", "engines"):
                found.add(f"{name} {param.name}")
    assert found == {*PATHS_TO_READ, *PATHS_TO_WRITE, *FOLDERS_TO_MAKE}


def filled(template: tuple[str, ...], path: str) -> list[str]:
    for package in NEEDS.get(template[0], ()):
        pytest.importorskip(package, reason=f"{template[0]} needs {package}")
    return [word.format(path) for word in template]


@pytest.mark.usefixtures("labelled")
@pytest.mark.parametrize("which", PATHS_TO_READ)
def test_paths_that_do_not_exist(refuses: Refuses, which: str) -> None:
    arguments = filled(PATHS_TO_READ[which], "absent")
    line = refuses(BAD_INPUT, *arguments, saying=("absent",))
    assert "no such f" in line or "has no folder" in line
    refuses(BAD_INPUT, *filled(PATHS_TO_READ[which], "a" * 300), saying=("a" * 300,))


@pytest.mark.usefixtures("labelled")
@pytest.mark.parametrize("which", PATHS_TO_WRITE)
def test_places_that_cannot_be_written_to(refuses: Refuses, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Long work must not have begun.
    monkeypatch.setattr("segface_edge.bench.run.bench", None)
    monkeypatch.setattr("segface_edge.evaluation.evaluate.evaluate", None)
    for folder in ("absent", "photo.png"):
        name = f"{folder}/result"
        refuses(BAD_INPUT, *filled(PATHS_TO_WRITE[which], name), saying=(name, "cannot be written"))


@pytest.mark.usefixtures("labelled")
@pytest.mark.parametrize("which", FOLDERS_TO_MAKE)
def test_folders_that_cannot_be_made(refuses: Refuses, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    monkeypatch.setattr("segface_edge.evaluation.evaluate.evaluate", None)
    web_package(Path("package"))
    Path("recipe.toml").write_text(
        '[data]\ntrain = "labelled"\nlabel_order = "segface"\n[[stage]]\nsteps = 1\nbatch = 1\nsizes = [64]\n'
    )
    refuses(BAD_INPUT, *filled(FOLDERS_TO_MAKE[which], "photo.png/out"), saying=("photo.png/out", "cannot be made"))


@pytest.mark.parametrize("which", ["parse out", "parse json_to", "info json_to", "labels json_to"])
def test_folders_without_the_right_to_write(refuses: Refuses, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object, **__: object) -> object:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    # Of the product only: pytest itself makes folders by it.
    monkeypatch.setattr("segface_edge.files.os", SimpleNamespace(**{**vars(os), "open": denied}))
    refuses(BAD_INPUT, *filled(PATHS_TO_WRITE[which], "result"), saying=("result", "permission denied"))


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the long part of a small export gives."""
    pytest.importorskip("torch", reason="export needs torch")
    pytest.importorskip("onnx", reason="export needs onnx")
    from segface_edge.export import pipeline
    from segface_edge.export.config import ExportConfig

    config = ExportConfig(imgsz=64)
    path = tmp_path_factory.mktemp("traced") / "raw.onnx"
    pipeline.to_onnx(pipeline.load_network(config, [])[0], config, path)
    return path


@pytest.fixture
def small_export(traced: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[object, ...]:
    """An export that takes a second."""
    from segface_edge.export import pipeline

    faces = pipeline.bundled_faces
    monkeypatch.setattr(pipeline, "bundled_faces", lambda size, **_: faces(size)[::16])
    monkeypatch.setattr(pipeline, "to_onnx", lambda *arguments: shutil.copy(traced, arguments[-1]))
    return ("export", "--imgsz", 64, "--no-simplify", "-o", "out.onnx")


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Fills the disk: what is written does not stay."""

    def no_room(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return lambda: monkeypatch.setattr(os, "fsync", no_room)


@pytest.mark.parametrize("which", ["parse out", "parse json_to", "info json_to", "labels json_to"])
def test_a_full_disk(refuses: Refuses, full_disk: Callable[[], None], which: str) -> None:
    full_disk()
    arguments = filled(PATHS_TO_WRITE[which], "result")
    name = next(word for word in arguments if word.startswith("result"))
    refuses(BAD_INPUT, *arguments, saying=(name, "no space left on device", "make room"))
    Path(name).write_text("the old content")
    refuses(BAD_INPUT, *arguments, saying=(name, "no space left on device"))
    assert Path(name).read_text() == "the old content"


def test_a_disk_that_is_full_before_the_end_of_a_picture(refuses: Refuses, monkeypatch: pytest.MonkeyPatch) -> None:
    write = Path.write_bytes

    def half(path: Path, content: bytes) -> int:
        write(path, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "write_bytes", half)
    refuses(BAD_INPUT, "parse", "photo.png", "-o", "out.png", saying=("out.png", "no space left on device"))


def test_an_export_to_a_full_disk(
    refuses: Refuses, full_disk: Callable[[], None], small_export: tuple[object, ...]
) -> None:
    full_disk()
    refuses(BAD_INPUT, *small_export, saying=("out.onnx", "no space left on device"))


def test_a_parity_failure_writes_nothing(
    refuses: Refuses, cli: Callable[..., Any], small_export: tuple[object, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        limits = replace(parity.LIMITS["fp32"], equal=1.1)
        patch.setitem(parity.LIMITS, "fp32", limits)
        saying = ("out.onnx", "differs from PyTorch on 3 faces", "equal labels (limit 110.00%)", "nothing was written")
        refuses(PARITY, *small_export, "--json", "report.json", saying=saying)
        Path("out.onnx").write_bytes(b"the old model")
        refuses(PARITY, *small_export, saying=("out.onnx",))
        assert Path("out.onnx").read_bytes() == b"the old model"
    result = cli(*small_export)
    assert result.code == 0, result.err
    assert all(line.startswith(("…", "warning: ")) for line in result.err.splitlines())
    assert "wrote out.onnx" in result.out
