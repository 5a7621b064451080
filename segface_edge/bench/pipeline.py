"""What is measured: a photo's way through an engine, stage by stage."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from segface_edge.engines import Engine
from segface_edge.errors import UsageError
from segface_edge.parsing.result import FaceParse
from segface_edge.pictures import fitting, reading, restoring

from .clock import Clock

Span = Literal["engine", "frame", "all"]

# In the order in which they happen. Transfers are apart where the engine can tell them apart (a GPU's events do).
STAGES = ("decode", "fit", "host_to_device", "inference", "device_to_host", "restore", "draw")


class Pipeline:
    """An engine with a photo to run through it.

    Args:
        engine: what to measure.
        photo: the bytes of an image file.
        span: `engine`: frames in, label maps out; `frame`: pixels in memory to the label map in the photo's pixels;
            `all`: from the file's bytes to the overlay.
        clock: what time is.

    Attributes:
        engine, span: as given.
        image: (H, W, 3) uint8 RGB, the photo.
        frame: (S, S, 3) uint8 RGB, what the engine is given of it.
    """

    def __init__(self, engine: Engine, photo: bytes, *, span: Span, clock: Clock) -> None:
        if span not in get_args(Span):
            raise UsageError(f"span {span!r}", "is unknown", f"use one of: {', '.join(get_args(Span))}")
        self.engine, self.span = engine, span
        self._photo, self._clock = photo, clock
        self.image = reading.load(photo)
        self._fitted = fitting.fit(self.image, engine.spec.size)
        self.frame = self._fitted.pixels

    def query(self, frames: int) -> dict[str, float]:
        """Runs `frames` photos in one engine call. Returns milliseconds of each stage that the span has, in order."""
        now = self._clock.now
        marks: dict[str, float] = {}
        start = now()
        images = [self.image] * frames
        if self.span == "all":
            images = [reading.load(self._photo) for _ in range(frames)]
            marks["decode"], start = now() - start, now()
        fits = [self._fitted] * frames
        if self.span != "engine":
            fits = [fitting.fit(image, self.engine.spec.size) for image in images]
        batch = fits[0].pixels[None] if frames == 1 else np.stack([fitted.pixels for fitted in fits])
        if self.span != "engine":
            marks["fit"] = now() - start
        output, seconds = self.engine.infer_staged(batch, now)
        marks |= seconds
        if self.span != "engine":
            start = now()
            maps = [
                restoring.restore(labels, fitted.geometry, *image.shape[:2])
                for labels, fitted, image in zip(output.labels, fits, images, strict=True)
            ]
            if output.confidence is not None:
                for confidence, fitted, image in zip(output.confidence, fits, images, strict=True):
                    restoring.restore_confidence(confidence, fitted.geometry, *image.shape[:2])
            marks["restore"] = now() - start
            if self.span == "all":
                start = now()
                for labels, image in zip(maps, images, strict=True):
                    FaceParse(image=image, labels=labels, label_set=self.engine.spec.labels).overlay()
                marks["draw"] = now() - start
        return {name: 1000 * marks[name] for name in STAGES if name in marks}
