"""Where the faces of a photo are: given boxes, YuNet, the parser's own label map of the whole photo, or the whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.errors import UsageError
from segface_edge.labels import LabelSet
from segface_edge.pictures.framing import Square, face_of, overlap, square_of
from segface_edge.pictures.geometry import FaceBox, Geometry, UInt8Array
from segface_edge.pictures.landmarks import faces_of

# `auto`: YuNet, and the parser itself where that finds nothing; a portrait that fills its square is left as it is.
NAMES = ("auto", "yunet", "self", "whole")
# A face whose square has this much in common with the photo, and is turned no further, is a portrait.
PORTRAIT_OVERLAP, PORTRAIT_ANGLE = 0.6, 12.0
# A part of fewer pixels, in shares of the square's area, is not taken for one.
_LEAST_EYE, _LEAST_MOUTH, _LEAST_FACE, _LEAST_FEATURES = 2e-5, 4e-5, 1e-3, 2.5e-4
_MOUTH = ("mouth", "u_lip", "l_lip")
_ABOVE_NOSE = ("l_brow", "r_brow", "l_eye", "r_eye", "eye_g")
# What every face shows two of: a network may see one of them, an eye for example, in a wall.
_KINDS = (_ABOVE_NOSE, ("nose",), _MOUTH)
_FEATURES = (*_ABOVE_NOSE, "nose", *_MOUTH)
# Squares from the features' box alone (eyes, brows, nose, mouth), in its heights: medians over CelebAMask-HQ.
_FEATURES_SIDE, _ABOVE_FEATURES = 2.42, 0.225
# No face whose square is larger, in sides of the network's, is seen well enough to be found.
_LARGEST_SQUARE = 1.5
# Standard deviation of a face's pixels, in levels of 255: the darkest photos of faces have several times as much.
_LEAST_CONTRAST = 2.0
# Eyes lie this share of the way from brows to the mouth.
_BROW_TO_EYE = 0.2


@dataclass(frozen=True, kw_only=True)
class Located:
    """A face that was found.

    Attributes:
        face: in the photo's pixels.
        square: what to show the network; None: the whole photo.
        held: it was not found in this frame of a video, but a frame or two ago.
    """

    face: FaceBox
    square: Square | None
    held: bool = False


def whole(image: UInt8Array) -> Located:
    """The whole photo as one face; right for portraits such as CelebA-HQ's."""
    return Located(face=FaceBox.whole(*image.shape[:2]), square=None)


def as_portrait(one: Located, image: UInt8Array) -> Located:
    """A face whose portrait the photo is: all of it is shown, turned so that the face is upright."""
    height, width = image.shape[:2]
    turn = one.face.turn
    square = Square(x=width / 2, y=height / 2, side=max(width, height), angle=turn if turn <= 180 else turn - 360)
    return replace(one, square=square if turn else None)


def given(boxes: Any, image: UInt8Array) -> list[Located]:
    """Boxes of faces (N, 4) of (H, W, 3) uint8: left, top, right, bottom in pixels, as detectors give them.

    Raises:
        UsageError: another shape, or a box without area or outside of the photo.
    """
    values = np.asarray(boxes, dtype=float)
    if values.ndim == 1 and values.size == 4:
        values = values[None]
    if not values.size:
        return []
    if values.ndim != 2 or values.shape[1] != 4:
        raise UsageError(f"boxes {values.shape}", "are not (N, 4)", "give left, top, right, bottom of each face")
    if not np.isfinite(values).all() or (values[:, 2:] <= values[:, :2]).any():
        raise UsageError(
            "boxes", "hold one without area", "give left, top, right, bottom with right > left, bottom > top"
        )
    height, width = image.shape[:2]
    faces = [FaceBox(left=row[0], top=row[1], right=row[2], bottom=row[3]) for row in values.tolist()]
    for face in faces:
        if min(face.right, width) - max(face.left, 0) < 1 or min(face.bottom, height) - max(face.top, 0) < 1:
            edges = ", ".join(f"{edge:g}" for edge in (face.left, face.top, face.right, face.bottom))
            raise UsageError(f"box {edges}", f"lies outside the picture of {width} x {height}", "give boxes inside it")
    return [Located(face=face, square=square_of(face)) for face in faces]


def marked(landmarks: Any, image: UInt8Array, *, whole: bool) -> list[Located]:
    """Faces of (H, W, 3) uint8 by their points: (P, 2) of one, (N, P, 2) of several, as of `pictures.landmarks.five`.

    Args:
        landmarks: in the photo's pixels.
        image: the photo.
        whole: the photo is a portrait: all of it is shown.

    Raises:
        UsageError: another shape, a face outside of the photo, or several in a portrait.
    """
    faces = [face_of(points) for points in faces_of(landmarks)]
    height, width = image.shape[:2]
    if whole and len(faces) != 1:
        raise UsageError(f"landmarks of {len(faces)} faces", "are not of one portrait", "give one, or --locate yunet")
    located = [Located(face=face, square=None if whole else square_of(face)) for face in faces]
    if len(seen(located, image)) < len(located):
        raise UsageError("landmarks", f"lie outside the picture of {width} x {height}", "give points inside it")
    return located


def seen(located: Sequence[Located], image: UInt8Array) -> list[Located]:
    """Those whose square the photo's middle part shows at all: a square beside it has nothing to parse."""
    height, width = image.shape[:2]
    return [
        one
        for one in located
        if one.square is None or (0 <= one.square.x <= width and 0 <= one.square.y <= height and one.square.side >= 2)
    ]


def is_portrait(located: Sequence[Located], image: UInt8Array) -> bool:
    """Whether the photo is one face's portrait, framed as the network knows it, or that turned by quarter turns."""
    if len(located) != 1 or located[0].square is None:
        return False
    square = located[0].square
    height, width = image.shape[:2]
    return abs(square.askew) <= PORTRAIT_ANGLE and overlap(square, width, height) >= PORTRAIT_OVERLAP


def faces_in(labels: UInt8Array, order: LabelSet, geometry: Geometry) -> list[FaceBox]:
    """The faces of a label map of the whole photo, the largest first; faces that touch count as one.

    Args:
        labels: (S, S) uint8 of the network's square.
        order: its label order.
        geometry: the way between the photo and that square.
    """
    inner, skin = _mask(labels, order, *_FEATURES), _mask(labels, order, "skin")
    side = labels.shape[0]
    # Hair and hands part a face; a few pixels between its pieces do not.
    kernel = np.ones((side // 64 + 1,) * 2, np.uint8)
    joined = cv2.morphologyEx((inner | skin).astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    count, pieces, about, _ = cv2.connectedComponentsWithStats(joined)
    found = []
    for piece in range(1, count):
        if about[piece, cv2.CC_STAT_AREA] < _LEAST_FACE * labels.size:
            continue  # most pieces, where there are many
        here = np.equal(pieces, piece)
        if (here & (inner | skin)).sum() >= _LEAST_FACE * labels.size:
            face = _face(np.where(here, labels, 0), order, geometry)
            if face is not None:
                found.append(face)
    return sorted(found, key=lambda face: -(face.right - face.left) * (face.bottom - face.top))


def contrasting(faces: Iterable[FaceBox], image: UInt8Array) -> list[FaceBox]:
    """The faces whose box shows anything: a network calls parts of an even surface a face, too.

    Args:
        faces: in the image's pixels.
        image: (H, W, 3) uint8 RGB.
    """

    def shows(face: FaceBox) -> bool:
        top, left = max(0, int(face.top)), max(0, int(face.left))
        inside = image[top : max(top, int(face.bottom)), left : max(left, int(face.right))]
        return inside.size > 0 and float(inside.std()) >= _LEAST_CONTRAST

    return [face for face in faces if shows(face)]


def _mask(labels: npt.NDArray[Any], order: LabelSet, *names: str) -> npt.NDArray[np.bool_]:
    """Where any of the classes is, of those that the order has."""
    return np.isin(labels, [order.index(name) for name in names if name in order.classes])


def _face(labels: npt.NDArray[Any], order: LabelSet, geometry: Geometry) -> FaceBox | None:
    """One face's box, from its eyes and mouth where they are seen, else from all of its features; None: none is."""

    def centre(*names: str, least: float) -> tuple[float, float] | None:
        y, x = np.nonzero(_mask(labels, order, *names))
        return (float(x.mean()) + 0.5, float(y.mean()) + 0.5) if len(x) >= max(4, least * labels.size) else None

    mouth = centre(*_MOUTH, least=_LEAST_MOUTH)
    right, left = (centre(name, least=_LEAST_EYE) for name in ("r_eye", "l_eye"))
    if mouth and not (right and left):  # behind dark glasses
        brows = [centre(name, least=_LEAST_EYE) for name in ("r_brow", "l_brow")]
        right, left = (brow and _towards(mouth, brow) for brow in brows)
    if right and left and mouth:
        nose = centre("nose", least=_LEAST_MOUTH) or mouth
        corners = _corners(_mask(labels, order, *_MOUTH), mouth, (left[0] - right[0], left[1] - right[1]))
        points = tuple(geometry.to_photo(*point) for point in (right, left, nose, *corners))
        return face_of(points)
    y, x = np.nonzero(_mask(labels, order, *_FEATURES))
    kinds = sum(centre(*names, least=_LEAST_MOUTH) is not None for names in _KINDS)
    if len(x) < _LEAST_FEATURES * labels.size or kinds < 2:
        return None
    top, bottom = float(y.min()), float(y.max()) + 1
    side = _FEATURES_SIDE * (bottom - top)
    middle_x, middle_y = (
        (float(x.min()) + float(x.max()) + 1) / 2,
        (top + bottom) / 2 - _ABOVE_FEATURES * (bottom - top),
    )
    if side > _LARGEST_SQUARE * labels.shape[0]:
        return None  # parts here and there, as the network sees them in what is no face
    photo_x, photo_y = geometry.to_photo(middle_x, middle_y)
    scale = 1 / float(np.hypot(geometry.scale_x, geometry.turn_y))
    return face_of(None, Square(x=photo_x, y=photo_y, side=side * scale))


def _corners(
    mask: npt.NDArray[np.bool_], middle: tuple[float, float], across: tuple[float, float]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """The mouth's right and left corner: as wide as it is along the eyes, around its middle: squares depend on it."""
    length = float(np.hypot(*across)) or 1.0
    x, y = across[0] / length, across[1] / length
    rows, columns = np.nonzero(mask)
    along = (columns + 0.5) * x + (rows + 0.5) * y
    half = float(along.max() - along.min()) / 2
    return (middle[0] - half * x, middle[1] - half * y), (middle[0] + half * x, middle[1] + half * y)


def _towards(mouth: tuple[float, float], brow: tuple[float, float]) -> tuple[float, float]:
    """Where the eye below a brow is: so far towards the mouth, straight down the face."""
    return brow[0], brow[1] + _BROW_TO_EYE * (mouth[1] - brow[1])
