"""Steady video: each face followed, its square damped, and its labels voted over five frames.

Labels are never more than two frames old: one that holds for three frames has three of five votes, or those before it
have none. Earlier frames are brought to where the face is now, first with its box and then by optical flow: hard labels
that lie a pixel aside would vote for errors (`benchmarks/steady.py`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.pictures.fitting import PADDING
from segface_edge.pictures.framing import Square, square_of
from segface_edge.pictures.geometry import Fitted, Geometry, UInt8Array
from segface_edge.pictures.sampling import places, places_of, sample

from .locate import Located
from .tracks import Tracks, motion

# Frames that vote, this one among them: the three newest outvote the others.
VOTES = 5
# Labels of an earlier frame count where its picture is this one's: grey values that differ by less, after smoothing.
_SAME_GREY, _GREY_SMOOTHING = 12, 2.0
# Less of the picture is that of the frame before only where the scene is another: after a cut it is a sixth at most, of
# fast faces nine tenths.
_SAME_SCENE = 0.5
# Optical flow is computed at this share of the square's side: labels are sharp to a pixel or two.
_FLOW_SCALE = 0.5
_NOWHERE = -1e4

_Floats = npt.NDArray[np.float32]
_Matrix = npt.NDArray[np.float64]


@dataclass
class Flicker:
    """Pixels of faces whose label is not that of the frame before, at the same place of the face.

    Attributes:
        pixels: so many were compared so far.
        before, after: pixels of these that changed, without and with votes.
    """

    pixels: int = 0
    before: int = 0
    after: int = 0

    def to_json(self) -> dict[str, float]:
        """Shares, in percent."""
        return {
            name: round(100 * value / self.pixels, 3) if self.pixels else 0.0
            for name, value in (("before", self.before), ("after", self.after))
        }


@dataclass(frozen=True)
class Voted:
    """Of one face, (S, S) uint8 each."""

    labels: UInt8Array
    confidence: UInt8Array | None


@dataclass
class Steady:
    """What one video's frames have in common; of its frames in order.

    `follow` may run in another thread than `vote`: neither uses what the other keeps.

    Attributes:
        flicker: what voting has made of it so far.
    """

    flicker: Flicker = field(default_factory=Flicker)
    _tracks: Tracks = field(default_factory=Tracks)
    _history: dict[int, deque[_Seen]] = field(default_factory=dict)
    _frame: int = 0

    def follow(self, located: Sequence[Located]) -> list[Located]:
        """The faces of the next frame, see `Tracks.follow`."""
        return self._tracks.follow(located)

    def vote(
        self,
        located: Sequence[Located],
        fits: Sequence[Fitted],
        labels: Sequence[UInt8Array],
        confidences: Sequence[UInt8Array | None],
    ) -> list[Voted | None]:
        """What votes make of the next frame's faces; None: it was held, but the scene is another, and it is gone.

        Args:
            located: as `follow` gave them.
            fits, labels, confidences: of each.
        """
        voted = [self._vote(*one) for one in zip(located, fits, labels, confidences, strict=True)]
        self._frame += 1
        # Votes are of frames without a gap.
        self._history = {
            number: history
            for number, history in self._history.items()
            if history and history[0].frame == self._frame - 1
        }
        return voted

    def _vote(self, one: Located, fitted: Fitted, labels: UInt8Array, confidence: UInt8Array | None) -> Voted | None:
        assert one.face.track is not None
        history = self._history.get(one.face.track, deque(maxlen=VOTES - 1))
        now = _seen(self._frame, one, fitted, labels, confidence)
        earlier = _brought(history, now)
        if earlier:
            photo = (fitted.pixels != PADDING).any(axis=2)  # padding is always the same
            if (earlier[0].same & photo).sum() < _SAME_SCENE * photo.sum():
                history.clear()
                earlier = []
        if one.held and not earlier:
            return None
        voted = _majority(labels, confidence, earlier)
        now.voted = voted.labels
        if earlier:
            self._count(now, earlier[0])
        history.appendleft(now)
        self._history[one.face.track] = history
        return voted

    def _count(self, now: _Seen, before: _Earlier) -> None:
        shown = before.shown & ((now.labels > 0) | (before.labels > 0))
        self.flicker.pixels += int(shown.sum())
        self.flicker.before += int((shown & (now.labels != before.labels)).sum())
        self.flicker.after += int((shown & (now.voted != before.voted)).sum())


@dataclass(kw_only=True)
class _Seen:
    """A face in one frame of the video.

    Attributes:
        frame: its number.
        labels, confidence, grey, smooth: (S, S) uint8 of the network's square.
        to_square: (3, 3), photo -> network's square.
        anchor: where the face is in the photo.
        place: (S, S, 2), where each pixel of the newest frame lies here: x, y, pixel i's centre being i.
        voted: labels after the vote.
    """

    frame: int
    labels: UInt8Array
    confidence: UInt8Array | None
    grey: UInt8Array
    smooth: UInt8Array
    to_square: _Matrix
    anchor: Square
    place: _Floats
    voted: UInt8Array = field(default_factory=lambda: np.zeros((0, 0), np.uint8))


@dataclass(frozen=True)
class _Earlier:
    """An earlier frame, brought to where the face is now.

    Attributes:
        labels, voted, confidence: (S, S).
        shown: (S, S) bool: what that frame showed.
        same: (S, S) bool: where its picture, and that of each frame since, is this frame's.
    """

    labels: UInt8Array
    voted: UInt8Array
    confidence: UInt8Array | None
    shown: npt.NDArray[np.bool_]
    same: npt.NDArray[np.bool_]


def _seen(frame: int, one: Located, fitted: Fitted, labels: UInt8Array, confidence: UInt8Array | None) -> _Seen:
    grey = np.asarray(cv2.cvtColor(fitted.pixels, cv2.COLOR_RGB2GRAY), np.uint8)
    return _Seen(
        frame=frame,
        labels=labels,
        confidence=confidence,
        grey=grey,
        # Noise is no change of the picture.
        smooth=np.asarray(cv2.GaussianBlur(grey, (0, 0), _GREY_SMOOTHING), np.uint8),
        to_square=_matrix(fitted.geometry),
        anchor=square_of(one.face),
        place=_identity(labels.shape[0]),
    )


def _brought(history: Sequence[_Seen], now: _Seen) -> list[_Earlier]:
    """Earlier frames, the newest first, brought to where the face is now."""
    if not history:
        return []
    newest = _place_before(history[0], now)
    earlier: list[_Earlier] = []
    for before in history:
        before.place = _sampled(before.place, newest)
        found = _as_now(before, now)
        # A frame counts where those since do: else an older label could have more votes than a newer one.
        earlier.append(replace(found, same=found.same & earlier[-1].same) if earlier else found)
    return earlier


def _place_before(before: _Seen, now: _Seen) -> _Floats:
    """Where each pixel of this frame was in the one before: moved with the face's box, then by optical flow."""
    # Square of then -> photo of then -> with the face to where it is now -> square of now.
    way = now.to_square @ motion(before.anchor, now.anchor) @ np.linalg.inv(before.to_square)
    way[:2, 2] += way[:2, :2] @ (0.5, 0.5) - 0.5
    side = now.grey.shape[0]
    back = np.linalg.inv(way)
    moved = sample(before.grey, places(back[:2], range(side), range(side)))
    small = (round(side * _FLOW_SCALE),) * 2
    here, there = (cv2.resize(picture, small, interpolation=cv2.INTER_AREA) for picture in (now.grey, moved))
    flow = np.zeros((*small, 2), np.float32)
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST).calc(here, there, flow)
    flow = cv2.resize(flow, (side, side), interpolation=cv2.INTER_LINEAR) / np.float32(_FLOW_SCALE)
    back = back.astype(np.float32)
    return np.asarray((_identity(side) + flow) @ back[:2, :2].T + back[:2, 2], np.float32)


def _as_now(before: _Seen, now: _Seen) -> _Earlier:
    x, y = np.ascontiguousarray(before.place[..., 0]), np.ascontiguousarray(before.place[..., 1])

    def nearest(values: UInt8Array) -> UInt8Array:
        return np.asarray(cv2.remap(values, x, y, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE), np.uint8)

    side = before.labels.shape[0]
    shown = (x > -0.5) & (y > -0.5) & (x < side - 0.5) & (y < side - 0.5)
    return _Earlier(
        labels=nearest(before.labels),
        voted=nearest(before.voted),
        confidence=None if before.confidence is None else nearest(before.confidence),
        shown=shown,
        same=shown & (cv2.absdiff(sample(before.smooth, places_of(x, y)), now.smooth) < _SAME_GREY),
    )


def _majority(labels: UInt8Array, confidence: UInt8Array | None, earlier: Sequence[_Earlier]) -> Voted:
    """Each pixel's most frequent label; of equals the newest one's."""
    candidates = [(labels, confidence, np.ones_like(labels, dtype=bool))]
    candidates += [(one.labels, one.confidence, one.same) for one in earlier]
    best, sure = labels.copy(), None if confidence is None else confidence.copy()
    most = np.zeros_like(labels)
    for label_map, its_confidence, counts in candidates:
        votes = np.zeros_like(labels)
        for other, _, there in candidates:
            votes += there & (label_map == other)
        wins = counts & (votes > most)
        np.copyto(most, votes, where=wins)
        np.copyto(best, label_map, where=wins)
        if sure is not None and its_confidence is not None:
            np.copyto(sure, its_confidence, where=wins)
    return Voted(best, sure)


def _sampled(places: _Floats, at: _Floats) -> _Floats:
    """Places (S, S, 2) at other places: where what is now there was before that."""
    x, y = np.ascontiguousarray(at[..., 0]), np.ascontiguousarray(at[..., 1])
    outside = (_NOWHERE, _NOWHERE, 0, 0)
    found = cv2.remap(places, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=outside)
    return np.asarray(found, np.float32)


def _identity(side: int) -> _Floats:
    """(S, S, 2): each pixel's own place."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    return np.dstack([x, y])


def _matrix(geometry: Geometry) -> npt.NDArray[np.float64]:
    """(3, 3): photo -> square."""
    return np.array(
        [
            [geometry.scale_x, geometry.turn_x, geometry.offset_x],
            [geometry.turn_y, geometry.scale_y, geometry.offset_y],
            [0, 0, 1],
        ]
    )
