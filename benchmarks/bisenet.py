"""BiSeNet with a ResNet-18 (Yu et al., "BiSeNet", ECCV 2018, figure 2), as face parsers on the web are made of it:
what `front.py` compares speed with. Its weights are random: speed does not depend on them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def conv(in_channels: int, out_channels: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(),
    )


class Residual(nn.Module):
    """ResNet's basic block."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.first = conv(in_channels, out_channels, stride=stride)
        self.second = nn.Sequential(
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False), nn.BatchNorm2d(out_channels)
        )
        self.short = (
            nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))
            if stride > 1
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.short(x) + self.second(self.first(x)))


class Attention(nn.Module):
    """The attention refinement module: a convolution, and each channel times what its mean says."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv = conv(in_channels, out_channels)
        self.gate = nn.Sequential(nn.Conv2d(out_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels))

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.gate(x.mean((2, 3), keepdim=True)).sigmoid()


class BiSeNet(nn.Module):
    """(N, 3, S, S) float -> logits (N, K, S, S); the spatial path is ResNet's stride 8, as in the face parsers."""

    def __init__(self, classes: int = 19) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv(3, 64, 7, 2), nn.MaxPool2d(3, 2, 1))
        self.eighth = nn.Sequential(self._stage(64, 64, 1), self._stage(64, 128, 2))
        self.sixteenth, self.last = self._stage(128, 256, 2), self._stage(256, 512, 2)
        self.attend16, self.attend32 = Attention(256, 128), Attention(512, 128)
        self.mean = conv(512, 128, 1)
        self.head16, self.head32 = conv(128, 128), conv(128, 128)
        self.fuse = conv(256, 256, 1)
        self.gate = nn.Sequential(nn.Conv2d(256, 64, 1, bias=False), nn.ReLU(), nn.Conv2d(64, 256, 1, bias=False))
        self.out = nn.Sequential(conv(256, 256), nn.Conv2d(256, classes, 1, bias=False))

    @staticmethod
    def _stage(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
        return nn.Sequential(Residual(in_channels, out_channels, stride), Residual(out_channels, out_channels, 1))

    def forward(self, images: Tensor) -> Tensor:
        eighth = self.eighth(self.stem(images))
        sixteenth = self.sixteenth(eighth)
        last = self.last(sixteenth)
        deep = self.attend32(last) + self.mean(last.mean((2, 3), keepdim=True))
        deep = self.head32(functional.interpolate(deep, scale_factor=2.0, mode="nearest"))
        context = self.attend16(sixteenth) + deep
        context = self.head16(functional.interpolate(context, scale_factor=2.0, mode="nearest"))
        fused = self.fuse(torch.cat([eighth, context], 1))
        fused = fused + fused * self.gate(fused.mean((2, 3), keepdim=True)).sigmoid()
        return functional.interpolate(self.out(fused), scale_factor=8.0, mode="bilinear", align_corners=True)
