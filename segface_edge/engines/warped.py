"""Squares through an engine whose network is shown faces through the RoI tanh warp, or as they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from segface_edge.errors import UsageError
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.pictures.landmarks import Points
from segface_edge.pictures.warping import unwarp_confidence, unwarp_labels, unwarp_logits, warp_square

from .base import Engine, Output


def infer_squares(engine: Engine, squares: UInt8Array, landmarks: Sequence[Points | None]) -> Output:
    """What `Engine.infer` gives, in the squares' own pixels whether the network warps or not.

    Where the engine gives logits, they are brought back as the authors do, and labels follow from them; elsewhere
    labels are brought back by their masks.

    Args:
        engine: the model.
        squares: (N, S, S, 3) uint8 RGB.
        landmarks: of each square, in its pixels, as of `warping.Warp`; read only where the network warps.

    Raises:
        UsageError: the network warps, and a face has no landmarks.
    """
    if engine.spec.warp == "none":
        return engine.infer(squares)
    known = [points for points in landmarks if points is not None]
    if len(known) < len(squares):
        raise needs_landmarks(engine)
    if engine.spec.warp == "inside":
        return engine.infer(squares, np.array(known, np.float32))
    shown = np.stack([warp_square(square, points) for square, points in zip(squares, known, strict=True)])
    output = engine.infer(shown)
    confidence = None
    if output.confidence is not None:
        confidence = np.stack([unwarp_confidence(*pair) for pair in zip(output.confidence, known, strict=True)])
    if output.logits is None:
        return Output(np.stack([unwarp_labels(*pair) for pair in zip(output.labels, known, strict=True)]), confidence)
    logits = np.stack([unwarp_logits(*pair) for pair in zip(output.logits, known, strict=True)])
    return Output(logits.argmax(1).astype(np.uint8), confidence, logits)


# In sides of the square: landmarks of a portrait such as CelebA-HQ's; and by how much those of a frame are moved, which
# its pixels choose.
_PORTRAIT = ((0.38, 0.47), (0.62, 0.47), (0.5, 0.6), (0.4, 0.71), (0.6, 0.71))
_MOVES = ((0.0, 0.0), (0.06, -0.03), (-0.05, 0.08))


def somewhere(size: int) -> Points:
    """Landmarks of no face that was seen, in a square of this side."""
    return tuple((x * size, y * size) for x, y in _PORTRAIT)


class Posed(Engine):
    """An engine of a model that warps faces itself, with landmarks of its own: to compare two of them on frames.

    Args:
        engine: runs it; it is not closed with this one.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.source, self.spec, self.device = engine.source, engine.spec, engine.device
        self.min_batch, self.max_batch = engine.min_batch, engine.max_batch

    def run(self, frames: UInt8Array) -> Output:
        """Each frame with its own landmarks, whatever call it comes in."""
        moves = [np.multiply(_MOVES[int(frame.sum()) % len(_MOVES)], self.spec.size) for frame in frames]
        points = [np.add(somewhere(self.spec.size), move) for move in moves]
        return self._engine.run_warped(frames, np.array(points, np.float32))

    def describe(self) -> dict[str, object]:
        """As the engine itself."""
        return self._engine.describe()


def needs_landmarks(engine: Engine) -> UsageError:
    """The error where a network warps and nobody says where the face's eyes, nose and mouth are."""
    return UsageError(
        engine.source,
        "warps faces by five landmarks, and there are none",
        "give them (landmarks=, --landmarks), or let YuNet find the faces: --locate yunet",
    )
