"""Models by name: fetched from a folder, imported, exported once, and run without torch from then on."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segface_edge import FaceParser, zoo
from segface_edge.errors import CheckpointError, InputError, MissingDependencyError, UsageError
from segface_edge.parsing import pretrained
from segface_edge.zoo.models import MODELS, find, of_backbone

Cli = Callable[..., Any]
NAME = "segface/mobilenet_celeba_512"
TAKE_A_FILE = ("info", "build", "quantize", "estimate")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGFACE_EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def test_the_table_has_what_was_published() -> None:
    published = [model for model in MODELS.values() if model.published]
    assert len(published) == 14
    for model in published:
        # What its folder and its name say is what it is.
        folder = model.file.parent.name
        assert model.url is not None
        assert model.url.endswith(f"kartiknarayan/SegFace/resolve/main/{folder}/model_299.pt")
        assert folder.endswith(f"_{model.trained_size}")
        assert model.name == f"segface/{model.backbone}_{folder.split('_')[-2]}_{model.trained_size}"
        assert "MIT" in model.terms
    assert {model.labels for model in published} == {"segface", "lapa", "helen"}
    assert next(of_backbone("swin_base")).trained_size == 512


@pytest.mark.parametrize(
    "name", ["segface/swin_base_celeba_512", "swin_base_celeba_512", "segface/swinb_celeba_512", "swinb_celeba_512"]
)
def test_a_published_one_has_two_names(name: str) -> None:
    assert find(name).name == "segface/swin_base_celeba_512"


def test_bundled_models_have_names() -> None:
    with FaceParser.from_pretrained(zoo.DEFAULT_BACKBONE, threads=1) as parser:
        assert parser.engine.source == str(zoo.DEFAULT_MODEL)


def test_what_is_not_here_is_answered_with_the_command(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    with pytest.raises(InputError, match=f"is not here; fetch it: segface-edge models fetch {NAME}"):
        FaceParser.from_pretrained(NAME)
    with pytest.raises(UsageError, match="see what there is: segface-edge models list"):
        FaceParser.from_pretrained("segface/vgg")
    with pytest.raises(UsageError, match="finds faces, and parses none"):
        FaceParser.from_pretrained("yunet")
    for command in (
        *([name] for name in TAKE_A_FILE),
        *(["parse", zoo.PORTRAIT, "-o", "x.png"], ["bench"], ["eval", "--data", "."], ["verify"]),
        *(["export", "--web", "page"], ["export", "--triton", "repository"]),
    ):
        reference = ["--ref", "x"] if command == ["verify"] else []
        model = [NAME] if command[0] in TAKE_A_FILE else ["--model", NAME, *reference]
        done = cli(*command, *model)
        assert (done.code, len(done.err.splitlines())) == (1, 1), command
        assert f"segface-edge models fetch {NAME}" in done.err
    assert cli("info", "mobilenet_celeba_512").err == cli("info", NAME).err
    # A file of that name goes before.
    monkeypatch.chdir(zoo.PORTRAIT.parent)
    assert pretrained.file_of(zoo.DEFAULT_MODEL.name) == Path(zoo.DEFAULT_MODEL.name)


def test_without_torch_the_extra_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "segface").mkdir(parents=True)
    shutil.copy(zoo.RELEASED["mobilenet"], cache / "segface" / "mobilenet_celeba_512.safetensors")
    for module in [name for name in sys.modules if name.startswith("segface_edge.export")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingDependencyError, match=r"to be exported.*pip install 'segface-edge\[export\]'"):
        FaceParser.from_pretrained(NAME)


def test_an_onnx_file_in_the_cache_needs_no_torch(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache / "segface").mkdir(parents=True)
    shutil.copy(zoo.DEFAULT_MODEL, cache / "segface" / "mobilenet_celeba_512.onnx")

    def asked(_: str) -> None:
        raise AssertionError("nothing is to be exported")

    monkeypatch.setattr(pretrained, "import_module", asked)
    with FaceParser.from_pretrained(NAME) as parser:
        assert "hair" in parser(zoo.PORTRAIT).present()


@pytest.mark.slow
def test_fetched_imported_exported_and_run(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    """The whole way of one of the authors' files, without a network; their weights are played by ours."""
    torch = pytest.importorskip("torch", reason="importing needs torch")
    pipeline = pytest.importorskip("segface_edge.export.pipeline", reason="exporting needs onnx")
    from segface_edge.network.checkpoint import read_checkpoint
    from segface_edge.zoo import models
    from segface_edge.zoo.fetch import fetch, forget

    small = models._published("mobilenet_celeba_64", "mobilenet", "celeba", 64, None)
    monkeypatch.setitem(MODELS, small.name, small)
    faces = pipeline.bundled_faces
    monkeypatch.setattr(pipeline, "bundled_faces", lambda size, **_: faces(size)[::24])
    folder = tmp_path / "weights" / "mobilenet_celeba_64"
    folder.mkdir(parents=True)
    state = dict(read_checkpoint(zoo.RELEASED["mobilenet"]).state)
    torch.save({"state_dict_backbone": state}, folder / "model_299.pt")
    done = cli("models", "fetch", small.name, "--from", tmp_path / "weights", "--json", "-")
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    # The authors' file is two thirds optimiser: it goes, its hash stays.
    assert sorted(path.name for path in cache.rglob("*") if path.suffix not in ("", ".lock")) == [
        "mobilenet_celeba_64.md",
        "mobilenet_celeba_64.safetensors",
        "model_299.pt.sha256",
    ]
    assert told["recorded"] is True
    assert told["imported"]["origin"] == f"a folder, as {small.url}, sha256 {told['sha256']}"
    assert told["imported"]["terms"] == small.terms
    assert cli("models", "fetch", small.name).out.endswith("is here already\n")
    with monkeypatch.context() as patch:  # from within the file's own folder too
        patch.chdir(folder)
        assert fetch(small.name, folder=Path()).sha256 == told["sha256"]
    forget(small)
    shown = cli("models", "info", small.name).out
    assert f"here: {cache / 'segface' / 'mobilenet_celeba_64.safetensors'}, sha256" in shown
    with FaceParser.from_pretrained(small.name) as parser:
        assert (parser.spec.size, parser.spec.batch, parser.spec.terms) == (64, None, small.terms)
        assert parser.spec.provenance["weights_from"] == told["imported"]["origin"]
        assert len(parser.parse_batch([zoo.PORTRAIT] * 3)) == 3
    done = cli("info", small.name, "--json", "-")
    assert json.loads(done.out)["file"] == str(cache / "segface" / "mobilenet_celeba_64.onnx")
    # From another hash than the one that was recorded nothing is taken.
    for path in cache.rglob("mobilenet_celeba_64.*"):
        path.unlink()
    torch.save({"state_dict_backbone": state, "epoch": 298}, folder / "model_299.pt")
    assert "which holds the first one's hash" in cli("models", "fetch", small.name, "--from", tmp_path / "weights").err


def test_what_is_not_what_its_name_says_is_not_kept(tmp_path: Path, cache: Path) -> None:
    torch = pytest.importorskip("torch", reason="importing needs torch")
    pretrained_module = pytest.importorskip("segface_edge.export.pretrained", reason="it needs onnx")
    from segface_edge.network.checkpoint import read_checkpoint
    from segface_edge.zoo.fetch import Fetched

    path = tmp_path / "swinb_lapa_512" / "model_299.pt"
    path.parent.mkdir()
    torch.save(dict(read_checkpoint(zoo.RELEASED["mobilenet"]).state), path)
    fetched = Fetched(model=find("segface/swin_base_lapa_512"), path=path, sha256="0" * 64)
    with pytest.raises(CheckpointError, match=r"is mobilenet segface 512, not segface/swin_base_lapa_512"):
        pretrained_module.import_fetched(fetched)
    assert [path for path in cache.rglob("*") if path.is_file()] == []


def test_export_of_a_backbone_without_weights_says_what_to_do(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("segface_edge.export.pipeline", reason="export needs onnx")
    from segface_edge.network.segface import BACKBONES

    monkeypatch.setitem(BACKBONES, "swin_base", BACKBONES["mobilenet"])
    done = cli("export", "--backbone", "swin_base")
    assert (done.code, done.err.splitlines()[-1]) == (
        2,
        "error: backbone 'swin_base': has no released weights; its authors published some: segface-edge models fetch "
        "segface/swin_base_celeba_512, then --weights segface/swin_base_celeba_512; or give --weights FILE or "
        f"--random-weights; released: {', '.join(zoo.RELEASED)}",
    )
    done = cli("export", "--weights", NAME)
    assert done.err.splitlines()[-1].endswith(f"is not here; fetch it: segface-edge models fetch {NAME}")
