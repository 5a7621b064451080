"""Colour and sharpness of a batch, on the device that trains; part of `augment`, whose numbers it uses."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

if TYPE_CHECKING:
    from .augment import AugmentConfig

# Of a blur of up to so many pixels at 256 a side; a wider one has as many as it needs.
_BLUR_TAPS, _FEW = 7, 1.5


def between(draw: Tensor, low: float, high: float) -> Tensor:
    """A draw of [0, 1) in [low, high)."""
    return low + (high - low) * draw


def recolour(frames: Tensor, draws: Tensor, config: AugmentConfig) -> Tensor:
    """Brightness, contrast, saturation and white balance as one 3 x 3 matrix and offset a sample; then gamma.

    (N, 3, S, S) float32 in [0, 1] in and out.
    """
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
        exponent = between(draws[power, 18], -log, log).exp()
        mixed[power] = mixed[power].pow(exponent[:, None, None, None])
    return mixed


def blur(frames: Tensor, draws: Tensor, config: AugmentConfig) -> Tensor:
    """Gaussian blur of some. (N, 3, S, S) in [0, 1]; a new tensor where one is blurred."""
    chosen = (draws[:, 19] < config.blur).nonzero()[:, 0]
    if not len(chosen):
        return frames
    sigma = between(draws[chosen, 20], 0.2, max(0.2, config.blur_sigma)) * frames.shape[-1] / 256
    half = _BLUR_TAPS // 2
    if config.blur_sigma > _FEW:
        half = max(half, math.ceil(2.5 * config.blur_sigma * frames.shape[-1] / 256))
    taps = torch.arange(-half, half + 1, device=frames.device)
    kernel = (-0.5 * (taps / sigma[:, None]) ** 2).exp()
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(3, 0)  # (3 n, taps)
    part = frames[chosen]
    flat = part.reshape(1, -1, *part.shape[-2:])
    for shape, padding in (((-1, 1, 1, len(taps)), (half, half, 0, 0)), ((-1, 1, len(taps), 1), (0, 0, half, half))):
        padded = functional.pad(flat, padding, mode="replicate")
        flat = functional.conv2d(padded, kernel.view(shape), groups=flat.shape[1])
    frames = frames.clone()
    frames[chosen] = flat.view_as(part)
    return frames
