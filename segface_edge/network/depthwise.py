"""A depthwise convolution, whose bf16 backward pass on a CPU is many times slower than that of fp32."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class DepthwiseConv2d(nn.Conv2d):
    """A convolution of each channel by itself: `nn.Conv2d` with as many groups as channels.

    In bf16 on a CPU it is computed in fp32, gradients included: oneDNN has no quick bf16 kernel for strides of 2 and
    for 5 x 5 (version 3.12: four times slower over MobileNetV3's, casts counted).

    Args:
        channels: in and out.
        kernel: side, odd; the padding keeps the size.
        stride: of both sides.
    """

    def __init__(self, channels: int, kernel: int, stride: int) -> None:
        super().__init__(channels, channels, kernel, stride, (kernel - 1) // 2, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h / stride, w / stride), in the type of `x`."""
        if x.dtype != torch.bfloat16 or x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(x.dtype)
