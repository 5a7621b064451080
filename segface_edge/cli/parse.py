"""`segface-edge parse`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from segface_edge.engines.base import cores
from segface_edge.errors import UsageError
from segface_edge.memory import keep_small

from .options import HELP_MODEL, ModelWord, face_options, json_option, model_options, say

if TYPE_CHECKING:
    from segface_edge.parsing.choice import Choice
    from segface_edge.parsing.result import FaceParse
    from segface_edge.parsing.views import View


@click.command(
    "parse",
    epilog="""\b
Examples:
  segface-edge parse photo.jpg -o overlay.png
  segface-edge parse photos/ -o out/ --visualize mask
  segface-edge parse photos/ -o out/ --jsonl out.jsonl --skip-existing
  segface-edge parse 'photos/*.png' -o out/ --visualize cutout --classes hair,hat
  segface-edge parse photo.jpg group.jpg -o out/
  segface-edge parse - -o - < photo.jpg > overlay.png
  segface-edge parse group.jpg -o overlay.png --min-face 40
  segface-edge parse group.jpg -o overlay.png --boxes '20,30,90,120;300,40,380,140'
  segface-edge parse photo.jpg --json -
  segface-edge parse photo.jpg -o overlay.png --model model.onnx@engine=openvino
  segface-edge parse video.mp4 -o overlay.mp4 --every 5
  segface-edge parse video.mp4 --jsonl faces.jsonl --every 5
  segface-edge parse video.mp4 -o overlay.mp4 --steady

\b
A video may be any file that FFmpeg opens, whatever its name, a camera's index (0), a stream (rtsp://…) or a GStreamer
pipeline with an appsink. Of a camera the newest frame is parsed and older ones are dropped; Ctrl-C ends it. Frames
keep their times and the video its sound; .mp4 and .webm play in browsers. An animated GIF, WebP or PNG is a video
where the output is one (-o out.mp4) or --every, --frames, --steady or --show is given, else its first frame.""",
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE…")
@click.option("-o", "out", help="Picture, or folder for several; - for standard output (PNG).")
@click.option(
    "--visualize",
    "view",
    type=click.Choice(["overlay", "mask", "ids", "color", "cutout"]),
    default="overlay",
    show_default=True,
    help="overlay: colours on the photo; mask: class ids (PNG with palette); ids: the same as grey, for OpenCV; color; "
    "cutout: transparent around.",
)
@click.option("--alpha", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Strength of the overlay.")
@click.option("--classes", help="Show these only, comma-separated (eyes,lips,hair); default: all but background.")
@click.option("--order", help="Label order of the result (see `segface-edge labels`); default: the model's.")
@click.option("--model", type=ModelWord(), help=HELP_MODEL)
@face_options
@click.option(
    "--boxes",
    help="Faces that are known, the same in every photo: left,top,right,bottom in pixels; several with ; between.",
)
@click.option(
    "--landmarks",
    type=click.Path(path_type=Path),
    help="Faces by five points, in a text file (LaPa's of 106 too); of several photos a folder with NAME.txt of each.",
)
@click.option("--recursive", is_flag=True, help="Of a folder, the pictures of its folders too.")
@click.option("--skip-existing", is_flag=True, help="Leave photos out whose result is there: goes on where it stopped.")
@click.option("--every", type=click.IntRange(1), default=1, help="Of a video, only each so many-th frame.")
@click.option("--frames", type=click.IntRange(1), help="Of a video, so many frames at most.")
@click.option(
    "--jsonl",
    "lines_to",
    type=click.Path(path_type=Path),
    help="A line of JSON a photo or frame, as they come; - for standard output.",
)
@click.option("--steady", is_flag=True, help="Of a video, follow faces and let 5 frames vote on labels: less flicker.")
@click.option("--show", is_flag=True, help="Of a video, show it in a window; q, Esc or closing it ends the run.")
@model_options
@json_option
def command(
    sources: tuple[str, ...],
    out: str | None,
    view: View,
    alpha: float,
    classes: str | None,
    order: str | None,
    model: Choice | None,
    locate: str,
    detector: Path | None,
    look: int,
    boxes: str | None,
    landmarks: Path | None,
    max_faces: int | None,
    min_face: float,
    recursive: bool,
    skip_existing: bool,
    every: int,
    frames: int | None,
    lines_to: Path | None,
    steady: bool,
    show: bool,
    max_pixels: int,
    device: str,
    threads: int | None,
    spec: Path | None,
    json_to: str | None,
) -> int:
    """Parse SOURCE: a picture, its address, a folder, a glob, a list (.txt), - for standard input, a video or a camera.

    Several sources are one list; of videos a run takes one. Bad pictures among several are listed and skipped; the exit
    code is then 1.
    """
    keep_small()
    from segface_edge.labels import label_set
    from segface_edge.parsing.choice import BUNDLED
    from segface_edge.parsing.parser import FaceParser
    from segface_edge.parsing.stream import lanes
    from segface_edge.sources.formats import WRITTEN_SUFFIXES, check_video_place
    from segface_edge.sources.kinds import ONE_BY_ONE, is_live, is_video
    from segface_edge.sources.photos import find_all

    from .photos import parse_photos
    from .video import describe, parse_video

    if out == "" or (out is None and json_to is None and lines_to is None and not show):
        raise UsageError("parse", "has nowhere to put its result", "give -o OUT or --json -")
    to_output = {"-o -": out == "-", "--json -": json_to == "-", "--jsonl -": str(lines_to) == "-"}
    if sum(to_output.values()) > 1:
        names = " and ".join(name for name, wanted in to_output.items() if wanted)
        raise UsageError(names, "cannot share standard output", "write one of them to a file")
    if out == "-" and sys.stdout.isatty():
        raise UsageError("-o -", "would write a picture to the terminal", "redirect it: > overlay.png")
    chosen = tuple(name.strip() for name in classes.split(",")) if classes else ()
    if boxes is not None and landmarks is not None:
        raise UsageError("--boxes and --landmarks", "both say where faces are", "give one of them")
    known = _boxes(boxes) if boxes is not None else None
    if order:
        label_set(order)

    def open_parser(*, several: bool) -> FaceParser:
        choice = model or BUNDLED
        options = choice.options(device=device, threads=threads, spec=spec)
        in_flight = 1
        # Of many photos on a CPU not each is to be done soon, but all.
        if several and options["device"] == "cpu" and choice.engine == "onnxruntime":
            in_flight, options["threads"] = lanes(options.get("threads") or cores() or 1)
        return FaceParser(
            choice.file,
            **options,
            in_flight=in_flight,
            locate=locate,
            detector=detector,
            look=look,
            max_faces=max_faces,
            min_face=min_face,
            max_pixels=max_pixels,
        )

    asked = every > 1 or frames is not None or steady or show
    animations = asked or (out is not None and Path(out).suffix.lower() in WRITTEN_SUFFIXES)
    videos = [source for source in sources if is_video(source, animations=animations)]
    if videos and len(sources) > 1:
        raise UsageError(videos[0], "is a video among several sources", ONE_BY_ONE)
    if videos:
        (source,) = videos
        if landmarks is not None:
            raise UsageError("--landmarks", "is for photos", "leave it out: YuNet finds the faces of each frame")
        if skip_existing:
            raise UsageError("--skip-existing", "is for photos", "leave it out: a video is parsed as a whole")
        if out == "-":
            raise UsageError("-o -", "cannot take a video", "name a file: -o overlay.mp4")
        if view not in ("overlay", "color"):
            raise UsageError(f"--visualize {view}", "is not for videos", "use overlay or color, or --jsonl")
        if out is not None:
            check_video_place(Path(out))
        results_to = None if json_to in (None, "-") else Path(str(json_to))
        _check_places(sources, lines_to, results_to, None if out is None else Path(out))
        with open_parser(several=not (is_live(source) or steady)) as parser:
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
                steady=steady,
                show=show,
                boxes=known,
            )
        say(document, json_to, "" if str(lines_to) == "-" else describe(document))
        return 0
    for name, given in (("--every", every > 1), ("--frames", frames), ("--steady", steady), ("--show", show)):
        if given:
            raise UsageError(name, "is for videos and cameras", "leave it out, or give a video")
    if lines_to is not None:
        _check_places(sources, lines_to, None if json_to in (None, "-") else Path(str(json_to)))
    photos = find_all(sources, sys.stdin.buffer, recursive=recursive)
    return parse_photos(
        open_parser,
        sources,
        photos,
        out=out,
        lines_to=lines_to,
        json_to=json_to,
        view=view,
        alpha=alpha,
        order=order,
        classes=chosen,
        boxes=known,
        landmarks=landmarks,
        skip_existing=skip_existing,
    )


def _boxes(text: str) -> list[list[float]]:
    try:
        boxes = [[float(number) for number in box.split(",")] for box in text.split(";") if box.strip()]
    except ValueError:
        boxes = [[]]
    if not boxes or any(len(box) != 4 for box in boxes):
        raise UsageError(f"--boxes {text}", "is no list of boxes", "write left,top,right,bottom;left,top,right,bottom")
    return boxes


def _check_places(sources: tuple[str, ...], *places: Path | None) -> None:
    """Raises where two of the files are the same one, or a result cannot be written."""
    from segface_edge.files import check_place

    given = [Path(source).resolve() for source in sources if Path(source).exists()]
    seen = [*given]
    for place in places:
        if place is None or str(place) == "-":
            continue
        check_place(place)
        if place.resolve() in seen and (place.is_file() or not place.exists()):
            what = "is the source itself" if place.resolve() in given else "is named twice"
            raise UsageError(place, what, "choose another output")
        seen.append(place.resolve())
