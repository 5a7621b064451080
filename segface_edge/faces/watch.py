"""A video's frames so far: what they say of the next one, and where that has to be looked at.

Most of what a look costs, large levels cost, and most of their pixels show no face. So between looks at everything they
are looked at around the faces that are known; the smallest level always whole, where large faces are and where new ones
come. A face is so seen in the very pixels of its level, and labelled as if everything had been looked at
(`benchmarks/follow.py`): in a tile of another size its square was 2 to 5 % of its side elsewhere (medians, 40 photos).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.pictures.framing import iou
from segface_edge.pictures.geometry import FaceBox, UInt8Array

from .levels import Levels

# Frames, and seconds, from one look at everything to the next: a small face that is new waits for it.
_FRAMES, _SECONDS = 8, 0.25
# So many of a level's pixels are looked at around a face, up to the next line of the detector's coarsest grid. With
# half as many, landmarks are some percent elsewhere.
_AROUND, _GRID = 64, 32
# Where parts are more of a level than this, all of it is looked at.
_MOST = 0.6
# A face is followed that has so much in common with that of the frame before (IoU), or is so few of the largest level's
# pixels away. What moves faster is looked for everywhere, also in the next frame.
_FOLLOWED, _MOVED = 0.5, 32
# Frames are of two scenes whose thumbnails, of so many pixels a side, correlate less than this; as contrasts of fewer
# grey levels than the last, they are noise.
_THUMBNAIL, _CUT, _NOISE = 24, 0.5, 8.0

_Floats = npt.NDArray[np.float32]


@dataclass
class Watch:
    """What a video's frames so far say of the next one.

    Attributes:
        now: seconds of the next frame, by any clock; None where they are not known.
        quarters: of most of its faces.
        faces: of the frame before.
        frames: so far.
    """

    now: float | None = None
    quarters: int = 0
    faces: Sequence[FaceBox] = ()
    frames: int = 0
    _looked: tuple[int, float | None] = (0, None)
    _are_fast: bool = False
    _thumbnail: _Floats | None = field(default=None, repr=False)

    def is_due(self, levels: Levels) -> bool:
        """Whether everything of the next frame is to be looked at: in time, for its faces are fast, or it shows another
        scene. Asked once of every frame."""
        before, self._thumbnail = self._thumbnail, _thumbnail(levels.pixels[-1])
        # The mean square of a difference of standardised values is 2 - 2 correlations.
        if before is None or float(np.square(before - self._thumbnail).mean()) > 2 - 2 * _CUT:
            return True
        frame, seconds = self._looked
        if self.now is not None and seconds is not None and not 0 <= self.now - seconds < _SECONDS:
            return True
        return self._are_fast or self.frames - frame >= _FRAMES

    def looked(self, faces: Sequence[FaceBox], levels: Levels) -> None:
        """Told of all faces of the next frame, when everything of it was looked at."""
        self._looked, self._are_fast = (self.frames, self.now), self.has_lost(faces, levels)

    def has_lost(self, faces: Sequence[FaceBox], levels: Levels) -> bool:
        """Whether one of the frame before is not among these, or far from where it was."""
        most = _MOVED * max(levels.scale(0))
        return any(not any(_is_followed(known, face, most) for face in faces) for known in self.faces)


def _is_followed(before: FaceBox, now: FaceBox, most: float) -> bool:
    moved = max(
        abs(now.left + now.right - before.left - before.right), abs(now.top + now.bottom - before.top - before.bottom)
    )
    return iou(before, now) >= _FOLLOWED or moved / 2 <= most


def around(faces: Sequence[FaceBox], levels: Levels, level: int) -> list[tuple[UInt8Array, int, int]]:
    """Parts of a level around faces: pixels, and where their left upper corner is; all of it where that is little more.

    Args:
        faces: in the photo's pixels.
        levels: the photo.
        level: which of them.
    """
    pixels = levels.pixels[level]
    height, width = pixels.shape[:2]
    across, down = levels.scale(level)
    found = []
    for face in faces:
        left, top = (max(0, int(edge - _AROUND) // _GRID * _GRID) for edge in (face.left / across, face.top / down))
        right, bottom = (
            (int(edge) + _AROUND + _GRID) // _GRID * _GRID for edge in (face.right / across, face.bottom / down)
        )
        part = pixels[top:bottom, left:right]
        if part.size:
            found.append((part, left, top))
    if sum(part.size for part, _, _ in found) > _MOST * height * width * 3:
        return [(pixels, 0, 0)]
    return found


def _thumbnail(pixels: UInt8Array) -> _Floats:
    """(24, 24): grey values of (H, W, 3) uint8 BGR, 0 on average, of deviation 1 where there is any contrast."""
    small = cv2.resize(pixels, (_THUMBNAIL, _THUMBNAIL), interpolation=cv2.INTER_AREA)
    grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.float32)
    return np.asarray((grey - grey.mean()) / max(float(grey.std()), _NOISE), np.float32)
