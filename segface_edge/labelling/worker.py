"""One engine, and the tables of rows that it makes of photos: in this process, or in each of Ray's actors."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from segface_edge import zoo
from segface_edge.engines import PLAN_SUFFIXES, engine_name, open_engine
from segface_edge.engines.base import cores
from segface_edge.engines.nvidia.plan import read_plan_info
from segface_edge.errors import IncompatibleEngineError, InputError, SegFaceEdgeError, UsageError
from segface_edge.files import sha256_of
from segface_edge.labels import LabelSet
from segface_edge.parsing.parser import FaceParser
from segface_edge.parsing.stream import lanes
from segface_edge.sources.photos import Source
from segface_edge.zoo.models import detector as fetched_or_bundled

from .loading import Loaded, load
from .photos import Photos
from .places import Places
from .rows import row_of, row_of_failed, schema_of

# Rows of a table that a worker hands over; masks of large photos take some hundred kilobytes each.
ROWS = 16


@dataclass(frozen=True, kw_only=True)
class Options:
    """How photos are labelled. What `FaceParser` takes too means the same here.

    Attributes:
        model: file of the model; None: the bundled one.
        device, engine, threads, spec: where and how it runs; threads of all calls together, None: as many as cores.
        locate, detector, look, max_faces, min_face, max_pixels: see `FaceParser`.
    """

    model: Path | None = None
    device: str = "cpu"
    engine: str | None = None
    threads: int | None = None
    spec: Path | None = None
    locate: str = "auto"
    detector: Path | None = None
    look: int
    max_faces: int | None = None
    min_face: float = 0.0
    max_pixels: int

    @property
    def own_engine(self) -> str:
        """The key of `ENGINES` that the model's suffix names; `engine` where it names none.

        Raises:
            UsageError: neither says any.
            IncompatibleEngineError: `engine` reads no such files.
        """
        model = self.model or zoo.DEFAULT_MODEL
        try:
            return engine_name(model)
        except UsageError:
            return engine_name(model, self.engine)

    def open(self) -> FaceParser:
        """A parser that labels the most photos a second. Raises as `FaceParser` does."""
        model = self.model or zoo.DEFAULT_MODEL
        on_cpu = self.device == "cpu" and engine_name(model, self.engine) == "onnxruntime"
        in_flight, threads = lanes(self.threads or cores() or 1) if on_cpu else (1, self.threads)
        options = {name: value for name, value in asdict(self).items() if name not in ("model", "threads")}
        return FaceParser(self.model, threads=threads, in_flight=in_flight, **options)

    def what(self) -> dict[str, Any]:
        """What a label depends on, JSON-ready: files by their hashes, wherever they are.

        Raises:
            InputError: a file cannot be read.
            UsageError, IncompatibleEngineError: see `engine_name`.
        """
        detector = self.detector or fetched_or_bundled() if self.locate in ("auto", "yunet") else None
        return {
            "model_sha256": _hash(self.model or zoo.DEFAULT_MODEL),
            "engine": engine_name(self.model or zoo.DEFAULT_MODEL, self.engine),
            "detector_sha256": detector and _hash(detector),
            "locate": self.locate,
            "look": self.look if detector else None,
            "max_faces": self.max_faces,
            "min_face": self.min_face,
            "max_pixels": self.max_pixels,
        }


def labels_of(options: Options) -> LabelSet:
    """The label order of the model, on a machine that may be without the GPU that is to run it.

    Raises:
        SegFaceEdgeError: it cannot be opened.
    """
    model = options.model or zoo.DEFAULT_MODEL
    if options.spec is None and model.suffix.lower() in PLAN_SUFFIXES:
        info = read_plan_info(model)
        if info is not None:
            return info.spec.labels
    # The file's own engine: the one that was said may need that GPU.
    with open_engine(model, engine=options.own_engine, spec=options.spec) as engine:
        return engine.spec.labels


def _hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise InputError(path, f"cannot be read ({reason})", "give the path of a model file") from error


class Labeller:
    """Labels photos.

    Args:
        options: how.
        places: opens the photos.
        what: what `Options.what` gave elsewhere; other files of the same names are refused here. None: they are right.

    Attributes:
        what: see `Options.what`.
        labels: the model's label order.

    Raises:
        IncompatibleEngineError: the files here are not those of `what`.
        SegFaceEdgeError: the model cannot be opened.
    """

    def __init__(self, options: Options, places: Places, what: dict[str, Any] | None = None) -> None:
        self._parser = options.open()
        self.what = options.what()
        if what not in (None, self.what):
            different = ", ".join(name for name in self.what if what is None or self.what[name] != what.get(name))
            cure = "put the same files at the same paths on every machine"
            raise IncompatibleEngineError(
                options.model or zoo.DEFAULT_MODEL, f"is another on a worker ({different})", cure
            )
        self._places = places
        self._model = self.what["model_sha256"]
        self.labels = self._parser.labels
        self._schema = schema_of(self.labels)

    def tables(self, photos: Iterable[Photos], rows: int = ROWS) -> Generator[pa.Table, None, None]:
        """Their rows, in their order, so many in a table. A photo that cannot be labelled is a row with an error.

        A photo's file is read, decoded and fitted in a thread beside the engine, as in `FaceParser.stream`.

        Raises:
            DataError: a Parquet file cannot be read any more.
            UsageError: the model warps faces by landmarks, and a photo's are not known.
        """
        waiting: deque[Loaded] = deque()

        def sources() -> Iterator[Source]:
            for one in load(photos, self._places):
                waiting.append(replace(one, content=b""))
                # What could not be read goes along without a byte, which is no picture either: results stay in order.
                yield Source(one.name, one.content)

        made: list[dict[str, Any]] = []
        with closing(self._parser.stream(sources())) as results:
            for result in results:
                photo = waiting.popleft()
                error = photo.error or result.error
                if error is not None:
                    made.append(row_of_failed(photo, error, self._model))
                else:
                    assert result.face is not None
                    made.append(row_of(photo, result.face, self._model))
                while len(made) >= rows:
                    yield pa.Table.from_pylist(made[:rows], self._schema)
                    made = made[rows:]
        if made:
            yield pa.Table.from_pylist(made, self._schema)

    def given_up(self, name: str, error: SegFaceEdgeError) -> pa.Table:
        """The row of a photo that is not tried again, and not even read."""
        return pa.Table.from_pylist([row_of_failed(Loaded(name), error, self._model)], self._schema)

    def close(self) -> None:
        """Frees the engine."""
        self._parser.close()
