"""Augmentation of a batch, on the device that trains: geometry in one resampling of each, then colour.

What is drawn into a photo or needs a decoder or another photo (hands, masks, light, pasted parts, motion, noise, few
pixels, JPEG, backgrounds) is done by `face_source.py` before.

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

from .colour import between, blur, recolour

# Uniform random numbers that a sample brings.
DRAWS = 32
# The probabilities of `AugmentConfig`.
CHANCES = (
    *("flip", "affine", "turn", "zoom_out", "crop", "background"),
    *("colour", "gamma", "grey", "blur"),
    *("noise", "jpeg", "motion", "low_resolution", "light"),
    *("hand", "mask", "erase", "paste"),
)
# How far a tight crop's middle may lie from the photo's, in halves of the frame: the face stays in it.
_MOST_OFF = 0.7


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """Each name that is a probability is that of a sample to be changed so, in [0, 1].

    Attributes:
        flip: mirrored, left and right classes swapped.
        affine: turned by up to `rotation` degrees, scaled by a factor of `scale`, shifted by up to `shift` of the side.
        turn: turned by up to `turn_angle` degrees instead, most often on another background.
        zoom_out: a wide crop: drawn small, by a factor of `zoom_out_scale`, anywhere in the frame, on another
            background.
        crop: a tight crop: drawn large, by a factor of `crop_scale`, the frame inside the photo and on its middle.
        background: what lies behind the person replaced by another background.
        colour: brightness, contrast, saturation and white balance changed by up to `colour_strength`.
        gamma: raised to a power of 1 / (1 + colour_strength) to 1 + colour_strength.
        grey: without colour.
        blur: Gaussian of up to `blur_sigma` pixels at 256 pixels a side.
        noise: of a sensor, with a standard deviation of 2 to `noise_sigma` levels of 255.
        jpeg: of quality 25 to 90.
        motion: blurred by a moving camera, over up to `motion_length` of the side.
        low_resolution: as from a photo whose side is that of the frame divided by a factor of `low_resolution_factor`.
        light: lit from one side, perhaps with a shadow on part of it.
        hand: a drawn hand before the face, ignored where it covers the head (`occlusion/hand.py` says why).
        mask: a drawn medical mask, which is `cloth`.
        erase: a box of up to `erase_side` of the side painted over, its labels ignored.
        paste: a rare part (glasses, hat, earrings, necklace) of another photo pasted on.
    """

    flip: float = 0.5
    affine: float = 0.0
    rotation: float = 20.0
    scale: tuple[float, float] = (0.8, 1.25)
    shift: float = 0.08
    turn: float = 0.0
    turn_angle: float = 180.0
    zoom_out: float = 0.0
    zoom_out_scale: tuple[float, float] = (0.35, 0.8)
    crop: float = 0.0
    crop_scale: tuple[float, float] = (1.25, 2.0)
    background: float = 0.0
    colour: float = 0.0
    colour_strength: float = 0.3
    gamma: float = 0.0
    grey: float = 0.0
    blur: float = 0.0
    blur_sigma: float = 1.5
    noise: float = 0.0
    noise_sigma: float = 16.0
    jpeg: float = 0.0
    motion: float = 0.0
    motion_length: float = 0.05
    low_resolution: float = 0.0
    low_resolution_factor: tuple[float, float] = (2.0, 6.0)
    light: float = 0.0
    hand: float = 0.0
    mask: float = 0.0
    erase: float = 0.0
    erase_side: float = 0.3
    paste: float = 0.0

    def __post_init__(self) -> None:
        for name in CHANCES:
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(name, "is not a probability", "use 0 to 1")
        factors = {"scale": 0.05, "zoom_out_scale": 0.05, "crop_scale": 1.0, "low_resolution_factor": 1.0}
        for name, least in factors.items():
            most = 16 if name == "low_resolution_factor" else 4
            low, high = (*getattr(self, name), 0.0, 0.0)[:2]
            if len(getattr(self, name)) != 2 or not least <= low <= high <= most:
                default = ", ".join(f"{value:g}" for value in getattr(type(self), name))
                raise UsageError(name, "is not a range of factors", f"use [{default}], for example")
        limits = {
            "rotation": 180.0,
            "turn_angle": 180.0,
            "shift": 1.0,
            "colour_strength": 0.9,
            "blur_sigma": 10.0,
            "motion_length": 0.25,
            "erase_side": 1.0,
        }
        for name, limit in limits.items():
            if not 0 <= getattr(self, name) <= limit:
                raise UsageError(name, "is out of range", f"use 0 to {limit:g}")
        if not 2 <= self.noise_sigma <= 100:
            raise UsageError("noise_sigma", "is out of range", "use 2 to 100")


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
    frames = recolour(frames, draws, config)
    frames = blur(frames, draws, config)
    frames, new_labels = _erase(frames, new_labels, behind, draws, config)
    return normalise(frames), new_labels


def move_points(points: Tensor, draws: Tensor, *, size: int, config: AugmentConfig) -> Tensor:
    """Where points of the source come to lie in the frames of `augment`, the faces' sides in order.

    Args:
        points: (N, 5, 2) float32, x and y from -1 to 1 over the source: two eyes, nose, two corners of the mouth.
        draws: as of `augment`, and so `size` and `config`.

    Returns:
        (N, 5, 2) float32, pixels of the frame.
    """
    theta, mirrored = _placed(draws.to(points.device), config)
    moved = torch.linalg.solve(theta[:, :, :2], (points - theta[:, None, :, 2]).mT).mT
    # A mirrored face's left eye is its right one.
    moved = torch.where(mirrored[:, None, None], moved[:, [1, 0, 2, 4, 3]], moved)
    return (moved + 1) / 2 * size


def needs_background(draws: npt.NDArray[np.float32], config: AugmentConfig) -> bool:
    """Whether `augment` will look at the background of a sample with these (DRAWS,) numbers."""
    chances = {1: config.zoom_out, 8: config.background, 21: config.erase, 26: config.turn}
    return any(draws[number] < chance for number, chance in chances.items())


def normalise(frames: Tensor) -> Tensor:
    """(N, 3, S, S) float in [0, 1] with ImageNet's mean and standard deviation, channels last in memory."""
    mean, std = (torch.tensor(values, device=frames.device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return ((frames - mean) / std).contiguous(memory_format=torch.channels_last)


def _zoomed(draws: Tensor, config: AugmentConfig) -> Tensor:
    return draws[:, 1] < config.zoom_out


def _turned(draws: Tensor, config: AugmentConfig) -> Tensor:
    return draws[:, 26] < config.turn


def _grid(draws: Tensor, size: int, config: AugmentConfig) -> tuple[Tensor, Tensor]:
    """Where in the source (-1 to 1) each frame pixel looks: (N, S, S, 2); and which samples are mirrored: (N,)."""
    theta, mirrored = _placed(draws, config)
    grid = functional.affine_grid(theta, [len(draws), 1, size, size], align_corners=False)
    return grid, mirrored


def _placed(draws: Tensor, config: AugmentConfig) -> tuple[Tensor, Tensor]:
    """(N, 2, 3): frame -> source, both from -1 to 1; and which samples are mirrored: (N,)."""
    mirrored = draws[:, 0] < config.flip
    zoomed = _zoomed(draws, config)
    turned = (draws[:, 2] < config.affine) | zoomed
    angle = torch.deg2rad(between(draws[:, 3], -config.rotation, config.rotation)) * turned
    far_round = torch.deg2rad(between(draws[:, 27], -config.turn_angle, config.turn_angle))
    angle = torch.where(_turned(draws, config), far_round, angle)
    # Factors are drawn by their logarithm: half as large is as likely as twice as large.
    near = between(draws[:, 4], math.log(config.scale[0]), math.log(config.scale[1])).exp()
    far = between(draws[:, 4], math.log(config.zoom_out_scale[0]), math.log(config.zoom_out_scale[1])).exp()
    cropped = (draws[:, 28] < config.crop) & ~zoomed
    close = between(draws[:, 29], math.log(config.crop_scale[0]), math.log(config.crop_scale[1])).exp()
    scale = torch.where(turned, near, torch.ones_like(near))
    scale = torch.where(zoomed, far, torch.where(cropped, close, scale))
    # A small face may lie anywhere where it is whole, and so may the frame in a large photo; the frame's side is 2 in
    # these coordinates.
    reach = torch.where(cropped, (scale - 1).clamp(0, _MOST_OFF), 2 * config.shift * turned)
    reach = torch.where(zoomed, (1 - scale).clamp(min=0), reach)
    shift = (2 * draws[:, 5:7] - 1) * reach[:, None]
    cos, sin = angle.cos() / scale, angle.sin() / scale
    sign = torch.where(mirrored, -1.0, 1.0)
    linear = torch.stack([torch.stack([sign * cos, sign * sin], 1), torch.stack([-sin, cos], 1)], 1)  # (N, 2, 2)
    return torch.cat([linear, -(linear @ shift[:, :, None])], 2), mirrored


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
    """What lies outside the photo: the runtime's padding, or another background where the face was made small or turned
    far; and another background behind the person where that was drawn."""
    padding = torch.tensor(PADDING, device=frames.device).view(1, 3, 1, 1) / 255
    scenery = (_zoomed(draws, config) | _turned(draws, config)) & (draws[:, 7] < 0.8)
    filling = torch.where(scenery[:, None, None, None], behind, padding)
    replaced = (draws[:, 8] < config.background)[:, None, None] & (labels == 0) & ~outside
    filled = torch.where(outside[:, None], filling, frames)
    return torch.where(replaced[:, None], behind, filled)


def _erase(
    frames: Tensor, labels: Tensor, behind: Tensor, draws: Tensor, config: AugmentConfig
) -> tuple[Tensor, Tensor]:
    erased = draws[:, 21] < config.erase
    if not bool(erased.any()):
        return frames, labels
    size = frames.shape[-1]
    half = between(draws[:, 22:24], 0.05, max(0.05, config.erase_side)) / 2
    centre = draws[:, 24:26]
    axis = (torch.arange(size, device=frames.device) + 0.5) / size
    inside = ((axis[None, None] - centre[:, :, None]).abs() < half[:, :, None]) & erased[:, None, None]  # (N, 2, S)
    box = inside[:, 1, :, None] & inside[:, 0, None, :]
    frames = torch.where(box[:, None], behind, frames)
    return frames, torch.where(box, torch.full_like(labels, IGNORED), labels)
