"""Augmentation of a batch, on the device that trains: geometry in one resampling of each, then colour.

What needs a decoder or another photo (pasted parts, JPEG, sensor noise, backgrounds) is done by `data.py` before.

Every sample brings its own uniform random numbers, so that its look depends on nothing but them: neither on the batch,
nor on the device, nor on how many processes share the work.

Shape letters: N batch, H source side, S network side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

from segface_edge.errors import UsageError
from segface_edge.labels import IGNORED, LabelSet
from segface_edge.pictures.fitting import PADDING
from segface_edge.spec import IMAGENET_MEAN, IMAGENET_STD

# Uniform random numbers that a sample brings.
DRAWS = 32
_BLUR_TAPS = 7


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Each name that is a probability is that of a sample to be changed so, in [0, 1].

    Attributes:
        flip: mirrored, left and right classes swapped.
        affine: turned by up to `rotation` degrees, scaled by a factor of `scale`, shifted by up to `shift` of the side.
        zoom_out: drawn small, by a factor of `zoom_out_scale`, anywhere in the frame, on another background.
        background: what lies behind the person replaced by another background.
        colour: brightness, contrast, saturation and white balance changed by up to `colour_strength`.
        gamma: raised to a power of 1 / (1 + colour_strength) to 1 + colour_strength.
        grey: without colour.
        blur: Gaussian of up to `blur_sigma` pixels at 256 pixels a side.
        noise, jpeg: sensor noise; JPEG of quality 25 to 90.
        erase: a box of up to `erase_side` of the side painted over, its labels ignored.
        paste: a rare part (glasses, hat, earrings, necklace) of another photo pasted on.
    """

    flip: float = 0.5
    affine: float = 0.0
    rotation: float = 20.0
    scale: tuple[float, float] = (0.8, 1.25)
    shift: float = 0.08
    zoom_out: float = 0.0
    zoom_out_scale: tuple[float, float] = (0.35, 0.8)
    background: float = 0.0
    colour: float = 0.0
    colour_strength: float = 0.3
    gamma: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    blur_sigma: float = 1.5
    noise: float = 0.0
    jpeg: float = 0.0
    erase: float = 0.0
    erase_side: float = 0.3
    paste: float = 0.0

    def __post_init__(self) -> None:
        chances = (
            "flip",
            "affine",
            "zoom_out",
            "background",
            "colour",
            "gamma",
            "grey",
            "blur",
            "noise",
            "jpeg",
            "erase",
            "paste",
        )
        for name in chances:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(name, "is not a probability", "use 0 to 1")
        for name in ("scale", "zoom_out_scale"):
            low, high = (*getattr(self, name), 0.0, 0.0)[:2]
            if len(getattr(self, name)) != 2 or not 0.05 <= low <= high <= 4:
                raise UsageError(name, "is not a range of factors", "use [0.8, 1.25], for example")
        limits = {"rotation": 180.0, "shift": 1.0, "colour_strength": 0.9, "blur_sigma": 10.0, "erase_side": 1.0}
        for name, most in limits.items():
            if not 0 <= getattr(self, name) <= most:
                raise UsageError(name, "is out of range", f"use 0 to {most:g}")


def augment(
    images: Tensor,
    labels: Tensor,
    backgrounds: Tensor,
    draws: Tensor,
    *,
    size: int,
    order: LabelSet,
    config: AugmentConfig,
) -> tuple[Tensor, Tensor]:
    """A batch as the network sees it in training.

    Args:
        images: (N, H, H, 3) uint8 RGB.
        labels: (N, L, L) uint8 of `order`, 255 ignored; L may differ from H.
        backgrounds: (N, b, b, 3) uint8, small; enlarged to the frame where a background is needed.
        draws: (N, DRAWS) float32 in [0, 1), uniform.
        size: S.
        order: label order.
        config: what to do.

    Returns:
        (N, 3, S, S) float32, ImageNet-normalised, channels last in memory; (N, S, S) uint8.
    """
    device = images.device
    draws = draws.to(device)
    grid, mirrored = _grid(draws, size, config)
    frames, new_labels, outside = _resample(images, labels, grid, mirrored, order)
    behind = functional.interpolate(
        backgrounds.permute(0, 3, 1, 2).float() / 255, size=(size, size), mode="bilinear", align_corners=False
    )
    frames = _compose(frames, new_labels, outside, behind, draws, config)
    frames = _colour(frames, draws, config)
    frames = _blur(frames, draws, config)
    frames, new_labels = _erase(frames, new_labels, behind, draws, config)
    return normalise(frames), new_labels


def needs_background(draws: npt.NDArray[np.float32], config: AugmentConfig) -> bool:
    """Whether `augment` will look at the background of a sample with these (DRAWS,) numbers."""
    return bool(draws[1] < config.zoom_out or draws[8] < config.background or draws[21] < config.erase)


def normalise(frames: Tensor) -> Tensor:
    """(N, 3, S, S) float in [0, 1] with ImageNet's mean and standard deviation, channels last in memory."""
    mean, std = (torch.tensor(values, device=frames.device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((frames - mean) / std).contiguous(memory_format=torch.channels_last)


def _between(draw: Tensor, low: float, high: float) -> Tensor:
    return low + (high - low) * draw


def _zoomed(draws: Tensor, config: AugmentConfig) -> Tensor:
    return draws[:, 1] < config.zoom_out


def _grid(draws: Tensor, size: int, config: AugmentConfig) -> tuple[Tensor, Tensor]:
    """Where in the source (-1 to 1) each frame pixel looks: (N, S, S, 2); and which samples are mirrored: (N,)."""
    mirrored = draws[:, 0] < config.flip
    zoomed = _zoomed(draws, config)
    turned = (draws[:, 2] < config.affine) | zoomed
    angle = torch.deg2rad(_between(draws[:, 3], -config.rotation, config.rotation)) * turned
    # Factors are drawn by their logarithm: half as large is as likely as twice as large.
    near = _between(draws[:, 4], math.log(config.scale[0]), math.log(config.scale[1])).exp()
    far = _between(draws[:, 4], math.log(config.zoom_out_scale[0]), math.log(config.zoom_out_scale[1])).exp()
    scale = torch.where(zoomed, far, torch.where(turned, near, torch.ones_like(near)))
    # A small face may lie anywhere where it is whole; the frame's side is 2 in these coordinates.
    reach = torch.where(zoomed, (1 - scale).clamp(min=0), 2 * config.shift * turned)
    shift = (2 * draws[:, 5:7] - 1) * reach[:, None]
    cos, sin = angle.cos() / scale, angle.sin() / scale
    sign = torch.where(mirrored, -1.0, 1.0)
    linear = torch.stack([torch.stack([sign * cos, sign * sin], 1), torch.stack([-sin, cos], 1)], 1)  # (N, 2, 2)
    theta = torch.cat([linear, -(linear @ shift[:, :, None])], 2)
    grid = functional.affine_grid(theta, [len(draws), 1, size, size], align_corners=False)
    return grid, mirrored


def _resample(
    images: Tensor, labels: Tensor, grid: Tensor, mirrored: Tensor, order: LabelSet
) -> tuple[Tensor, Tensor, Tensor]:
    """Frames (N, 3, S, S) in [0, 1], labels (N, S, S) uint8 (background outside the source), outside (N, S, S) bool."""
    source = images.permute(0, 3, 1, 2).float().div_(255)
    frames = functional.grid_sample(source, grid, mode="bicubic", padding_mode="border", align_corners=False)
    # 0 is what lies outside, so that it is told from background.
    ids = functional.grid_sample(
        labels[:, None].float() + 1, grid, mode="nearest", padding_mode="zeros", align_corners=False
    )[:, 0]
    ids = ids.round().long()
    table = torch.full((2, 257), IGNORED, dtype=torch.uint8, device=labels.device)
    table[:, 0] = 0
    table[0, 1 : len(order) + 1] = torch.arange(len(order), dtype=torch.uint8)
    table[1, 1 : len(order) + 1] = torch.from_numpy(order.mirrored)
    new_labels = table[mirrored.long()[:, None, None], ids]
    return frames.clamp_(0, 1), new_labels, ids == 0


def _compose(
    frames: Tensor, labels: Tensor, outside: Tensor, behind: Tensor, draws: Tensor, config: AugmentConfig
) -> Tensor:
    """What lies outside the photo: the runtime's padding, or another background where the face was made small; and
    another background behind the person where that was drawn."""
    padding = torch.tensor(PADDING, device=frames.device).view(1, 3, 1, 1) / 255
    scenery = _zoomed(draws, config) & (draws[:, 7] < 0.8)
    filling = torch.where(scenery[:, None, None, None], behind, padding)
    replaced = (draws[:, 8] < config.background)[:, None, None] & (labels == 0) & ~outside
    filled = torch.where(outside[:, None], filling, frames)
    return torch.where(replaced[:, None], behind, filled)


def _colour(frames: Tensor, draws: Tensor, config: AugmentConfig) -> Tensor:
    """Brightness, contrast, saturation and white balance as one 3 x 3 matrix and offset a sample; then gamma."""
    n = len(frames)
    device = frames.device
    strength = config.colour_strength
    changed = (draws[:, 9] < config.colour).float()
    factors = 1 + (2 * draws[:, 10:16] - 1) * strength * changed[:, None]  # brightness, contrast, saturation, R, G, B
    saturation = torch.where(draws[:, 16] < config.grey, torch.zeros(n, device=device), factors[:, 2])
    grey = torch.tensor([0.299, 0.587, 0.114], device=device).expand(3, 3)
    matrix = torch.eye(3, device=device) * saturation[:, None, None] + grey * (1 - saturation)[:, None, None]
    # White balance moves less than brightness does.
    balance = 1 + (factors[:, 3:6] - 1) / 3
    gain = (factors[:, 0] * factors[:, 1])[:, None] * balance
    matrix = gain[:, :, None] * matrix
    mean = frames.mean(dim=(1, 2, 3)) * factors[:, 0]
    offset = mean * (1 - factors[:, 1])
    mixed = torch.baddbmm(offset[:, None, None].expand(n, 3, 1), matrix, frames.flatten(2)).view_as(frames)
    mixed = mixed.clamp_(0, 1)
    power = (draws[:, 17] < config.gamma).nonzero()[:, 0]
    if len(power):
        log = math.log(1 + strength)
        exponent = _between(draws[power, 18], -log, log).exp()
        mixed[power] = mixed[power].pow(exponent[:, None, None, None])
    return mixed


def _blur(frames: Tensor, draws: Tensor, config: AugmentConfig) -> Tensor:
    chosen = (draws[:, 19] < config.blur).nonzero()[:, 0]
    if not len(chosen):
        return frames
    sigma = _between(draws[chosen, 20], 0.2, max(0.2, config.blur_sigma)) * frames.shape[-1] / 256
    taps = torch.arange(_BLUR_TAPS, device=frames.device) - _BLUR_TAPS // 2
    kernel = (-0.5 * (taps / sigma[:, None]) ** 2).exp()
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)  # (3 n, taps)
    part = frames[chosen]
    flat = part.reshape(1, -1, *part.shape[-2:])
    half = _BLUR_TAPS // 2
    for shape, padding in (((-1, 1, 1, _BLUR_TAPS), (half, half, 0, 0)), ((-1, 1, _BLUR_TAPS, 1), (0, 0, half, half))):
        padded = functional.pad(flat, padding, mode="replicate")
        flat = functional.conv2d(padded, kernel.view(shape), groups=flat.shape[1])
    frames = frames.clone()
    frames[chosen] = flat.view_as(part)
    return frames


def _erase(
    frames: Tensor, labels: Tensor, behind: Tensor, draws: Tensor, config: AugmentConfig
) -> tuple[Tensor, Tensor]:
    erased = draws[:, 21] < config.erase
    if not bool(erased.any()):
        return frames, labels
    size = frames.shape[-1]
    half = _between(draws[:, 22:24], 0.05, max(0.05, config.erase_side)) / 2
    centre = draws[:, 24:26]
    axis = (torch.arange(size, device=frames.device) + 0.5) / size
    inside = ((axis[None, None] - centre[:, :, None]).abs() < half[:, :, None]) & erased[:, None, None]  # (N, 2, S)
    box = inside[:, 1, :, None] & inside[:, 0, None, :]
    frames = torch.where(box[:, None], behind, frames)
    return frames, torch.where(box, torch.full_like(labels, IGNORED), labels)
