"""Masks as polygons along the edges of their pixels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt


def polygons_of(mask: npt.NDArray[np.bool_], *, tolerance: float) -> list[list[tuple[float, float]]]:
    """The outlines of a mask: one polygon a piece, its points (x, y) in pixels. Holes are left out.

    Args:
        mask: (H, W) bool.
        tolerance: pixels by which the outline may leave the mask's, for fewer points; 0 keeps all.
    """
    # Twice as large, with a margin, the outline of pixels is that of their edges.
    large = np.pad(mask.astype(np.uint8).repeat(2, 0).repeat(2, 1), 1)
    outlines, _ = cv2.findContours(large, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    found = []
    for outline in outlines:
        # A pixel's middle half lies inside: its edges are half a pixel, one of these, further out.
        x, y = (outline[:, 0, axis].astype(np.float32) - 1 for axis in (0, 1))
        edges = np.stack([(x + x % 2) / 2, (y + y % 2) / 2], axis=1)
        points = cv2.approxPolyDP(edges[:, None], tolerance, True)[:, 0] if tolerance > 0 else edges
        points = points if len(points) >= 3 else cv2.approxPolyDP(edges[:, None], 0.01, True)[:, 0]
        found.append([(float(px), float(py)) for px, py in points])
    return found
