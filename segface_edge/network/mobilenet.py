"""MobileNetV3, Large and Small, the feature parts (Howard et al., "Searching for MobileNetV3", ICCV 2019, tables 1, 2).

Module names follow the numbering that SegFace's checkpoints use for Large, and torchvision's builder for both: `0` the
stem, then the inverted residual blocks, last a 1x1 convolution.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from .backbone import Layers, conv_norm, initialise
from .inverted_residual import BlockRow, blocks

_STEM_CHANNELS = 16
_RE, _HS = nn.ReLU, nn.Hardswish
_LARGE = (
    BlockRow(3, 16, 16, False, _RE, 1),
    BlockRow(3, 64, 24, False, _RE, 2),
    BlockRow(3, 72, 24, False, _RE, 1),
    BlockRow(5, 72, 40, True, _RE, 2),
    BlockRow(5, 120, 40, True, _RE, 1),
    BlockRow(5, 120, 40, True, _RE, 1),
    BlockRow(3, 240, 80, False, _HS, 2),
    BlockRow(3, 200, 80, False, _HS, 1),
    BlockRow(3, 184, 80, False, _HS, 1),
    BlockRow(3, 184, 80, False, _HS, 1),
    BlockRow(3, 480, 112, True, _HS, 1),
    BlockRow(3, 672, 112, True, _HS, 1),
    BlockRow(5, 672, 160, True, _HS, 2),
    BlockRow(5, 960, 160, True, _HS, 1),
    BlockRow(5, 960, 160, True, _HS, 1),
)
_SMALL = (
    BlockRow(3, 16, 16, True, _RE, 2),
    BlockRow(3, 72, 24, False, _RE, 2),
    BlockRow(3, 88, 24, False, _RE, 1),
    BlockRow(5, 96, 40, True, _HS, 2),
    BlockRow(5, 240, 40, True, _HS, 1),
    BlockRow(5, 240, 40, True, _HS, 1),
    BlockRow(5, 120, 48, True, _HS, 1),
    BlockRow(5, 144, 48, True, _HS, 1),
    BlockRow(5, 288, 96, True, _HS, 2),
    BlockRow(5, 576, 96, True, _HS, 1),
    BlockRow(5, 576, 96, True, _HS, 1),
)


class _MobileNetV3(Layers):
    publisher = "torchvision's builder of that backbone"

    def __init__(self, rows: tuple[BlockRow, ...]) -> None:
        last = self.channels[-1]
        super().__init__(
            conv_norm(3, _STEM_CHANNELS, 3, stride=2, activation=nn.Hardswish),
            *blocks(_STEM_CHANNELS, rows),
            conv_norm(rows[-1].out, last, 1, activation=nn.Hardswish),
        )
        self.apply(initialise)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's: `features.*`."""
        return {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}


class MobileNetV3Large(_MobileNetV3):
    """SegFace's mobile backbone."""

    taps = (3, 6, 12, 16)
    channels = (24, 40, 112, 960)

    def __init__(self) -> None:
        super().__init__(_LARGE)


class MobileNetV3Small(_MobileNetV3):
    """Half the blocks: the stride of 4 is reached by the first."""

    taps = (1, 3, 8, 12)
    channels = (16, 24, 48, 576)

    def __init__(self) -> None:
        super().__init__(_SMALL)
