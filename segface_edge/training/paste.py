"""Copy-paste of rare parts between faces (the idea: Ghiasi et al., arXiv 2012.07177): glasses, hats, earrings and
necklaces of a donor, put where the recipient would wear them. Torch-free.

Faces are upright and seen about alike, as in CelebAMask-HQ: a part moves by scale, shift and a little rotation, found
from the label maps alone. What would look wrong is refused, not mended.

Points are (x, y) in pixels, continuous: pixel i covers [i, i + 1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.errors import UsageError
from segface_edge.labels import LabelSet
from segface_edge.pictures.imaging import UInt8Array

Point = tuple[float, float]
BoolArray = npt.NDArray[np.bool_]

# Label maps are measured at about this side: enough for a placement, and quick.
MEASURED_SIDE = 256
# Jitter: factor of the scale, rotation in degrees, shift in widths of the face.
JITTER_SCALE = 0.04
JITTER_ANGLE = 3.0
JITTER_SHIFT = 0.015
# A part whose size must change by more is not of a similar photo.
MAX_SCALE = 1.6
# Faces whose turn differs by more wear glasses and hats differently: nose off the face's middle, in widths of the face.
MAX_TURN = 0.1
# Standard deviation of the feathered edge, in pixels.
FEATHER = 0.7
# How far brightness follows the recipient's skin.
MAX_GAIN = 1.4
# Where the donor's photo cuts a part off, how far it may end from the frame's edge, in sides of the frame.
MAX_GAP = 0.03
# The share of a part that must find its place inside the frame and not behind something.
LANDED = 0.6
# The middle of glasses lies below the line of the eyes, in widths of the face.
GLASSES_DROP = 0.03


@dataclass(frozen=True, kw_only=True)
class _Face:
    """Where a label map shows what.

    Attributes:
        labels: (H, W) uint8, thinned by `step`.
        step: pixels of the photo per pixel of `labels`.
        left, top, right, bottom: the face's box, hair, neck and ears not counted.
        photo_width: W.
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
    def of(cls, labels: UInt8Array, order: LabelSet) -> _Face | None:
        """Measures a label map; None where it shows no face with nose and mouth."""
        step = max(1, round(min(labels.shape) / MEASURED_SIDE))
        thin = np.ascontiguousarray(labels[step // 2 :: step, step // 2 :: step])
        face = _isin(thin, order, "skin l_brow r_brow l_eye r_eye nose mouth u_lip l_lip eye_g")
        nose, mouth = (_centre(_isin(thin, order, names), step) for names in ("nose", "mouth u_lip l_lip"))
        if nose is None or mouth is None:
            return None
        # The outermost hundredth is left out: a stray pixel must not set the width.
        left, right = _span(face.sum(0), step)
        top, bottom = _span(face.sum(1), step)
        one, other = (_centre(_isin(thin, order, name), step) for name in ("l_eye", "r_eye"))
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

    def mirrored(self) -> _Face:
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
        return self.right - self.left

    @property
    def turn(self) -> float:
        """How far the nose lies right of the face's middle, in widths of the face."""
        return (self.nose[0] - (self.left + self.right) / 2) / self.width

    def mask(self, names: str) -> BoolArray:
        """The thinned map's pixels of the classes named, space-separated."""
        return _isin(self.labels, self.order, names)

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

    def scale_to(self, other: _Face) -> float:
        """How much larger the other face is."""
        scale = other.width / self.width
        if self.eyes and other.eyes:
            # Hair may cover the width; eyes and mouth say the same.
            scale *= (other.mouth[1] - other.eyes[1]) / max(self.mouth[1] - self.eyes[1], 1.0)
            scale = math.sqrt(max(scale, 0.0))
        return scale


@dataclass(frozen=True, kw_only=True)
class _Move:
    """What moves where: the donor's `mask` (H, W), so that the point `start` comes to `end`, and scaled by `scale`."""

    mask: BoolArray
    start: Point
    end: Point
    scale: float


def paste_part(
    image: UInt8Array,
    labels: UInt8Array,
    donor_image: UInt8Array,
    donor_labels: UInt8Array,
    order: LabelSet,
    part: str,
    rng: np.random.Generator,
) -> tuple[UInt8Array, UInt8Array] | None:
    """A photo that wears a part of another one: similarity transform by the faces' anchors, half of them mirrored.

    Args:
        image: (H, W, 3) uint8 RGB, the recipient.
        labels: (H, W) uint8 in `order`, 255 ignored.
        donor_image: (h, w, 3) uint8 RGB.
        donor_labels: (h, w) uint8 in `order`.
        order: a label order with the part.
        part: `eye_g` (with the eyes behind the glasses), `hat`, `ear_r` or `neck_l`.
        rng: all that is random.

    Returns:
        A new photo and its label map; None where it makes no sense: the recipient wears such a part, the donor's is
        absent or too small, an anchor is hidden, or the part would not land where such a part belongs.

    Raises:
        UsageError: no such part, or `order` does not have it.
    """
    label = order.index(part)
    rule = _RULES.get(order.classes[label])
    if rule is None:
        raise UsageError(f"part {part!r}", "is none that can be pasted", f"use one of: {', '.join(_RULES)}")
    # All draws first: the generator's state then depends on nothing but the number of calls.
    flipped = rng.random() < 0.5
    jitter = rng.uniform(-1, 1, 4)
    if (labels == label).any():
        return None
    mask = donor_labels == label
    if np.count_nonzero(mask) < rule.smallest * mask.size:
        return None
    donor, recipient = _Face.of(donor_labels, order), _Face.of(labels, order)
    if donor is None or recipient is None:
        return None
    gain = _gain(image, recipient, donor_image, donor) ** rule.tone
    # By lot, but for faces that turn away from one another: mirroring makes them look the same way.
    if flipped if abs(donor.turn) + abs(recipient.turn) <= MAX_TURN else donor.turn * recipient.turn < 0:
        donor_image, mask, donor = donor_image[:, ::-1], mask[:, ::-1], donor.mirrored()
    moves = rule.place(donor, recipient, mask)
    zoom = len(labels) / len(donor_labels)
    if not all(1 / MAX_SCALE <= move.scale / zoom <= MAX_SCALE for move in moves):
        return None
    onto = None if rule.onto is None else _isin(labels, order, rule.onto)
    pasted, covered = image.copy(), np.zeros(labels.shape, np.bool_)
    wanted = 0.0
    for move in moves:
        wanted += np.count_nonzero(move.mask) * move.scale**2
        if not _paste(pasted, covered, onto, donor_image, move, gain, jitter, JITTER_SHIFT * recipient.width):
            return None
    area = np.count_nonzero(covered)
    if area < max(rule.smallest * covered.size, LANDED * wanted) or not rule.plausible(recipient, covered):
        return None
    relabelled = labels.copy()
    np.putmask(relabelled, covered, np.uint8(label))
    return pasted, relabelled


def _paste(
    pasted: UInt8Array,
    covered: BoolArray,
    onto: BoolArray | None,
    donor_image: UInt8Array,
    move: _Move,
    gain: npt.NDArray[np.float64],
    jitter: npt.NDArray[np.float64],
    shift: float,
) -> bool:
    """Draws one move into `pasted` and `covered`; False where the photo's edge would show inside the frame."""
    (height, width), (donor_height, donor_width) = covered.shape, move.mask.shape
    # The part's box and a margin, so that all that follows is small.
    x, y, w, h = cv2.boundingRect(move.mask.view(np.uint8))
    left, top, right, bottom = max(x - 2, 0), max(y - 2, 0), min(x + w + 2, donor_width), min(y + h + 2, donor_height)
    mask = move.mask[top:bottom, left:right].view(np.uint8) * np.uint8(255)
    toned = np.rint(np.clip(np.arange(256)[:, None] * gain, 0, 255)).astype(np.uint8)[None]
    pixels = cv2.LUT(np.ascontiguousarray(donor_image[top:bottom, left:right]), toned)

    angle, scale = math.radians(JITTER_ANGLE * jitter[0]), move.scale * (1 + JITTER_SCALE * jitter[1])
    turn = scale * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    offset = np.array(move.end) + shift * jitter[2:] - turn @ move.start  # end = turn @ start + offset
    corners = np.array([(left, top), (right, top), (left, bottom), (right, bottom)]) @ turn.T + offset
    x0, y0 = np.floor(corners.min(0)).astype(int).tolist()
    x1, y1 = np.ceil(corners.max(0)).astype(int).tolist()
    # What the donor's photo cuts off goes on to the edge of the frame, by the last pixels' repetition; not far.
    gap = MAX_GAP * min(height, width)
    beyond = [y == 0 and y0, x == 0 and x0, y + h == donor_height and height - y1, x + w == donor_width and width - x1]
    if max(beyond) > gap:
        return False
    x0, y0 = 0 if x == 0 else max(x0, 0), 0 if y == 0 else max(y0, 0)
    x1 = width if x + w == donor_width else min(x1, width)
    y1 = height if y + h == donor_height else min(y1, height)
    if x0 >= x1 or y0 >= y1:
        return True

    # OpenCV counts from pixel centres, and from the corners of what it is given.
    start = turn @ np.array([left + 0.5, top + 0.5]) + offset - (x0 + 0.5, y0 + 0.5)
    matrix, size = np.column_stack([turn, start]), (x1 - x0, y1 - y0)
    pixels, mask = (
        np.asarray(cv2.warpAffine(a, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)
        for a in (pixels, mask)
    )
    window = np.s_[y0:y1, x0:x1]
    shown = mask > 127
    if onto is not None:
        shown &= onto[window]
    # Of what is labelled: specks too thin for a label change no picture either.
    alpha = cv2.GaussianBlur(shown.astype(np.float32), (5, 5), FEATHER)
    pasted[window] = cv2.blendLinear(pixels, np.ascontiguousarray(pasted[window]), alpha, 1 - alpha)
    covered[window] |= shown
    return True


def _gain(image: UInt8Array, recipient: _Face, donor_image: UInt8Array, donor: _Face) -> npt.NDArray[np.float64]:
    """(3,), the recipient's mean skin over the donor's, per channel, within limits."""
    means = []
    for photo, face in ((image, recipient), (donor_image, donor)):
        sparse = slice(face.step // 2, None, face.step * 4)  # some thousand pixels are enough
        skin = photo[sparse, sparse][face.mask("skin")[::4, ::4]]
        if not len(skin):
            return np.ones(3)
        means.append(skin.mean(0))
    gain: npt.NDArray[np.float64] = np.clip(means[0] / np.maximum(means[1], 1), 1 / MAX_GAIN, MAX_GAIN)
    return gain


def _isin(labels: UInt8Array, order: LabelSet, names: str) -> BoolArray:
    """Where a label map shows one of the classes named, space-separated; those that `order` lacks are nowhere."""
    table = np.zeros(256, np.uint8)
    table[[order.classes.index(name) for name in names.split() if name in order.classes]] = 1
    return np.asarray(cv2.LUT(labels, table)).view(np.bool_)


def _centre(mask: BoolArray, step: int = 1) -> Point | None:
    """The centre of gravity in the photo's pixels, or None for less than a handful of pixels."""
    rows, columns = np.divmod(np.flatnonzero(mask), mask.shape[1])
    if len(rows) < 8:
        return None
    return float(columns.mean() + 0.5) * step, float(rows.mean() + 0.5) * step


def _span(counts: npt.NDArray[np.int64], step: int) -> tuple[float, float]:
    """From where to where the counts of pixels per row or column reach, but for a hundredth at either end."""
    share = np.cumsum(counts) / max(counts.sum(), 1)
    first, last = np.searchsorted(share, (0.01, 0.99))
    return float(first * step), float((last + 1) * step)


def _share(mask: BoolArray, inside: BoolArray) -> float:
    """How much of a mask lies inside another, 0 to 1; 0 of an empty one."""
    return int(np.count_nonzero(mask & inside)) / max(int(np.count_nonzero(mask)), 1)


def _turned_alike(donor: _Face, recipient: _Face) -> bool:
    return abs(donor.turn - recipient.turn) <= MAX_TURN


def _place_glasses(donor: _Face, recipient: _Face, mask: BoolArray) -> list[_Move]:
    """Eyes to eyes; glasses hide the donor's, so that their own centre stands for them."""
    centre = _centre(mask)
    if recipient.eyes is None or centre is None or not _turned_alike(donor, recipient):
        return []
    x, y = recipient.eyes
    return [
        _Move(mask=mask, start=centre, end=(x, y + GLASSES_DROP * recipient.width), scale=donor.scale_to(recipient))
    ]


def _covers_eyes(recipient: _Face, covered: BoolArray) -> bool:
    eyes = recipient.mask("l_eye r_eye")
    return _share(eyes, recipient.thin(covered)) >= 0.8


def _place_hat(donor: _Face, recipient: _Face, mask: BoolArray) -> list[_Move]:
    """The faces on one another, by eyes or nose."""
    if not _turned_alike(donor, recipient):
        return []
    start, end = donor.nose, recipient.nose
    if donor.eyes and recipient.eyes:
        start, end = donor.eyes, recipient.eyes
    return [_Move(mask=mask, start=start, end=end, scale=donor.scale_to(recipient))]


def _sits_on_head(recipient: _Face, covered: BoolArray) -> bool:
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


def _place_earrings(donor: _Face, recipient: _Face, mask: BoolArray) -> list[_Move]:
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
        x, y, w, _ = cv2.boundingRect(half.view(np.uint8))
        # Without an ear in the donor's photo, the earring's own top is where it hangs.
        start = lobe or (x + w / 2, float(y))
        moves.append(_Move(mask=half, start=start, end=end, scale=scale))
    return moves


def _beside_face(recipient: _Face, covered: BoolArray) -> bool:
    """Off the features, and at the head or neck rather than in the air."""
    covered = recipient.thin(covered)
    features = recipient.mask("nose l_eye r_eye l_brow r_brow mouth u_lip l_lip eye_g")
    body = recipient.mask("skin hair l_ear r_ear neck cloth").view(np.uint8)
    near = np.asarray(cv2.dilate(body, np.ones((5, 5), np.uint8)), np.uint8)
    return _share(covered, features) == 0 and _share(covered, near.view(np.bool_)) >= 0.6


def _place_necklace(donor: _Face, recipient: _Face, mask: BoolArray) -> list[_Move]:
    """Neck to neck: the middle below the chin, and the neck's width."""
    necks = [face.mask("neck neck_l") for face in (donor, recipient)]
    if not all(neck.any() for neck in necks) or not _turned_alike(donor, recipient):
        return []
    (left, right), (to_left, to_right) = (
        _span(n.sum(0), f.step) for n, f in zip(necks, (donor, recipient), strict=True)
    )
    start, end = ((left + right) / 2, donor.bottom), ((to_left + to_right) / 2, recipient.bottom)
    scale = math.sqrt(donor.scale_to(recipient) * (to_right - to_left) / (right - left))
    return [_Move(mask=mask, start=start, end=end, scale=scale)]


def _on_neck(recipient: _Face, covered: BoolArray) -> bool:
    """At least in part on bare neck; the rest, by the rule's `onto`, on cloth."""
    return _share(recipient.thin(covered), recipient.mask("neck")) >= 0.15


@dataclass(frozen=True, kw_only=True)
class _Rule:
    """How one part is pasted.

    Attributes:
        place: (donor, recipient, the donor's part) -> moves; none where an anchor is missing.
        plausible: (recipient, what the paste covers) -> whether the part is where it belongs.
        smallest: least area, as a share of the photo.
        tone: how much of the skin's difference in colour the part follows, 0 to 1.
        onto: the classes that the part may cover, all others lie before it; None for any.
    """

    place: Callable[[_Face, _Face, BoolArray], list[_Move]]
    plausible: Callable[[_Face, BoolArray], bool]
    smallest: float
    tone: float
    onto: str | None = None


EARRING_SMALLEST = 0.0003
_RULES = {
    # Skin shows through glasses; a hat has its own colour.
    "eye_g": _Rule(place=_place_glasses, plausible=_covers_eyes, smallest=0.012, tone=1.0),
    "hat": _Rule(place=_place_hat, plausible=_sits_on_head, smallest=0.08, tone=0.5),
    "ear_r": _Rule(place=_place_earrings, plausible=_beside_face, smallest=EARRING_SMALLEST, tone=0.5),
    "neck_l": _Rule(place=_place_necklace, plausible=_on_neck, smallest=0.00025, tone=0.5, onto="neck cloth"),
}
