"""Near-duplicates: photos that show the same picture, in one split or across splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from segface_edge.pictures.geometry import UInt8Array

from .findings import Finding

Floats = npt.NDArray[np.float32]

# Of the 336,000 pairs of the 820 photos of CelebAMask-HQ at hand no two faces correlate over 0.93; a photo and its copy
# at 3/5 the side, JPEG quality 40 and 15 % brighter do at 0.99, and differ in 4 bits at most.
THUMB = 32
MOST_BITS = 8
LEAST_CORRELATION = 0.97
_BLOCK = 512


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A photo to be compared with others.

    Attributes:
        split: where it is.
        file: the photo.
        thumb: (32, 32) uint8, grey: what `thumb_of` gives.
    """

    split: str
    file: Path
    thumb: UInt8Array


def thumb_of(photo: UInt8Array) -> UInt8Array:
    """(32, 32) uint8, grey, of a photo, (H, W, 3) uint8 RGB: small enough to keep those of a whole data set."""
    grey = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.uint8)


def find_duplicates(pictures: Sequence[Picture]) -> list[Finding]:
    """Near-duplicates, each with one that it looks like: n that look alike give n - 1 findings, of which one at least
    is across splits where the n are in several.

    Args:
        pictures: of all splits; the later of two is what a finding is about.
    """
    leader = list(range(len(pictures)))

    def lead(index: int) -> int:
        while leader[index] != index:
            leader[index] = index = leader[leader[index]]
        return index

    findings = []
    for first, second, mirrored in near_pairs([picture.thumb for picture in pictures]):
        if lead(first) == lead(second):
            continue
        leader[lead(second)] = lead(first)
        one, other = pictures[second], pictures[first]
        across = one.split != other.split
        findings.append(
            Finding(
                kind="leak" if across else "duplicate",
                split=one.split,
                file=one.file,
                problem=f"shows the picture of {other.file}{' mirrored' if mirrored else ''}",
                cure="keep one: what is trained on cannot measure" if across else "keep one, if it is not meant",
                other=other.file,
            )
        )
    return findings


def near_pairs(thumbs: Sequence[UInt8Array]) -> Iterator[tuple[int, int, bool]]:
    """Pairs of pictures that look alike: (first, second, whether one is mirrored), first < second.

    Two steps: a 64-bit difference hash (is a cell of 8 x 9 brighter than its left neighbour?) that differs in at most
    8 bits, then a correlation of the 32 x 32 pictures of 0.97 at least. Of pictures that are equal, only the first is
    compared with others, and the rest pair with it.

    Args:
        thumbs: (32, 32) uint8 each.
    """
    firsts: dict[bytes, int] = {}
    for index, thumb in enumerate(thumbs):
        equal = firsts.setdefault(thumb.tobytes(), index)
        if equal != index:
            yield equal, index, False
    if not firsts:
        return
    own = np.array(list(firsts.values()))
    stack = np.stack([thumbs[index] for index in own])
    bits, shapes = _hashes(stack), _standard(stack)
    for mirrored in (False, True):
        turned = stack[:, :, ::-1] if mirrored else stack
        turned_bits, turned_shapes = (_hashes(turned), _standard(turned)) if mirrored else (bits, shapes)
        for start in range(0, len(own), _BLOCK):
            rows = slice(start, start + _BLOCK)
            # Of bits that are 1 or -1 the product counts those that agree less those that differ: exact in float32.
            agree = turned_bits[rows] @ bits[start:].T
            near, other = np.nonzero(agree >= 64 - 2 * MOST_BITS)
            once = near < other
            near, other = near[once] + start, other[once] + start
            for part in range(0, len(near), 4096):
                i, j = near[part : part + 4096], other[part : part + 4096]
                alike = np.einsum("nd,nd->n", turned_shapes[i], shapes[j]) >= LEAST_CORRELATION
                for a, b in zip(own[i[alike]].tolist(), own[j[alike]].tolist(), strict=True):
                    yield a, b, mirrored


def _hashes(thumbs: UInt8Array) -> Floats:
    """(N, 64) float32 of 1 and -1."""
    cells = np.stack(
        [cv2.resize(thumb, (9, 8), interpolation=cv2.INTER_AREA) for thumb in np.ascontiguousarray(thumbs)]
    )
    brighter: Floats = np.where(cells[:, :, 1:] > cells[:, :, :-1], np.float32(1), np.float32(-1))
    return brighter.reshape(len(thumbs), 64)


def _standard(thumbs: UInt8Array) -> Floats:
    """(N, 1024) float32 of mean 0 and length 1, so that a product is a correlation; 0 where a picture is flat."""
    flat = thumbs.reshape(len(thumbs), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    standard: Floats = np.divide(flat, length, out=np.zeros_like(flat), where=length > 0)
    return standard
