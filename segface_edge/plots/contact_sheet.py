"""Photo, truth, prediction and errors side by side: what a mean F1 cannot show."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from segface_edge.errors import UsageError
from segface_edge.files import write_whole
from segface_edge.labels import IGNORED, LabelSet
from segface_edge.parsing.result import FaceParse
from segface_edge.pictures.geometry import UInt8Array

TILE = 256
COLUMNS = ("photo", "truth", "prediction", "errors")
_WRONG, _UNLABELLED = (255, 40, 40), (90, 90, 255)
_PAPER, _INK = (24, 24, 24), (235, 235, 235)
_GAP, _LINE, _FONT, _SWATCH = 6, 20, 14, 12
# An error must stand out of the photo that shows where it is.
_DIMMED = 0.45


def contact_sheet(
    rows: Sequence[tuple[UInt8Array, UInt8Array, UInt8Array]],
    order: LabelSet,
    captions: Sequence[str],
    *,
    tile: int = TILE,
) -> UInt8Array:
    """A row for each photo: the photo, its truth and its prediction laid over it, and where they differ.

    In the last column wrong pixels are red, those that the truth leaves open (255) blue. Below are the colours of the
    classes that occur.

    Args:
        rows: (image, truth, prediction): (H, W, 3) uint8 RGB, (h, w) uint8 and (h, w) uint8 of the same picture; the
            label maps' sides may differ from the photo's.
        order: of both label maps.
        captions: one line above each row; cut where it is too long.
        tile: the longer side of a picture in pixels, 32 or more; smaller photos stay as they are.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        UsageError: there are no rows, not one caption each, label maps that differ in shape or hold other labels than
            `order`, or tiles below 32.
    """
    _check(rows, order, captions, tile)
    pictures = [_row(*row, order, tile) for row in rows]
    font = ImageFont.load_default(_FONT)
    # Room for the longest heading, however small the photos.
    widest = max(int(font.getlength(name)) for name in COLUMNS)
    column = _GAP + max(widest, *(row[0].shape[1] for row in pictures))
    width = _GAP + column * len(COLUMNS)
    seen = np.zeros(len(order), bool)
    for _, truth, predicted in rows:
        seen[truth[truth != IGNORED]] = seen[predicted] = True
    keys = _key(order, np.flatnonzero(seen[1:]) + 1, width, font)
    height = _LINE + sum(_LINE + row[0].shape[0] + _GAP for row in pictures) + _LINE * len(keys) + _GAP
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for i, name in enumerate(COLUMNS):
        draw.text((_GAP + i * column, _LINE // 2), name, _INK, font, anchor="lm")
    y = _LINE
    for row, caption in zip(pictures, captions, strict=True):
        draw.text((_GAP, y + _LINE // 2), _cut(caption, width - 2 * _GAP, font), _INK, font, anchor="lm")
        y += _LINE
        for i, picture in enumerate(row):
            sheet.paste(Image.fromarray(picture), (_GAP + i * column, y))
        y += row[0].shape[0] + _GAP
    for line in keys:
        for x, label in line:
            top = y + (_LINE - _SWATCH) // 2
            colour = tuple(order.palette[label].tolist())
            draw.rectangle((x, top, x + _SWATCH, top + _SWATCH), colour)
            draw.text((x + _SWATCH + 4, y + _LINE // 2), order.classes[label], _INK, font, anchor="lm")
        y += _LINE
    return np.asarray(sheet)


def write_sheet(sheet: UInt8Array, path: Path) -> None:
    """Writes a sheet as PNG, whole or not at all. Raises InputError where the file cannot be written."""
    buffer = io.BytesIO()
    Image.fromarray(sheet).save(buffer, "PNG")
    write_whole(path, buffer.getvalue())


def _check(
    rows: Sequence[tuple[UInt8Array, UInt8Array, UInt8Array]], order: LabelSet, captions: Sequence[str], tile: int
) -> None:
    if not rows:
        raise UsageError("contact sheet", "has no rows", "give one photo or more")
    if len(captions) != len(rows):
        raise UsageError("contact sheet", f"has {len(rows)} rows and {len(captions)} captions", "give one each")
    if tile < 32:
        raise UsageError(f"tile {tile}", "is too small", "give 32 pixels or more")
    for caption, (_, truth, predicted) in zip(captions, rows, strict=True):
        if truth.shape != predicted.shape:
            raise UsageError(
                caption, f"label maps {truth.shape} and {predicted.shape} differ in shape", "resize one of them"
            )
        highest = max(int(truth[truth != IGNORED].max(initial=0)), int(predicted.max()))
        if highest >= len(order):
            raise UsageError(
                caption, f"has the label {highest}, '{order.name}' ends at {len(order) - 1}", "name its label order"
            )


def _row(image: UInt8Array, truth: UInt8Array, predicted: UInt8Array, order: LabelSet, tile: int) -> list[UInt8Array]:
    """The tiles of a photo, of one size."""
    height, width = image.shape[:2]
    scale = min(1.0, tile / max(height, width))
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC))
    truth, predicted = (
        np.asarray(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST)) for labels in (truth, predicted)
    )
    open_ = truth == IGNORED
    known = np.where(open_, np.uint8(0), truth)
    overlays = [FaceParse(image=image, labels=labels, label_set=order).overlay(0.6) for labels in (known, predicted)]
    grey = np.asarray(Image.fromarray(image).convert("L"), np.float32) * _DIMMED
    errors = np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    errors[(known != predicted) & ~open_] = _WRONG
    errors[open_] = _UNLABELLED
    return [image, *overlays, errors]


def _key(
    order: LabelSet, labels: Sequence[int] | np.ndarray, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> list[list[tuple[int, int]]]:
    """Lines of (x, label): where the swatch of each class goes."""
    lines: list[list[tuple[int, int]]] = []
    x = width
    for label in labels:
        needed = _SWATCH + 4 + int(font.getlength(order.classes[label])) + 12
        if x + needed > width:
            lines.append([])
            x = _GAP
        lines[-1].append((x, int(label)))
        x += needed
    return lines


def _cut(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    """`text`, or its beginning and an ellipsis, in `width` pixels."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"
