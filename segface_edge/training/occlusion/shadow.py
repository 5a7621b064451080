"""The shadow of a thing on what lies just behind it."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

# It is drawn so many times smaller and enlarged: it is soft.
_STEP = 4


def shadow(
    alpha: npt.NDArray[np.float32], softness: float, depth: float, shift: tuple[float, float] = (0.0, 0.0)
) -> npt.NDArray[np.float32]:
    """How much light is left, (H, W) factors from 1 - depth to 1.

    Args:
        alpha: (H, W), where the thing is, 0 to 1.
        softness: standard deviation of the shadow's edge, in pixels.
        depth: how much light its middle lacks, 0 to 1.
        shift: to where it falls, in pixels to the right and down.
    """
    height, width = alpha.shape
    small = cv2.resize(alpha, (max(1, width // _STEP), max(1, height // _STEP)), interpolation=cv2.INTER_AREA)
    matrix = np.array([[1, 0, shift[0] / _STEP], [0, 1, shift[1] / _STEP]])
    moved = cv2.warpAffine(small, matrix, small.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    soft = cv2.GaussianBlur(moved, (0, 0), max(0.3, softness / _STEP))
    return np.asarray(1 - depth * cv2.resize(soft, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
