"""Where a label map shows what: a face's box, and the anchors that its parts move by.

Points are (x, y) in pixels, continuous: pixel i covers [i, i + 1).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.labels import LabelSet
from segface_edge.pictures.geometry import UInt8Array

Point = tuple[float, float]
BoolArray = npt.NDArray[np.bool_]

# Label maps are measured at about this side: enough for a placement, and quick.
MEASURED_SIDE = 256


@dataclass(frozen=True, kw_only=True)
class Face:
    """A face, measured on a label map.

    Attributes:
        order: the classes of `labels`.
        labels: (H, W) uint8, 255 ignored, thinned by `step`.
        step: pixels of the photo per pixel of `labels`.
        left, top, right, bottom: the face's box, hair, neck and ears not counted.
        photo_width: of the photo, in pixels, before it is thinned.
        nose, mouth: centres.
        eyes: the point between both, or None where one is hidden.
    """

    order: LabelSet
    labels: UInt8Array
    step: int
    photo_width: int
    left: float
    top: float
    right: float
    bottom: float
    nose: Point
    mouth: Point
    eyes: Point | None

    @classmethod
    def of(cls, labels: UInt8Array, order: LabelSet) -> Face | None:
        """Measures a label map; None where it shows no face with nose and mouth."""
        step = max(1, round(min(labels.shape) / MEASURED_SIDE))
        thin = np.ascontiguousarray(labels[step // 2 :: step, step // 2 :: step])
        face = isin(thin, order, "skin l_brow r_brow l_eye r_eye nose mouth u_lip l_lip eye_g")
        nose, mouth = (centre_of(isin(thin, order, names), step) for names in ("nose", "mouth u_lip l_lip"))
        if nose is None or mouth is None:
            return None
        # The outermost hundredth is left out: a stray pixel must not set the width.
        left, right = span(face.sum(0), step)
        top, bottom = span(face.sum(1), step)
        one, other = (centre_of(isin(thin, order, name), step) for name in ("l_eye", "r_eye"))
        eyes = ((one[0] + other[0]) / 2, (one[1] + other[1]) / 2) if one and other else None
        return cls(
            order=order,
            labels=thin,
            step=step,
            photo_width=labels.shape[1],
            left=left,
            top=top,
            right=right,
            bottom=bottom,
            nose=nose,
            mouth=mouth,
            eyes=eyes,
        )

    def mirrored(self) -> Face:
        """The face in a mirror. Names of sides stay: nothing that is pasted asks for one."""
        width = self.photo_width

        def flip(point: Point) -> Point:
            return width - point[0], point[1]

        return replace(
            self,
            labels=np.ascontiguousarray(self.labels[:, ::-1]),
            left=width - self.right,
            right=width - self.left,
            nose=flip(self.nose),
            mouth=flip(self.mouth),
            eyes=self.eyes and flip(self.eyes),
        )

    @property
    def width(self) -> float:
        """Of the face's box, in pixels of the photo."""
        return self.right - self.left

    @property
    def turn(self) -> float:
        """How far the nose lies right of the face's middle, in widths of the face."""
        return (self.nose[0] - (self.left + self.right) / 2) / self.width

    def mask(self, names: str) -> BoolArray:
        """The thinned map's pixels of the classes named, space-separated."""
        return isin(self.labels, self.order, names)

    def thin(self, mask: BoolArray) -> BoolArray:
        """A mask of the photo's size, as `labels` is."""
        return mask[self.step // 2 :: self.step, self.step // 2 :: self.step]

    def lobe(self, side: int) -> Point | None:
        """Where an earring hangs: the lowest point of the ear left (-1) or right (1) in the picture, None if hidden."""
        middle = int((self.left + self.right) / 2 / self.step)
        half = np.s_[:, :middle] if side < 0 else np.s_[:, middle:]
        first = 0 if side < 0 else middle
        ear = self.mask("l_ear r_ear")[half]
        rows = np.flatnonzero(ear.any(1))
        if len(rows) >= 4:
            lowest = np.flatnonzero(ear[rows[-1] - len(rows) // 8 : rows[-1] + 1].any(0))
            return (first + float(lowest.mean()) + 0.5) * self.step, float(rows[-1] + 1) * self.step
        return None

    def scale_to(self, other: Face) -> float:
        """How much larger the other face is."""
        scale = other.width / self.width
        if self.eyes and other.eyes:
            # Hair may cover the width; eyes and mouth say the same.
            scale *= (other.mouth[1] - other.eyes[1]) / max(self.mouth[1] - self.eyes[1], 1.0)
            scale = math.sqrt(max(scale, 0.0))
        return scale


def isin(labels: UInt8Array, order: LabelSet, names: str) -> BoolArray:
    """Where a label map shows one of several classes.

    Args:
        labels: (H, W) uint8 in `order`, 255 ignored.
        order: the classes; those that it lacks are nowhere.
        names: of classes, space-separated.

    Returns:
        (H, W) bool.
    """
    table = np.zeros(256, np.uint8)
    table[[order.classes.index(name) for name in names.split() if name in order.classes]] = 1
    return np.asarray(cv2.LUT(labels, table)).view(np.bool_)


def centre_of(mask: BoolArray, step: int = 1) -> Point | None:
    """The centre of gravity of a mask.

    Args:
        mask: (H, W) bool.
        step: pixels of the photo per pixel of the mask.

    Returns:
        In the photo's pixels; None for less than a handful of pixels.
    """
    rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    if len(rows) < 8:
        return None
    return float(columns.mean() + 0.5) * step, float(rows.mean() + 0.5) * step


def span(counts: npt.NDArray[np.int64], step: int) -> tuple[float, float]:
    """From where to where a mask reaches, but for a hundredth of its pixels at either end.

    Args:
        counts: (L,) int64, the mask's pixels per row or column.
        step: pixels of the photo per row or column.

    Returns:
        First and last edge, in the photo's pixels.
    """
    share = np.cumsum(counts) / max(counts.sum(), 1)
    first, last = np.searchsorted(share, (0.01, 0.99))
    return float(first * step), float((last + 1) * step)
