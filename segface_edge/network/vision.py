"""Backbones of torchvision: SegFace's, but for the mobile one, which is ours (`mobilenet.py`).

torchvision is imported when one is built. Module names are those of the reference's checkpoints: EfficientNet's are its
stages, of the others all children but the classifier are numbered, and stages lie in the first of them (`0.1`…) but for
ResNet's, whose children they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import cast

from torch import Tensor, nn

from segface_edge.errors import MissingDependencyError, missing_extra
from segface_edge.spec import IMAGENET_MEAN, IMAGENET_STD

from .backbone import Rgb, tapped

_PURPOSE = "this backbone"


class Vision(nn.Sequential):
    """One of torchvision's classifiers without its last layers.

    Args:
        builder: of `torchvision.models`, by name.
        channels: of the taps.
        taps: indices of the stages whose outputs they are.
    """

    mean: Rgb = IMAGENET_MEAN
    std: Rgb = IMAGENET_STD

    def __init__(self, builder: str, channels: tuple[int, ...], taps: tuple[int, ...] = (1, 3, 5, 7)) -> None:
        children = dict(_network(builder).named_children())
        self.publisher = f"torchvision's {builder}"
        # Its own names for what is numbered here.
        self.names = list(children)[:-1]
        if builder.startswith("efficientnet"):
            stages = cast(nn.Sequential, children["features"])
            super().__init__(*stages)
            self.names = [f"features.{index}" for index in range(len(stages))]
        else:
            super().__init__(*(children[name] for name in self.names))
        self.channels, self.taps = channels, taps
        self.pixels_last = builder.startswith("swin")

    def features(self, images: Tensor) -> list[Tensor]:
        """(N, 3, S, S), ImageNet-normalised -> the four taps, shallow first: (N, C_i, S / 2^(i+2), S / 2^(i+2))."""
        stages = cast(nn.Sequential, self[0]) if self.names[0] == "features" else self
        found = tapped(stages, self.taps, images)
        return [tap.permute(0, 3, 1, 2) for tap in found] if self.pixels_last else found

    def from_published(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """torchvision's own names."""
        numbers = {name: str(number) for number, name in enumerate(self.names)}
        found = {}
        for name, value in state.items():
            for own, number in numbers.items():
                if name.startswith(f"{own}."):
                    found[f"{number}.{name.removeprefix(f'{own}.')}"] = value
        return found


def _network(builder: str) -> nn.Module:
    """Freshly initialised: nothing is downloaded."""
    network: nn.Module = getattr(_models(), builder)(weights=None)
    return network


def _models() -> ModuleType:
    try:
        from torchvision import models
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "backbones", _PURPOSE) from error
    except (ImportError, RuntimeError) as error:  # its operators do not load: it was built for another torch
        raise MissingDependencyError(
            _PURPOSE,
            f"the installed torchvision does not fit the installed torch ({error})",
            "install the two together, as pytorch.org's start page says for your machine",
        ) from error
    return cast(ModuleType, models)
