"""Parts of a photo, each around what may be a face, looked at again: in the four quarter turns, or closer in one.

All of them lie side by side in one picture: a look costs what its pixels cost.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.pictures.geometry import FaceBox, UInt8Array

from .levels import Levels
from .yunet import YuNet

# Sides of a tile, and of the part that it shows in longer sides of the face's box. In four turns faces are shown as
# small as they are found well: the smaller, the further apart are the scores of right and wrong turns.
_TILE, _CLOSER, _PART = 64, 160, 2.0
# The face is the one whose middle is this near to the tile's, in its sides.
_NEAR = 0.25
_GREY = 128


def in_four_turns(yunet: YuNet, levels: Levels, faces: Sequence[FaceBox]) -> npt.NDArray[np.float64]:
    """(N, 4): scores of what may be faces when the photo is turned back by 0 to 3 quarter turns; 0: none is found."""
    scores = np.zeros((len(faces), 4))
    if not faces:
        return scores
    sheet = np.full((len(faces) * _TILE, 4 * _TILE, 3), _GREY, np.uint8)
    for row, face in enumerate(faces):
        tile = _tile(levels, face, _TILE)[0]
        for quarters in range(4):
            column = np.s_[quarters * _TILE : (quarters + 1) * _TILE]
            sheet[row * _TILE : (row + 1) * _TILE, column] = np.rot90(tile, quarters)
    for found in yunet(sheet):
        x, y = (found.left + found.right) / 2 / _TILE, (found.top + found.bottom) / 2 / _TILE
        row, quarters = int(y), int(x)
        if 0 <= x < 4 and 0 <= y < len(faces) and max(abs(x % 1 - 0.5), abs(y % 1 - 0.5)) < _NEAR:
            scores[row, quarters] = max(scores[row, quarters], found.score)
    return scores


def closer(yunet: YuNet, levels: Levels, face: FaceBox, quarters: int) -> FaceBox | None:
    """What may be a face, as it is found when the photo is turned back by so many quarter turns; None: it is not."""
    tile, left, top, scale = _tile(levels, face, _CLOSER)
    near = [
        found
        for found in yunet(np.rot90(tile, quarters))
        if max(abs((found.left + found.right) / 2 / _CLOSER - 0.5), abs((found.top + found.bottom) / 2 / _CLOSER - 0.5))
        < _NEAR
    ]
    return near[0].turned(quarters, _CLOSER, _CLOSER).scaled(scale, scale).moved(left, top) if near else None


def _tile(levels: Levels, face: FaceBox, side: int) -> tuple[UInt8Array, float, float, float]:
    """(side, side, 3) uint8 BGR around a face; where its corner lies in the photo, and pixels of the photo in one."""
    part = _PART * max(face.right - face.left, face.bottom - face.top)
    left, top = (face.left + face.right - part) / 2, (face.top + face.bottom - part) / 2
    # The smallest level that has as many pixels: little is left to be made smaller.
    level = max((i for i in range(len(levels.pixels)) if part / levels.scale(i)[0] >= side), default=0)
    across, down = levels.scale(level)
    way = np.array([[side * across / part, 0, -left * side / part], [0, side * down / part, -top * side / part]])
    way[:, 2] += (way[0, 0] / 2 - 0.5, way[1, 1] / 2 - 0.5)  # pixel i's centre is i + 0.5
    pixels = cv2.warpAffine(
        levels.pixels[level],
        way,
        (side, side),
        flags=cv2.INTER_AREA,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=(_GREY,) * 3,
    )
    return np.asarray(pixels, np.uint8), left, top, part / side
