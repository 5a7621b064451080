"""`segface-edge parse`."""

from __future__ import annotations

import io
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.errors import ImageError, InputError, SegFaceEdgeError, UsageError
from segface_edge.imaging import DEFAULT_MAX_PIXELS, LARGEST_MAX_PIXELS

from .options import check_json, json_option, model_options, progress_bar, say

if TYPE_CHECKING:
    from segface_edge.parse import FaceParse, View
    from segface_edge.sources import Source

_LOSSLESS_VIEWS = ("mask", "cutout")
_KEPT_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


@click.command(
    "parse",
    epilog="""\b
Examples:
  segface-edge parse photo.jpg -o overlay.png
  segface-edge parse photos/ -o out/ --visualize mask
  segface-edge parse photos/ -o out/ --skip-existing
  segface-edge parse 'photos/*.png' -o out/ --visualize cutout --classes hair,hat
  segface-edge parse - -o - < photo.jpg > overlay.png
  segface-edge parse group.jpg -o overlay.png --min-face 40
  segface-edge parse group.jpg -o overlay.png --boxes '20,30,90,120;300,40,380,140'
  segface-edge parse photo.jpg --json -
  segface-edge parse video.mp4 -o overlay.mp4 --every 5
  segface-edge parse video.mp4 --jsonl faces.jsonl --every 5

\b
A video may be a file (mp4, mov, avi, mkv, webm), a camera's index (0), a stream (rtsp://…) or a GStreamer pipeline with
an appsink. Of a camera the newest frame is parsed and older ones are dropped; Ctrl-C ends it.""",
)
@click.argument("source")
@click.option("-o", "out", help="Picture, or folder for several; - for standard output (PNG).")
@click.option(
    "--visualize",
    "view",
    type=click.Choice(["overlay", "mask", "color", "cutout"]),
    default="overlay",
    show_default=True,
    help="overlay: colours on the photo; mask: class ids (PNG with palette); color; cutout: transparent around.",
)
@click.option("--alpha", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Strength of the overlay.")
@click.option("--classes", help="Show these only, comma-separated (eyes,lips,hair); default: all but background.")
@click.option("--order", help="Label order of the result (see `segface-edge labels`); default: the model's.")
@click.option("--model", type=click.Path(path_type=Path), help="ONNX file, plan or checkpoint; default: the bundled.")
@click.option(
    "--locate",
    type=click.Choice(["auto", "yunet", "self", "whole"]),
    default="auto",
    show_default=True,
    help="Where the faces are: found by YuNet (segface-edge fetch yunet), by the model itself, or the photo is one.",
)
@click.option("--detector", type=click.Path(path_type=Path), help="YuNet's model file.")
@click.option("--boxes", help="Faces that are known: left,top,right,bottom in pixels; several with ; between.")
@click.option("--max-faces", type=click.IntRange(1), help="So many at most, the surest first.")
@click.option("--min-face", type=click.FloatRange(0), default=0.0, help="Leave smaller ones out: pixels of their box.")
@click.option("--recursive", is_flag=True, help="Of a folder, the pictures of its folders too.")
@click.option("--skip-existing", is_flag=True, help="Leave photos out whose result is there: goes on where it stopped.")
@click.option("--every", type=click.IntRange(1), default=1, help="Of a video, only each so many-th frame.")
@click.option("--frames", type=click.IntRange(1), help="Of a video, so many frames at most.")
@click.option(
    "--jsonl",
    "lines_to",
    type=click.Path(path_type=Path),
    help="Of a video, a line of JSON a frame; - for standard output.",
)
@click.option("--show", is_flag=True, help="Of a video, show it in a window.")
@click.option(
    "--max-pixels",
    type=click.IntRange(1, LARGEST_MAX_PIXELS),
    default=DEFAULT_MAX_PIXELS,
    show_default=True,
    help="Refuse larger pictures before decoding.",
)
@model_options
@json_option
def command(
    source: str,
    out: str | None,
    view: View,
    alpha: float,
    classes: str | None,
    order: str | None,
    model: Path | None,
    locate: str,
    detector: Path | None,
    boxes: str | None,
    max_faces: int | None,
    min_face: float,
    recursive: bool,
    skip_existing: bool,
    every: int,
    frames: int | None,
    lines_to: Path | None,
    show: bool,
    max_pixels: int,
    device: str,
    threads: int | None,
    spec: Path | None,
    json_to: str | None,
) -> int:
    """Parse SOURCE: a picture, a folder, a glob, a list (.txt), - for standard input, a video or a camera.

    Bad pictures among several are listed and skipped; the exit code is then 1.
    """
    from segface_edge.labels import label_set
    from segface_edge.parser import FaceParser
    from segface_edge.sources import find
    from segface_edge.video import check_video_place, is_video

    from .video import check_places, describe, parse_video

    if out == "" or (out is None and json_to is None and lines_to is None and not show):
        raise UsageError("parse", "has nowhere to put its result", "give -o OUT or --json -")
    if out == "-" and json_to == "-":
        raise UsageError("-o - and --json -", "both want standard output", "write one of them to a file")
    if out == "-" and sys.stdout.isatty():
        raise UsageError("-o -", "would write a picture to the terminal", "redirect it: > overlay.png")
    chosen = tuple(name.strip() for name in classes.split(",")) if classes else ()
    known = _boxes(boxes) if boxes is not None else None
    if order:
        label_set(order)

    def open_parser() -> FaceParser:
        return FaceParser(
            model,
            device=device,
            threads=threads,
            spec=spec,
            locate=locate,
            detector=detector,
            max_faces=max_faces,
            min_face=min_face,
            max_pixels=max_pixels,
        )

    if is_video(source):
        if out == "-":
            raise UsageError("-o -", "cannot take a video", "name a file: -o overlay.mp4")
        if view not in ("overlay", "color"):
            raise UsageError(f"--visualize {view}", "is not for videos", "use overlay or color, or --jsonl")
        if str(lines_to) == "-" and json_to == "-":
            raise UsageError("--jsonl - and --json -", "both want standard output", "write one of them to a file")
        if out is not None:
            check_video_place(Path(out))
        results_to = None if json_to in (None, "-") else Path(str(json_to))
        check_places(source, lines_to, results_to, None if out is None else Path(out))
        with open_parser() as parser:
            (label_set(order) if order else parser.labels).indices(chosen)

            def draw(face: FaceParse) -> FaceParse:
                face = face.remap(order) if order else face
                return face.only(*chosen) if chosen else face

            document = parse_video(
                parser,
                source,
                out=None if out is None else Path(out),
                lines_to=lines_to,
                draw=draw,
                view=view,
                alpha=alpha,
                every=every,
                limit=frames,
                show=show,
                boxes=known,
            )
        say(document, json_to, "" if str(lines_to) == "-" else describe(document))
        return 0
    for name, given in (("--every", every > 1), ("--frames", frames), ("--jsonl", lines_to), ("--show", show)):
        if given:
            raise UsageError(name, "is for videos and cameras", "leave it out, or give a video")
    photos = find(source, sys.stdin.buffer, recursive=recursive)
    # A folder or a glob means several, also where it holds one.
    several = len(photos) > 1 or (isinstance(photos[0].photo, Path) and photos[0].photo != Path(source))
    targets = _targets(photos, out, view, several=several)
    if skip_existing:
        # Results are written whole, so one that is there is done.
        left = [index for index, target in enumerate(targets) if target is None or not target.exists()]
        if len(left) < len(photos):
            click.echo(f"{len(photos) - len(left)} of {len(photos)} are there already", err=True)
        photos, targets = [photos[index] for index in left], [targets[index] for index in left]
        if not photos:
            say({"photos": [], "failed": []}, json_to, "")
            return 0
    results: list[dict[str, Any]] = []
    failures: list[SegFaceEdgeError] = []
    with open_parser() as parser:
        (label_set(order) if order else parser.labels).indices(chosen)
        if several or str(out).endswith("/"):
            for folder in {target.parent: target for target in targets if target is not None}.values():
                _make_folder(folder)
        check_json(json_to)
        with progress_bar(len(photos), "parsing") as advance:
            for photo, target in zip(photos, targets, strict=True):
                try:
                    face = parser(photo.photo, boxes=known)
                except ImageError as error:
                    named = (
                        error if isinstance(photo.photo, Path) else ImageError(photo.name, error.problem, error.cure)
                    )
                    if not several:
                        raise named from error
                    failures.append(named)
                    advance(1)
                    continue
                face = face.remap(order) if order else face
                shown = face.only(*chosen) if chosen else face
                if out == "-":
                    sys.stdout.buffer.write(_png(shown, view, alpha))
                elif target is not None:
                    shown.save(target, view, alpha=alpha)
                results.append(_document(photo, target, face))
                advance(1)
    for failure in failures:
        click.echo(f"error: {failure}", err=True)
    document = {"photos": results, "failed": [{"source": f.subject, "error": str(f)} for f in failures]}
    if out != "-":
        say(document, json_to, "\n".join(_line(result) for result in results))
    elif json_to:
        say(document, json_to, "")
    if failures:
        click.echo(f"{len(failures)} of {len(photos)} pictures could not be parsed", err=True)
    return 1 if failures else 0


def _boxes(text: str) -> list[list[float]]:
    try:
        boxes = [[float(number) for number in box.split(",")] for box in text.split(";") if box.strip()]
    except ValueError:
        boxes = [[]]
    if not boxes or any(len(box) != 4 for box in boxes):
        raise UsageError(f"--boxes {text}", "is no list of boxes", "write left,top,right,bottom;left,top,right,bottom")
    return boxes


def _targets(photos: list[Source], out: str | None, view: View, *, several: bool) -> list[Path | None]:
    """Where each result goes; checked before anything is parsed."""
    from segface_edge.parse import check_view

    if out is None or out == "-":
        if out == "-" and len(photos) > 1:
            raise UsageError("-o -", f"cannot take {len(photos)} pictures", "give a folder")
        return [None] * len(photos)
    folder = Path(out)
    into_folder = several or folder.is_dir() or out.endswith("/")
    targets: list[Path | None]
    if not into_folder:
        if not folder.suffix:
            raise UsageError(folder, "has no suffix that names a format", f"give {out}.png, or {out}/ for a folder")
        check_view(view, folder.suffix)
        targets = [folder]
    else:
        if folder.exists() and not folder.is_dir():
            raise UsageError(folder, "is a file, and several pictures need a folder", "name a folder")
        if not folder.exists() and folder.suffix.lower() in _KEPT_SUFFIXES and not out.endswith("/"):
            raise UsageError(folder, "is the name of one picture", "name a folder for several, -o out/ for example")
        # As they lie in the folder that was named.
        names = [(photo.below.parent if photo.below else Path()) / _name(photo, view) for photo in photos]
        uses = Counter(names)
        # photo.jpg and photo.png must not overwrite each other's result.
        targets = [
            folder / (name if uses[name] == 1 else name.with_name(f"{Path(photo.name).name}{name.suffix}"))
            for name, photo in zip(names, photos, strict=True)
        ]
    for target, count in Counter(targets).items():
        if target is not None and count > 1:
            raise UsageError(target, f"would be the result of {count} pictures", "parse one folder at a time")
    for photo, target in zip(photos, targets, strict=True):
        if target is not None and isinstance(photo.photo, Path) and _same(photo.photo, target):
            raise UsageError(target, "is the picture itself", "choose another output")
    return targets


def _make_folder(target: Path | None) -> None:
    """Makes the folder of a result; not before everything else is known to be right."""
    if target is None:
        return
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(target.parent, f"cannot be made ({error.strerror})", "choose another place") from error


def _name(photo: Source, view: View) -> str:
    path = Path(photo.name) if isinstance(photo.photo, Path) else Path("stdin.png")
    keep = view not in _LOSSLESS_VIEWS and path.suffix.lower() in _KEPT_SUFFIXES
    return path.name if keep else f"{path.stem}.png"


def _same(source: Path, target: Path) -> bool:
    return target.exists() and source.exists() and source.samefile(target)


def _png(face: FaceParse, view: View, alpha: float) -> bytes:
    buffer = io.BytesIO()
    face.picture(view, alpha=alpha).save(buffer, "PNG")
    return buffer.getvalue()


def _document(photo: Source, target: Path | None, face: FaceParse) -> dict[str, Any]:
    return {"source": photo.name, "output": None if target is None else str(target), **face.to_json()}


def _line(result: dict[str, Any]) -> str:
    where = f" -> {result['output']}" if result["output"] else ""
    milliseconds = sum(result["timings_ms"].values())
    return f"{result['source']}{where}: {', '.join(result['present']) or 'no face'} ({milliseconds:.0f} ms)"
