"""What happens to a photo on its way to its result, in order: taken, its faces located, shown to the network, brought
back. Each stage can run in a thread of its own (see `stream`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from time import perf_counter
from typing import Any

import numpy as np

from segface_edge.engines import Engine
from segface_edge.engines.forks import refuse_inherited
from segface_edge.engines.warped import infer_squares, needs_landmarks
from segface_edge.faces import locate as locating
from segface_edge.faces.finder import Finder
from segface_edge.faces.locate import Located
from segface_edge.faces.steady import Steady
from segface_edge.faces.watch import Watch
from segface_edge.memory import after_work
from segface_edge.pictures import fitting, reading
from segface_edge.pictures.framing import fit_square, square_of
from segface_edge.pictures.geometry import FaceBox, Fitted, UInt8Array
from segface_edge.pictures.landmarks import Points
from segface_edge.pictures.reading import Color, Photo

from .merge import merged
from .result import FaceParse

# A warp presses what lies around a face: more of it is shown, in sides of the square that is shown without. LaPa's
# photos have more around a face than CelebA-HQ's.
_WARPED_SIDE = 1.5


@dataclass
class Work:
    """A photo on its way.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        decode, locate, fit, inference: seconds so far.
        located: its faces, None while nobody has looked for them.
        locator: who found them.
        fits, labels, confidences: one of each face.
    """

    image: UInt8Array
    decode: float = 0.0
    locate: float = 0.0
    fit: float = 0.0
    inference: float = 0.0
    located: list[Located] | None = None
    locator: str = ""
    fits: list[Fitted] = field(default_factory=list)
    labels: list[UInt8Array] = field(default_factory=list)
    confidences: list[UInt8Array | None] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True)
class Stages:
    """The stages, and what they are done with.

    Attributes:
        engine: runs the model.
        locate: see `FaceParser`.
        yunet: the detector, where it is wanted and there.
        max_faces, min_face, max_pixels: see `FaceParser`.
    """

    engine: Engine
    locate: str
    yunet: Finder | None
    max_faces: int | None
    min_face: float
    max_pixels: int

    def take(self, photo: Photo, *, color: Color = "rgb", boxes: Any = None, landmarks: Any = None) -> Work:
        """A photo, with the faces that are known. Raises ImageError, UsageError."""
        refuse_inherited(self.engine, self.engine.source)  # before OpenCV, whose threads stayed behind too
        start = perf_counter()
        image = reading.load(photo, color=color, max_pixels=self.max_pixels)
        work = Work(image, decode=perf_counter() - start)
        if boxes is not None:
            work.located, work.locator = locating.given(boxes, image), "boxes"
        elif landmarks is not None:
            work.located = locating.marked(landmarks, image, whole=self.locate == "whole")
            work.locator = "landmarks"
        elif self.locate == "whole":
            work.located, work.locator = [locating.whole(image)], "whole"
        if self._warps and any(one.face.landmarks is None for one in work.located or ()):
            raise needs_landmarks(self.engine)
        return work

    @property
    def _warps(self) -> bool:
        return self.engine.spec.warp != "none"

    def find(self, work: Work, watch: Watch | None = None) -> Work:
        """Locates the faces, where that needs no engine, the surest first; `watch` is of the video that it is from."""
        if work.located is None and self.yunet is not None:
            start = perf_counter()
            self._find_with(self.yunet, work, watch)
            work.locate += perf_counter() - start
        return work

    def fit(self, work: Work) -> Work:
        """Draws the network's square of each face that is wanted."""
        if work.located is not None and not work.fits:
            start = perf_counter()
            work.located = self._wanted(work.located, work)
            work.fits = [self._drawn(work.image, one) for one in work.located]
            work.fit += perf_counter() - start
        return work

    def infer(self, works: Sequence[Work], steady: Steady | None = None) -> None:
        """Runs the engine on all faces of the photos in one call; first, on whole photos where the faces are sought in
        labels. `steady` follows the faces through a video's frames."""
        sought = [work for work in works if work.located is None]
        if sought:
            for work in sought:
                work.located = [locating.whole(work.image)]
            self._run(sought)
            for work in sought:
                self._find_in_labels(work)
        if steady is not None:
            for work in works:
                work.located = locating.seen(steady.follow(work.located or ()), work.image)
                if len(work.located) != len(work.labels):  # a portrait's labels are there, and another face may be held
                    work.fits, work.labels = [], []
        self._run([work for work in works if not work.labels])

    def finish(self, work: Work, steady: Steady | None = None) -> FaceParse:
        """Label maps in the photo's pixels, merged; `steady` votes on them first."""
        start = perf_counter()
        if steady is not None:
            voted = steady.vote(work.located or (), work.fits, work.labels, work.confidences)
            kept = [index for index, one in enumerate(voted) if one is not None]
            work.located = [(work.located or [])[index] for index in kept]
            work.fits = [work.fits[index] for index in kept]
            work.labels = [one.labels for one in voted if one is not None]
            work.confidences = [one.confidence for one in voted if one is not None]
        height, width = work.image.shape[:2]
        labels, confidence, own = merged(
            work.labels, work.confidences, [fitted.geometry for fitted in work.fits], height, width
        )
        seconds = {"decode": work.decode, "locate": work.locate, "fit": work.fit, "inference": work.inference}
        seconds["restore"] = perf_counter() - start
        after_work()
        spec = self.engine.spec
        return FaceParse(
            image=work.image,
            labels=labels,
            label_set=spec.labels,
            # Where there is no face, whether there would be one is what the model says of itself.
            confidence=confidence if work.fits or "confidence" in spec.outputs else None,
            faces=tuple(one.face for one in work.located or ()),
            face_labels=own,
            locator=work.locator,
            timings={name: 1000 * value for name, value in seconds.items()},
            engine=f"{self.engine.describe()['runtime']} on {self.engine.device}",
        )

    def _drawn(self, image: UInt8Array, one: Located) -> Fitted:
        size = self.engine.spec.size
        if one.square is None:
            return fitting.fit(image, size)
        square = replace(one.square, side=_WARPED_SIDE * one.square.side) if self._warps else one.square
        return fit_square(image, size, square)

    def _find_with(self, yunet: Finder, work: Work, watch: Watch | None) -> None:
        faces = yunet(work.image, watch)
        if self.locate == "auto" and not faces and not self._warps:
            return  # a face that fills the photo may be too large for it
        work.located, work.locator = self._large(faces, work.image), "yunet"
        if self.locate == "auto" and self._is_portrait(work):
            work.located = [locating.as_portrait(work.located[0], work.image)]

    def _find_in_labels(self, work: Work) -> None:
        """Looks for the faces in the label map of the whole photo; a portrait's is its result already."""
        start = perf_counter()
        faces = locating.faces_in(work.labels[0], self.engine.spec.labels, work.fits[0].geometry)
        work.located, work.locator = self._large(locating.contrasting(faces, work.image), work.image), "self"
        if self._is_portrait(work):
            work.located = [locating.as_portrait(work.located[0], work.image)]
        else:
            work.fits, work.labels, work.confidences = [], [], []
        work.locate += perf_counter() - start

    def _large(self, faces: list[FaceBox], image: UInt8Array) -> list[Located]:
        """Those that are large enough, and in the photo."""
        large = [face for face in faces if min(face.right - face.left, face.bottom - face.top) >= self.min_face]
        return locating.seen([Located(face=face, square=square_of(face)) for face in large], image)

    def _wanted(self, located: list[Located], work: Work) -> list[Located]:
        """So many at most; those that were given are all wanted."""
        return located if work.locator in ("boxes", "landmarks") else located[: self.max_faces]

    def _is_portrait(self, work: Work) -> bool:
        return locating.is_portrait(self._wanted(work.located or [], work), work.image)

    def _run(self, works: list[Work]) -> None:
        """One call of the engine for all faces of these photos, which share its time evenly."""
        frames = [fitted.pixels for work in works for fitted in self.fit(work).fits]
        if not frames:
            return
        start = perf_counter()
        points = [point for work in works for point in map(_in_square, work.located or (), work.fits)]
        output = infer_squares(self.engine, np.stack(frames), points)
        labels, confidence = output.labels, output.confidence
        if self.engine.gives_views:  # the next call, before these are brought back, would overwrite them
            labels, confidence = labels.copy(), None if confidence is None else confidence.copy()
        seconds = perf_counter() - start
        first = 0
        for work in works:
            last = first + len(work.fits)
            work.labels = list(labels[first:last])
            work.confidences = [None] * len(work.fits) if confidence is None else list(confidence[first:last])
            work.inference += seconds / len(works)
            first = last


def _in_square(one: Located, fitted: Fitted) -> Points | None:
    """A face's landmarks in its square."""
    return one.face.landmarks and fitted.geometry.to_square(one.face.landmarks)
