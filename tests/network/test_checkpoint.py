"""Reading checkpoints: the reference's names, and files that nobody should trust."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="checkpoints need torch")

from safetensors.torch import save_file

from segface_edge import zoo
from segface_edge.errors import CheckpointError
from segface_edge.network import build_segface, load_reference_state_dict, read_checkpoint, reference_state_dict
from segface_edge.network.checkpoint import load_segface, write_checkpoint
from segface_edge.network.reference_names import TOKEN_NAMES
from segface_edge.network.segface import SegFace


@pytest.fixture(scope="module")
def model() -> SegFace:
    torch.manual_seed(0)
    return build_segface("mobilenet", "segface", 64).eval()


@pytest.fixture
def state(model: SegFace) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in reference_state_dict(model).items()}


def test_reference_names_survive_the_round_trip(model: SegFace, state: dict[str, torch.Tensor]) -> None:
    other = build_segface("mobilenet", "segface", 64).eval()
    load_reference_state_dict(other, state)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


def test_names_are_those_of_the_golden_files(shared: Path) -> None:
    for dataset, order in (("celeb", "segface"), ("lapa", "lapa"), ("helen", "helen")):
        about = json.loads((shared / "golden" / f"segface_{dataset}_mobilenet_256.json").read_text())
        ours = reference_state_dict(build_segface("mobilenet", order, 64))
        floats = {name: list(t.shape) for name, t in ours.items() if t.is_floating_point()}
        integers = {name: list(t.shape) for name, t in ours.items() if not t.is_floating_point()}
        assert floats == about["keys"]
        assert integers == about["integer_keys"]


@pytest.mark.parametrize("classes", [19, 11])
def test_there_is_a_token_name_per_class(classes: int) -> None:
    assert len(set(TOKEN_NAMES[classes])) == classes


def test_each_token_lands_on_its_class(state: dict[str, torch.Tensor]) -> None:
    state["face_decoder.necklace_token.weight"] = torch.full((1, 256), 7.0)
    model = build_segface("mobilenet", "segface", 64)
    load_reference_state_dict(model, state)
    assert (model.face_decoder.class_tokens[model.labels.index("neck_l")] == 7).all()
    assert (model.face_decoder.class_tokens == 7).all(dim=1).sum() == 1


def test_missing_integer_entries_are_tolerated(model: SegFace, state: dict[str, torch.Tensor]) -> None:
    floats = {name: tensor for name, tensor in state.items() if tensor.is_floating_point()}
    assert len(floats) < len(state)
    load_reference_state_dict(model, floats)


def test_half_precision_weights_are_taken(state: dict[str, torch.Tensor]) -> None:
    model = build_segface("mobilenet", "segface", 64)
    load_reference_state_dict(model, {k: v.half() if v.is_floating_point() else v for k, v in state.items()})
    assert model.face_decoder.class_tokens.dtype == torch.float32


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("linear_fuse.weight"), "1 missing of .*linear_fuse.weight"),
        (lambda s: s.pop("face_decoder.hat_token.weight"), "1 missing of .*hat_token"),
        (lambda s: s.update(extra=torch.zeros(1)), "1 unexpected of .*extra"),
        (lambda s: s.update({"linear_fuse.weight": torch.zeros(256, 1024)}), "1 wrongly shaped of .*linear_fuse"),
    ],
)
def test_other_differences_are_refused_and_change_nothing(
    model: SegFace, state: dict[str, torch.Tensor], change: object, message: str
) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for name in state:
        state[name] = state[name] + 1
    change(state)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=message):
        load_reference_state_dict(model, state)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_the_reference_s_pickle_layout_is_read(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "model_299.pt"
    wrapped = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict_backbone": wrapped, "optimizer": {"state": {}}, "epoch": 299, "iteration": 1}, path)
    checkpoint = read_checkpoint(path)
    assert checkpoint.state.keys() == state.keys()
    assert checkpoint.trained_size is None


class _Bomb:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> object:
        return (Path.touch, (self.marker,))


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    for save in (torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))):
        path = tmp_path / "model.pt"
        save({"state_dict_backbone": {"weight": _Bomb(marker)}}, path)
        with pytest.raises(CheckpointError, match=r"model\.pt: "):
            read_checkpoint(path)
    assert not marker.exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pt"])
@pytest.mark.parametrize("content", [b"", b"not weights at all", bytes(range(256)) * 40])
def test_files_that_are_not_checkpoints_are_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=name):
        read_checkpoint(path)


def test_truncated_checkpoints_are_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    safe, pickled = tmp_path / "weights.safetensors", tmp_path / "weights.pt"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, safe)
    torch.save(state, pickled)
    for path in (safe, pickled):
        path.write_bytes(path.read_bytes()[:-5000])
        with pytest.raises(CheckpointError, match=path.name):
            read_checkpoint(path)


def test_the_label_order_follows_the_file_or_the_number_of_tokens(state: dict[str, torch.Tensor]) -> None:
    released = read_checkpoint(zoo.RELEASED["mobilenet"])
    assert released.label_order == "segface"
    assert released.trained_size is not None
    assert "non-commercial" in (released.terms or "")
    eleven = reference_state_dict(build_segface("mobilenet", "lapa", 64))
    for weights, order in ((state, "segface"), (eleven, "lapa")):
        silent = {"backbone": None, "label_order": None, "trained_size": None, "terms": None}
        anonymous = replace(released, state=weights, **silent)
        model = load_segface(anonymous, backbone="mobilenet", labels=None, image_size=64, source="weights")
        assert model.labels.name == order


@pytest.mark.parametrize("size", ["huge", "0", "-256", "9" * 5000])
def test_a_trained_size_that_is_none_is_refused(tmp_path: Path, state: dict[str, torch.Tensor], size: str) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata={"trained_size": size})
    with pytest.raises(CheckpointError, match=r"weights\.safetensors: names the trained size"):
        read_checkpoint(path)


@pytest.mark.parametrize("labels", ["celebamask-hq", "bisenet", "lapa"])
def test_another_order_than_the_weights_is_refused(labels: str) -> None:
    released = read_checkpoint(zoo.RELEASED["mobilenet"])
    with pytest.raises(CheckpointError, match=f"in the label order 'segface', not '{labels}'"):
        load_segface(released, backbone="mobilenet", labels=labels, image_size=64, source="weights")


def test_another_name_for_the_same_classes_is_taken() -> None:
    state = reference_state_dict(build_segface("mobilenet", "lapa", 64))
    silent = {"backbone": None, "label_order": None, "trained_size": None, "terms": None}
    weights = replace(read_checkpoint(zoo.RELEASED["mobilenet"]), state=state, **silent)
    model = load_segface(weights, backbone="mobilenet", labels="helen", image_size=64, source="weights")
    assert model.labels.name == "helen"


@pytest.mark.parametrize(
    ("labels", "said", "warp", "warps"),
    [
        (None, None, None, True),  # the authors' own file
        (None, "lapa", None, True),  # the same, whose name says its order
        (None, "helen", None, False),
        ("helen", None, None, False),
        (None, "lapa", "none", False),  # a file of this project from before there were warps
        (None, "lapa", "roi-tanh", True),
    ],
)
def test_whether_faces_are_warped_is_what_the_file_says_or_the_authors_do(
    labels: str | None, said: str | None, warp: str | None, warps: bool
) -> None:
    state = reference_state_dict(build_segface("mobilenet", "lapa", 64))
    released = read_checkpoint(zoo.RELEASED["mobilenet"])
    weights = replace(released, state=state, label_order=said, warp=warp)
    model = load_segface(weights, backbone="mobilenet", labels=labels, image_size=64, source="weights")
    assert model.warps is warps


def test_a_file_says_whether_faces_are_warped(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    for warps in (True, False):
        model = build_segface("mobilenet", "lapa", 64, warps=warps)
        write_checkpoint(path, model, trained_size=64, terms="none", notes={})
        weights = read_checkpoint(path)
        assert weights.warp == ("roi-tanh" if warps else "none")
        again = load_segface(weights, backbone="mobilenet", labels=None, image_size=64, source=path)
        assert again.warps is warps


def test_an_unknown_warp_is_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path, metadata={"warp": "fisheye"})
    with pytest.raises(CheckpointError, match="warps faces by 'fisheye'"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("w.safetensors", b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer, not a ."),
        ("w.pt", b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer, not a ."),
        ("w.safetensors", b"<!DOCTYPE html><html>", "is a web page, not a ."),
        ("w.pth", b"\n<html>", "is a web page, not a ."),
        ("w.safetensors", b"PK\x03\x04archive", "is a zip archive or a PyTorch checkpoint, not a .safetensors"),
        ("w.pt", b'\x10\0\0\0\0\0\0\0{"a":{}}', "is a safetensors file, not a .pt file of weights; give it"),
        ("w.safetensors", b"nothing that is known", "is not a readable safetensors file"),
    ],
)
def test_what_came_instead_of_a_checkpoint_is_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(tmp_path / name)
    assert message in str(caught.value)
