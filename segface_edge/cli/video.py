"""What `segface-edge parse` does with videos and cameras."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.errors import SegFaceEdgeError, UsageError

from .options import progress_bar

if TYPE_CHECKING:
    from segface_edge.parse import FaceParse, View
    from segface_edge.parser import FaceParser
    from segface_edge.video import Video, VideoWriter

# Frames that are parsed and not yet drawn.
_BEHIND = 4


def parse_video(
    parser: FaceParser,
    source: str,
    *,
    out: Path | None,
    lines_to: Path | None,
    draw: Callable[[FaceParse], FaceParse],
    view: View,
    alpha: float,
    every: int,
    limit: int | None,
    show: bool,
    boxes: list[list[float]] | None,
) -> dict[str, Any]:
    """Parses frame by frame; drawing and writing go on in a thread of their own.

    Where the source breaks off or the disk is full, what was done is kept, and the error is raised then.
    """
    from segface_edge.video import Video, VideoWriter, check_video_place

    if out is not None:
        check_video_place(out)
    if show:
        _check_windows()
    with ExitStack() as stack:
        video = stack.enter_context(Video(source, every=every))
        writer = None
        if out is not None:
            sound = Path(source) if not video.live and every == 1 and limit is None else None
            writer = VideoWriter(out, fps=video.fps / every, width=video.width, height=video.height, sound_of=sound)
        sink = _Sink(writer, lines_to, view, alpha, show)
        advance = stack.enter_context(progress_bar(video.count or 1, f"parsing {source}"))
        failed = _run(parser, video, sink, draw, limit, boxes, advance)
        sink.close()
        document = {
            "source": source,
            "output": None if out is None else str(out),
            "frames": sink.frames,
            "dropped": video.dropped,
            "width": video.width,
            "height": video.height,
            "fps": video.fps,
            "sound": writer.sound if writer else None,
        }
    if failed is not None:
        done = f"; {sink.frames} frames are in {out}" if out is not None and sink.frames else ""
        raise type(failed)(failed.subject, failed.problem + done, failed.cure) from failed
    return document


def _run(
    parser: FaceParser,
    video: Video,
    sink: _Sink,
    draw: Callable[[FaceParse], FaceParse],
    limit: int | None,
    boxes: list[list[float]] | None,
    advance: Callable[[int], None],
) -> SegFaceEdgeError | None:
    """What ended it early, if anything did."""
    try:
        for number, frame in enumerate(video):
            if limit is not None and number >= limit:
                break
            face = draw(parser(frame.image, boxes=boxes))
            sink.put(frame.index, frame.seconds, face)
            advance(1)
    except KeyboardInterrupt:
        click.echo("\nstopped; what was done is kept", err=True)
        if not video.live:
            sink.close()
            raise
    except SegFaceEdgeError as error:
        return error
    return sink.failed


class _Sink:
    """Draws and writes parsed frames in a thread."""

    def __init__(self, writer: VideoWriter | None, lines_to: Path | None, view: View, alpha: float, show: bool) -> None:
        self.frames = 0
        self.failed: SegFaceEdgeError | None = None
        self._writer, self._view, self._alpha, self._show = writer, view, alpha, show
        self._lines_to, self._part = (
            lines_to,
            None if lines_to is None else lines_to.with_name(f".{lines_to.name}.part"),
        )
        self._lines = None if self._part is None else self._part.open("w", encoding="utf-8")
        self._queue: queue.Queue[tuple[int, float, FaceParse] | None] = queue.Queue(_BEHIND)
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="drawing", daemon=True)
        self._thread.start()

    def put(self, index: int, seconds: float, face: FaceParse) -> None:
        """Takes a frame. Raises what an earlier one failed with."""
        if self.failed is not None:
            raise self.failed
        self._queue.put((index, seconds, face))

    def close(self) -> None:
        """Finishes what was taken, and the files."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        self._thread.join()
        if self._writer is not None:
            self._writer.close()
        if self._lines is not None and self._part is not None and self._lines_to is not None:
            self._lines.close()
            self._part.replace(self._lines_to)

    def _work(self) -> None:
        while (found := self._queue.get()) is not None:
            if self.failed is None:
                try:
                    self._draw(*found)
                except SegFaceEdgeError as error:
                    self.failed = error

    def _draw(self, index: int, seconds: float, face: FaceParse) -> None:
        if self._writer is not None or self._show:
            picture = face.overlay(self._alpha) if self._view == "overlay" else face.color()
            if self._writer is not None:
                self._writer.write(picture)
            if self._show:
                _show(picture)
        if self._lines is not None:
            self._lines.write(json.dumps({"frame": index, "seconds": round(seconds, 4), **face.to_json()}) + "\n")
            self._lines.flush()
        self.frames += 1


def _check_windows() -> None:
    import cv2

    try:
        cv2.namedWindow("segface-edge")
    except cv2.error as error:
        raise UsageError(
            "--show",
            "this OpenCV has no windows",
            "pip uninstall opencv-python-headless && pip install opencv-python",
        ) from error


def _show(picture: Any) -> None:
    import cv2

    with suppress(cv2.error):
        cv2.imshow("segface-edge", picture[:, :, ::-1])
        cv2.waitKey(1)


def describe(document: dict[str, Any]) -> str:
    """For people."""
    where = f" -> {document['output']}" if document["output"] else ""
    dropped = f", {document['dropped']} dropped" if document["dropped"] else ""
    sound = f", sound {document['sound']}" if document["sound"] not in (None, "none") else ""
    return f"{document['source']}{where}: {document['frames']} frames{dropped}{sound}"
