"""What `segface-edge parse` does with pictures."""

from __future__ import annotations

import io
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.errors import InputError, SegFaceEdgeError, UsageError

from .lines import Lines, keep_lines, lines_by_source
from .options import check_json, progress_bar, say

if TYPE_CHECKING:
    from PIL import Image

    from segface_edge.parsing.parser import FaceParser
    from segface_edge.parsing.views import View
    from segface_edge.sources.photos import Source

_LOSSLESS_VIEWS = ("mask", "ids", "cutout")
_KEPT_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def parse_photos(
    open_parser: Callable[..., FaceParser],
    sources: tuple[str, ...],
    photos: list[Source],
    *,
    out: str | None,
    lines_to: Path | None,
    json_to: str | None,
    view: View,
    alpha: float,
    order: str | None,
    classes: tuple[str, ...],
    boxes: list[list[float]] | None,
    landmarks: Path | None,
    skip_existing: bool,
) -> int:
    """Parses them one after another and writes each result when it is there.

    Returns the exit code: 1 where some of several could not be parsed.
    """
    from segface_edge.labels import label_set

    # A folder or a glob means several, also where it holds one.
    several = max(len(photos), len(sources)) > 1 or (
        isinstance(photos[0].photo, Path) and photos[0].photo != Path(sources[0])
    )
    targets = _targets(photos, out, view, several=several)
    # Lines that go to standard output or a pipe are not there afterwards: pictures alone tell what is done.
    kept_at = lines_to if lines_to is not None and str(lines_to) != "-" and _is_regular(lines_to) else None
    written = lines_by_source(kept_at) if skip_existing and kept_at is not None else {}
    if skip_existing:
        if kept_at is None and out in (None, "-"):
            raise UsageError("--skip-existing", "goes by results in files, and none is named", "give -o or --jsonl")
        left = [
            index
            for index, (photo, target) in enumerate(zip(photos, targets, strict=True))
            if not _is_done(photo, target, written if kept_at is not None else None)
        ]
        if len(left) < len(photos):
            click.echo(f"{len(photos) - len(left)} of {len(photos)} are there already", err=True)
        photos, targets = [photos[index] for index in left], [targets[index] for index in left]
        if not photos:
            say({"photos": [], "failed": []}, json_to, "")
            return 0
    points = None if landmarks is None else _points(landmarks, photos, several=several)
    documents: list[dict[str, Any]] = []
    texts: list[str] = []
    failures: list[SegFaceEdgeError] = []
    with ExitStack() as stack:
        parser = stack.enter_context(open_parser(several=len(photos) > 1))
        (label_set(order) if order else parser.labels).indices(classes)
        if several or str(out).endswith("/"):
            for folder in {target.parent: target for target in targets if target is not None}.values():
                _make_folder(folder)
        check_json(json_to)
        if written and kept_at is not None:
            again = {photo.name for photo in photos}
            keep_lines(kept_at, [line for name, line in written.items() if name not in again])
        lines = stack.enter_context(closing(Lines(lines_to, go_on=bool(written)))) if lines_to is not None else None
        advance = stack.enter_context(progress_bar(len(photos), "parsing"))
        results = stack.enter_context(closing(parser.stream(photos, boxes=boxes, landmarks=points)))
        for photo, target, result in zip(photos, targets, results, strict=True):
            if result.face is None:
                assert result.error is not None
                if not several:
                    raise result.error
                failures.append(result.error)
                advance(1)
                continue
            face = result.face.remap(order) if order else result.face
            if out == "-":
                sys.stdout.buffer.write(_png(face.picture(view, alpha=alpha, classes=classes)))
            elif target is not None:
                face.save(target, view, alpha=alpha, classes=classes)
            document = {"source": photo.name, "output": None if target is None else str(target), **face.to_json()}
            if lines is not None:
                lines.write(document)
            if json_to is not None:
                documents.append(document)
            texts.append(_line(document))
            advance(1)
    for failure in failures:
        click.echo(f"error: {failure}", err=True)
    free = out != "-" and str(lines_to) != "-"  # standard output is nobody else's
    if free or json_to is not None:
        failed = [{"source": failure.subject, "error": str(failure)} for failure in failures]
        say({"photos": documents, "failed": failed}, json_to, "\n".join(texts) if free else "")
    if failures:
        click.echo(f"{len(failures)} of {len(photos)} pictures could not be parsed", err=True)
    return 1 if failures else 0


def _points(landmarks: Path, photos: list[Source], *, several: bool) -> list[Any]:
    """The points of each photo's face; all are read before anything is parsed."""
    from segface_edge.pictures.landmarks import read_landmarks

    if not landmarks.is_dir():
        if several:
            raise UsageError(f"--landmarks {landmarks}", "is no folder", "give one with NAME.txt of each photo")
        return [read_landmarks(landmarks)]
    return [read_landmarks(landmarks / f"{Path(photo.name).stem}.txt") for photo in photos]


def _is_regular(path: Path) -> bool:
    return path.is_file() or not path.exists()


def _is_done(photo: Source, target: Path | None, lines: dict[str, str] | None) -> bool:
    """Whether all results of a photo are there; results are written whole."""
    if target is None and lines is None:
        return False
    return (target is None or target.exists()) and (lines is None or photo.name in lines)


def _targets(photos: list[Source], out: str | None, view: View, *, several: bool) -> list[Path | None]:
    """Where each result goes; checked before anything is parsed."""
    from segface_edge.parsing.views import check_view

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
    if isinstance(photo.photo, str):
        from segface_edge.pictures.address import name_of

        path = Path(name_of(photo.photo))
    else:
        path = Path(photo.name) if isinstance(photo.photo, Path) else Path("stdin.png")
    keep = view not in _LOSSLESS_VIEWS and path.suffix.lower() in _KEPT_SUFFIXES
    return path.name if keep else f"{path.stem}.png"


def _same(source: Path, target: Path) -> bool:
    return target.exists() and source.exists() and source.samefile(target)


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _line(result: dict[str, Any]) -> str:
    where = f" -> {result['output']}" if result["output"] else ""
    milliseconds = sum(result["timings_ms"].values())
    return f"{result['source']}{where}: {', '.join(result['present']) or 'no face'} ({milliseconds:.0f} ms)"
