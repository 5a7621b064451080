"""Real faces for parity checks: the bundled photos in crops, flips, scales and exposures, and a user's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import overload

import numpy as np

from segface_edge import zoo
from segface_edge.errors import DataError
from segface_edge.pictures import fitting, reading
from segface_edge.pictures.geometry import FaceBox, UInt8Array
from segface_edge.sources.photos import find

# Boxes of the whole bundled photo (512 x 512): the face alone, head, head and shoulders, face off centre, the frame.
_CROPS = (
    (150, 30, 300, 180),
    (129, 8, 321, 200),
    (80, 0, 368, 288),
    (40, 0, 280, 240),
    (190, 20, 400, 230),
    (0, 0, 512, 512),
)
_EXPOSURES = (1.0, 0.55, 1.6)
_MAX_OWN = 200


def bundled_faces(size: int, *, random: bool = False) -> list[UInt8Array]:
    """Frames (S, S, 3) uint8 of the bundled photos: every crop, plain and mirrored, in every exposure, and the
    portrait at two scales. For random weights, which tell no light from shade, in one exposure: 16 for 48."""
    astronaut = reading.load(zoo.ASTRONAUT)
    portrait = reading.load(zoo.PORTRAIT)
    frames = [
        fitting.fit(astronaut, size, box=FaceBox(left=left, top=top, right=right, bottom=bottom)).pixels
        for left, top, right, bottom in _CROPS
    ]
    frames += [
        fitting.fit(portrait, size).pixels,
        fitting.fit(portrait, size, box=FaceBox(left=-200, top=-200, right=712, bottom=712)).pixels,
    ]
    return [
        _exposed(frame if not mirrored else np.ascontiguousarray(frame[:, ::-1]), exposure)
        for frame in frames
        for mirrored in (False, True)
        for exposure in (_EXPOSURES[:1] if random else _EXPOSURES)
    ]


def _exposed(frame: UInt8Array, exposure: float) -> UInt8Array:
    if exposure == 1.0:
        return frame
    bright: UInt8Array = np.clip(frame.astype(np.float32) * exposure, 0, 255).astype(np.uint8)
    return bright


class Faces(Sequence[UInt8Array]):
    """Frames (S, S, 3) uint8, of which photos are read anew each time they are looked at: memory does not grow with
    their number. Looking raises ImageError where one cannot be read.

    Args:
        held: frames, and photos: paths, addresses, or the bytes of a file.
        size: S.
    """

    def __init__(self, held: Sequence[UInt8Array | Path | bytes | str], size: int) -> None:
        self.held, self.size = held, size

    def __len__(self) -> int:
        return len(self.held)

    @overload
    def __getitem__(self, place: int) -> UInt8Array: ...
    @overload
    def __getitem__(self, place: slice) -> Faces: ...
    def __getitem__(self, place: int | slice) -> UInt8Array | Faces:
        if isinstance(place, slice):
            return Faces(self.held[place], self.size)
        one = self.held[place]
        return one if isinstance(one, np.ndarray) else fitting.fit(reading.load(one), self.size).pixels

    def __add__(self, other: Faces) -> Faces:
        return Faces([*self.held, *other.held], self.size)


def photos_of(folder: Path, size: int, *, limit: int) -> Faces:
    """The first `limit` pictures of a user's folder (its `images/` where it has one), not read yet.

    Raises:
        DataError: no folder, or no pictures in it.
    """
    check_folder(folder)
    pictures = folder / "images" if (folder / "images").is_dir() else folder
    return Faces([source.photo for source in find(str(pictures))[:limit]], size)


def own_faces(folder: Path, size: int, *, limit: int = _MAX_OWN) -> list[UInt8Array]:
    """Frames (S, S, 3) uint8 of `photos_of`, all read.

    Raises:
        DataError: no folder, or no pictures in it.
        ImageError: one cannot be read.
    """
    return list(photos_of(folder, size, limit=limit))


def check_folder(folder: Path) -> None:
    """Raises DataError where there is no such folder."""
    if not folder.is_dir():
        raise DataError(folder, "no such folder", "give a folder of photos")
