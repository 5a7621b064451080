"""A hand before a face, drawn: palm, fingers and forearm as rounded limbs, in the colour and grain of the photo's skin.

Labels: CelebAMask-HQ leaves a hand beside the face or on clothes as background, but labels a face below a hand as if no
hand were there: lips run on through the fingers before them. So a hand is background where it covers background or
clothes, and ignored where it covers the head and neck: the data set's own hands would contradict any label there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.labels import IGNORED, LabelSet
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.training.pasting.anchors import BoolArray, Face, isin

from .shadow import shadow

FloatArray = npt.NDArray[np.float32]

# The hand's shape is drawn at this side at most and enlarged: its parts are round and large.
_DRAWN_SIDE = 192
# A palm is about 0.6 as wide as a face (8.5 and 14 cm).
_PALM = (0.5, 0.68)
# Of the four fingers, in widths of the palm, the wrist at (0, 0) and the knuckles at y = 1: where they begin, their
# length and radius.
_FINGERS = (
    (-0.375, 0.95, 0.92, 0.125),
    (-0.125, 1.02, 1.04, 0.13),
    (0.125, 1.0, 0.96, 0.122),
    (0.365, 0.9, 0.76, 0.105),
)
# Of light that nails give back beyond the skin's, in parts of 255.
_NAIL = (100, 78, 74)
# Where a finger's joints lie along it.
_JOINTS = (0.0, 0.42, 0.73)


@dataclass(frozen=True)
class _Limb:
    """A rounded rod from `start` to `end` (x, y), its radius changing from one to the other."""

    start: FloatArray
    end: FloatArray
    radii: tuple[float, float]
    finger: bool = False
    nail: bool = False


def draw_hand(
    image: UInt8Array, labels: UInt8Array, order: LabelSet, rng: np.random.Generator
) -> tuple[UInt8Array, UInt8Array]:
    """A photo with a hand before the face.

    Args:
        image: (H, H, 3) uint8 RGB.
        labels: (H, H) uint8 in `order`, 255 ignored.
        order: its classes.
        rng: all that is random.

    Returns:
        A new photo and its label map; the same two where no face with nose and mouth or hardly any skin is seen.
    """
    face = Face.of(labels, order)
    skin = isin(labels, order, "skin")
    if face is None or np.count_nonzero(skin) < 0.01 * skin.size:
        return image, labels
    side = len(image)
    step = max(1.0, side / _DRAWN_SIDE)
    limbs, palm = _placed(face, rng)
    small = round(side / step)
    depth, height, creases, nails = _shape(limbs, small, step, palm)
    shade = _lit(height, rng) * (1 - rng.uniform(0.06, 0.16) * creases)
    nails *= rng.uniform(0, 0.7)
    depth, shade, nails = (
        np.asarray(cv2.resize(part, (side, side), interpolation=cv2.INTER_LINEAR), np.float32)
        for part in (depth, shade, nails)
    )
    alpha = np.clip(depth + 0.5, 0, 1)
    if not alpha.any():
        return image, labels
    # A nail is paler than the finger.
    shades = cv2.merge([shade - nails * (shade * 0.4 - value / 255) for value in _NAIL])
    hand = _skin_colour(image, skin, rng) * _grain(image, skin, rng) * shades
    shift = rng.uniform(-0.05, 0.05, 2) * face.width
    below = image * shadow(alpha, 0.03 * face.width, rng.uniform(0.2, 0.5), (shift[0], shift[1]))[..., None]
    drawn = np.clip(below + (hand - below) * alpha[..., None] + 0.5, 0, 255).astype(np.uint8)
    covered = depth > 0
    head = covered & ~isin(labels, order, "background cloth")
    relabelled = labels.copy()
    relabelled[covered] = 0
    relabelled[head] = IGNORED
    return drawn, relabelled


def _placed(face: Face, rng: np.random.Generator) -> tuple[list[_Limb], float]:
    """The limbs in the photo's pixels, one of their fingers or the palm somewhere on the face; the palm's width."""
    palm = rng.uniform(*_PALM) * face.width
    limbs = _limbs(rng)
    # What lies on what: fingers' middles, or the palm's; chin, mouth and cheeks more often than brows.
    touching = np.array([rng.uniform(-0.4, 0.4), rng.choice([0.6, 1.4, 1.7])])
    target = np.array([rng.uniform(face.left, face.right), face.top + (face.bottom - face.top) * rng.beta(2.2, 1.3)])
    # Arms come from below, leaning to the side that they are on.
    lean = (target[0] - face.nose[0]) / face.width
    angle = rng.normal(-0.9 * lean, 0.5)
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    turn = palm * np.array([[mirror * np.cos(angle), -np.sin(angle)], [-mirror * np.sin(angle), -np.cos(angle)]])

    def put(point: FloatArray) -> FloatArray:
        return np.asarray(target + turn @ (point - touching), np.float32)

    moved = [
        replace(limb, start=put(limb.start), end=put(limb.end), radii=(palm * limb.radii[0], palm * limb.radii[1]))
        for limb in limbs
    ]
    return moved, palm


def _limbs(rng: np.random.Generator) -> list[_Limb]:
    """Palm, forearm, fingers and thumb in widths of the palm."""

    def rod(start: list[float], end: list[float], *radii: float) -> _Limb:
        return _Limb(np.array(start, np.float32), np.array(end, np.float32), (radii[0], radii[1]))

    limbs = [
        rod([0.02, -0.1], [0.05, -5], 0.33, 0.45),
        # The palm: balls of thumb and little finger, and the bones that lead to the knuckles.
        rod([-0.2, 0.25], [-0.32, 0.85], 0.27, 0.19),
        rod([0.0, 0.15], [-0.1, 0.9], 0.34, 0.19),
        rod([0.08, 0.2], [0.12, 0.9], 0.32, 0.18),
        rod([0.2, 0.25], [0.33, 0.8], 0.26, 0.17),
    ]  # fmt: skip
    back = rng.random() < 0.6
    spread, curl = rng.uniform(-0.02, 0.16), rng.uniform(0.0, 0.45)
    pointing = rng.random() < 0.2
    for number, (x, y, length, radius) in enumerate(_FINGERS):
        angle = (number - 1.4) * spread + rng.normal(0, 0.03)
        own = curl + rng.normal(0, 0.06) if not pointing else (0.0 if number == 0 else 0.75)
        # Bent away from the viewer, a finger looks shorter, its end most of all.
        start = np.array([x, y - 0.12], np.float32)
        thickness = radius * rng.uniform(0.95, 1.08)
        for joint, until in zip(_JOINTS, (*_JOINTS[1:], 1.0), strict=True):
            shortened = max(0.12, 1 - own * (0.6 + joint))
            angle += rng.normal(0, 0.04)
            reach = (until - joint) * (length + 0.12 * (joint == 0)) * shortened
            end = start + reach * np.array([np.sin(angle), np.cos(angle)], np.float32)
            radii = (thickness * (1 - 0.16 * joint), thickness * (1 - 0.16 * until))
            limbs.append(_Limb(start, end.astype(np.float32), radii, finger=True, nail=back and until == 1.0))
            start = end.astype(np.float32)
    out = rng.uniform(0.15, 0.9)
    base, bent = np.array([-0.32, 0.35], np.float32), np.array([-0.42 - 0.3 * out, 0.85 - 0.2 * out], np.float32)
    tip = bent + 0.48 * np.array([-np.sin(0.7 * out), np.cos(0.7 * out)], np.float32)
    limbs.append(_Limb(base, bent, (0.22, 0.15)))
    limbs.append(_Limb(bent, tip.astype(np.float32), (0.15, 0.115), nail=back))
    return limbs


def _shape(limbs: list[_Limb], side: int, step: float, palm: float) -> tuple[FloatArray, ...]:
    """What is seen of limbs in a picture of `side` pixels, `step` of the photo's each.

    Returns:
        depth (side, side), how far inside the hand, in pixels of the photo, negative outside; height, towards the
        viewer, in widths of the palm; creases at the joints and nails, 0 to 1.
    """
    axis = (np.arange(side, dtype=np.float32) + 0.5) * step
    depth, height = np.full((side, side), -1e3, np.float32), np.zeros((side, side), np.float32)
    creases, nails = np.zeros((side, side), np.float32), np.zeros((side, side), np.float32)
    for limb in limbs:
        way = limb.end - limb.start
        length = max(float(np.hypot(*way)), 1e-3)
        x, y = axis[None, :] - limb.start[0], axis[:, None] - limb.start[1]
        along = (x * way[0] + y * way[1]) / length**2
        near = np.clip(along, 0, 1)
        distance = np.hypot(x - near * way[0], y - near * way[1])
        radius = limb.radii[0] + (limb.radii[1] - limb.radii[0]) * near
        inside = radius - distance
        rise = np.sqrt(np.maximum(radius**2 - distance**2, 0)) / palm
        top = rise > height
        np.maximum(depth, inside, out=depth)
        np.maximum(height, rise, out=height)
        crease = np.exp(-((along * length / (0.035 * palm)) ** 2)) * (inside > 0) * limb.finger
        creases = np.where(top, crease, creases)
        if limb.nail:
            across = np.abs(x * way[1] - y * way[0]) / length
            centre = 1 + 0.15 * limb.radii[1] / length
            oval = np.hypot((along - centre) * length / (0.75 * limb.radii[1]), across / (0.62 * limb.radii[1]))
            nails = np.where(top, np.clip((1 - oval) * 6, 0, 1), nails)
        else:
            nails = np.where(top, 0, nails)
    return depth, height, creases.astype(np.float32), nails.astype(np.float32)


def _lit(height: FloatArray, rng: np.random.Generator) -> FloatArray:
    """(H, H) factors about 1: a surface of that height in light from above, from one side or the other."""
    soft = cv2.GaussianBlur(height, (0, 0), len(height) / 200)
    scale = len(height) / 48  # Sobel's own weights sum to 8
    dx, dy = (cv2.Sobel(soft, cv2.CV_32F, *which, ksize=3, scale=scale) for which in ((1, 0), (0, 1)))
    light = np.array([rng.uniform(-0.7, 0.7), rng.uniform(-0.8, 0.0), 1.0])
    light /= np.linalg.norm(light)
    normal = np.sqrt(dx**2 + dy**2 + 1)
    lambert = np.maximum((-dx * light[0] - dy * light[1] + light[2]) / normal, 0)
    return np.asarray(rng.uniform(0.35, 0.55) + rng.uniform(0.5, 0.65) * lambert, np.float32)


def _skin_colour(image: UInt8Array, skin: BoolArray, rng: np.random.Generator) -> FloatArray:
    """(3,) the photo's skin between shadow and shine, hands being somewhat redder or darker than faces."""
    pixels = image[::3, ::3][skin[::3, ::3]]  # some thousand are enough
    light = pixels @ np.array([0.299, 0.587, 0.114])
    low, high = np.quantile(light, (0.45, 0.85))
    mean = pixels[(light >= low) & (light <= high)].mean(0)
    jitter = rng.uniform(0.86, 1.08) * np.array([1.0, rng.uniform(0.93, 1.01), rng.uniform(0.93, 1.02)])
    return np.asarray(mean * jitter, np.float32)


def _grain(image: UInt8Array, skin: BoolArray, rng: np.random.Generator) -> FloatArray:
    """(H, H, 3) factors about 1: the fine structure of the photo's largest piece of skin, tiled, and broad blotches."""
    side = len(image)
    deep = cv2.distanceTransform(skin.astype(np.uint8), cv2.DIST_L2, 3)
    row, column = np.unravel_index(int(deep.argmax()), deep.shape)
    half = min(48, max(4, int(0.6 * deep[row, column])))
    patch = image[max(row - half, 0) : row + half, max(column - half, 0) : column + half].astype(np.float32)
    broad = cv2.GaussianBlur(patch, (0, 0), max(1.0, half / 10))
    fine = np.clip(patch / np.maximum(broad, 8), 0.9, 1.1)
    tile = np.concatenate([fine, fine[:, ::-1]], 1)
    tile = np.concatenate([tile, tile[::-1]])
    times = [-(-side // length) for length in tile.shape[:2]]
    fine = np.tile(tile, (*times, 1))[:side, :side]
    blotches = rng.normal(0, 0.03, (7, 7, 3)).astype(np.float32) * np.array([0.5, 1, 1], np.float32)
    blotches += rng.normal(0, 0.03, (7, 7, 1)).astype(np.float32)
    return np.asarray(fine * (1 + cv2.resize(blotches, (side, side), interpolation=cv2.INTER_CUBIC)), np.float32)
