"""Checkpoints that say nothing of themselves: recognised, imported, and then taken by every command."""

from __future__ import annotations

import importlib.util
import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="checkpoints need torch")

from safetensors import safe_open

from segface_edge import zoo
from segface_edge.errors import CheckpointError, InputError, UsageError
from segface_edge.export.importing import import_checkpoint
from segface_edge.network import build_segface, read_checkpoint, reference_state_dict
from segface_edge.network.recognise import backbone_of, identified, order_named, side_of
from segface_edge.network.segface import BACKBONES

Cli = Callable[..., Any]

# The reference's; its `convnext_tiny` would be one of convnext_small.
GOLDEN = ("mobilenet", "efficientnet", "resnet", "convnext_base", "convnext_small", "swin_base", "swinv2_base")
GOLDEN += ("swinv2_small", "swinv2_tiny")


def shapes(shared: Path, name: str) -> dict[str, Any]:
    about = json.loads((shared / "golden" / f"segface_{name}.json").read_text())
    return {name: torch.empty(shape, device="meta") for name, shape in about["keys"].items()}


@pytest.fixture(scope="module")
def mobile() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return reference_state_dict(build_segface("mobilenet", "segface", 64).eval())


@pytest.fixture(scope="module")
def eleven() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return reference_state_dict(build_segface("mobilenet", "lapa", 64).eval())


def authors(folder: Path, state: dict[str, torch.Tensor]) -> Path:
    """A file as the reference's training leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    parameter = torch.nn.Parameter(torch.ones(2))
    optimiser = torch.optim.AdamW([parameter])
    parameter.sum().backward()
    optimiser.step()
    whole = {"state_dict_backbone": state, "optimizer": optimiser.state_dict(), "epoch": 299, "iteration": 226_800}
    torch.save(whole, folder / "model_299.pt")
    return folder / "model_299.pt"


@pytest.mark.parametrize("name", GOLDEN)
def test_every_backbone_of_the_reference_is_recognised(shared: Path, name: str) -> None:
    assert backbone_of(shapes(shared, f"celeb_{name}_256"), "x") == name


@pytest.mark.parametrize("name", ["lapa_mobilenet_256", "helen_mobilenet_256"])
def test_eleven_classes_change_nothing(shared: Path, name: str) -> None:
    assert backbone_of(shapes(shared, name), "x") == "mobilenet"


@pytest.mark.parametrize("name", BACKBONES)
def test_every_row_is_recognised(name: str) -> None:
    with torch.device("meta"):
        state = reference_state_dict(build_segface(name))
    assert backbone_of(state, "x") == name


def test_another_network_is_refused(mobile: dict[str, torch.Tensor]) -> None:
    with pytest.raises(CheckpointError, match="has 0 class tokens; give a checkpoint of SegFace"):
        backbone_of({f"model.{name}": tensor for name, tensor in mobile.items()}, "x")
    with pytest.raises(CheckpointError, match="is of no network that is known"):
        backbone_of({name: tensor for name, tensor in mobile.items() if "linear_c.3" not in name}, "x")


@pytest.mark.parametrize(
    ("path", "order", "side"),
    [
        ("swinb_celeba_512/model_299.pt", "segface", 512),
        ("swinb_lapa_224/model_299.pt", "lapa", 224),
        ("weights/swinb_helen_512/model_288.pt", "helen", 512),  # an epoch is no size, though 288 could be one
        ("home/helen/model_299.pt", "helen", None),
        ("helen/weights/model_299.pt", None, None),
        ("swin_base_lapa_448.safetensors", "lapa", 448),
        ("x/best.pt", None, None),
    ],
)
def test_names_say_data_and_side(path: str, order: str | None, side: int | None) -> None:
    assert (order_named(Path(path)), side_of(Path(path))) == (order, side)


def test_what_a_file_says_of_itself_goes_before_its_name() -> None:
    checkpoint = read_checkpoint(zoo.RELEASED["mobilenet"])
    assert identified(checkpoint, Path("swinb_lapa_224/model_299.pt")) == checkpoint
    bare = replace(checkpoint, backbone=None, trained_size=None)
    found = identified(bare, Path("mobilenet_celeba_256/model_299.pt"))
    assert (found.backbone, found.label_order, found.trained_size) == ("mobilenet", "segface", 256)


def test_fp32_keeps_every_bit_and_the_file_says_what_it_is(mobile: dict[str, torch.Tensor], tmp_path: Path) -> None:
    source = authors(tmp_path / "mobilenet_celeba_64", mobile)
    done = import_checkpoint(source, tmp_path / "out.safetensors", terms="a test's", origin="https://example.org/x")
    assert (done.backbone, done.label_order, done.trained_size, done.assumed) == ("mobilenet", "segface", 64, ())
    again = read_checkpoint(done.path)
    assert all(torch.equal(again.state[name], tensor) for name, tensor in mobile.items())
    assert (again.backbone, again.label_order, again.trained_size) == ("mobilenet", "segface", 64)
    assert (again.terms, again.origin) == ("a test's", f"https://example.org/x, sha256 {done.source_sha256}")
    card = done.card.read_text()
    for part in ("mobilenet", "64 x 64", "14=hair", "a test's", done.source_sha256, "7.04 million"):
        assert part in card
    # What was imported can be imported again, and stays what it was.
    second = import_checkpoint(done.path, tmp_path / "second.safetensors", precision="fp16")
    assert (second.terms, second.origin) == (again.terms, again.origin)
    assert second.path.stat().st_size < 0.55 * done.path.stat().st_size


def test_fp16_is_half_and_close(mobile: dict[str, torch.Tensor], tmp_path: Path) -> None:
    done = import_checkpoint(
        authors(tmp_path / "mobilenet_celeba_64", mobile), tmp_path / "out.safetensors", precision="fp16"
    )
    for name, tensor in read_checkpoint(done.path).state.items():
        if tensor.is_floating_point():
            assert tensor.dtype == torch.float16
            assert torch.allclose(tensor.float(), mobile[name], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize(
    ("folder", "options", "order", "assumed"),
    [
        ("swinb_helen_64", {}, "helen", 0),
        ("swinb_lapa_64", {}, "lapa", 0),
        ("run_64", {}, "lapa", 1),
        ("run_64", {"labels": "helen"}, "helen", 0),
        ("run", {"labels": "helen"}, "helen", 1),
        ("run", {"labels": "helen", "size": 64}, "helen", 0),
    ],
)
def test_what_is_assumed_is_said(
    eleven: dict[str, torch.Tensor], tmp_path: Path, folder: str, options: dict[str, Any], order: str, assumed: int
) -> None:
    done = import_checkpoint(authors(tmp_path / folder, eleven), tmp_path / "out.safetensors", **options)
    assert (done.label_order, len(done.assumed)) == (order, assumed)


class _Bomb:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("exploded"),))


def test_nothing_in_a_pickle_is_executed(
    mobile: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state_dict_backbone": mobile, "args": _Bomb()}, tmp_path / "model_299.pt")
    done = cli("import", "model_299.pt")
    assert done.code == 1
    assert "holds more than weights (code), and was not loaded" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["model_299.pt"]
    # It would have exploded.
    torch.load(tmp_path / "model_299.pt", weights_only=False)
    assert (tmp_path / "exploded").exists()
    with pytest.raises(pickle.UnpicklingError):
        torch.load(tmp_path / "model_299.pt", weights_only=True)


def test_what_cannot_be_imported_leaves_nothing(mobile: dict[str, torch.Tensor], tmp_path: Path) -> None:
    source = authors(tmp_path / "in", mobile)
    out = tmp_path / "out.safetensors"
    for options, error in (
        ({"labels": "lapa"}, CheckpointError),
        ({"backbone": "efficientnet_lite0"}, CheckpointError),
        ({"backbone": "vgg"}, UsageError),
        ({"size": 100}, UsageError),
        ({"precision": "int8"}, UsageError),
    ):
        with pytest.raises(error):
            import_checkpoint(source, out, **options)
    with pytest.raises(UsageError, match="name the output FILE.safetensors"):
        import_checkpoint(source, tmp_path / "out.pt")
    with pytest.raises(InputError):
        import_checkpoint(source, tmp_path / "no" / "out.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def by_the_rule(shared: Path, row: str, seed: int | None = None) -> dict[str, torch.Tensor]:
    """The reference's names and values, from the rule of the golden files."""
    spec = importlib.util.spec_from_file_location("deterministic", shared / "golden" / "deterministic.py")
    assert spec is not None
    assert spec.loader is not None
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    about = json.loads((shared / "golden" / f"segface_celeb_{row}_256.json").read_text())
    filled: dict[str, torch.Tensor] = rule.fill_state_dict(about["keys"], about["seed"] if seed is None else seed)
    return filled


def test_a_published_name_brings_its_terms(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    """A name that anyone can give: it is told as such."""
    monkeypatch.chdir(tmp_path)
    authors(tmp_path / "mobilenet_celeba_512", {k: t.clone() for k, t in by_the_rule(shared, "mobilenet", 1).items()})
    told = cli("import", "mobilenet_celeba_512/model_299.pt").out
    assert "terms of use: by its name: published under the MIT" in told


# One row of each family, which is what differs in an export. Of EfficientNet's values the least noise makes other
# labels, see tests/network/test_golden.py: no export passes.
@pytest.mark.slow
@pytest.mark.parametrize("row", ["mobilenet", "resnet", "convnext_small", "swin_base", "swinv2_tiny"])
def test_it_goes_through_every_command_without_an_option(
    row: str, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    pipeline = pytest.importorskip("segface_edge.export.pipeline", reason="export needs onnx")
    if row != "mobilenet":
        pytest.importorskip("torchvision", reason="the extra backbones")
    faces = pipeline.bundled_faces
    # As many as parity's limit needs for a pixel to be allowed to turn: of such values one in ten thousand is a tie.
    monkeypatch.setattr(pipeline, "bundled_faces", lambda size, **_: faces(size)[::4])
    monkeypatch.chdir(tmp_path)
    authors(tmp_path / f"{row}_celeba_64", by_the_rule(shared, row))
    done = cli("import", f"{row}_celeba_64/model_299.pt", "--json", "imported.json")
    assert (done.code, done.err) == (0, "")
    told = json.loads(Path("imported.json").read_text())
    assert told["path"] == f"segface_{row}_segface_64.safetensors"
    with safe_open(told["path"], framework="pt") as file:
        assert "non-commercial" not in file.metadata()["terms"]  # 64: none of those that are published
    shown = json.loads(cli("info", told["path"], "--json", "-").out)["spec"]
    assert (shown["backbone"], shown["size"], shown["trained_size"]) == (row, 64, 64)
    assert shown["provenance"]["weights_from"] == f"{row}_celeba_64/model_299.pt, sha256 {told['source_sha256']}"
    done = cli("export", "--weights", told["path"])
    assert (done.code, [line for line in done.err.splitlines() if "warning" in line]) == (0, []), done.err
    onnx = json.loads(cli("info", f"segface_{row}_64.onnx", "--json", "-").out)["spec"]
    assert onnx["provenance"]["weights_from"] == shown["provenance"]["weights_from"]
    folder = tmp_path / "faces"
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    with Image.open(zoo.PORTRAIT) as picture:
        picture.resize((64, 64)).save(folder / "images" / "0.png")
    Image.new("L", (64, 64), 2).save(folder / "labels" / "0.png")
    scores = []
    for model in (told["path"], f"segface_{row}_64.onnx"):
        done = cli(
            "parse", zoo.PORTRAIT, "-o", f"{Path(model).suffix[1:]}.png", "--visualize", "mask", "--model", model
        )
        assert done.code == 0, done.err
        done = cli("eval", "--model", model, "--data", "faces", "--json", "-")
        assert done.code == 0, done.err
        scores.append(json.loads(done.out)["mean_f1"])
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)
    assert Path("safetensors.png").is_file()
