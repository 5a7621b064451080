"""A face of boxes as a label map, and photos for it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from segface_edge import zoo
from segface_edge.labels import LabelSet, label_set

HQ = label_set("celebamask-hq")
SIDE = 96
# A face of boxes (left, top, right, bottom), upright: the subject's left lies to the picture's right.
FACE = {
    "hair": (10, 2, 86, 60),
    "skin": (20, 20, 76, 90),
    "r_ear": (12, 44, 20, 56),
    "l_ear": (76, 44, 84, 56),
    "r_brow": (28, 34, 42, 38),
    "l_brow": (54, 34, 68, 38),
    "r_eye": (30, 42, 40, 48),
    "l_eye": (56, 42, 66, 48),
    "nose": (43, 46, 53, 62),
    "u_lip": (38, 68, 58, 72),
    "l_lip": (38, 72, 58, 77),
}


def face(order: LabelSet = HQ, *, without: tuple[str, ...] = ()) -> npt.NDArray[np.uint8]:
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for name, (left, top, right, bottom) in FACE.items():
        if name in order.classes and name not in without:
            labels[top:bottom, left:right] = order.index(name)
    return labels


def picture(number: int) -> Image.Image:
    """The portrait, moved round: another picture for every number."""
    with Image.open(zoo.PORTRAIT) as opened:
        pixels = np.asarray(opened.resize((SIDE, SIDE)))
    return Image.fromarray(np.roll(pixels, (17 * number, 29 * number), axis=(0, 1)))
