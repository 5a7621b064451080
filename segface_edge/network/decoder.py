"""SegFace's decoder: fusion of the backbone's taps, positional term, two-way transformer, per-class head
(arXiv 2412.08647, section 3).

Its image tokens lie at stride 4, as in the paper, or at 8: a quarter of them, for which the head looks at the tap of
stride 4 again, where thin classes live.

Shape letters: N batch, K classes, D width (256), S input side, s = S / stride the side of the fused map, L = s * s.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from .transformer import TwoWayTransformer

WIDTH = 256
HEADS = 8
HIDDEN = 2048
INNER = 128
BLOCKS = 2
HEAD_CHANNELS = (64, 32)


class TapProjection(nn.Module):
    """A linear layer on a tap's channels: (N, C, h, w) -> (N, D, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, WIDTH)

    def forward(self, tap: Tensor) -> Tensor:
        """Projects every position."""
        n, _, h, w = tap.shape
        projected: Tensor = self.proj(tap.flatten(2).transpose(1, 2))  # (N, h * w, D)
        return projected.permute(0, 2, 1).reshape(n, WIDTH, h, w)


class Fusion(nn.Module):
    """Every tap projected to D, enlarged to the first, concatenated deepest first, mixed by a 1x1 convolution.

    Args:
        channels: of the taps that are fused, shallow first.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.linear_c = nn.ModuleList(TapProjection(c) for c in channels)
        self.linear_fuse = nn.Conv2d(WIDTH * len(channels), WIDTH, 1, bias=False)

    def forward(self, taps: Sequence[Tensor]) -> Tensor:
        """The taps, shallow first -> (N, D, s, s)."""
        if self.training:
            return self.folded(taps)
        size = taps[0].shape[-2:]
        projected = [
            nn.functional.interpolate(project(tap), size=size, mode="bilinear", align_corners=False)
            for project, tap in zip(self.linear_c, taps, strict=True)
        ]
        fused: Tensor = self.linear_fuse(torch.cat(projected[::-1], dim=1))
        return fused

    def folded_layers(self) -> list[tuple[Tensor, Tensor]]:
        """Each tap's linear layer times its slice of the convolution: weight (D, C) and bias (D,), shallow first."""
        mixing = self.linear_fuse.weight[:, :, 0, 0]  # (D, taps * D), deepest first
        parts = mixing.tensor_split(len(self.linear_c), dim=1)[::-1]
        linears = [cast(TapProjection, projection).proj for projection in self.linear_c]
        return [(part @ linear.weight, part @ linear.bias) for part, linear in zip(parts, linears, strict=True)]

    def folded(self, taps: Sequence[Tensor]) -> Tensor:
        """The same sum in another order, quicker: each linear layer times its slice of the convolution first, on the
        tap's own few pixels, and enlarged then (a 1x1 convolution commutes with that)."""
        layers = self.folded_layers()
        # A constant passes through the enlargement unchanged: one bias, on the full-size tap.
        bias = torch.stack([bias for _, bias in layers]).sum(0)
        fused = nn.functional.conv2d(taps[0], layers[0][0][:, :, None, None], bias)
        for tap, (weight, _) in zip(taps[1:], layers[1:], strict=True):
            small = nn.functional.conv2d(tap, weight[:, :, None, None])
            fused = fused + nn.functional.interpolate(
                small, size=fused.shape[-2:], mode="bilinear", align_corners=False
            )
        return fused


class FourierPosition(nn.Module):
    """Random Fourier features of the pixel centres (Tancik et al., arXiv 2006.10739), matrix from the checkpoint."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("positional_encoding_gaussian_matrix", torch.randn(2, WIDTH // 2))

    def forward(self, height: int, width: int) -> Tensor:
        """(height * width, D): sin, then cos, of 2 pi (x, y) B with x, y in [-1, 1]."""
        matrix = self.positional_encoding_gaussian_matrix
        x = (torch.arange(width, dtype=matrix.dtype, device=matrix.device) + 0.5) / width
        y = (torch.arange(height, dtype=matrix.dtype, device=matrix.device) + 0.5) / height
        grid = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], dim=-1)
        angles = 2 * math.pi * ((2 * grid - 1) @ matrix)
        return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(0, 1)


class ChannelNorm(nn.Module):
    """LayerNorm over the channels of (N, C, h, w)."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Mean 0 and variance 1 over the channels of each position, then scale and shift."""
        if self.training:
            # The same in one operator: a tenth of a step's time on a CPU, where x lies channels last.
            rows = nn.functional.layer_norm(x.permute(0, 2, 3, 1), self.weight.shape, self.weight, self.bias, self.eps)
            return rows.permute(0, 3, 1, 2)
        centred = x - x.mean(1, keepdim=True)
        variance = centred.pow(2).mean(1, keepdim=True)
        normalised = centred / torch.sqrt(variance + self.eps)
        return self.weight[:, None, None] * normalised + self.bias[:, None, None]


class TokenHead(nn.Module):
    """Three linear layers with ReLU, shared by all classes: a class token -> its 32 filter weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, HEAD_CHANNELS[1])]
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, K, D) -> (N, K, 32)."""
        first, second, last = self.layers
        out: Tensor = last(nn.functional.relu(second(nn.functional.relu(first(tokens)))))
        return out


class FaceDecoder(nn.Module):
    """Fused features -> logits, by one learned token per class.

    Args:
        classes: K.
        beside: channels of the tap at twice the fused map's side that the head adds to its first enlargement, or None.
            With it logits are made at half the input side, and enlarged.
        blocks: of the two-way transformer.
    """

    def __init__(self, classes: int, beside: int | None = None, blocks: int = BLOCKS) -> None:
        super().__init__()
        self.class_tokens = nn.Parameter(torch.randn(classes, WIDTH))
        self.transformer = TwoWayTransformer(depth=blocks, width=WIDTH, heads=HEADS, hidden=HIDDEN, inner=INNER)
        middle, last = HEAD_CHANNELS
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(WIDTH, middle, 2, stride=2),
            ChannelNorm(middle),
            nn.GELU(),
            nn.ConvTranspose2d(middle, last, 2, stride=2),
            nn.GELU(),
        )
        self.output_hypernetwork_mlps = TokenHead()
        self.skip = None if beside is None else nn.Conv2d(beside, middle, 1, bias=False)

    def forward(self, fused: Tensor, position: Tensor, tap: Tensor | None = None) -> Tensor:
        """fused (N, D, s, s), position (s * s, D), the tap beside (N, C, 2 s, 2 s) -> logits (N, K, S, S)."""
        tokens, image = self.attend(fused, position)
        return self.head(tokens, image, fused.shape[-2], fused.shape[-1], tap)

    def attend(self, fused: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """The transformer: fused (N, D, s, s), position (s * s, D) -> tokens (N, K, D), image (N, s * s, D)."""
        n = fused.shape[0]
        if self.training:
            position = position.to(fused.dtype)  # or all of the image would be raised to its precision
        image = fused.flatten(2).permute(0, 2, 1)  # (N, L, D)
        tokens = self.class_tokens.expand(n, -1, -1)  # (N, K, D)
        attended: tuple[Tensor, Tensor] = self.transformer(tokens, image, position.expand(n, -1, -1))
        return attended

    def head(self, tokens: Tensor, image: Tensor, h: int, w: int, tap: Tensor | None = None) -> Tensor:
        """tokens (N, K, D), image (N, h * w, D), the tap beside (N, C, 2 h, 2 w) -> logits (N, K, 4 h, 4 w), or twice
        that with a tap."""
        n, _, width = image.shape
        filters: Tensor = self.output_hypernetwork_mlps(tokens)  # (N, K, 32)
        if self.training:
            rows = self._upscaled_rows(image.reshape(n, h, w, width), tap)
            # Classes first, as the loss wants them; a product of either layout costs the same.
            logits = (filters @ rows.transpose(1, 2)).reshape(n, -1, 4 * h, 4 * w)
        else:
            upscaled = self._upscaled(image.transpose(1, 2).reshape(n, width, h, w), tap)  # (N, 32, 4 h, 4 w)
            logits = (filters @ upscaled.flatten(2)).reshape(n, -1, 4 * h, 4 * w)
        if self.skip is None:
            return logits
        if self.training:
            return _doubled(logits)
        return nn.functional.interpolate(logits, scale_factor=2.0, mode="bilinear", align_corners=False)

    def _upscaled(self, image: Tensor, tap: Tensor | None) -> Tensor:
        """`output_upscaling` of (N, D, h, w), the tap added to its first enlargement: (N, 32, 4 h, 4 w)."""
        first, *rest = self.output_upscaling
        upscaled: Tensor = first(image)  # (N, 64, 2 h, 2 w)
        if self.skip is not None:
            upscaled = upscaled + self.skip(tap)
        for layer in rest:
            upscaled = layer(upscaled)
        return upscaled

    def _upscaled_rows(self, image: Tensor, tap: Tensor | None) -> Tensor:
        """`_upscaled` of (N, h, w, D) as (N, 16 h w, 32), for training: a transposed convolution whose stride is its
        kernel is a product, which is several times quicker backwards. Pixels are brought into their places once."""
        first, norm, _, second, _ = self.output_upscaling
        norm = cast(ChannelNorm, norm)
        n, h, w, _ = image.shape
        rows = _enlarged(image, cast(nn.ConvTranspose2d, first))  # (N, h, w, 4 * 64)
        rows = rows.reshape(n, h, w, 4, -1)
        if self.skip is not None and tap is not None:
            children = tap.permute(0, 2, 3, 1).reshape(n, h, 2, w, 2, -1).transpose(2, 3).reshape(n, h, w, 4, -1)
            rows = rows + nn.functional.linear(children, self.skip.weight[:, :, 0, 0])
        rows = nn.functional.gelu(nn.functional.layer_norm(rows, norm.weight.shape, norm.weight, norm.bias, norm.eps))
        rows = nn.functional.gelu(_enlarged(rows, cast(nn.ConvTranspose2d, second)))  # (N, h, w, 4, 4 * 32)
        placed = rows.reshape(n, h, w, 2, 2, 2, 2, -1).permute(0, 1, 3, 5, 2, 4, 6, 7)
        return placed.reshape(n, 16 * h * w, -1)


def _doubled(maps: Tensor) -> Tensor:
    """(N, K, h, w) at twice the side, bilinear, for training: a product for each axis, in bf16 five times quicker than
    `interpolate` and its gradient on a CPU."""
    down, across = (
        nn.functional.interpolate(
            torch.eye(side, dtype=maps.dtype, device=maps.device)[None],
            scale_factor=2.0,
            mode="linear",
            align_corners=False,
        )[0].T
        for side in maps.shape[-2:]
    )
    return down @ maps @ across.T


def _enlarged(rows: Tensor, layer: nn.ConvTranspose2d) -> Tensor:
    """What a transposed convolution of kernel and stride 2 makes of each pixel, its four one after another:
    (…, C) -> (…, 4 C')."""
    weight = layer.weight.permute(2, 3, 1, 0).flatten(0, 2)  # (4 C', C)
    return nn.functional.linear(rows, weight, cast(Tensor, layer.bias).repeat(4))
