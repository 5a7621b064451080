"""An engine without a model, for tests of programs that use segface-edge and for our own."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from segface_edge.labels import LabelSet, label_set
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.spec import ModelSpec

from .base import Engine, Output


class FakeEngine(Engine):
    """Gives every frame the same label map, after a given time.

    Args:
        labels: (S, S) uint8; S, a multiple of 32, is the engine's input side. None: a face of 64 x 64 in rings.
        order: label order; None is `segface`.
        batch: frames a call; None takes any number.
        delay: seconds that a call takes; a function is given the number of the call, from 0.
        sleep: what waits; a test's clock may move without waiting.
        device: what the engine says it runs on.

    Attributes:
        calls: frames of each call so far.
        closed: whether it was closed.
    """

    def __init__(
        self,
        labels: UInt8Array | None = None,
        order: LabelSet | None = None,
        *,
        batch: int | None = None,
        delay: float | Callable[[int], float] = 0.0,
        sleep: Callable[[float], None] = time.sleep,
        device: str = "cpu",
    ) -> None:
        order = order or label_set("segface")
        self._labels = _rings(64, len(order)) if labels is None else labels.astype(np.uint8)
        self._delay, self._sleep = delay, sleep
        self.source, self.device = "fake", device
        self.spec = ModelSpec(
            backbone="none",
            graph="deploy",
            size=self._labels.shape[0],
            batch=batch,
            label_order=order.name,
            classes=order.classes,
            outputs=("labels",),
            terms="none: a fake",
        )
        self.calls: list[int] = []
        self.closed = False

    def run(self, frames: UInt8Array) -> Output:
        """The label map, once for each frame."""
        delay = self._delay(len(self.calls)) if callable(self._delay) else self._delay
        self.calls.append(len(frames))
        if delay > 0:
            self._sleep(delay)
        return Output(np.repeat(self._labels[None], len(frames), axis=0))

    def describe(self) -> dict[str, object]:
        """Says that it is a fake."""
        return {"runtime": "fake", "version": "1", "threads": 1}

    def close(self) -> None:
        """Notes that it was closed."""
        self.closed = True


def _rings(side: int, classes: int) -> UInt8Array:
    """Concentric rings, the last class in the middle."""
    y, x = np.indices((side, side)) - (side - 1) / 2
    depth = 1 - np.minimum(np.hypot(x, y) / (side / 2), 1)
    return np.asarray(classes * depth * 0.999, np.uint8)
