"""EfficientNet-Lite 0 to 2, the feature parts: EfficientNet (Tan and Le, ICML 2019, table 1) without squeeze-excite and
with ReLU6, made for int8 on edge devices (Liu, "Higher accuracy on vision models with EfficientNet-Lite", TensorFlow's
blog, 2020).

Modules are numbered in order of execution: `0` the stem, then the inverted residual blocks. There is no last 1x1
convolution: of 1280 channels the fusion would make 256.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from .backbone import Layers, conv_norm, initialise
from .inverted_residual import BlockRow, blocks, divisible_by_8

_STEM_CHANNELS = 32
# Kernel, expansion, channels, repeats, stride: EfficientNet-B0's.
_STAGES = (
    (3, 1, 16, 1, 1),
    (3, 6, 24, 2, 2),
    (5, 6, 40, 2, 2),
    (3, 6, 80, 3, 2),
    (5, 6, 112, 3, 1),
    (5, 6, 192, 4, 2),
    (3, 6, 320, 1, 1),
)
# Behind these stages the stride is 4, 8, 16, 32.
_TAPPED = (1, 2, 4, 6)
# The port's names in a block, in order of execution (a block that does not expand has the last two), and behind all.
_PUBLISHED = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
_CLASSIFIER = ("_conv_head", "_bn1", "_fc")
# Width and depth, times B0's.
_SCALES = ((1.0, 1.0), (1.0, 1.1), (1.1, 1.2))


class EfficientNetLite(Layers):
    """EfficientNet-Lite.

    Args:
        number: 0, 1 or 2.
    """

    publisher = "the PyTorch port efficientnet_lite_pytorch"
    # It takes (pixel - 127) / 128.
    mean = (127 / 255, 127 / 255, 127 / 255)
    std = (128 / 255, 128 / 255, 128 / 255)

    def __init__(self, number: int) -> None:
        width, depth = _SCALES[number]
        rows: list[BlockRow] = []
        taps, channels = [], []
        before = _STEM_CHANNELS
        for stage, (kernel, expansion, wide, repeats, stride) in enumerate(_STAGES):
            out = divisible_by_8(width * wide)
            # Lite scales neither the stem nor how often the first and the last stage repeat.
            if stage not in (0, len(_STAGES) - 1):
                repeats = math.ceil(depth * repeats)
            for repeat in range(repeats):
                rows.append(BlockRow(kernel, expansion * before, out, False, nn.ReLU6, 1 if repeat else stride))
                before = out
            if stage in _TAPPED:
                taps.append(len(rows))
                channels.append(out)
        self.taps, self.channels = tuple(taps), tuple(channels)
        super().__init__(
            conv_norm(3, _STEM_CHANNELS, 3, stride=2, activation=nn.ReLU6, pad_after=True),
            *blocks(_STEM_CHANNELS, rows, pad_after=True),
        )
        self.apply(initialise)

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The port's: `_conv_stem.weight`, `_blocks.0._bn1.bias`, …"""
        names = _conv_and_norm(self[0], "0", ("_conv_stem", "_bn0"))
        for index, layer in enumerate(list(self)[1:]):
            parts = list(cast(nn.Sequential, layer.block))
            for place, (part, theirs) in enumerate(zip(parts, _PUBLISHED[-len(parts) :], strict=True)):
                one, other = (f"_blocks.{index}.{name}" for name in theirs)
                names |= _conv_and_norm(part, f"{index + 1}.block.{place}", (one, other))
        found = {}
        for name, value in state.items():
            module, _, parameter = name.rpartition(".")
            if module not in _CLASSIFIER:
                found[f"{names.get(module, module)}.{parameter}"] = value
        return found


def _conv_and_norm(part: nn.Module, name: str, theirs: tuple[str, str]) -> dict[str, str]:
    """The port's names of a convolution and its BatchNorm -> ours; there may be a padding before them."""
    ours = [
        f"{name}.{index}" for index, layer in part.named_children() if isinstance(layer, nn.Conv2d | nn.BatchNorm2d)
    ]
    return dict(zip(theirs, ours, strict=True))
