"""The faces of a video followed from frame to frame: numbered, and the squares that they are shown in damped."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from segface_edge.pictures.framing import Square, iou, square_of
from segface_edge.pictures.geometry import FaceBox

from .locate import Located

# Frames for which a face that is not found is still looked at where it was.
_HELD = 2
# Faces of two frames are the same where their boxes have this much in common (IoU).
_SAME = 0.3
# A square moves so much of the way to where the face was found, in the least: 1.5 frames behind a slow one. What is
# further away by a twentieth of its side is followed at once.
_LEAST_WAY, _AT_ONCE = 0.4, 0.05


@dataclass
class _Track:
    """A face through the video."""

    number: int
    found: FaceBox
    anchor: Square
    located: Located
    missed: int = 0


@dataclass
class Tracks:
    """The faces of one video."""

    _tracks: list[_Track] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def follow(self, located: Sequence[Located]) -> list[Located]:
        """The faces of the next frame, numbered and damped, those that are there longest first; with those that were
        there a frame or two ago and are not found now."""
        pairs = _pairs([track.found for track in self._tracks], [one.face for one in located])
        found = []
        for index, one in enumerate(located):
            track = self._tracks[pairs[index]] if index in pairs else None
            found.append(self._seen(one, track))
        lost = [track for index, track in enumerate(self._tracks) if index not in pairs.values()]
        for track in lost:
            track.missed += 1
            track.located = replace(track.located, held=True)
        held = [track for track in lost if track.missed <= _HELD]
        self._tracks = sorted(found + held, key=lambda track: track.number)
        return [track.located for track in self._tracks]

    def _seen(self, one: Located, track: _Track | None) -> _Track:
        """A face that was found, where it was before or new."""
        raw = square_of(one.face)
        if track is None:
            number, anchor = next(self._numbers), raw
        else:
            number, anchor = track.number, _damped(track.anchor, raw)
        face = replace(_moved(one.face, raw, anchor), track=number)
        square = None if one.square is None else anchor
        return _Track(number=number, found=one.face, anchor=anchor, located=Located(face=face, square=square))


def _pairs(before: Sequence[FaceBox], now: Sequence[FaceBox]) -> dict[int, int]:
    """Index now -> index before of the same faces: those with most in common first."""
    common = sorted(
        ((iou(one, other), i, j) for i, one in enumerate(now) for j, other in enumerate(before)), reverse=True
    )
    pairs: dict[int, int] = {}
    for share, i, j in common:
        if share >= _SAME and i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


def _damped(before: Square, now: Square) -> Square:
    """On the way from where the square was to where the face is."""
    turn = (now.angle - before.angle + 180) % 360 - 180
    away = max(
        math.hypot(now.x - before.x, now.y - before.y) / before.side,
        abs(math.log(now.side / before.side)),
        math.radians(abs(turn)) / 2,  # what it moves the square's sides
    )
    way = min(1.0, _LEAST_WAY + (1 - _LEAST_WAY) * away / _AT_ONCE)
    return Square(
        x=before.x + way * (now.x - before.x),
        y=before.y + way * (now.y - before.y),
        side=before.side * (now.side / before.side) ** way,
        angle=before.angle + way * turn,
    )


def _moved(face: FaceBox, before: Square, now: Square) -> FaceBox:
    """A face where its square was moved."""
    way = motion(before, now)

    def point(x: float, y: float) -> tuple[float, float]:
        moved = way @ (x, y, 1.0)
        return float(moved[0]), float(moved[1])

    middle = point((face.left + face.right) / 2, (face.top + face.bottom) / 2)
    width, height = ((face.right - face.left) / 2, (face.bottom - face.top) / 2)
    grown = now.side / before.side
    return replace(
        face,
        left=middle[0] - grown * width,
        top=middle[1] - grown * height,
        right=middle[0] + grown * width,
        bottom=middle[1] + grown * height,
        landmarks=face.landmarks and tuple(point(x, y) for x, y in face.landmarks),
    )


def motion(before: Square, now: Square) -> npt.NDArray[np.float64]:
    """(3, 3): a point of the photo that moves, turns and grows with a square."""
    scale, turn = now.side / before.side, math.radians(now.angle - before.angle)
    cos, sin = scale * math.cos(turn), scale * math.sin(turn)
    return np.array(
        [
            [cos, -sin, now.x - cos * before.x + sin * before.y],
            [sin, cos, now.y - sin * before.x - cos * before.y],
            [0, 0, 1],
        ]
    )
