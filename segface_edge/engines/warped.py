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
    shown = np.stack([warp_square(square, points) for square, points in zip(squares, known, strict=True)])
    output = engine.infer(shown)
    confidence = None
    if output.confidence is not None:
        confidence = np.stack([unwarp_confidence(*pair) for pair in zip(output.confidence, known, strict=True)])
    if output.logits is None:
        return Output(np.stack([unwarp_labels(*pair) for pair in zip(output.labels, known, strict=True)]), confidence)
    logits = np.stack([unwarp_logits(*pair) for pair in zip(output.logits, known, strict=True)])
    return Output(logits.argmax(1).astype(np.uint8), confidence, logits)


def needs_landmarks(engine: Engine) -> UsageError:
    """The error where a network warps and nobody says where the face's eyes, nose and mouth are."""
    return UsageError(
        engine.source,
        "warps faces by five landmarks, and there are none",
        "give them (landmarks=, --landmarks), or let YuNet find the faces: --locate yunet",
    )
