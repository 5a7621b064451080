"""Label orders: the class names of a label map, their colours, their left/right pairs, and the way between orders.

Class names are the same in every order (those of CelebAMask-HQ), so orders differ by position only. Left is the
subject's left, whatever a data set's own words say: LaPa's and Helen's left is the viewer's, so that what they call
left brow is `r_brow` here. Sources: the orders are those of SegFace (arXiv 2412.08647), CelebAMask-HQ (arXiv
1907.11922), the common BiSeNet face parsers, LaPa (arXiv 2001.05322) and Helen as relabelled for face parsing (arXiv
1906.01342, whose list of ids says "left brow (viewer side)"); docs/label-orders.md shows them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from .errors import UsageError

BACKGROUND = "background"
# In a label map of a data set: a pixel that counts for nothing.
IGNORED = 255
# Worn things: few photos show them, and an average over classes or pixels hides what becomes of them. The orders of 11
# classes have none of them.
RARE_PARTS = ("eye_g", "hat", "ear_r", "neck_l")
# What results on Helen are also reported of: classes taken for one. `overall` is all that lies inside a face.
MERGED_PARTS: dict[str, tuple[str, ...]] = {
    "eyes": ("l_eye", "r_eye"),
    "brows": ("l_brow", "r_brow"),
    "mouth": ("u_lip", "mouth", "l_lip"),
    "overall": ("l_eye", "r_eye", "l_brow", "r_brow", "nose", "u_lip", "mouth", "l_lip"),
}

# One colour per class, whatever the order. Left and right differ in shade only, and skin is
# not skin-coloured: an overlay must show what was found.
_COLORS: dict[str, tuple[int, int, int]] = {
    "background": (0, 0, 0),
    "skin": (80, 150, 255),
    "neck": (40, 90, 190),
    "cloth": (150, 120, 180),
    "l_ear": (255, 150, 200),
    "r_ear": (215, 95, 150),
    "l_brow": (255, 196, 0),
    "r_brow": (200, 140, 0),
    "l_eye": (96, 255, 220),
    "r_eye": (0, 208, 160),
    "nose": (255, 240, 130),
    "mouth": (120, 0, 32),
    "u_lip": (216, 24, 56),
    "l_lip": (255, 88, 96),
    "hair": (64, 160, 72),
    "eye_g": (255, 255, 255),
    "hat": (255, 120, 0),
    "ear_r": (255, 0, 255),
    "neck_l": (190, 255, 0),
}

# Words that users type, and the class that is meant.
_ALIASES: dict[str, tuple[str, ...]] = {
    "face": ("skin",),
    "clothes": ("cloth",),
    "clothing": ("cloth",),
    "glasses": ("eye_g",),
    "eyeglasses": ("eye_g",),
    "earring": ("ear_r",),
    "earrings": ("ear_r",),
    "necklace": ("neck_l",),
    "upper_lip": ("u_lip",),
    "lower_lip": ("l_lip",),
    "inner_mouth": ("mouth",),
    "left_ear": ("l_ear",),
    "right_ear": ("r_ear",),
    "left_brow": ("l_brow",),
    "right_brow": ("r_brow",),
    "left_eye": ("l_eye",),
    "right_eye": ("r_eye",),
    "ears": ("l_ear", "r_ear"),
    "brows": ("l_brow", "r_brow"),
    "eyes": ("l_eye", "r_eye"),
    "lips": ("u_lip", "l_lip"),
}

# What an 11-class order has for classes that it does not name; what is not here becomes background.
_MERGED_INTO = {"l_ear": "skin", "r_ear": "skin"}


@dataclass(frozen=True, kw_only=True)
class LabelSet:
    """A label order.

    Attributes:
        name: the order's name, a key of `LABEL_SETS` for the known ones.
        classes: class names; a class's label is its position.
    """

    name: str
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.classes or self.classes[0] != BACKGROUND or len(set(self.classes)) != len(self.classes):
            raise UsageError(
                f"label order {self.name!r}", "class names must be distinct and start with 'background'", "rename them"
            )
        if len(self.classes) > 256:
            raise UsageError(f"label order {self.name!r}", "has over 256 classes", "label maps are uint8: use fewer")

    def __len__(self) -> int:
        return len(self.classes)

    def index(self, name: str) -> int:
        """The label of the class `name`. Raises UsageError for a name that the order does not have."""
        indices = self.indices([name])
        if len(indices) != 1:
            raise UsageError(f"class {name!r}", f"names {len(indices)} classes", "name one of them")
        return indices[0]

    def indices(self, names: Iterable[str]) -> list[int]:
        """The labels of several classes; a name may stand for a group (`eyes`, `lips`, `ears`, `brows`).

        Raises:
            UsageError: the order does not have one of `names`.
        """
        found: list[int] = []
        for name in names:
            members = (name,) if name in self.classes else _ALIASES.get(name, (name,))
            for member in members:
                if member not in self.classes:
                    raise UsageError(
                        f"class {name!r}",
                        f"is not in the label order '{self.name}'",
                        f"use one of: {', '.join(self.classes)}",
                    )
                found.append(self.classes.index(member))
        return list(dict.fromkeys(found))

    @cached_property
    def palette(self) -> npt.NDArray[np.uint8]:
        """(K, 3) uint8 RGB, one colour per class; the same class has the same colour in every order."""
        return np.array([_COLORS.get(name, _fallback_color(i)) for i, name in enumerate(self.classes)], np.uint8)

    @cached_property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """(left, right) labels that change places when a picture is mirrored. `l_lip` is the lower lip: no pair."""
        return tuple(
            (self.classes.index(f"l_{part}"), self.classes.index(f"r_{part}"))
            for part in ("ear", "brow", "eye")
            if f"l_{part}" in self.classes and f"r_{part}" in self.classes
        )

    @cached_property
    def mirrored(self) -> npt.NDArray[np.uint8]:
        """(K,) uint8: the label that each label becomes when the picture is mirrored."""
        table = np.arange(len(self), dtype=np.uint8)
        for left, right in self.pairs:
            table[left], table[right] = right, left
        return table

    def table_to(self, target: LabelSet) -> npt.NDArray[np.uint8]:
        """(K,) uint8 look-up table from this order's labels to `target`'s.

        Between orders of the same classes it is a permutation. Towards fewer classes, ears become skin and the rest
        without a counterpart background. Raises UsageError where `target` has classes that this order cannot tell.
        """
        unknown = [name for name in target.classes if name not in self.classes]
        if unknown:
            raise UsageError(
                f"label order '{self.name}'",
                f"cannot be remapped to '{target.name}': it does not tell {', '.join(unknown)}",
                "remap from an order that has these classes",
            )
        names = [name if name in target.classes else _MERGED_INTO.get(name, BACKGROUND) for name in self.classes]
        return np.array([target.classes.index(name) for name in names], np.uint8)


def _fallback_color(index: int) -> tuple[int, int, int]:
    """A distinct colour for a class of a user's own order (multiples of large primes modulo 256)."""
    return (index * 97 % 256, index * 57 % 256, index * 151 % 256)


def _order(name: str, classes: str) -> LabelSet:
    return LabelSet(name=name, classes=tuple(classes.split()))


# Ids 2 and 4, "left" in the data sets' own lists, lie on the picture's left: on the subject's right.
_ELEVEN = "background skin r_brow l_brow r_eye l_eye nose u_lip mouth l_lip hair"

LABEL_SETS: dict[str, LabelSet] = {
    order.name: order
    for order in (
        _order(
            "segface",
            "background neck skin cloth l_ear r_ear l_brow r_brow l_eye r_eye nose mouth l_lip u_lip hair eye_g hat "
            "ear_r neck_l",
        ),
        _order(
            "celebamask-hq",
            "background skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip hair hat ear_r neck_l "
            "neck cloth",
        ),
        _order(
            "bisenet",
            "background skin l_brow r_brow l_eye r_eye eye_g l_ear r_ear ear_r nose mouth u_lip l_lip neck neck_l "
            "cloth hair hat",
        ),
        _order("lapa", _ELEVEN),
        _order("helen", _ELEVEN),
    )
}

# Orders whose data set calls left what is on the viewer's left: its words are not the names here.
VIEWERS_LEFT = ("lapa", "helen")


def label_set(name: str) -> LabelSet:
    """The known label order called `name`. Raises UsageError with the known names."""
    try:
        return LABEL_SETS[name]
    except KeyError:
        raise UsageError(f"label order {name!r}", "is unknown", f"use one of: {', '.join(LABEL_SETS)}") from None
