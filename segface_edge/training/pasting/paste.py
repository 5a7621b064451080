"""A photo that wears a rare part of another one (the idea: Ghiasi et al., arXiv 2012.07177): the part is put where the
recipient would wear it.

Faces are upright and seen about alike, as in CelebAMask-HQ: a part moves by scale, shift and a little rotation, found
from the label maps alone. What would look wrong is refused, not mended.
"""

from __future__ import annotations

import numpy as np

from segface_edge.errors import UsageError
from segface_edge.labels import LabelSet
from segface_edge.pictures.geometry import UInt8Array

from .anchors import Face, isin
from .drawing import JITTER_SHIFT, draw, skin_gain
from .rules import MAX_TURN, RULES

# A part whose size must change by more is not of a similar photo.
MAX_SCALE = 1.6
# The share of a part that must find its place inside the frame and not behind something.
LANDED = 0.6


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
    rule = RULES.get(order.classes[label])
    if rule is None:
        raise UsageError(f"part {part!r}", "is none that can be pasted", f"use one of: {', '.join(RULES)}")
    # All draws first: the generator's state then depends on nothing but the number of calls.
    flipped = rng.random() < 0.5
    jitter = rng.uniform(-1, 1, 4)
    if (labels == label).any():
        return None
    mask = donor_labels == label
    if np.count_nonzero(mask) < rule.smallest * mask.size:
        return None
    donor, recipient = Face.of(donor_labels, order), Face.of(labels, order)
    if donor is None or recipient is None:
        return None
    gain = skin_gain(image, recipient, donor_image, donor) ** rule.tone
    # By lot, but for faces that turn away from one another: mirroring makes them look the same way.
    if flipped if abs(donor.turn) + abs(recipient.turn) <= MAX_TURN else donor.turn * recipient.turn < 0:
        donor_image, mask, donor = donor_image[:, ::-1], mask[:, ::-1], donor.mirrored()
    moves = rule.place(donor, recipient, mask)
    zoom = len(labels) / len(donor_labels)
    if not all(1 / MAX_SCALE <= move.scale / zoom <= MAX_SCALE for move in moves):
        return None
    onto = None if rule.onto is None else isin(labels, order, rule.onto)
    pasted, covered = image.copy(), np.zeros(labels.shape, np.bool_)
    wanted = 0.0
    for move in moves:
        wanted += np.count_nonzero(move.mask) * move.scale**2
        if not draw(pasted, covered, onto, donor_image, move, gain, jitter, JITTER_SHIFT * recipient.width):
            return None
    area = np.count_nonzero(covered)
    if area < max(rule.smallest * covered.size, LANDED * wanted) or not rule.plausible(recipient, covered):
        return None
    relabelled = labels.copy()
    np.putmask(relabelled, covered, np.uint8(label))
    return pasted, relabelled
