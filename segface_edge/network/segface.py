"""SegFace (Narayan, VS, Patel, AAAI 2025, arXiv 2412.08647): backbone, fusion, class-token decoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor, nn

from segface_edge.errors import UsageError
from segface_edge.labels import LabelSet, label_set

from .decoder import FaceDecoder, FourierPosition, Fusion
from .mobilenet import MobileNetV3Large


class Backbone(Protocol):
    """What a backbone offers besides being a module."""

    channels: tuple[int, ...]

    def features(self, images: Tensor) -> list[Tensor]:
        """(N, 3, S, S) -> four taps at strides 4, 8, 16, 32, shallow first."""


BACKBONES: dict[str, Callable[[], nn.Module]] = {
    "mobilenet": MobileNetV3Large,
}


class SegFace(nn.Module):
    """Face parsing network.

    Attributes:
        backbone_name: key of `BACKBONES`.
        labels: the label order of the logits.
        image_size: the input side that the model is meant for; `forward` takes any side divisible by 32.
    """

    def __init__(self, backbone_name: str, labels: LabelSet, image_size: int) -> None:
        super().__init__()
        self.backbone_name = backbone_name
        self.labels = labels
        self.image_size = image_size
        self.backbone = BACKBONES[backbone_name]()
        self.fusion = Fusion(self.backbone.channels)  # type: ignore[arg-type]
        self.pe_layer = FourierPosition()
        self.face_decoder = FaceDecoder(len(labels))

    def forward(self, images: Tensor, landmarks: Tensor | None = None) -> Tensor:
        """Logits of every class at every pixel.

        Args:
            images: (N, 3, S, S) float, RGB, ImageNet-normalised, S divisible by 32.
            landmarks: (N, 5, 2) float pixels, for models that warp the face first (LaPa). This network does not.

        Returns:
            (N, K, S, S) float logits, in the order of `labels`.

        Raises:
            UsageError: the shape of `images` is none of the above, or `landmarks` were given.
        """
        if images.ndim != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3] or images.shape[3] % 32:
            raise UsageError(
                f"images of shape {tuple(images.shape)}", "are not (N, 3, S, S)", "give squares with S divisible by 32"
            )
        if landmarks is not None:
            raise UsageError("landmarks", f"are not used by the label order '{self.labels.name}'", "leave them out")
        fused = self.fusion(self.backbone.features(images))  # type: ignore[operator]
        position = self.pe_layer(fused.shape[-2], fused.shape[-1])
        logits: Tensor = self.face_decoder(fused, position)
        return logits


def check_backbone(name: str) -> None:
    """Raises UsageError, with the known names, where `name` is none of them."""
    if name not in BACKBONES:
        raise UsageError(f"backbone {name!r}", "is unknown", f"use one of: {', '.join(BACKBONES)}")


def build_segface(backbone: str = "mobilenet", labels: str | LabelSet = "segface", image_size: int = 512) -> SegFace:
    """A SegFace with freshly initialised weights (nothing is downloaded).

    Args:
        backbone: a key of `BACKBONES`.
        labels: a label order or its name; it sets K.
        image_size: the input side that the model is meant for, divisible by 32.

    Raises:
        UsageError: unknown backbone or label order, or a size that is not divisible by 32.
    """
    check_backbone(backbone)
    if image_size < 32 or image_size % 32:
        raise UsageError(f"image size {image_size}", "is not a positive multiple of 32", "use 256 or 512, for example")
    return SegFace(backbone, label_set(labels) if isinstance(labels, str) else labels, image_size)
