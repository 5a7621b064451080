"""The label maps of a photo's faces, in its pixels, as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from segface_edge.pictures.geometry import Geometry, UInt8Array
from segface_edge.pictures.restoring import restore_confidence_part, restore_part

from .result import FaceLabels


def merged(
    labels: Sequence[UInt8Array],
    confidences: Sequence[UInt8Array | None],
    geometries: Sequence[Geometry],
    height: int,
    width: int,
) -> tuple[UInt8Array, UInt8Array | None, tuple[FaceLabels, ...]]:
    """One label map of all faces, and each one's own.

    Where two faces claim a pixel, the surer one has it: by the model's confidence where it gives one, else the one
    whose square has the pixel nearer to its middle.

    Args:
        labels: (S, S) uint8 of each face's square.
        confidences: likewise, or None each.
        geometries: the way between the photo and each square.
        height, width: of the photo.

    Returns:
        (height, width) uint8, the confidence likewise or None, and what each face's square showed.
    """
    whole = np.zeros((height, width), np.uint8)
    sure = np.zeros((height, width), np.uint8) if all(one is not None for one in confidences) else None
    claims = np.zeros((height, width), np.float32) if len(labels) > 1 else None
    faces = []
    for label_map, confidence, geometry in zip(labels, confidences, geometries, strict=True):
        rows, columns, part = restore_part(label_map, geometry, height, width)
        faces.append(FaceLabels(top=rows.start, left=columns.start, labels=part))
        window = np.s_[rows.start : rows.stop, columns.start : columns.stop]
        own = None if confidence is None else restore_confidence_part(confidence, geometry, height, width)[2]
        if claims is None:
            whole[window] = part
            if sure is not None and own is not None:
                sure[window] = own
            continue
        claim = _nearness(geometry, label_map.shape[0], rows, columns) if own is None else own.astype(np.float32)
        # A face's background gives way to whatever another one sees there.
        claim = np.where(part > 0, claim + 1, 0)
        wins = claim > claims[window]
        whole[window][wins] = part[wins]
        claims[window][wins] = claim[wins]
        if sure is not None and own is not None:
            fills = wins | (claims[window] == 0)
            sure[window][fills] = own[fills]
    return whole, sure, tuple(faces)


def _nearness(geometry: Geometry, side: int, rows: range, columns: range) -> npt.NDArray[np.float32]:
    """1 in the middle of a square, 0 at the middles of its edges."""
    y = (np.arange(rows.start, rows.stop, dtype=np.float32) + 0.5)[:, None]
    x = (np.arange(columns.start, columns.stop, dtype=np.float32) + 0.5)[None]
    square_x = geometry.scale_x * x + geometry.turn_x * y + geometry.offset_x
    square_y = geometry.turn_y * x + geometry.scale_y * y + geometry.offset_y
    near: npt.NDArray[np.float32] = np.maximum(0, 1 - np.hypot(square_x - side / 2, square_y - side / 2) / (side / 2))
    return near.astype(np.float32)
