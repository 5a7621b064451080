"""A medical mask on a face, drawn: cloth over nose, mouth and chin, cut from the label map, in the light of the face.

Its label is `cloth`: what is woven and worn is cloth in CelebAMask-HQ, a scarf before a chin too, and no class is
nearer. Where an order has no cloth, it is background, as the cloth of other data sets becomes there.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.labels import LabelSet
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.training.pasting.anchors import BoolArray, Face, centre_of, isin

from .shadow import shadow

FloatArray = npt.NDArray[np.float32]

# Surgical blue, green and pink; white, black and grey of respirators and fabric.
_COLOURS = (
    (150, 192, 218),
    (165, 208, 190),
    (222, 176, 186),
    (236, 236, 233),
    (236, 236, 233),
    (38, 38, 42),
    (128, 130, 134),
)
_PLEATED, _SEAMED, _PATTERNED = "pleated", "seamed", "patterned"
_FACE = "skin nose mouth u_lip l_lip"


def draw_mask(
    image: UInt8Array, labels: UInt8Array, order: LabelSet, rng: np.random.Generator
) -> tuple[UInt8Array, UInt8Array]:
    """A photo whose face wears a mask: pleated, with a seam, or of patterned fabric; sometimes below the nose.

    Args:
        image: (H, H, 3) uint8 RGB.
        labels: (H, H) uint8 in `order`, 255 ignored.
        order: its classes.
        rng: all that is random.

    Returns:
        A new photo and its label map; the same two where no face with nose and mouth is seen.
    """
    face = Face.of(labels, order)
    if face is None:
        return image, labels
    low = rng.random() < 0.12
    cut = _cut(face, labels, order, low, rng)
    if cut is None:
        return image, labels
    outline, top, bottom = cut
    side = len(image)
    kind = str(rng.choice([_PLEATED, _SEAMED, _PATTERNED], p=[0.5, 0.2, 0.3]))
    colour = _fabric(kind, side, face.width, rng)
    relief = _relief(kind, outline, top, bottom, face, rng)
    lit = _face_light(image, isin(labels, order, _FACE), face.width)
    cloth = np.clip(colour * _tint(image) * (lit * relief)[..., None], 0, 255)

    # Hair and glasses lie before it.
    free = outline & ~isin(labels, order, "hair eye_g hat")
    alpha = cv2.GaussianBlur(free.astype(np.float32), (0, 0), 0.8)[..., None]
    below = image * shadow(outline.astype(np.float32), 0.025 * face.width, 0.35)[..., None]
    below = _with_loops(below, outline, labels, order, face, colour.mean((0, 1)) * float(lit.mean()))
    drawn = np.clip(below + (cloth - below) * alpha + 0.5, 0, 255).astype(np.uint8)
    relabelled = labels.copy()
    relabelled[free] = order.classes.index("cloth") if "cloth" in order.classes else 0
    return drawn, relabelled


def _cut(
    face: Face, labels: UInt8Array, order: LabelSet, low: bool, rng: np.random.Generator
) -> tuple[BoolArray, FloatArray, FloatArray] | None:
    """Where the cloth is, (H, H) bool, and the rows of its upper and lower edge by column, (H,); None for no face."""
    side = len(labels)
    rise = -0.08 if low else rng.uniform(0.04, 0.17)
    bridge = face.nose[1] - rise * face.width
    sides = bridge + rng.uniform(0.02, 0.14) * face.width
    x = np.arange(side, dtype=np.float32) + 0.5
    # From the bridge of the nose down to both cheeks.
    reach = np.where(x < face.nose[0], face.nose[0] - face.left, face.right - face.nose[0])
    away = np.clip(np.abs(x - face.nose[0]) / max(1.0, float(reach.max())), 0, 1.3)
    top = (bridge + (sides - bridge) * (1 - (1 - np.minimum(away, 1)) ** 2)).astype(np.float32)
    part = isin(labels, order, _FACE) & (np.arange(side)[:, None] + 0.5 > top)
    points = cv2.findNonZero(part.astype(np.uint8))
    if points is None or len(points) < 64:
        return None
    hull = np.zeros((side, side), np.uint8)
    cv2.fillConvexPoly(hull, cv2.convexHull(points), 1)
    # The cloth stands off the face a little, more so below the chin.
    grown = 2 * int(rng.uniform(0.01, 0.03) * face.width) + 1
    hull = np.asarray(cv2.dilate(hull, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (grown, grown))), np.uint8)
    outline = cv2.GaussianBlur(hull.astype(np.float32), (0, 0), 0.02 * face.width) > 0.5
    outline &= np.arange(side)[:, None] + 0.5 > top
    if not outline.any():
        return None
    bottom = np.where(outline.any(0), side - outline[::-1].argmax(0), top).astype(np.float32)
    return outline, top, bottom


def _fabric(kind: str, side: int, width: float, rng: np.random.Generator) -> FloatArray:
    """(H, H, 3) colours of the cloth, flat and unlit."""
    base = np.array(_COLOURS[int(rng.integers(len(_COLOURS)))], np.float32) * rng.uniform(0.9, 1.05)
    colour = np.broadcast_to(base, (side, side, 3)).astype(np.float32)
    if kind == _PATTERNED:
        base, other = (rng.uniform(20, 240, 3).astype(np.float32) for _ in range(2))
        pitch, angle = rng.uniform(0.03, 0.14) * width, rng.uniform(0, np.pi)
        y, x = np.mgrid[:side, :side].astype(np.float32)
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        style = int(rng.integers(4))
        wave_u, wave_v = np.sin(2 * np.pi * u / pitch), np.sin(2 * np.pi * v / pitch)
        blots = cv2.resize(rng.normal(0, 1, (24, 24)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
        share = np.clip(3 * (wave_u, wave_u * wave_v - 0.4, np.maximum(wave_u, wave_v) - 0.5, blots)[style], 0, 1)
        colour = base + (other - base) * share[..., None]
    weave = rng.normal(1, 0.012, (97, 97, 1)).astype(np.float32)
    times = -(-side // len(weave))
    return np.asarray(colour * np.tile(weave, (times, times, 1))[:side, :side], np.float32)


def _relief(
    kind: str, outline: BoolArray, top: FloatArray, bottom: FloatArray, face: Face, rng: np.random.Generator
) -> FloatArray:
    """(H, H) factors about 1: folds, seam, hem, wrinkles, and the cloth's turning away at both sides."""
    side = len(outline)
    y = np.arange(side, dtype=np.float32)[:, None] + 0.5
    x = np.arange(side, dtype=np.float32)[None, :] + 0.5
    height = np.maximum(bottom - top, 1)
    down = (y - top) / height
    away = (x - face.nose[0]) / face.width
    relief = 1.06 - 0.55 * away**2
    # The nose lifts the cloth; below its tip it falls back.
    relief = relief + 0.08 * np.exp(-((away / 0.12) ** 2) - ((down - 0.25) / 0.2) ** 2)
    pixel = 0.012 * face.width
    if kind == _PLEATED:
        for fold in (0.36, 0.54, 0.72):
            line = (down - fold - rng.normal(0, 0.015) - 0.05 * away**2) * height
            relief = (
                relief
                - 0.16 * np.exp(-((line / pixel) ** 2))
                + 0.06 * np.exp(-(((line - 2.5 * pixel) / (2 * pixel)) ** 2))
            )
    if kind == _SEAMED:
        bend = (away - 0.015 * np.sin(3 * down)) * face.width
        relief = (
            relief - 0.16 * np.exp(-((bend / pixel) ** 2)) + 0.1 * np.tanh(bend / (6 * pixel)) * rng.choice([-1, 1])
        )
    wrinkles = rng.normal(0, 1, (14, 5)).astype(np.float32)
    waves = cv2.resize(wrinkles, (side, side), interpolation=cv2.INTER_CUBIC)
    relief = relief * (1 + rng.uniform(0.015, 0.05) * waves)
    inside = cv2.distanceTransform(outline.astype(np.uint8), cv2.DIST_L2, 3)
    hem = rng.uniform(0.025, 0.05) * face.width
    relief = relief - 0.1 * np.exp(-(((inside - hem) / pixel) ** 2)) - 0.12 * np.exp(-inside / (1.5 * pixel))
    return np.asarray(relief, np.float32)


def _face_light(image: UInt8Array, skin: BoolArray, width: float) -> FloatArray:
    """(H, H) factors: how light falls on the face, from its skin's broad brightness; a dim photo's cloth is dim."""
    small = 64
    luma = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    mask = cv2.resize(skin.astype(np.float32), (small, small), interpolation=cv2.INTER_AREA)
    seen = cv2.resize(luma * skin, (small, small), interpolation=cv2.INTER_AREA)
    sigma = max(1.0, 0.15 * width * small / len(image))
    field = cv2.GaussianBlur(seen, (0, 0), sigma) / np.maximum(cv2.GaussianBlur(mask, (0, 0), sigma), 1e-2)
    mean = float(luma[skin].mean())
    shape = np.clip(field / max(mean, 0.02), 0.5, 1.4) ** 0.8
    # Skin of middle tone in good light has about 0.55.
    exposure = float(np.clip(np.quantile(luma[skin], 0.8) / 0.62, 0.45, 1.05))
    return np.asarray(cv2.resize(shape * exposure, image.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def _tint(image: UInt8Array) -> FloatArray:
    """(3,) factors about 1: the colour of the light, as far as the whole picture's mean tells it."""
    mean = image[::8, ::8].reshape(-1, 3).mean(0) + 1
    return np.asarray(np.clip(mean / mean.mean(), 0.6, 1.6) ** 0.35, np.float32)


def _with_loops(
    below: FloatArray, outline: BoolArray, labels: UInt8Array, order: LabelSet, face: Face, colour: FloatArray
) -> FloatArray:
    """The picture with the bands that lead from the cloth's sides to the ears that are seen."""
    thickness = max(1, round(0.012 * face.width))
    rows = np.flatnonzero(outline.any(1))
    bands = np.zeros(outline.shape, np.uint8)
    ears = isin(labels, order, "l_ear r_ear")
    middle = int((face.left + face.right) / 2)
    for half, pick in ((np.s_[:, :middle], 0), (np.s_[:, middle:], -1)):
        mask = np.zeros_like(ears)
        mask[half] = ears[half]
        centre = centre_of(mask)
        if centre is None:
            continue
        for share in (0.12, 0.62):
            row = int(rows[0] + share * (rows[-1] - rows[0]))
            columns = np.flatnonzero(outline[row])
            if len(columns):
                start = (int(columns[pick]), row)
                cv2.line(bands, start, (round(centre[0]), round(centre[1])), 255, thickness, cv2.LINE_AA)
    if not bands.any():
        return below
    bands[isin(labels, order, "hair hat eye_g")] = 0
    alpha = (bands / np.float32(255))[..., None]
    return np.asarray(below + (colour - below) * alpha, np.float32)
