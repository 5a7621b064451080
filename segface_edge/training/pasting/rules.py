"""The parts that can be pasted, a rule each: by which anchors it moves, and where it is plausible."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from .anchors import BoolArray, Face, centre_of, span
from .drawing import Move

# Faces whose turn differs by more wear glasses and hats differently: nose off the face's middle, in widths of the face.
MAX_TURN = 0.1
# The middle of glasses lies below the line of the eyes, in widths of the face.
GLASSES_DROP = 0.03


def _share(mask: BoolArray, inside: BoolArray) -> float:
    """How much of a mask lies inside another, 0 to 1; 0 of an empty one."""
    return int(np.count_nonzero(mask & inside)) / max(int(np.count_nonzero(mask)), 1)


def _turned_alike(donor: Face, recipient: Face) -> bool:
    return abs(donor.turn - recipient.turn) <= MAX_TURN


def _place_glasses(donor: Face, recipient: Face, mask: BoolArray) -> list[Move]:
    """Eyes to eyes; glasses hide the donor's, so that their own centre stands for them."""
    centre = centre_of(mask)
    if recipient.eyes is None or centre is None or not _turned_alike(donor, recipient):
        return []
    x, y = recipient.eyes
    return [Move(mask=mask, start=centre, end=(x, y + GLASSES_DROP * recipient.width), scale=donor.scale_to(recipient))]


def _covers_eyes(recipient: Face, covered: BoolArray) -> bool:
    eyes = recipient.mask("l_eye r_eye")
    return _share(eyes, recipient.thin(covered)) >= 0.8


def _place_hat(donor: Face, recipient: Face, mask: BoolArray) -> list[Move]:
    """The faces on one another, by eyes or nose."""
    if not _turned_alike(donor, recipient):
        return []
    start, end = donor.nose, recipient.nose
    if donor.eyes and recipient.eyes:
        start, end = donor.eyes, recipient.eyes
    return [Move(mask=mask, start=start, end=end, scale=donor.scale_to(recipient))]


def _sits_on_head(recipient: Face, covered: BoolArray) -> bool:
    """Eyes free, forehead under the hat without a gap, and little hair above it."""
    covered = recipient.thin(covered)
    eyes, hair = recipient.mask("l_eye r_eye eye_g"), recipient.mask("hair")
    if _share(eyes, covered) > 0.2:
        return False
    rows = np.flatnonzero(covered.any(1))
    middle = int((recipient.left + recipient.right) / 2 / recipient.step)
    column = covered[:, middle]
    if not column.any():
        return False
    edge = len(column) - int(column[::-1].argmax())
    below = recipient.labels[edge : int(recipient.nose[1] / recipient.step), middle]
    if (below == 0).any():
        return False
    # Above: over the hat's half height, and not on it.
    above = ~covered
    above[(rows[0] + edge) // 2 :] = False
    return _share(hair, above) <= 0.15


def _place_earrings(donor: Face, recipient: Face, mask: BoolArray) -> list[Move]:
    """Ear to ear, each side of the picture for itself; hair that hides an ear would hide what hangs there."""
    moves = []
    scale = donor.scale_to(recipient)
    middle = round((donor.left + donor.right) / 2)
    for side in (-1, 1):
        half = mask.copy()
        if side < 0:
            half[:, middle:] = False
        else:
            half[:, :middle] = False
        if np.count_nonzero(half) < EARRING_SMALLEST * mask.size:
            continue
        lobe, end = donor.lobe(side), recipient.lobe(side)
        if end is None:
            continue
        x, y, w, _ = cv2.boundingRect(half.copy().view(np.uint8))  # of a view, OpenCV before 4.10 may err
        # Without an ear in the donor's photo, the earring's own top is where it hangs.
        start = lobe or (x + w / 2, float(y))
        moves.append(Move(mask=half, start=start, end=end, scale=scale))
    return moves


def _beside_face(recipient: Face, covered: BoolArray) -> bool:
    """Off the features, and at the head or neck rather than in the air."""
    covered = recipient.thin(covered)
    features = recipient.mask("nose l_eye r_eye l_brow r_brow mouth u_lip l_lip eye_g")
    body = recipient.mask("skin hair l_ear r_ear neck cloth").view(np.uint8)
    near = np.asarray(cv2.dilate(body, np.ones((5, 5), np.uint8)), np.uint8)
    return _share(covered, features) == 0 and _share(covered, near.view(np.bool_)) >= 0.6


def _place_necklace(donor: Face, recipient: Face, mask: BoolArray) -> list[Move]:
    """Neck to neck: the middle below the chin, and the neck's width."""
    necks = [face.mask("neck neck_l") for face in (donor, recipient)]
    if not all(neck.any() for neck in necks) or not _turned_alike(donor, recipient):
        return []
    (left, right), (to_left, to_right) = (
        span(n.sum(0), f.step) for n, f in zip(necks, (donor, recipient), strict=True)
    )
    start, end = ((left + right) / 2, donor.bottom), ((to_left + to_right) / 2, recipient.bottom)
    scale = math.sqrt(donor.scale_to(recipient) * (to_right - to_left) / (right - left))
    return [Move(mask=mask, start=start, end=end, scale=scale)]


def _on_neck(recipient: Face, covered: BoolArray) -> bool:
    """At least in part on bare neck; the rest, by the rule's `onto`, on cloth."""
    return _share(recipient.thin(covered), recipient.mask("neck")) >= 0.15


@dataclass(frozen=True, kw_only=True)
class Rule:
    """How one part is pasted.

    Attributes:
        place: (donor, recipient, the donor's part) -> moves; none where an anchor is missing.
        plausible: (recipient, what the paste covers) -> whether the part is where it belongs.
        smallest: least area, as a share of the photo.
        tone: how much of the skin's difference in colour the part follows, 0 to 1.
        onto: the classes that the part may cover, all others lie before it; None for any.
    """

    place: Callable[[Face, Face, BoolArray], list[Move]]
    plausible: Callable[[Face, BoolArray], bool]
    smallest: float
    tone: float
    onto: str | None = None


EARRING_SMALLEST = 0.0003
RULES = {
    # Skin shows through glasses; a hat has its own colour.
    "eye_g": Rule(place=_place_glasses, plausible=_covers_eyes, smallest=0.012, tone=1.0),
    "hat": Rule(place=_place_hat, plausible=_sits_on_head, smallest=0.08, tone=0.5),
    "ear_r": Rule(place=_place_earrings, plausible=_beside_face, smallest=EARRING_SMALLEST, tone=0.5),
    "neck_l": Rule(place=_place_necklace, plausible=_on_neck, smallest=0.00025, tone=0.5, onto="neck cloth"),
}
