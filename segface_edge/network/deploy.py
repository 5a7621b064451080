"""The deploy graph: SegFace as it is exported, from bytes to bytes, computing what the plain network computes.

Differences from the plain network, each exact in real arithmetic:

- normalisation goes in, argmax comes out: (N, S, S, 3) uint8 RGB -> (N, S, S) uint8;
- each tap's linear layer is folded into its slice of the fusion convolution and applied before the bilinear
  enlargement, with which a 1x1 convolution commutes: the widest product runs on few pixels, not on all of them;
- the first token self-attention sees constants only, so its result is a constant;
- the positional term is made from one small table per axis, by sin(a + b) = sin a cos b + cos a sin b.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from segface_edge.spec import IMAGENET_MEAN, IMAGENET_STD, OutputKind

from .decoder import WIDTH, TapProjection
from .segface import SegFace


def normalise(frames: Tensor) -> Tensor:
    """(N, S, S, 3) uint8 RGB -> (N, 3, S, S) float32 with ImageNet's mean and standard deviation."""
    mean, std = (torch.tensor(values, device=frames.device) for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (frames.float() * (1 / (255 * std)) - mean / std).permute(0, 3, 1, 2)


class FoldedFusion(nn.Module):
    """`Fusion` with each tap's linear layer folded into the 1x1 convolution: (taps) -> (N, D, s, s)."""

    def __init__(self, model: SegFace) -> None:
        super().__init__()
        mixing = model.fusion.linear_fuse.weight.detach()[:, :, 0, 0].double()  # (D, 4 D)
        # Deepest first in the concatenation, shallow first in the taps.
        slices = reversed(mixing.tensor_split(mixing.shape[1] // WIDTH, dim=1))
        self.taps = nn.ModuleList()
        bias = torch.zeros(WIDTH, dtype=torch.float64)
        for part, projection in zip(slices, model.fusion.linear_c, strict=True):
            linear = cast(TapProjection, projection).proj
            folded = nn.Conv2d(linear.in_features, WIDTH, 1, bias=False)
            folded.weight = nn.Parameter((part @ linear.weight.detach().double()).float()[:, :, None, None])
            self.taps.append(folded)
            bias += part @ linear.bias.detach().double()
        # A constant passes through the enlargement unchanged: one bias, on the full-size tap.
        cast(nn.Conv2d, self.taps[0]).bias = nn.Parameter(bias.float())

    def forward(self, taps: list[Tensor]) -> Tensor:
        """Sum of the folded taps, each brought to stride 4."""
        fused: Tensor = self.taps[0](taps[0])
        for tap, folded in zip(taps[1:], list(self.taps)[1:], strict=True):
            fused = fused + nn.functional.interpolate(
                folded(tap), size=fused.shape[-2:], mode="bilinear", align_corners=False
            )
        return fused


class PositionTables(nn.Module):
    """`FourierPosition` for one grid, from tables of `side` x 128: () -> (side * side, D)."""

    sin_x: Tensor
    cos_x: Tensor
    sin_y: Tensor
    cos_y: Tensor

    def __init__(self, matrix: Tensor, side: int) -> None:
        super().__init__()
        centres = (torch.arange(side, dtype=torch.float64) + 0.5) / side
        angles = 2 * math.pi * (2 * centres[:, None, None] - 1) * matrix.detach().double()  # (side, 2, 128)
        for axis, name in enumerate("xy"):
            self.register_buffer(f"sin_{name}", angles[:, axis].sin().float())
            self.register_buffer(f"cos_{name}", angles[:, axis].cos().float())

    def forward(self) -> Tensor:
        """sin and cos of the summed angles, row by row."""
        sin_y, cos_y = self.sin_y[:, None], self.cos_y[:, None]
        sines = self.sin_x * cos_y + self.cos_x * sin_y
        cosines = self.cos_x * cos_y - self.sin_x * sin_y
        return torch.cat([sines, cosines], dim=-1).reshape(-1, WIDTH)


class DeployGraph(nn.Module):
    """A trained SegFace as it is exported.

    Args:
        model: the plain network, in eval mode; its weights are shared, not changed.
        output: `labels`; `confidence`, which is labels and confidence; or `logits`.
    """

    token_pos: Tensor
    tokens: Tensor

    def __init__(self, model: SegFace, output: OutputKind = "labels") -> None:
        super().__init__()
        self.output = output
        self.backbone = model.backbone
        self.fusion = FoldedFusion(model)
        self.position = PositionTables(model.pe_layer.positional_encoding_gaussian_matrix, model.image_size // 4)
        self.decoder = model.face_decoder
        with torch.no_grad():
            start = model.face_decoder.class_tokens.detach()[None]
            first = model.face_decoder.transformer.layers[0].attend_selves(start, start)  # type: ignore[operator]
        self.register_buffer("token_pos", start)
        self.register_buffer("tokens", first)

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """(N, S, S, 3) uint8 RGB -> labels (N, S, S) uint8 [and confidence (N, S, S) uint8], or logits (N, K, S, S)."""
        logits = self.logits(frames)
        if self.output == "logits":
            return (logits,)
        best, labels = logits.max(dim=1)
        if self.output == "labels":
            return (labels.to(torch.uint8),)
        # The largest softmax is 1 / sum(exp(logit - largest)).
        confidence = 255 / (logits - best[:, None]).exp().sum(dim=1)
        return labels.to(torch.uint8), confidence.round().to(torch.uint8)

    def logits(self, frames: Tensor) -> Tensor:
        """(N, S, S, 3) uint8 RGB -> (N, K, S, S) float32."""
        fused = self.fusion(self.backbone.features(normalise(frames)))  # type: ignore[operator]
        image = fused.flatten(2).transpose(1, 2)  # (N, L, D)
        position = self.position()
        transformer = self.decoder.transformer
        tokens, pos = self.tokens, self.token_pos
        for index, layer in enumerate(transformer.layers):
            if index:
                tokens = layer.attend_selves(tokens, pos)  # type: ignore[operator]
            tokens, image = layer.attend_each_other(tokens, image, pos, position)  # type: ignore[operator]
        tokens = transformer.finish(tokens, image, pos, position)
        return self.decoder.head(tokens, image, fused.shape[-2], fused.shape[-1])
