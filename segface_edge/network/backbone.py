"""What a backbone offers, and those that are layers one after another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from segface_edge.spec import IMAGENET_MEAN, IMAGENET_STD

from .depthwise import Depthwise

Rgb = tuple[float, float, float]


class Backbone(Protocol):
    """What a backbone offers besides being a module.

    Attributes:
        channels: of its taps, shallow first.
        mean, std: what its pictures, RGB in [0, 1], are normalised with.
        publisher: whose names `from_published` reads.
    """

    channels: tuple[int, ...]
    mean: Rgb
    std: Rgb
    publisher: str

    def features(self, images: Tensor) -> list[Tensor]:
        """(N, 3, S, S), normalised with `mean` and `std` -> four taps at strides 4, 8, 16, 32, shallow first."""

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state dict of ImageNet's classifier, by its publisher's names -> what the backbone has of it."""


class Layers(nn.Sequential):
    """A backbone of layers one after another, some of whose outputs are its taps.

    Attributes:
        taps: indices of these layers; the last is the last layer.
        channels, mean, std: see `Backbone`.
    """

    taps: tuple[int, ...]
    channels: tuple[int, ...]
    mean: Rgb = IMAGENET_MEAN
    std: Rgb = IMAGENET_STD

    def features(self, images: Tensor) -> list[Tensor]:
        """(N, 3, S, S) normalised -> the four taps, shallow first: (N, C_i, S / 2^(i+2), S / 2^(i+2))."""
        return tapped(self, self.taps, images)


def tapped(layers: Iterable[nn.Module], taps: Sequence[int], x: Tensor) -> list[Tensor]:
    """What some of the layers give, by their indices; those behind the last of these are not run."""
    found = []
    for index, layer in enumerate(layers):
        if index > taps[-1]:
            break
        x = layer(x)
        if index in taps:
            found.append(x)
    return found


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    depthwise: bool = False,
    activation: Callable[..., nn.Module] | None,
    pad_after: bool = False,
) -> nn.Sequential:
    """Convolution without bias, BatchNorm, activation, with the paddings and constants of MobileNet's family.

    Args:
        in_channels, out_channels, kernel, stride: of the convolution.
        depthwise: a kernel a channel.
        activation: made with `inplace=True`; None: none.
        pad_after: pad as TensorFlow does for an even input: (kernel - stride) / 2 before, the rest after. The padding
            is then a layer of its own where it is not even.
    """
    before, rest = divmod(kernel - stride, 2)
    uneven = pad_after and rest > 0
    padding = [nn.ZeroPad2d((before, before + rest, before, before + rest))] if uneven else []
    own = 0 if uneven else (kernel - 1) // 2
    convolution = (
        Depthwise(out_channels, kernel, stride=stride, padding=own)
        if depthwise
        else nn.Conv2d(in_channels, out_channels, kernel, stride, own, bias=False)
    )
    layers: list[nn.Module] = [*padding, convolution, nn.BatchNorm2d(out_channels, eps=1e-3, momentum=0.01)]
    if activation is not None:
        layers.append(activation(inplace=True))
    return nn.Sequential(*layers)


def initialise(module: nn.Module) -> None:
    """He initialisation by fan-out for convolutions, unit BatchNorm (the usual start without ImageNet weights)."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out")
        if module.bias is not None:
            torch.nn.init.zeros_(module.bias)
