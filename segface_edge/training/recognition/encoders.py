"""Encoders by the side of their pictures, and the projection head that the contrastive losses see.

Shape letters: N pictures, C channels, S side, F width of the encoder's output, D of the projection's.
"""

from __future__ import annotations

from torch import Tensor, nn

PROJECTION = 128
_RESNET32_BLOCKS = 5


class SmallEncoder(nn.Module):
    """Three convolutions for pictures of a few pixels: (N, C, S, S) -> (N, 64)."""

    width = 64

    def __init__(self, channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for wide, stride in ((16, 1), (32, 2), (64, 1)):
            layers += [nn.Conv2d(channels, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide), nn.ReLU()]
            channels = wide
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, S, S) -> (N, 64), means over the positions."""
        out: Tensor = self.layers(images).mean((2, 3))
        return out


class _Block(nn.Module):
    """Two convolutions and a shortcut without weights (He et al., CVPR 2016, section 4.2, option A)."""

    def __init__(self, channels: int, wide: int, stride: int) -> None:
        super().__init__()
        self.stride, self.added = stride, wide - channels
        self.first = nn.Sequential(nn.Conv2d(channels, wide, 3, stride, 1, bias=False), nn.BatchNorm2d(wide))
        self.second = nn.Sequential(nn.Conv2d(wide, wide, 3, 1, 1, bias=False), nn.BatchNorm2d(wide))

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, S, S) -> (N, wide, S / stride, S / stride)."""
        shortcut = x[:, :, :: self.stride, :: self.stride]
        half = self.added // 2
        shortcut = nn.functional.pad(shortcut, (0, 0, 0, 0, half, self.added - half))
        out: Tensor = nn.functional.relu(self.second(nn.functional.relu(self.first(x))) + shortcut)
        return out


class ResNet32(nn.Module):
    """ResNet-32 for CIFAR (He et al., CVPR 2016, section 4.2): (N, C, S, S) -> (N, 64)."""

    width = 64

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(channels, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        blocks: list[nn.Module] = []
        wide_before = 16
        for wide, first_stride in ((16, 1), (32, 2), (64, 2)):
            for index in range(_RESNET32_BLOCKS):
                blocks.append(_Block(wide_before, wide, first_stride if index == 0 else 1))
                wide_before = wide
        self.blocks = nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, S, S) -> (N, 64), means over the positions."""
        out: Tensor = self.blocks(self.stem(images)).mean((2, 3))
        return out


def encoder_for(channels: int, side: int) -> SmallEncoder | ResNet32:
    """ResNet-32 from 24 pixels on, three convolutions below."""
    return ResNet32(channels) if side >= 24 else SmallEncoder(channels)


class Projection(nn.Module):
    """F - F - 128 with a ReLU between, then length 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, PROJECTION))

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) -> (N, 128) unit vectors."""
        return nn.functional.normalize(self.layers(features), dim=1)
