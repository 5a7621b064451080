"""Photos as people take them, made of good ones: each corruption at three strengths, labels moved along with geometry.

A corruption follows from the photo's name and a seed alone, not from its strength: a stronger one blurs in the same
direction, covers the same place. None of this is the drawing of `training`: a network that is judged by what it was
trained on is judged too well. So blur is a lens's disc here and not a Gaussian, motion straight and not bent, noise is
of photons and not Gaussian, and what hides a face is a striped thing, no hand or mask. Values were set once, by eye.

What has no truth is ignored (255): what hides the face, and what lies outside the photo.

Shape letters: H, W photo; h, w label map, of the same picture at another scale perhaps.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from segface_edge.errors import UsageError
from segface_edge.labels import IGNORED, LabelSet
from segface_edge.pictures.geometry import UInt8Array

from .evaluate import Labelled

STRENGTHS = (1, 2, 3)
# Where a face is covered.
_FACE = ("skin", "l_eye", "r_eye", "nose", "mouth", "u_lip", "l_lip")

Pair = tuple[UInt8Array, UInt8Array]
Apply = Callable[[UInt8Array, UInt8Array, LabelSet, float, np.random.Generator], Pair]


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One way in which photos are worse than those of a data set.

    Attributes:
        what: for people; `{}` stands for the value.
        values: of the strengths 1, 2 and 3.
        apply: (photo, labels, their order, value, random numbers) -> photo and labels, new ones.
    """

    what: str
    values: tuple[float, float, float]
    apply: Apply

    def describe(self, strength: int) -> str:
        """A strength of 1 to 3 in words."""
        return self.what.format(f"{self.values[strength - 1]:g}")


@dataclass(frozen=True)
class CorruptedSample:
    """A photo with its label map, corrupted when it is read; `datasets.samples.Sample` is one that can be.

    Attributes:
        sample: as it lies on disk.
        name: of the corruption, a key of `CORRUPTIONS`.
        strength: 1 to 3, or 0 for the photo as it is.
        seed: of everything random.
    """

    sample: Labelled
    name: str
    strength: int
    seed: int = 0

    @property
    def image(self) -> Path:
        """The photo's file."""
        return self.sample.image

    @property
    def landmarks(self) -> None:
        """None: a corruption may move the face."""

    @property
    def box(self) -> None:
        """None likewise."""

    def read(self, order: LabelSet) -> Pair:
        """Photo and label map as `Sample.read` gives them, corrupted."""
        image, labels = self.sample.read(order)
        return corrupt(image, labels, order, self.name, self.strength, photo=self.image.name, seed=self.seed)


def corrupt(
    image: UInt8Array, labels: UInt8Array, order: LabelSet, name: str, strength: int, *, photo: str, seed: int = 0
) -> Pair:
    """A photo and its label map with one corruption.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (h, w) uint8 in `order`, 255 ignored.
        order: its classes.
        name: a key of `CORRUPTIONS`.
        strength: 1 to 3; 0 gives both back as they are.
        photo: its name.
        seed: with the name, all that the random numbers follow from.

    Raises:
        UsageError: no such corruption or strength.
    """
    row = CORRUPTIONS.get(name)
    if row is None:
        raise UsageError(f"corruption {name!r}", "is unknown", f"use one of: {', '.join(CORRUPTIONS)}")
    if strength not in (0, *STRENGTHS):
        raise UsageError(f"strength {strength}", f"of {name} is none", "use 0 (as it is), 1, 2 or 3")
    if strength == 0:
        return image, labels
    rng = np.random.default_rng((seed, zlib.crc32(name.encode()), zlib.crc32(photo.encode())))
    return row.apply(image, labels, order, row.values[strength - 1], rng)


def _bytes(values: npt.NDArray[np.floating]) -> UInt8Array:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


def _of_picture(change: Callable[[UInt8Array, float, np.random.Generator], UInt8Array]) -> Apply:
    """A corruption that leaves labels where they are."""

    def apply(image: UInt8Array, labels: UInt8Array, _: LabelSet, value: float, rng: np.random.Generator) -> Pair:
        return change(image, value, rng), labels

    return apply


def _exposed(image: UInt8Array, stops: float, _: np.random.Generator) -> UInt8Array:
    """As many stops more light, in linear light (sRGB, IEC 61966-2-1); what exceeds white is white."""
    values = np.arange(256) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    linear = np.minimum(linear * 2**stops, 1)
    values = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(cv2.LUT(image, _bytes(255 * values)), np.uint8)


def _defocused(image: UInt8Array, radius: float, _: np.random.Generator) -> UInt8Array:
    """A lens out of focus: a disc, its radius in sides of the photo."""
    pixels = radius * max(image.shape[:2])
    reach = int(np.ceil(pixels)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(pixels + 0.5 - np.hypot(x, y), 0, 1)
    return np.asarray(cv2.filter2D(image, -1, disc / disc.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def _moved(image: UInt8Array, length: float, rng: np.random.Generator) -> UInt8Array:
    """A straight motion, its length in sides of the photo."""
    pixels, angle = length * max(image.shape[:2]), rng.uniform(0, np.pi)
    reach = int(np.ceil(pixels / 2)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    line = np.clip(pixels / 2 + 0.5 - np.abs(along), 0, 1) * np.clip(1 - np.abs(across), 0, 1)
    return np.asarray(cv2.filter2D(image, -1, line / line.sum(), borderType=cv2.BORDER_REPLICATE), np.uint8)


def _noisy(image: UInt8Array, photons: float, rng: np.random.Generator) -> UInt8Array:
    """Shot noise: a white pixel is so many photons, in each colour for itself."""
    return _bytes(rng.poisson(image * (photons / 255.0)) * (255.0 / photons))


def _compressed(image: UInt8Array, quality: float, _: np.random.Generator) -> UInt8Array:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=int(quality), subsampling="4:2:0")
    with Image.open(buffer) as picture:
        return np.asarray(picture)


def _coarse(image: UInt8Array, side: float, _: np.random.Generator) -> UInt8Array:
    """As from so many pixels on the longer side."""
    height, width = image.shape[:2]
    scale = side / max(height, width)
    small = (max(1, round(width * scale)), max(1, round(height * scale)))
    reduced = Image.fromarray(image).resize(small, Image.Resampling.BOX)
    return np.asarray(reduced.resize((width, height), Image.Resampling.LANCZOS))


def _greyed(image: UInt8Array, colour: float, _: np.random.Generator) -> UInt8Array:
    """So much of the colour left, 0 to 1."""
    grey = (image @ np.array([0.299, 0.587, 0.114]))[..., None]
    return _bytes(grey + colour * (image - grey))


def _hidden(image: UInt8Array, labels: UInt8Array, order: LabelSet, share: float, rng: np.random.Generator) -> Pair:
    """A thing before the face: a box or something round, striped, its longer side `share` of the photo's."""
    face = [order.classes.index(name) for name in _FACE if name in order.classes]
    places = np.flatnonzero(np.isin(labels, face))
    draws = rng.random(8)
    colours = rng.uniform(0, 255, (2, 3))
    if not len(places):
        return image, labels
    row, column = np.divmod(places[int(draws[0] * len(places))], labels.shape[1])
    centre = (column + 0.5) / labels.shape[1], (row + 0.5) / labels.shape[0]
    angle, slim, round_ = np.pi * draws[1], 0.55 + 0.45 * draws[2], draws[3] < 0.5
    stripes, lean = 3 + 6 * draws[4], np.pi * draws[5]

    def place(shape: tuple[int, ...]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], float]:
        """(h, w) coordinates along and across the thing, and half its length, in pixels of a picture of that shape."""
        y, x = np.mgrid[: shape[0], : shape[1]] + 0.5
        x, y = x - centre[0] * shape[1], y - centre[1] * shape[0]
        return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle), share * max(shape[:2]) / 2

    def inside(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
        """(h, w) how far inside, in pixels, negative outside."""
        along, across, half = place(shape)
        if round_:
            return np.asarray(slim * half * (1 - np.hypot(along / half, across / (slim * half))))
        return np.asarray(np.minimum(half - np.abs(along), slim * half - np.abs(across)))

    along, across, half = place(image.shape)
    band = np.sin(stripes * np.pi * (along * np.cos(lean) + across * np.sin(lean)) / half) > 0.3
    shading = 0.75 + 0.25 * np.clip(across / half, -1, 1)[..., None]
    thing = np.where(band[..., None], colours[0], colours[1]) * shading
    alpha = np.clip(inside(image.shape) + 0.5, 0, 1)[..., None]
    relabelled = labels.copy()
    relabelled[inside(labels.shape) > 0] = IGNORED
    return _bytes(image + (thing - image) * alpha), relabelled


def _turned(image: UInt8Array, labels: UInt8Array, _: LabelSet, degrees: float, rng: np.random.Generator) -> Pair:
    """Turned about the middle, to the one side or the other; outside the photo its mirror image, ignored."""
    angle = degrees if rng.random() < 0.5 else -degrees

    def turn(picture: UInt8Array, how: int, border: int) -> UInt8Array:
        height, width = picture.shape[:2]
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1)
        turned = cv2.warpAffine(picture, matrix, (width, height), flags=how, borderMode=border, borderValue=IGNORED)
        return np.asarray(turned, np.uint8)

    return (
        turn(image, cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101),
        turn(labels, cv2.INTER_NEAREST, cv2.BORDER_CONSTANT),
    )


def _cut_tight(image: UInt8Array, labels: UInt8Array, order: LabelSet, share: float, _: np.random.Generator) -> Pair:
    """So much of each side left, about the nose if one is seen; no pixel is changed."""
    rows, columns = labels.shape
    nose = np.argwhere(labels == order.classes.index("nose")) if "nose" in order.classes else np.empty((0, 2))
    middle = nose.mean(0) + 0.5 if len(nose) else np.array([rows / 2, columns / 2])
    kept = np.maximum(1, np.rint(share * np.array([rows, columns]))).astype(int)
    top, left = np.clip(np.rint(middle - kept / 2), 0, [rows - kept[0], columns - kept[1]]).astype(int).tolist()
    box = np.array([[top, left], [top + kept[0], left + kept[1]]])
    scale = np.array(image.shape[:2]) / labels.shape
    first, last = np.rint(box * scale).astype(int).tolist()
    return (
        np.ascontiguousarray(image[first[0] : last[0], first[1] : last[1]]),
        np.ascontiguousarray(labels[top : top + kept[0], left : left + kept[1]]),
    )


def _cut_wide(image: UInt8Array, labels: UInt8Array, _: LabelSet, share: float, rng: np.random.Generator) -> Pair:
    """The photo as `share` of each side of a larger one, somewhere in it; around it its edges, blurred, ignored."""
    shifts = rng.random(2)

    def margins(shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Above, below, left, right, in pixels."""
        more = [round(length / share) - length for length in shape[:2]]
        top, left = (int(shift * length) for shift, length in zip(shifts, more, strict=True))
        return top, more[0] - top, left, more[1] - left

    top, bottom, left, right = margins(image.shape)
    wide = cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_REPLICATE)
    # Blurred small: it is smooth.
    small = cv2.resize(wide, (32, 32), interpolation=cv2.INTER_AREA)
    around = cv2.resize(cv2.GaussianBlur(small, (0, 0), 2), wide.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    around[top : top + image.shape[0], left : left + image.shape[1]] = image
    relabelled = cv2.copyMakeBorder(labels, *margins(labels.shape), cv2.BORDER_CONSTANT, value=IGNORED)
    return np.asarray(around, np.uint8), np.asarray(relabelled, np.uint8)


CORRUPTIONS: dict[str, Corruption] = {
    name: Corruption(what=what, values=values, apply=apply)
    for name, what, values, apply in (
        ("dark", "{} stops of light", (-1, -2.5, -4), _of_picture(_exposed)),
        ("bright", "{} stops of light", (0.7, 1.4, 2.1), _of_picture(_exposed)),
        ("blur", "a disc of radius {} of the side", (0.006, 0.012, 0.024), _of_picture(_defocused)),
        ("motion", "over {} of the side", (0.02, 0.04, 0.08), _of_picture(_moved)),
        ("noise", "{} photons are white", (150, 40, 12), _of_picture(_noisy)),
        ("jpeg", "quality {}", (30, 15, 7), _of_picture(_compressed)),
        ("low-resolution", "{} pixels a side", (128, 64, 32), _of_picture(_coarse)),
        ("grey", "{} of the colour left", (0.5, 0.2, 0), _of_picture(_greyed)),
        ("occlusion", "by a thing {} of the side long", (0.2, 0.35, 0.5), _hidden),
        ("turn", "by {} degrees", (15, 30, 45), _turned),
        ("tight-crop", "{} of each side left", (0.8, 0.65, 0.5), _cut_tight),
        ("wide-crop", "the photo {} of each side", (0.75, 0.5, 0.33), _cut_wide),
    )
}
