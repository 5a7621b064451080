"""FaceParser: photos in, `FaceParse` out."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack
from os import PathLike
from types import TracebackType
from typing import Any, NoReturn

import numpy as np
from PIL import Image

from segface_edge import zoo
from segface_edge.engines import Engine, open_engine
from segface_edge.engines.warped import infer_squares, somewhere
from segface_edge.errors import UsageError
from segface_edge.faces import locate as locating
from segface_edge.faces.finder import LOOK
from segface_edge.faces.steady import Steady
from segface_edge.labels import LabelSet
from segface_edge.memory import after_close
from segface_edge.pictures import reading
from segface_edge.pictures.reading import Color, Photo
from segface_edge.sources.kinds import is_video
from segface_edge.sources.photos import Source, find, named
from segface_edge.sources.video import Video
from segface_edge.spec import ModelSpec

from .finding import finder
from .pretrained import check_no_name, model_file
from .result import FaceParse
from .stages import Stages
from .stream import Streamed, streamed


class FaceParser:
    """Parses faces::

        with FaceParser() as parser:
            face = parser("photo.jpg")

    Args:
        model: a file: ONNX, a TensorRT plan (`.plan`, `.engine`), one of `export --target` (`.xml`, `.tflite`, `.pte`,
            `.param`), a checkpoint (`.safetensors`, `.pt`; needs torch); or an open `Engine`; None: the bundled model.
            One that goes by a name: `from_pretrained`.
        device: `cpu`, `cuda` or `cuda:N`; of OpenVINO `cpu`, `gpu`, `gpu:N` (Intel's) or `npu`. A plan runs on a GPU,
            by default the first.
        engine: a key of `engines.ENGINES`: `onnxruntime`, `onnxruntime-tensorrt`, `tensorrt`, `openvino`, `litert`,
            `executorch`, `ncnn`, `torch`…; None: the first that reads such files. `tensorrt` with an ONNX file builds
            its plan once and keeps it.
        locate: where the faces are. `yunet`: found by OpenCV's detector with the model in `detector`; `self`: in the
            parser's own label map of the whole photo, which is then parsed again, closer; `whole`: the photo is a
            portrait; `auto`: `yunet`, and `self` where it finds nothing; a portrait that fills its photo is left as it
            is.
        detector: file of the YuNet model; None: what `segface-edge models fetch yunet` left, else the bundled one.
        look: pixels of the photo's longer side that the detector looks at: more find smaller faces in larger photos,
            and take as much more time as there are pixels.
        max_faces: so many of a photo at most, the surest (`self`: the largest) first; None: all.
        min_face: faces whose box is smaller, in pixels of the photo, are left out.
        threads: CPU threads per operator; None leaves it to the engine.
        in_flight: calls of the engine at a time in `stream`. On a CPU as many as cores, with `threads=1`, give the most
            photos a second; each needs memory of its own.
        spec: for a plan that says nothing of itself: the ONNX file, or another plan's `.json`, that tells.
        max_pixels: photos, and videos whose frames, have more pixels are refused before they are decoded.

    Attributes:
        stages: what is done with a photo, step by step: for who has threads of their own.

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
        look: int = LOOK,
        max_faces: int | None = None,
        min_face: float = 0.0,
        threads: int | None = None,
        in_flight: int = 1,
        spec: str | PathLike[str] | None = None,
        max_pixels: int = reading.DEFAULT_MAX_PIXELS,
    ) -> None:
        if locate not in locating.NAMES:
            raise UsageError(f"locate={locate!r}", "is unknown", f"use one of: {', '.join(locating.NAMES)}")
        if max_faces is not None and max_faces < 1:
            raise UsageError(f"max_faces {max_faces}", "is below 1", "use 1 or more")
        for name, value in (("in_flight", in_flight), ("look", look)):
            if value < 1:
                raise UsageError(f"{name} {value}", "is below 1", "use 1 or more")
        self._in_flight = in_flight
        yunet = finder(locate, detector, look)
        if not isinstance(model, Engine):
            if model is None:
                model = zoo.DEFAULT_MODEL
            check_no_name(model)
            model = open_engine(model, device=device, engine=engine, threads=threads, spec=spec)
        if locate == "self" and model.spec.warp != "none":
            cure = "leave --locate out: YuNet finds them"
            raise UsageError("locate='self'", f"{model.source} warps faces by landmarks, and finds none itself", cure)
        self._engine = model
        self.stages = Stages(
            engine=model, locate=locate, yunet=yunet, max_faces=max_faces, min_face=min_face, max_pixels=max_pixels
        )

    @classmethod
    def from_pretrained(cls, name: str, **options: Any) -> FaceParser:
        """A parser of a model by its name (`segface-edge models list`): `segface/swin_base_celeba_512`.

        One of the authors' is fetched once before, by `segface-edge models fetch NAME`. Where the cache holds its ONNX
        file, it runs without torch; else it is exported first, which takes minutes and the extra `export`.

        Args:
            name: of the model.
            options: as for `FaceParser`.

        Raises:
            UsageError: unknown name.
            InputError: the model was not fetched.
            MissingDependencyError: it is to be exported, and the packages for that are not installed.
        """
        return cls(model_file(name), **options)

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

    def __call__(self, photo: Photo, *, color: Color = "rgb", boxes: Any = None, landmarks: Any = None) -> FaceParse:
        """Parses one photo: all of its faces, merged.

        Args:
            photo: a path, an http(s) address, the bytes of an image file, a PIL image, or an array (H, W, 3) uint8.
            color: channel order of an array; "bgr" for what OpenCV reads.
            boxes: (N, 4), left, top, right, bottom of the faces in pixels of the upright photo, where they are known.
            landmarks: (N, P, 2) instead, or (P, 2) of one face: x and y of its points, as of `pictures.landmarks.five`.

        Raises:
            ImageError: the photo cannot be read.
            UsageError: boxes or landmarks are not that, or the model warps and has none; the process was forked since.
        """
        return self.parse_batch(
            [photo],
            color=color,
            boxes=None if boxes is None else [boxes],
            landmarks=None if landmarks is None else [landmarks],
        )[0]

    def parse_batch(
        self,
        photos: Iterable[Photo],
        *,
        color: Color = "rgb",
        boxes: Sequence[Any] | None = None,
        landmarks: Sequence[Any] | None = None,
    ) -> list[FaceParse]:
        """Parses several photos, of any sizes, all their faces in one engine call (`self`: two).

        Arguments and errors as for one; `boxes` or `landmarks` has those of each photo.
        """
        if isinstance(photos, str | bytes | PathLike | Image.Image) or (
            isinstance(photos, np.ndarray) and photos.ndim == 3
        ):
            raise UsageError("parse_batch()", "got one photo", "give a list, or call the parser itself")
        photos = list(photos)
        if not photos:
            return []
        if boxes is not None and landmarks is not None:
            raise UsageError("boxes and landmarks", "both say where faces are", "give one of them")
        for name, given in (("boxes", boxes), ("landmarks", landmarks)):
            if given is not None and len(given) != len(photos):
                raise UsageError(f"{name} of {len(given)} photos", f"do not fit {len(photos)} photos", "give as many")
        works = [
            self.stages.take(
                photo,
                color=color,
                boxes=None if boxes is None else boxes[index],
                landmarks=None if landmarks is None else landmarks[index],
            )
            for index, photo in enumerate(photos)
        ]
        for work in works:
            self.stages.find(work)
        self.stages.infer(works)
        return [self.stages.finish(work) for work in works]

    def stream(
        self,
        source: str | PathLike[str] | int | Video | Iterable[Source | str | PathLike[str] | bytes],
        *,
        every: int = 1,
        limit: int | None = None,
        recursive: bool = False,
        boxes: Any = None,
        landmarks: Iterable[Any] | None = None,
        steady: bool | Steady = False,
    ) -> Generator[Streamed, None, None]:
        """Parses what a source gives, one after another: frames of a video or camera, photos of a folder, glob or list.

        Decoding, fitting and bringing back go on beside the engine, in threads, a few photos at a time; of a camera
        nothing is done before it is asked for.

        Args:
            source: as `segface-edge parse` takes it, but standard input; a camera's number; an open `Video`; or photos:
                paths, the bytes of image files, or what `sources.find` found. An animated picture is a photo, its
                first frame, unless `every` or `steady` is said or it is opened as a `Video`.
            every: of a video, only each so many-th frame; an open `Video` has its own.
            limit: so many at most.
            recursive: of a folder, the pictures of its folders too.
            boxes: faces that are known, in each of the photos, as for one.
            landmarks: instead, those of each photo, in their order; not of videos.
            steady: of a video, follow each face and let five frames vote on its labels: they flicker less, and are two
                frames behind at most. Faces have a number then, their `track`. A `Steady` tells afterwards by how much.

        Raises:
            UsageError: photos cannot be steady; `limit` is below 1; `every` for an open `Video`; landmarks of a video.
            DataError: there is no such source, or it breaks off. A photo that cannot be read ends nothing: its `error`
                says why.
        """
        name = str(source) if isinstance(source, str | PathLike | int) else None
        of_video = isinstance(source, Video) or (
            name is not None and is_video(name, animations=every != 1 or steady is not False)
        )
        if limit is not None and limit < 1:
            raise UsageError(f"limit {limit}", "is below 1", "use 1 or more")
        if steady is not False and not of_video:
            raise UsageError("steady", "is for videos and cameras", "leave it out, or give a video")
        if every != 1 and (name is None or not of_video):
            raise UsageError(f"every {every}", "is for videos by their names", "say it where it is opened: Video(…)")
        if landmarks is not None and (of_video or boxes is not None):
            raise UsageError("landmarks", "are of photos, and without boxes", "leave them or the others out")

        def run() -> Generator[Streamed, None, None]:
            with ExitStack() as stack:
                found: Video | Iterable[Source]
                if name is None:
                    found = source if isinstance(source, Video) else map(named, source)  # type: ignore[arg-type]
                elif of_video:
                    found = stack.enter_context(Video(name, every=every, max_pixels=self.stages.max_pixels))
                else:
                    found = find(name, recursive=recursive)
                smoothing = Steady() if steady is True else steady or None
                yield from streamed(
                    self.stages,
                    found,
                    limit=limit,
                    boxes=boxes,
                    landmarks=landmarks,
                    in_flight=self._in_flight,
                    steady=smoothing,
                )

        return run()

    def warmup(self, runs: int = 2) -> None:
        """Runs the engine on grey frames, so that the first photo does not pay for set-up.

        A TensorRT plan is set up for each thread: `stream`, which runs it in others, pays for its first frames again.
        """
        size = self.spec.size
        for _ in range(runs):
            infer_squares(self._engine, np.full((1, size, size, 3), 128, np.uint8), [somewhere(size)])

    def close(self) -> None:
        """Frees the engine; the parser cannot be used afterwards. In a forked child nothing is freed."""
        self._engine.release()
        after_close()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a FaceParser is not pickled: make one in each process; its results go between them")

    def __enter__(self) -> FaceParser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
