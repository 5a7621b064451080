"""What `segface-edge parse` does with videos and cameras."""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import click

from segface_edge.errors import InputError, SegFaceEdgeError, UsageError

from .options import progress_bar

if TYPE_CHECKING:
    from segface_edge.imaging import UInt8Array
    from segface_edge.parse import FaceParse, View
    from segface_edge.parser import FaceParser
    from segface_edge.video import Video, VideoWriter

# Frames that are parsed and not yet drawn.
_BEHIND = 4
_QUIT = (ord("q"), 27)  # q and Esc end what is shown in a window


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
    from segface_edge.video import Video, VideoWriter

    if show:
        _check_windows()
    failed: BaseException | None = None
    with ExitStack() as stack:
        video = stack.enter_context(Video(source, every=every))
        lines = _Lines(lines_to) if lines_to is not None else None
        if lines is not None:
            stack.callback(lines.close)
        writer = None
        if out is not None:
            sound = Path(source) if not video.live and every == 1 and limit is None else None
            writer = VideoWriter(out, fps=video.fps / every, sound_of=sound)
            stack.callback(writer.close)
        sink = _Sink(writer, lines, view, alpha)
        stack.callback(sink.close)
        count = min(filter(None, (video.count, limit)), default=1)
        advance = stack.enter_context(progress_bar(count, f"parsing {source}"))
        try:
            _run(parser, video, sink, draw, limit, boxes, advance, _Window(view, alpha) if show else None)
        except SegFaceEdgeError as error:
            failed = error
        except KeyboardInterrupt as error:
            click.echo("\nstopped; what was done is kept", err=True)
            failed = None if video.live else error  # it is how a camera is ended
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
    failed = failed or sink.failed
    if isinstance(failed, SegFaceEdgeError):
        done = f"; {sink.frames} frames are in {out}" if out is not None and sink.frames else ""
        raise type(failed)(failed.subject, failed.problem + done, failed.cure) from failed
    if failed is not None:
        raise failed
    return document


def check_places(source: str, *places: Path | None) -> None:
    """Raises where two of the files are the same one, or a result cannot be written."""
    from segface_edge.files import check_place

    seen = [Path(source).resolve()] if Path(source).exists() else []
    for place in places:
        if place is None or str(place) == "-":
            continue
        check_place(place)
        if place.resolve() in seen and (place.is_file() or not place.exists()):
            what = "is the video itself" if place.resolve() == seen[0] else "is named twice"
            raise UsageError(place, what, "choose another output")
        seen.append(place.resolve())


def _run(
    parser: FaceParser,
    video: Video,
    sink: _Sink,
    draw: Callable[[FaceParse], FaceParse],
    limit: int | None,
    boxes: list[list[float]] | None,
    advance: Callable[[int], None],
    window: _Window | None,
) -> None:
    for number, frame in enumerate(video, 1):
        face = draw(parser(frame.image, boxes=boxes))
        sink.put(frame.index, frame.seconds, face)
        advance(1)
        if number == limit or (window is not None and not window.show(face)):
            return


class _Lines:
    """A file of JSON, a line a frame, which takes its place when it is closed; a pipe is written to as it is."""

    def __init__(self, path: Path) -> None:
        self._path, self._target, self._part = path, path.resolve(), None
        try:
            if str(path) == "-":
                self._file: IO[str] = sys.stdout
            elif path.exists() and not path.is_file():
                self._file = path.open("w", encoding="utf-8")
            else:
                self._part = self._target.with_name(f".{path.name[:150]}.{os.getpid()}.part")
                self._file = self._part.open("w", encoding="utf-8")
        except OSError as error:
            raise InputError(path, f"cannot be written ({error.strerror})", "choose another place") from error

    def write(self, document: dict[str, Any]) -> None:
        """Appends a line. Raises InputError where it cannot."""
        try:
            self._file.write(json.dumps(document) + "\n")
            self._file.flush()
        except OSError as error:
            raise InputError(
                self._path, f"cannot be written ({error.strerror})", "make room; what was done is kept"
            ) from error

    def close(self) -> None:
        """Puts the file in its place."""
        if self._file is not sys.stdout:
            with suppress(OSError):  # what could not be written was said before
                self._file.close()
        if self._part is not None and self._part.exists():
            self._part.replace(self._target)


class _Sink:
    """Draws and writes parsed frames in a thread."""

    def __init__(self, writer: VideoWriter | None, lines: _Lines | None, view: View, alpha: float) -> None:
        self.frames = 0
        self.failed: SegFaceEdgeError | None = None
        self._writer, self._lines, self._view, self._alpha = writer, lines, view, alpha
        self._queue: queue.Queue[tuple[int, float, FaceParse] | None] = queue.Queue(_BEHIND)
        self._thread = threading.Thread(target=self._work, name="drawing", daemon=True)
        self._thread.start()

    def put(self, index: int, seconds: float, face: FaceParse) -> None:
        """Takes a frame. Raises what an earlier one failed with."""
        if self.failed is not None:
            raise self.failed
        self._queue.put((index, seconds, face))

    def close(self) -> None:
        """Finishes what was taken."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()

    def _work(self) -> None:
        # Whatever happens the queue is emptied: who fills it must not wait for ever.
        while (found := self._queue.get()) is not None:
            if self.failed is None:
                try:
                    self._draw(*found)
                except SegFaceEdgeError as error:
                    self.failed = error
                except Exception as error:  # of OpenCV, of the disk
                    self.failed = InputError(
                        f"frame {found[0]}", f"cannot be drawn or written ({error})", "what was done is kept"
                    )

    def _draw(self, index: int, seconds: float, face: FaceParse) -> None:
        if self._writer is not None:
            self._writer.write(_picture(face, self._view, self._alpha))
        if self._lines is not None:
            self._lines.write({"frame": index, "seconds": round(seconds, 4), **face.to_json()})
        self.frames += 1


class _Window:
    """A window; the main thread's, as toolkits want it."""

    def __init__(self, view: View, alpha: float) -> None:
        self._view, self._alpha = view, alpha

    def show(self, face: FaceParse) -> bool:
        """Shows a frame; False where the user wants no more."""
        import cv2

        cv2.imshow("segface-edge", _picture(face, self._view, self._alpha)[:, :, ::-1])
        return cv2.waitKey(1) & 0xFF not in _QUIT


def _picture(face: FaceParse, view: View, alpha: float) -> UInt8Array:
    return face.overlay(alpha) if view == "overlay" else face.color()


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


def describe(document: dict[str, Any]) -> str:
    """For people."""
    where = f" -> {document['output']}" if document["output"] else ""
    dropped = f", {document['dropped']} dropped" if document["dropped"] else ""
    sound = f", sound {document['sound']}" if document["sound"] not in (None, "none") else ""
    return f"{document['source']}{where}: {document['frames']} frames{dropped}{sound}"
