"""Many photos, or the frames of a video, parsed one after another: the stages of each beside those of the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice, repeat
from typing import Any

from segface_edge.errors import ImageError
from segface_edge.faces.steady import Steady
from segface_edge.faces.watch import Watch
from segface_edge.sources.ahead import Ahead
from segface_edge.sources.photos import Source
from segface_edge.sources.video import Video

from .result import FaceParse
from .stages import Stages, Work

# Photos that wait between two stages.
_WAITING = 2
# Each photo in flight has memory of its own, and large ones have much.
_MOST_IN_FLIGHT, _MOST_PIXELS = 8, 60_000_000


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


@dataclass(frozen=True)
class _Job:
    """One on its way; without `work` it could not be read."""

    name: str
    index: int
    seconds: float | None
    work: Work | None
    error: ImageError | None = None


def lanes(threads: int) -> tuple[int, int]:
    """How a CPU parses the most photos a second: so many at a time, with so many threads each.

    Threads that share a photo wait for each other at every layer, and for whoever decodes and draws beside them.
    """
    each = -(-threads // _MOST_IN_FLIGHT)
    return threads // each, each


def streamed(
    stages: Stages,
    source: Video | Iterable[Source],
    *,
    limit: int | None,
    boxes: Any,
    landmarks: Iterable[Any] | None = None,
    in_flight: int,
    steady: Steady | None,
) -> Generator[Streamed, None, None]:
    """Results in the source's order.

    Photos are decoded and fitted in one thread, inferred in a second, and brought back in the caller's. Of a camera
    nothing is done before it is asked for: it would grow old.

    Args:
        stages: what to do with each.
        source: frames or photos.
        limit: so many at most.
        boxes: of the faces, in each of them.
        landmarks: of each photo's faces instead, in the photos' order.
        in_flight: calls of the engine at a time; one of a steady video, whose faces are followed from frame to frame.
        steady: smooths the frames of a video.
    """
    live = isinstance(source, Video) and source.live
    taken = _frames(stages, source, boxes) if isinstance(source, Video) else _photos(stages, source, boxes, landmarks)
    watch = Watch() if isinstance(source, Video) else None
    jobs: Iterable[_Job] = (_prepared(stages, job, watch, fit=steady is None) for job in islice(taken, limit))
    threads = []
    try:
        if not live:
            jobs = Ahead(jobs, waiting=_WAITING, name="preparing")
            threads.append(jobs)
        jobs = _inferred(stages, jobs, 1 if live or steady is not None else in_flight, steady)
        if not live:
            jobs = Ahead(jobs, waiting=_WAITING, name="inferring")
            threads.append(jobs)
        for job in jobs:
            face = None if job.work is None else stages.finish(job.work, steady)
            yield Streamed(name=job.name, index=job.index, seconds=job.seconds, face=face, error=job.error)
    finally:
        for thread in threads:
            thread.close()


def _frames(stages: Stages, video: Video, boxes: Any) -> Iterator[_Job]:
    for frame in video:
        yield _Job(video.source, frame.index, frame.seconds, stages.take(frame.image, boxes=boxes))


def _photos(stages: Stages, photos: Iterable[Source], boxes: Any, landmarks: Iterable[Any] | None) -> Iterator[_Job]:
    known = repeat(None) if landmarks is None else landmarks
    for index, (photo, points) in enumerate(zip(photos, known, strict=False)):
        try:
            yield _Job(photo.name, index, None, stages.take(photo.photo, boxes=boxes, landmarks=points))
        except ImageError as error:
            named = error if not isinstance(photo.photo, bytes) else ImageError(photo.name, error.problem, error.cure)
            yield _Job(photo.name, index, None, None, named)


def _prepared(stages: Stages, job: _Job, watch: Watch | None, *, fit: bool) -> _Job:
    def prepare(work: Work) -> None:
        if watch is not None:
            watch.now = job.seconds
        stages.find(work, watch)
        if fit:
            stages.fit(work)

    return _worked(job, prepare)


def _worked(job: _Job, stage: Callable[[Work], None]) -> _Job:
    """What a stage makes of it. A photo that it cannot be done with ends nothing; a video ends there."""
    if job.work is None:
        return job
    try:
        stage(job.work)
    except ImageError as error:
        if job.seconds is not None:
            raise
        return replace(job, work=None, error=ImageError(job.name, f"{error.subject} {error.problem}", error.cure))
    return job


def _inferred(stages: Stages, jobs: Iterable[_Job], in_flight: int, steady: Steady | None) -> Iterator[_Job]:
    """In the order that they come in, so many at a time."""

    def infer(job: _Job) -> _Job:
        return _worked(job, lambda work: stages.infer([work], steady))

    if in_flight == 1:
        yield from map(infer, jobs)
        return
    pool = ThreadPoolExecutor(in_flight, thread_name_prefix="inferring")
    running: deque[Future[_Job]] = deque()
    pixels: deque[int] = deque()
    try:
        failed = None
        coming = iter(jobs)
        while True:
            try:
                job = next(coming)
            except StopIteration:
                break
            except Exception as error:  # what was taken before it is sound
                failed = error
                break
            pixels.append(job.work.image.shape[0] * job.work.image.shape[1] if job.work else 0)
            # One more than can run, so that who is done has the next at once; fewer of large photos.
            while running and (len(running) > in_flight or sum(pixels) > _MOST_PIXELS):
                pixels.popleft()
                yield running.popleft().result()
            running.append(pool.submit(infer, job))
        while running:
            yield running.popleft().result()
        if failed is not None:
            raise failed
    finally:
        pool.shutdown(cancel_futures=True)
