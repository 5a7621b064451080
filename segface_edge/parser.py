"""FaceParser: photos in, `FaceParse` out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from time import perf_counter
from types import TracebackType
from typing import Any

import numpy as np
from PIL import Image

from . import imaging, zoo
from . import locate as locating
from .engines import Engine, open_engine
from .errors import ImageError, UsageError
from .fetch import place_of
from .framing import fit_square, frame_of
from .imaging import Color, FaceBox, Fitted, Photo, UInt8Array
from .labels import LabelSet
from .locate import Located, YuNet
from .merge import merged
from .parse import FaceParse
from .sources import find
from .spec import ModelSpec
from .video import Video, is_video


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
        locate: where the faces are. `yunet`: found by OpenCV's detector with the model in `detector`; `self`: in the
            parser's own label map of the whole photo, which is then parsed again, closer; `whole`: the photo is a
            portrait; `auto`: `yunet` where there is a `detector`, `self` where there is none or it finds nothing, and
            a portrait that fills its frame is left as it is.
        detector: file of the YuNet model; None: the one that `segface-edge fetch yunet` left, if it is there.
        max_faces: so many of a photo at most, the surest (`self`: the largest) first; None: all.
        min_face: faces whose box is smaller, in pixels of the photo, are left out.
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
        locate: str = "auto",
        detector: str | PathLike[str] | None = None,
        max_faces: int | None = None,
        min_face: float = 0.0,
        threads: int | None = None,
        spec: str | PathLike[str] | None = None,
        max_pixels: int = imaging.DEFAULT_MAX_PIXELS,
    ) -> None:
        if locate not in locating.NAMES:
            raise UsageError(f"locate={locate!r}", "is unknown", f"use one of: {', '.join(locating.NAMES)}")
        if max_faces is not None and max_faces < 1:
            raise UsageError(f"max_faces {max_faces}", "is below 1", "use 1 or more")
        self._name, self._max_faces, self._min_face = locate, max_faces, min_face
        self._yunet = _yunet(locate, detector)
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

    def __call__(self, photo: Photo, *, color: Color = "rgb", boxes: Any = None) -> FaceParse:
        """Parses one photo: all of its faces, merged.

        Args:
            photo: a path, the bytes of an image file, a PIL image, or an array (H, W, 3) uint8.
            color: channel order of an array; "bgr" for what OpenCV reads.
            boxes: (N, 4), left, top, right, bottom of the faces in pixels of the upright photo, where they are known.

        Raises:
            ImageError: the photo cannot be read.
        """
        return self.parse_batch([photo], color=color, boxes=None if boxes is None else [boxes])[0]

    def parse_batch(
        self, photos: Iterable[Photo], *, color: Color = "rgb", boxes: Sequence[Any] | None = None
    ) -> list[FaceParse]:
        """Parses several photos, of any sizes, all their faces in one engine call (`self`: two).

        Arguments and errors as for one; `boxes` has those of each photo.
        """
        if isinstance(photos, str | bytes | PathLike | Image.Image) or (
            isinstance(photos, np.ndarray) and photos.ndim == 3
        ):
            raise UsageError("parse_batch()", "got one photo", "give a list, or call the parser itself")
        photos = list(photos)
        if not photos:
            return []
        if boxes is not None and len(boxes) != len(photos):
            raise UsageError(f"boxes of {len(boxes)} photos", f"do not fit {len(photos)} photos", "give as many")
        works = []
        for index, photo in enumerate(photos):
            start = perf_counter()
            image = imaging.load(photo, color=color, max_pixels=self._max_pixels)
            work = _Work(image, decode=perf_counter() - start)
            if boxes is not None:
                work.located = locating.given(boxes[index], image)
            works.append(work)
        self._locate(works)
        self._infer(works, [work for work in works if work.located is not None and not work.fits])
        return [self._result(work) for work in works]

    def _locate(self, works: list[_Work]) -> None:
        """Finds the faces of photos whose faces are not given."""
        for work in works:
            if work.located is not None:
                continue
            start = perf_counter()
            if self._name == "whole":
                work.located = [locating.whole(work.image)]
            elif self._yunet is not None:
                faces = self._yunet(work.image)
                work.located = self._chosen(faces, work.image)
                if self._name == "auto":
                    if locating.is_portrait(work.located, work.image):
                        work.located = [replace(work.located[0], frame=None)]
                    elif not faces:
                        work.located = None  # a face that fills the frame may be too large for it
            work.locate = perf_counter() - start
        self._locate_in_labels([work for work in works if work.located is None])

    def _locate_in_labels(self, works: list[_Work]) -> None:
        """Parses whole photos and looks for the faces in their label maps; a portrait's is its result already."""
        if not works:
            return
        for work in works:
            work.located = [locating.whole(work.image)]
        self._infer(works, works)
        for work in works:
            start = perf_counter()
            faces = locating.faces_in(work.labels[0], self.labels, work.fits[0].geometry)
            found = self._chosen(faces, work.image)
            if locating.is_portrait(found, work.image):
                work.located = [replace(found[0], frame=None)]
            else:
                work.located, work.fits, work.labels, work.confidences = found, [], [], []
            work.locate += perf_counter() - start

    def _chosen(self, faces: list[FaceBox], image: UInt8Array) -> list[Located]:
        """Those that are large enough and in the photo, the first so many of them."""
        large = [face for face in faces if min(face.right - face.left, face.bottom - face.top) >= self._min_face]
        located = locating.seen([Located(face=face, frame=frame_of(face)) for face in large], image)
        return located[: self._max_faces]

    def _infer(self, works: list[_Work], chosen: list[_Work]) -> None:
        """Runs all faces of the chosen photos in one call of the engine."""
        size = self.spec.size
        for work in chosen:
            start = perf_counter()
            work.fits = [
                imaging.fit(work.image, size) if one.frame is None else fit_square(work.image, size, one.frame)
                for one in work.located or ()
            ]
            work.fit += perf_counter() - start
        frames = [fitted.pixels for work in chosen for fitted in work.fits]
        if not frames:
            return
        start = perf_counter()
        output = self._engine.infer(np.stack(frames))
        inference = (perf_counter() - start) / len(works)
        first = 0
        for work in chosen:
            last = first + len(work.fits)
            work.labels = list(output.labels[first:last])
            work.confidences = (
                [None] * len(work.fits) if output.confidence is None else list(output.confidence[first:last])
            )
            first = last
        for work in works:
            work.inference += inference

    def _result(self, work: _Work) -> FaceParse:
        start = perf_counter()
        height, width = work.image.shape[:2]
        labels, confidence, own = merged(
            work.labels, work.confidences, [fitted.geometry for fitted in work.fits], height, width
        )
        seconds = {"decode": work.decode, "locate": work.locate, "fit": work.fit, "inference": work.inference}
        seconds["restore"] = perf_counter() - start
        return FaceParse(
            image=work.image,
            labels=labels,
            label_set=self.labels,
            # Where there is no face, whether there would be one is what the model says of itself.
            confidence=confidence if work.fits or "confidence" in self.spec.outputs else None,
            faces=tuple(one.face for one in work.located or ()),
            face_labels=own,
            timings={name: 1000 * value for name, value in seconds.items()},
            engine=f"{self._engine.describe()['runtime']} on {self._engine.device}",
        )

    def stream(self, source: str | PathLike[str], *, every: int = 1, recursive: bool = False) -> Iterator[Streamed]:
        """Parses what a source gives, one after another: frames of a video or camera, photos of a folder, glob or list.

        Args:
            source: as `segface-edge parse` takes it, but standard input.
            every: of a video, only each so many-th frame.
            recursive: of a folder, the pictures of its folders too.

        Raises:
            DataError: there is no such source, or it breaks off. A photo that cannot be read ends nothing: its `error`
                says why.
        """
        name = str(source)
        if is_video(name):
            with Video(name, every=every) as video:
                for frame in video:
                    face = self(frame.image)
                    yield Streamed(name=name, index=frame.index, seconds=frame.seconds, face=face)
            return
        for index, photo in enumerate(find(name, recursive=recursive)):
            try:
                yield Streamed(name=photo.name, index=index, face=self(photo.photo))
            except ImageError as error:
                yield Streamed(name=photo.name, index=index, error=error)

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


def _yunet(name: str, detector: str | PathLike[str] | None) -> YuNet | None:
    """The detector where it is wanted and there."""
    if name not in ("auto", "yunet"):
        return None
    path = Path(detector) if detector is not None else place_of("yunet")
    return YuNet(path) if detector is not None or name == "yunet" or path.is_file() else None


@dataclass(frozen=True, kw_only=True)
class Streamed:
    """One of `FaceParser.stream`.

    Attributes:
        name: the photo, or the video.
        index: its number, from 0.
        seconds: of a frame, since the video's start; None of a photo.
        face: the result; None where the photo could not be read.
        error: why.
    """

    name: str
    index: int
    seconds: float | None = None
    face: FaceParse | None = None
    error: ImageError | None = None


@dataclass
class _Work:
    """A photo on its way.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        decode, locate, fit, inference: seconds so far.
        located: its faces, None while nobody has looked for them.
        fits, labels, confidences: one of each face.
    """

    image: UInt8Array
    decode: float
    locate: float = 0.0
    fit: float = 0.0
    inference: float = 0.0
    located: list[Located] | None = None
    fits: list[Fitted] = field(default_factory=list)
    labels: list[UInt8Array] = field(default_factory=list)
    confidences: list[UInt8Array | None] = field(default_factory=list)
