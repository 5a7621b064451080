"""Views of a picture: turned, scaled, shifted, mirrored, lit and noised at random."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


@dataclass(frozen=True, kw_only=True)
class Changes:
    """How much a view may differ from its picture.

    Attributes:
        rotation: degrees, to either side.
        scale: share, to either side of 1.
        shift: share of the side, in each direction.
        brightness: share, of contrast and brightness to either side.
        noise: largest standard deviation, of pictures in [0, 1].
        mirror: left and right may be changed.
    """

    rotation: float
    scale: float
    shift: float
    brightness: float
    noise: float
    mirror: bool = False


def random_views(images: Tensor, changes: Changes, generator: torch.Generator) -> Tensor:
    """(N, C, S, S) float32 in [0, 1] -> the same of a view of each, drawn on its own. Outside of a picture is black."""
    n = len(images)

    def drawn(count: int) -> Tensor:
        return 2 * torch.rand(count, generator=generator) - 1  # [-1, 1]

    angle = math.radians(changes.rotation) * drawn(n)
    size = 1 + changes.scale * drawn(n)
    cos, sin = angle.cos() / size, angle.sin() / size
    mirrored = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0) if changes.mirror else torch.ones(n)
    # In a frame of [-1, 1]: a share of the side is twice that.
    right, down = 2 * changes.shift * drawn(n), 2 * changes.shift * drawn(n)
    rows = [torch.stack(row, dim=1) for row in ((cos * mirrored, -sin, right), (sin * mirrored, cos, down))]
    grid = functional.affine_grid(torch.stack(rows, dim=1), list(images.shape), align_corners=False)
    changed = functional.grid_sample(images, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
    contrast, brightness = (changes.brightness * drawn(n)[:, None, None, None] for _ in range(2))
    changed = changed * (1 + contrast) + 0.5 * brightness
    if changes.noise > 0:
        sigma = changes.noise * torch.rand(n, 1, 1, 1, generator=generator)
        changed = changed + sigma * torch.randn(changed.shape, generator=generator)
    return changed.clamp(0, 1)
