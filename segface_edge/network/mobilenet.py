"""MobileNetV3-Large, the feature part (Howard et al., "Searching for MobileNetV3", ICCV 2019, table 1).

Module names follow the numbering that SegFace's checkpoints use: `0` the stem, `1` to `15` the inverted residual
blocks, `16` the last 1x1 convolution; inside a block `block.0 …` in order of execution.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .depthwise import DepthwiseConv2d

BATCH_NORM_EPS = 1e-3
BATCH_NORM_MOMENTUM = 0.01
STEM_CHANNELS = 16
LAST_CHANNELS = 960


@dataclass(frozen=True)
class _Row:
    """One row of the paper's table 1."""

    kernel: int
    expanded: int
    out: int
    squeeze: bool
    activation: type[nn.Module]
    stride: int


_RE, _HS = nn.ReLU, nn.Hardswish
_ROWS = (
    _Row(3, 16, 16, False, _RE, 1),
    _Row(3, 64, 24, False, _RE, 2),
    _Row(3, 72, 24, False, _RE, 1),
    _Row(5, 72, 40, True, _RE, 2),
    _Row(5, 120, 40, True, _RE, 1),
    _Row(5, 120, 40, True, _RE, 1),
    _Row(3, 240, 80, False, _HS, 2),
    _Row(3, 200, 80, False, _HS, 1),
    _Row(3, 184, 80, False, _HS, 1),
    _Row(3, 184, 80, False, _HS, 1),
    _Row(3, 480, 112, True, _HS, 1),
    _Row(3, 672, 112, True, _HS, 1),
    _Row(5, 672, 160, True, _HS, 2),
    _Row(5, 960, 160, True, _HS, 1),
    _Row(5, 960, 160, True, _HS, 1),
)


def _conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    depthwise: bool = False,
    activation: type[nn.Module] | None,
) -> nn.Sequential:
    """Convolution without bias, BatchNorm, activation: state dict names `0`, `1`."""
    layers: list[nn.Module] = [
        DepthwiseConv2d(out_channels, kernel, stride)
        if depthwise
        else nn.Conv2d(in_channels, out_channels, kernel, stride, (kernel - 1) // 2, bias=False),
        nn.BatchNorm2d(out_channels, eps=BATCH_NORM_EPS, momentum=BATCH_NORM_MOMENTUM),
    ]
    if activation is not None:
        layers.append(activation(inplace=True))
    return nn.Sequential(*layers)


def _divisible_by_8(value: float) -> int:
    """The multiple of 8 nearest to `value`, but not below 90 % of it."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


class SqueezeExcite(nn.Module):
    """Channel attention: mean over the map, two 1x1 convolutions, hard sigmoid. (N, C, h, w) -> (N, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = _divisible_by_8(channels / 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scales each channel of `x` by a factor in [0, 1]."""
        # Not adaptive_avg_pool2d, which a graph of any N exports as a gathering of computed places.
        scale = x.mean((2, 3), keepdim=True)
        scale = nn.functional.relu(self.fc1(scale))
        return nn.functional.hardsigmoid(self.fc2(scale)) * x


class InvertedResidual(nn.Module):
    """Expand (1x1), depthwise, squeeze-excite where the table has it, project (1x1); residual where shapes allow."""

    def __init__(self, in_channels: int, row: _Row) -> None:
        super().__init__()
        self.residual = row.stride == 1 and in_channels == row.out
        layers: list[nn.Module] = []
        if row.expanded != in_channels:
            layers.append(_conv(in_channels, row.expanded, 1, activation=row.activation))
        layers.append(
            _conv(
                row.expanded,
                row.expanded,
                row.kernel,
                stride=row.stride,
                depthwise=True,
                activation=row.activation,
            )
        )
        if row.squeeze:
            layers.append(SqueezeExcite(row.expanded))
        layers.append(_conv(row.expanded, row.out, 1, activation=None))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_in, h, w) -> (N, C_out, h / stride, w / stride)."""
        y: Tensor = self.block(x)
        return x + y if self.residual else y


class MobileNetV3Large(nn.Sequential):
    """The feature part, as a backbone with four taps.

    Attributes:
        taps: indices of the layers whose outputs are returned.
        channels: their channels, at strides 4, 8, 16, 32.
    """

    taps = (3, 6, 12, 16)
    channels = (24, 40, 112, LAST_CHANNELS)

    def __init__(self) -> None:
        layers: list[nn.Module] = [_conv(3, STEM_CHANNELS, 3, stride=2, activation=nn.Hardswish)]
        channels = STEM_CHANNELS
        for row in _ROWS:
            layers.append(InvertedResidual(channels, row))
            channels = row.out
        layers.append(_conv(channels, LAST_CHANNELS, 1, activation=nn.Hardswish))
        super().__init__(*layers)
        self.apply(_initialise)

    def features(self, images: Tensor) -> list[Tensor]:
        """(N, 3, S, S) normalised -> the four taps, shallow first: (N, C_i, S / 2^(i+2), S / 2^(i+2))."""
        found = []
        x = images
        for index, layer in enumerate(self):
            x = layer(x)
            if index in self.taps:
                found.append(x)
        return found


def _initialise(module: nn.Module) -> None:
    """He initialisation by fan-out for convolutions, unit BatchNorm (the usual start without ImageNet weights)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            torch.nn.init.zeros_(module.bias)
