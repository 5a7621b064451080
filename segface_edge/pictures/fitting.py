"""A picture, or a box of it, in the network's square; with `framing` the only pre-processing."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from segface_edge.errors import ImageError

from .geometry import FaceBox, Fitted, Geometry, UInt8Array

# Padding becomes 0 after ImageNet normalisation.
PADDING = (124, 116, 104)


def fit(image: UInt8Array, size: int, *, box: FaceBox | None = None, squash: bool = False) -> Fitted:
    """A picture, or a box of it, in the network's square: antialiased bicubic (Pillow's, as SegFace's evaluation).

    Args:
        image: (H, W, 3) uint8 RGB.
        size: S, pixels of the square's side.
        box: the part to show; the whole picture if None. What lies outside the picture is padding.
        squash: stretch to the square (the paper's protocol) instead of keeping the aspect ratio with padding.

    Raises:
        ImageError: the box lies outside the picture.
    """
    height, width = image.shape[:2]
    box = box or FaceBox.whole(height, width)
    seen = (max(box.left, 0.0), max(box.top, 0.0), min(box.right, float(width)), min(box.bottom, float(height)))
    if seen[0] >= seen[2] or seen[1] >= seen[3]:
        raise ImageError(f"face box {box}", f"lies outside the picture of {width} x {height}", "give a box inside it")
    box_width, box_height = box.right - box.left, box.bottom - box.top
    if squash:
        scale_x, scale_y = size / box_width, size / box_height
    else:
        scale_x = scale_y = size / max(box_width, box_height)
    # The box is centred in the square; of it, the part inside the picture is drawn at whole square pixels.
    origin_x, origin_y = (size - box_width * scale_x) / 2, (size - box_height * scale_y) / 2
    left, right = _drawn(origin_x + (seen[0] - box.left) * scale_x, origin_x + (seen[2] - box.left) * scale_x, size)
    top, bottom = _drawn(origin_y + (seen[1] - box.top) * scale_y, origin_y + (seen[3] - box.top) * scale_y, size)
    drawn = _resized(image, right - left, bottom - top, seen)
    if (left, top, right, bottom) == (0, 0, size, size):
        pixels = drawn
    else:
        pixels = np.full((size, size, 3), PADDING, np.uint8)
        pixels[top:bottom, left:right] = drawn
    exact_x, exact_y = (right - left) / (seen[2] - seen[0]), (bottom - top) / (seen[3] - seen[1])
    geometry = Geometry(
        scale_x=exact_x,
        scale_y=exact_y,
        offset_x=left - seen[0] * exact_x,
        offset_y=top - seen[1] * exact_y,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
    )
    return Fitted(pixels, geometry)


def _resized(image: UInt8Array, width: int, height: int, box: tuple[float, float, float, float]) -> UInt8Array:
    """(height, width, 3), what lies in the box: across before down, as all that shows this network photos does it.

    In one call Pillow 13 goes down first where the picture, whatever the box, is tall, and its bytes are others
    (`findings/pillow_resize_order.sh`). And it would copy all rows, where a face has few of a large photo's.
    """
    left, top, right, bottom = box
    rows = image.shape[0]
    reach = math.ceil(2 * max(1.0, (bottom - top) / height)) + 1
    first, last = max(math.floor(top) - reach, 0), min(math.ceil(bottom) + reach, rows)
    part = Image.fromarray(image[first:last])
    across = part.resize((width, last - first), Image.Resampling.BICUBIC, box=(left, 0, right, last - first))
    if last - first < rows:
        # At its own height: Pillow rounds a box to single precision, and moved it would be another.
        part, across = across, Image.new("RGB", (width, rows))
        across.paste(part, (0, first))
    return np.asarray(across.resize((width, height), Image.Resampling.BICUBIC, box=(0, top, width, bottom)))


def _drawn(start: float, stop: float, size: int) -> tuple[int, int]:
    """Whole square pixels nearest to [start, stop), at least one."""
    first = min(max(round(start), 0), size - 1)
    return first, min(max(round(stop), first + 1), size)
