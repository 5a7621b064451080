"""FaceParser: photos in, `FaceParse` out."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from time import perf_counter
from types import TracebackType

import numpy as np
from PIL import Image

from . import imaging, zoo
from .engines import Engine, open_engine
from .errors import UsageError
from .imaging import Color, FaceBox, Fitted, Photo, UInt8Array
from .labels import LabelSet
from .locate import locator
from .parse import FaceParse
from .spec import ModelSpec


class FaceParser:
    """Parses faces.

        with FaceParser() as parser:
            face = parser("photo.jpg")

    Args:
        model: an ONNX file, a TensorRT plan, a checkpoint (needs torch), an open `Engine`, or None for the bundled
            model.
        device: `cpu`, `cuda` or `cuda:N`; a plan runs on a GPU, by default the first.
        engine: name of the engine, None chooses by the file's suffix. `tensorrt` with an ONNX file builds its plan
            once and keeps it.
        locate: where the face is; `whole`: the photo is a portrait.
        threads: CPU threads per operator; None leaves it to the engine.
        spec: for a plan that says nothing of itself: the ONNX file, or another plan's `.json`, that tells.
        max_pixels: larger photos are refused before they are decoded.

    Raises:
        SegFaceEdgeError: the model cannot be opened, see `segface_edge.errors`.
    """

    def __init__(
        self,
        model: str | PathLike[str] | Engine | None = None,
        *,
        device: str = "cpu",
        engine: str | None = None,
        locate: str = "whole",
        threads: int | None = None,
        spec: str | PathLike[str] | None = None,
        max_pixels: int = imaging.DEFAULT_MAX_PIXELS,
    ) -> None:
        self._locate = locator(locate)
        self._max_pixels = max_pixels
        if isinstance(model, Engine):
            self._engine = model
        else:
            path = zoo.DEFAULT_MODEL if model is None else model
            self._engine = open_engine(path, device=device, engine=engine, threads=threads, spec=spec)

    @property
    def engine(self) -> Engine:
        """What runs the model, and where."""
        return self._engine

    @property
    def spec(self) -> ModelSpec:
        """The model's contract."""
        return self._engine.spec

    @property
    def labels(self) -> LabelSet:
        """The label order of the results."""
        return self.spec.labels

    def __call__(self, photo: Photo, *, color: Color = "rgb") -> FaceParse:
        """Parses one photo.

        Args:
            photo: a path, the bytes of an image file, a PIL image, or an array (H, W, 3) uint8.
            color: channel order of an array; "bgr" for what OpenCV reads.

        Raises:
            ImageError: the photo cannot be read.
        """
        return self.parse_batch([photo], color=color)[0]

    def parse_batch(self, photos: Iterable[Photo], *, color: Color = "rgb") -> list[FaceParse]:
        """Parses several photos, of any sizes, in one engine call. Arguments and errors as for one."""
        if isinstance(photos, str | bytes | PathLike | Image.Image) or (
            isinstance(photos, np.ndarray) and photos.ndim == 3
        ):
            raise UsageError("parse_batch()", "got one photo", "give a list, or call the parser itself")
        photos = list(photos)
        if not photos:
            return []
        images, fits, boxes, marks = [], [], [], []
        for photo in photos:
            start = perf_counter()
            image = imaging.load(photo, color=color, max_pixels=self._max_pixels)
            loaded = perf_counter()
            box = self._locate(image)
            fitted = imaging.fit(image, self.spec.size, box=box)
            images.append(image)
            boxes.append(box)
            fits.append(fitted)
            marks.append((loaded - start, perf_counter() - loaded))
        start = perf_counter()
        output = self._engine.infer(np.stack([fitted.pixels for fitted in fits]))
        inference = (perf_counter() - start) / len(images)
        confidences = [None] * len(images) if output.confidence is None else list(output.confidence)
        return [
            self._result(image, box, fitted, labels, confidence, decode, fit, inference)
            for image, box, fitted, labels, confidence, (decode, fit) in zip(
                images, boxes, fits, output.labels, confidences, marks, strict=True
            )
        ]

    def _result(
        self,
        image: UInt8Array,
        box: FaceBox,
        fitted: Fitted,
        labels: UInt8Array,
        confidence: UInt8Array | None,
        decode: float,
        fit: float,
        inference: float,
    ) -> FaceParse:
        start = perf_counter()
        height, width = image.shape[:2]
        restored = imaging.restore(labels, fitted.geometry, height, width)
        sure = None if confidence is None else imaging.restore_confidence(confidence, fitted.geometry, height, width)
        seconds = {"decode": decode, "fit": fit, "inference": inference, "restore": perf_counter() - start}
        return FaceParse(
            image=image,
            labels=restored,
            label_set=self.labels,
            confidence=sure,
            faces=(box,),
            timings={name: 1000 * value for name, value in seconds.items()},
            engine=f"{self._engine.describe()['runtime']} on {self._engine.device}",
        )

    def warmup(self, runs: int = 2) -> None:
        """Runs the engine on grey frames, so that the first photo does not pay for set-up."""
        size = self.spec.size
        for _ in range(runs):
            self._engine.infer(np.full((1, size, size, 3), 128, np.uint8))

    def close(self) -> None:
        """Frees the engine; the parser cannot be used afterwards."""
        self._engine.close()

    def __enter__(self) -> FaceParser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
