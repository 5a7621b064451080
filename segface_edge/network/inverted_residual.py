"""Inverted residual blocks (Sandler et al., "MobileNetV2", CVPR 2018, section 3.3), which all backbones for the edge
here are made of. Inside a block the modules are `block.0 …` in order of execution.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from .backbone import conv_norm


@dataclass(frozen=True)
class BlockRow:
    """One row of a paper's table: a block.

    Attributes:
        kernel, stride: of its depthwise convolution.
        expanded, out: channels inside and behind it.
        squeeze: whether it has a squeeze-excite.
        activation: its class.
    """

    kernel: int
    expanded: int
    out: int
    squeeze: bool
    activation: Callable[..., nn.Module]
    stride: int


def divisible_by_8(value: float) -> int:
    """The multiple of 8 nearest to `value`, but not below 90 % of it."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


class SqueezeExcite(nn.Module):
    """Channel attention: mean over the map, two 1x1 convolutions, hard sigmoid. (N, C, h, w) -> (N, C, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        squeezed = divisible_by_8(channels / 4)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scales each channel of `x` by a factor in [0, 1]."""
        # Not adaptive_avg_pool2d, which a graph of any N exports as a gathering of computed places.
        scale = x.mean((2, 3), keepdim=True)
        scale = nn.functional.relu(self.fc1(scale))
        return nn.functional.hardsigmoid(self.fc2(scale)) * x


class InvertedResidual(nn.Module):
    """Expand (1x1), depthwise, squeeze-excite where the table has it, project (1x1); residual where shapes allow.

    Args:
        in_channels: of what comes in.
        row: of the table.
        pad_after: see `conv_norm`.
    """

    def __init__(self, in_channels: int, row: BlockRow, *, pad_after: bool = False) -> None:
        super().__init__()
        self.residual = row.stride == 1 and in_channels == row.out
        layers: list[nn.Module] = []
        if row.expanded != in_channels:
            layers.append(conv_norm(in_channels, row.expanded, 1, activation=row.activation))
        layers.append(
            conv_norm(
                row.expanded,
                row.expanded,
                row.kernel,
                stride=row.stride,
                depthwise=True,
                activation=row.activation,
                pad_after=pad_after,
            )
        )
        if row.squeeze:
            layers.append(SqueezeExcite(row.expanded))
        layers.append(conv_norm(row.expanded, row.out, 1, activation=None))
        self.block = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C', h / stride, w / stride)."""
        y: Tensor = self.block(x)
        return x + y if self.residual else y


def blocks(in_channels: int, rows: Sequence[BlockRow], *, pad_after: bool = False) -> list[nn.Module]:
    """The blocks of a table, in its order."""
    made: list[nn.Module] = []
    for row in rows:
        made.append(InvertedResidual(in_channels, row, pad_after=pad_after))
        in_channels = row.out
    return made
