"""Faces of any size and turn: a detector for upright ones of middling size, on the photo in several sizes and turns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from segface_edge.pictures.framing import iou
from segface_edge.pictures.geometry import FaceBox, UInt8Array

from .levels import SIDES, Levels
from .tiles import closer, in_four_turns
from .watch import Watch, around
from .yunet import YuNet

# What is looked at, in pixels of the photo's longer side.
LOOK = SIDES[0]
# The score of a face; and one that no wrong turn reaches, but nearly all faces (`benchmarks/turns.py`).
_FACE, _SURE = 0.6, 0.925
# What is turned otherwise than the photo's other faces has to be plain.
_PLAIN = 0.8
# A whole face is surer than its parts, which larger levels have. One that is this large on a smaller level, in pixels
# there, is rather taken from there: that level is the same for a photo and its smaller copy.
_LARGE, _RATHER = 80, 0.05
# One that is so sure there is not taken from a larger level.
_NO_LARGER = 0.9
# Two boxes are of one face where they share so much of the smaller one.
_ONE = 0.5
# So many of a photo's doubts are looked at, the surest first; and so many of its smallest level's.
_DOUBTS, _GUESSES = 8, 2
# Of a video, all turns are looked at in each so many-th frame; between them, faces are where they were (IoU).
_EVERY, _SAME = 15, 0.3


class Finder:
    """Finds the faces of a photo, of any size and turn.

    Args:
        yunet: finds those that are upright and neither too small nor too large.
        look: pixels of the photo's longer side that it looks at; more find smaller faces in larger photos.
    """

    def __init__(self, yunet: YuNet, *, look: int = LOOK) -> None:
        self._yunet, self._look = yunet, look

    def __call__(self, image: UInt8Array, watch: Watch | None = None) -> list[FaceBox]:
        """The faces of (H, W, 3) uint8 RGB, the surest first.

        Args:
            image: the photo, or a frame.
            watch: of the video whose next frame it is.
        """
        levels = Levels.of(image, self._look)
        if watch is None:
            return self._anywhere(levels, *self._guessed(levels))[0]
        watch.faces = self._next(levels, watch)
        watch.frames += 1
        return list(watch.faces)

    def _next(self, levels: Levels, watch: Watch) -> list[FaceBox]:
        """The faces of a video's next frame: around those of the frame before, and everywhere where that is due, or one
        is not where it was."""
        is_due = watch.is_due(levels)
        if watch.frames % _EVERY == 0:
            first = self._guessed(levels) if watch.frames == 0 else (watch.quarters, None)
            faces, watch.quarters = self._anywhere(levels, *first)
        else:
            known, quarters = watch.faces, watch.quarters
            smallest = self._level(levels.upright(quarters), len(levels.pixels) - 1)
            faces = [] if is_due else self._turned(levels, quarters, known=known, smallest=smallest, follow=True)
            if not is_due and not watch.has_lost(faces, levels):
                return faces
            faces = self._turned(levels, quarters, known=known, smallest=smallest)
        watch.looked(faces, levels)
        return faces

    def _anywhere(self, levels: Levels, quarters: int, smallest: Sequence[FaceBox] | None) -> tuple[list[FaceBox], int]:
        """The faces and the turn of most, beginning with a turn that is likely, and what was seen in it already."""
        faces = self._turned(levels, quarters, smallest=smallest)
        turns = [face.turn // 90 for face in faces]
        other = max(turns, key=turns.count, default=quarters)
        if other != quarters:
            faces, quarters = self._turned(levels, other), other
        return faces, quarters

    def _guessed(self, levels: Levels) -> tuple[int, Sequence[FaceBox] | None]:
        """The turn of the surest of the large faces, and what is seen in it on the smallest level, where that is known:
        a look at that level costs next to nothing."""
        smallest = levels.smallest()
        seen = self._level(smallest, 0)
        found = joined(seen)[:_GUESSES]
        if not found or found[0].score >= _SURE:
            return 0, seen
        scores = in_four_turns(self._yunet, smallest, found)
        quarters = int(scores.max(0).argmax()) if scores.max() >= _FACE else 0
        return quarters, None if quarters else seen

    def _turned(
        self,
        levels: Levels,
        quarters: int,
        *,
        known: Sequence[FaceBox] | None = None,
        smallest: Sequence[FaceBox] | None = None,
        follow: bool = False,
    ) -> list[FaceBox]:
        """The faces of a photo whose faces are mostly turned by these; of doubtful ones each turn is looked at.

        Args:
            levels: the photo.
            quarters: clockwise.
            known: the faces of the frame before; what is elsewhere, and would be no face so turned, is none.
            smallest: what was seen on the smallest level, so turned.
            follow: look for smaller faces around the known ones alone.
        """
        upright = levels.upright(quarters)
        found, doubts = [], []
        before = [face.turned(-quarters, levels.height, levels.width) for face in known or ()]
        for face in self._seen(upright, smallest, before if follow else None):
            same = next((one for one in before if iou(one, face) >= _SAME), None)
            if same is not None and same.turn:
                found.append(closer(self._yunet, upright, face, same.turn // 90) or face)
            elif face.score >= _SURE or (same is not None and face.score >= _FACE):
                found.append(face)
            elif known is None or face.score >= _FACE:
                doubts.append(face)
        for face, scores in zip(doubts, in_four_turns(self._yunet, upright, doubts[:_DOUBTS]), strict=False):
            best = int(scores.argmax())
            if scores[best] >= _PLAIN and (best or face.score < _FACE):
                found.append(closer(self._yunet, upright, face, best) or face)
            else:
                found.append(face)
        found += doubts[_DOUBTS:]
        found = sorted((face for face in found if face.score >= _FACE), key=lambda face: -face.score)
        faces = joined(found)
        return [face.turned(quarters, upright.height, upright.width) for face in faces]

    def _seen(
        self, levels: Levels, smallest: Sequence[FaceBox] | None = None, known: Sequence[FaceBox] | None = None
    ) -> list[FaceBox]:
        """What may be upright faces, the surest first, in the photo's pixels; the photo is turned as the levels are.

        Args:
            levels: the photo.
            smallest: what was seen on the smallest level.
            known: on larger levels, only what is around these is looked at.
        """
        last = len(levels.pixels) - 1
        found: list[tuple[float, FaceBox]] = []
        for level in range(last, -1, -1):
            if level == last:
                seen = self._level(levels, level) if smallest is None else smallest
            else:
                seen = self._level(levels, level, known)
            rated = []
            for face in seen:
                large = level > 0 and (face.bottom - face.top) / levels.scale(level)[1] >= _LARGE
                rated.append((face.score + large * _RATHER, face))
                if large and face.score >= _NO_LARGER and known is not None:
                    known = [one for one in known if iou(one, face) < _SAME]
            found = rated + found
        faces = joined(face for _, face in sorted(found, key=lambda one: -one[0]))
        return sorted(faces, key=lambda face: -face.score)

    def _level(self, levels: Levels, level: int, near: Sequence[FaceBox] | None = None) -> list[FaceBox]:
        """What may be faces on one of the levels, the surest first, in the photo's pixels; near others, where given."""
        parts = [(levels.pixels[level], 0, 0)] if near is None else around(near, levels, level)
        faces = [face.moved(left, top) for part, left, top in parts for face in self._yunet(part)]
        return [face.scaled(*levels.scale(level)) for face in sorted(faces, key=lambda face: -face.score)]


def joined(faces: Iterable[FaceBox]) -> list[FaceBox]:
    """Each face once: of those that are one, the first."""
    kept: list[FaceBox] = []
    for face in faces:
        if not any(_shared(face, other) >= _ONE for other in kept):
            kept.append(face)
    return kept


def _shared(one: FaceBox, other: FaceBox) -> float:
    """The area common to two boxes, of the smaller one's."""
    width = min(one.right, other.right) - max(one.left, other.left)
    height = min(one.bottom, other.bottom) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / min((box.right - box.left) * (box.bottom - box.top) for box in (one, other))
