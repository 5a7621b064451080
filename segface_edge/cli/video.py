"""What `segface-edge parse` does with videos and cameras."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.errors import InputError, SegFaceEdgeError, UsageError

from . import opencv
from .lines import Lines
from .options import progress_bar

if TYPE_CHECKING:
    from segface_edge.parsing.parser import FaceParser
    from segface_edge.parsing.result import FaceParse
    from segface_edge.parsing.stream import Streamed
    from segface_edge.parsing.views import View
    from segface_edge.pictures.geometry import UInt8Array
    from segface_edge.sources.ahead import Ahead
    from segface_edge.sources.video_out import VideoWriter

_TITLE = "segface-edge"
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
    steady: bool,
    show: bool,
    boxes: list[list[float]] | None,
) -> dict[str, Any]:
    """Parses frame by frame; drawing and writing go on in a thread of their own.

    Where the source breaks off or the disk is full, what was done is kept, and the error is raised then.
    """
    from segface_edge.faces.steady import Steady
    from segface_edge.sources.ahead import Ahead
    from segface_edge.sources.video import Video

    if show:
        _check_windows()
    failed: BaseException | None = None
    smoothing = Steady() if steady else None
    with ExitStack() as stack:
        video = stack.enter_context(Video(source, every=every, max_pixels=parser.stages.max_pixels))
        lines = stack.enter_context(closing(Lines(lines_to))) if lines_to is not None else None
        writer = None
        if out is not None:
            from segface_edge.sources.video_out import VideoWriter

            sound = Path(source) if Path(source).is_file() else None
            writer = VideoWriter(out, fps=video.fps / every, sound_of=sound)
            stack.callback(writer.close)
        sink = _Sink(writer, lines, draw, view, alpha)
        window = _Window(view, alpha) if show else None
        advance = stack.enter_context(
            progress_bar(min(filter(None, (video.count, limit)), default=1), f"parsing {source}")
        )
        frames: Generator[Streamed, None, None] | Ahead[Streamed] = parser.stream(
            video, limit=limit, boxes=boxes, steady=smoothing or False
        )
        if video.live:  # of which a stream does nothing ahead: the engine goes on while a frame is drawn
            frames = Ahead(frames, waiting=1, name="inferring")
        done = stack.enter_context(Ahead(sink.write(frames), waiting=1, name="drawing"))
        try:
            for face in done:
                advance(1)
                if window is not None and not window.show(face):
                    break
        except Exception as error:
            failed = error
        except KeyboardInterrupt as error:
            click.echo("\nstopped; what was done is kept", err=True)
            # It is how a camera is ended; SIGTERM, which is a kind of it, ends the command itself.
            failed = None if video.live and type(error) is KeyboardInterrupt else error
        failed = _drain(video.close, done) or failed
    document = {
        "source": source,
        "output": None if out is None else str(out),
        "frames": sink.frames,
        "dropped": video.dropped,
        "width": video.width,
        "height": video.height,
        "fps": video.fps,
        "sound": writer.sound if writer else None,
        "flicker_percent": smoothing.flicker.to_json() if smoothing else None,
    }
    if isinstance(failed, SegFaceEdgeError):
        kept = f"; {writer.frames} frames are in {out}" if writer is not None and writer.frames else ""
        raise type(failed)(failed.subject, failed.problem + kept, failed.cure) from failed
    if failed is not None:
        raise failed
    return document


def _drain(end: Callable[[], None], done: Iterable[object]) -> Exception | None:
    """Ends the source and lets the frames on their way be finished, so that no thread writes to what is closed next."""
    end()
    try:
        for _ in done:
            pass
    except Exception as error:
        return error
    return None


class _Sink:
    """Draws and writes parsed frames."""

    def __init__(
        self,
        writer: VideoWriter | None,
        lines: Lines | None,
        draw: Callable[[FaceParse], FaceParse],
        view: View,
        alpha: float,
    ) -> None:
        self.frames = 0
        self._writer, self._lines, self._draw, self._view, self._alpha = writer, lines, draw, view, alpha

    def write(self, frames: Generator[Streamed, None, None] | Ahead[Streamed]) -> Iterator[FaceParse]:
        """Each frame, when it is written. Raises InputError where it cannot be."""
        with closing(frames):  # its threads end with this one, also where an error keeps it alive
            for frame in frames:
                face = self._write(frame)
                self.frames += 1
                yield face

    def _write(self, frame: Streamed) -> FaceParse:
        assert frame.face is not None
        assert frame.seconds is not None
        try:
            face = self._draw(frame.face)
            if self._writer is not None:
                self._writer.write(_picture(face, self._view, self._alpha), frame.seconds)
            if self._lines is not None:
                self._lines.write({"frame": frame.index, "seconds": round(frame.seconds, 4), **face.to_json()})
        except (SegFaceEdgeError, BrokenPipeError):
            raise
        except Exception as error:  # of OpenCV, of the disk
            raise InputError(
                f"frame {frame.index}", f"cannot be drawn or written ({error})", "what was done is kept"
            ) from error
        return face


class _Window:
    """A window; the main thread's, as toolkits want it."""

    def __init__(self, view: View, alpha: float) -> None:
        self._view, self._alpha = view, alpha
        self._seen = False

    def show(self, face: FaceParse) -> bool:
        """Shows a frame; False where the user wants no more: by a key, or by closing the window."""
        import cv2

        cv2.imshow(_TITLE, _picture(face, self._view, self._alpha)[:, :, ::-1])
        if cv2.waitKey(1) & 0xFF in _QUIT:
            return False
        try:
            visible = cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) >= 1
        except cv2.error:  # Qt's, of a window that is gone
            visible = False
        # An OpenCV with GTK says of every window that it is not to be seen: only one that was can have been closed.
        closed = self._seen and not visible
        self._seen = visible
        return not closed


def _picture(face: FaceParse, view: View, alpha: float) -> UInt8Array:
    return face.overlay(alpha) if view == "overlay" else face.color()


def _check_windows() -> None:
    import cv2

    # Qt ends the process where there is no screen.
    shown = sys.platform != "linux" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    if not shown and opencv.built_with("GUI"):
        raise UsageError("--show", "there is no screen here", "set DISPLAY, or leave it out and give -o")
    try:
        cv2.namedWindow(_TITLE)
    except cv2.error as error:
        raise UsageError("--show", "this OpenCV has no windows", opencv.cure(windows=True)) from error


def describe(document: dict[str, Any]) -> str:
    """For people."""
    where = f" -> {document['output']}" if document["output"] else ""
    dropped = f", {document['dropped']} dropped" if document["dropped"] else ""
    sound = f", sound {document['sound']}" if document["sound"] not in (None, "none") else ""
    flicker = document["flicker_percent"]
    calm = "" if flicker is None else f", flicker {flicker['before']:.2f} % -> {flicker['after']:.2f} %"
    return f"{document['source']}{where}: {document['frames']} frames{dropped}{sound}{calm}"
