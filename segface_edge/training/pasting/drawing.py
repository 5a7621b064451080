"""A part drawn into another photo: moved, in the recipient's light, its edge feathered."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.pictures.geometry import UInt8Array

from .anchors import BoolArray, Face, Point

# Jitter: factor of the scale, rotation in degrees, shift in widths of the face.
JITTER_SCALE = 0.04
JITTER_ANGLE = 3.0
JITTER_SHIFT = 0.015
# Standard deviation of the feathered edge, in pixels.
FEATHER = 0.7
# How far brightness follows the recipient's skin.
MAX_GAIN = 1.4
# Where the donor's photo cuts a part off, how far it may end from the frame's edge, in sides of the frame.
MAX_GAP = 0.03


@dataclass(frozen=True, kw_only=True)
class Move:
    """What moves where.

    Attributes:
        mask: (h, w) bool, the donor's pixels that move.
        start: a point of the donor's photo, (x, y) in pixels.
        end: where it comes to in the recipient's.
        scale: pixels of the recipient's photo per pixel of the donor's.
    """

    mask: BoolArray
    start: Point
    end: Point
    scale: float


def draw(
    pasted: UInt8Array,
    covered: BoolArray,
    onto: BoolArray | None,
    donor_image: UInt8Array,
    move: Move,
    gain: npt.NDArray[np.float64],
    jitter: npt.NDArray[np.float64],
    shift: float,
) -> bool:
    """Draws one move.

    Args:
        pasted: (H, W, 3) uint8 RGB, the recipient's photo, drawn into.
        covered: (H, W) bool, set where the part shows.
        onto: (H, W) bool, where it may show; None for everywhere.
        donor_image: (h, w, 3) uint8 RGB.
        move: what of it moves where.
        gain: (3,), factors of the donor's colours.
        jitter: (4,) in [-1, 1]: of rotation, scale, shift to the right and down.
        shift: the largest shift, in pixels.

    Returns:
        False where the donor's edge would show inside the frame: nothing is drawn then.
    """
    (height, width), (donor_height, donor_width) = covered.shape, move.mask.shape
    # The part's box and a margin, so that all that follows is small.
    x, y, w, h = cv2.boundingRect(move.mask.copy().view(np.uint8))  # of a view, OpenCV before 4.10 may err
    left, top, right, bottom = max(x - 2, 0), max(y - 2, 0), min(x + w + 2, donor_width), min(y + h + 2, donor_height)
    mask = move.mask[top:bottom, left:right].view(np.uint8) * np.uint8(255)
    toned = np.rint(np.clip(np.arange(256)[:, None] * gain, 0, 255)).astype(np.uint8)[None]
    pixels = cv2.LUT(np.ascontiguousarray(donor_image[top:bottom, left:right]), toned)

    angle, scale = math.radians(JITTER_ANGLE * jitter[0]), move.scale * (1 + JITTER_SCALE * jitter[1])
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    offset = np.array(move.end) + shift * jitter[2:] - turn @ move.start  # end = turn @ start + offset
    corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)]) @ turn.T + offset
    x0, y0 = np.floor(corners.min(0)).astype(int).tolist()
    x1, y1 = np.ceil(corners.max(0)).astype(int).tolist()
    # What the donor's photo cuts off goes on to the edge of the frame, by the last pixels' repetition; not far.
    gap = MAX_GAP * min(height, width)
    beyond = [y == 0 and y0, x == 0 and x0, y + h == donor_height and height - y1, x + w == donor_width and width - x1]
    if max(beyond) > gap:
        return False
    x0, y0 = 0 if x == 0 else max(x0, 0), 0 if y == 0 else max(y0, 0)
    x1 = width if x + w == donor_width else min(x1, width)
    y1 = height if y + h == donor_height else min(y1, height)
    if x0 >= x1 or y0 >= y1:
        return True

    # OpenCV counts from pixel centres, and from the corners of what it is given.
    start = turn @ np.array([left + 0.5, top + 0.5]) + offset - (x0 + 0.5, y0 + 0.5)
    matrix, size = np.column_stack([turn, start]), (x1 - x0, y1 - y0)
    pixels, mask = (
        np.asarray(cv2.warpAffine(a, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)
        for a in (pixels, mask)
    )
    window = np.s_[y0:y1, x0:x1]
    shown = mask > 127
    if onto is not None:
        shown &= onto[window]
    # Of what is labelled: specks too thin for a label change no picture either.
    alpha = cv2.GaussianBlur(shown.astype(np.float32), (5, 5), FEATHER)
    pasted[window] = cv2.blendLinear(pixels, np.ascontiguousarray(pasted[window]), alpha, 1 - alpha)
    covered[window] |= shown
    return True


def skin_gain(image: UInt8Array, recipient: Face, donor_image: UInt8Array, donor: Face) -> npt.NDArray[np.float64]:
    """By how much the recipient's skin is brighter than the donor's.

    Args:
        image: (H, W, 3) uint8 RGB.
        recipient: the face in it.
        donor_image: (h, w, 3) uint8 RGB.
        donor: the face in it.

    Returns:
        (3,), the recipient's mean skin over the donor's, per channel, within [1 / MAX_GAIN, MAX_GAIN]; 1 where either
        shows no skin.
    """
    means = []
    for photo, face in ((image, recipient), (donor_image, donor)):
        sparse = slice(face.step // 2, None, face.step * 4)  # some thousand pixels are enough
        skin = photo[sparse, sparse][face.mask("skin")[::4, ::4]]
        if not len(skin):
            return np.ones(3)
        means.append(skin.mean(0))
    gain: npt.NDArray[np.float64] = np.clip(means[0] / np.maximum(means[1], 1), 1 / MAX_GAIN, MAX_GAIN)
    return gain
