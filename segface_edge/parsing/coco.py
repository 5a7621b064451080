"""Labels as COCO's annotations: a mask, run-length encoded, for each class of each face."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from segface_edge.labels import LabelSet
from segface_edge.pictures.geometry import UInt8Array

if TYPE_CHECKING:
    from .result import FaceLabels


def coco_document(
    labels: UInt8Array, faces: Sequence[FaceLabels], order: LabelSet, *, file_name: str, image_id: int, first_id: int
) -> dict[str, list[dict[str, Any]]]:
    """COCO's `images`, `categories` (ids are labels) and `annotations`, one a class of each face.

    Masks are run-length encoded down the columns, uncompressed, as COCO's tools read them.

    Args:
        labels: (H, W) uint8, of the whole photo, positions in `order.classes`.
        faces: the labels of each face, all within the photo.
        order: of the labels.
        file_name: the photo's.
        image_id: of the photo.
        first_id: of the first annotation.
    """
    height, width = labels.shape
    annotations: list[dict[str, Any]] = []
    for face, label in ((one, label) for one in faces for label in np.unique(one.labels[one.labels > 0]).tolist()):
        mask = np.zeros((height, width), bool)
        rows = slice(face.top, face.top + face.labels.shape[0])
        columns = slice(face.left, face.left + face.labels.shape[1])
        # Where two faces claim a pixel, that of the merged labels has it.
        mask[rows, columns] = np.equal(face.labels, label) & np.equal(labels[rows, columns], label)
        if not mask.any():
            continue
        y, x = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        annotations.append(
            {
                "id": first_id + len(annotations),
                "image_id": image_id,
                "category_id": label,
                "segmentation": {"size": [height, width], "counts": _runs(mask)},
                "area": int(mask.sum()),
                "bbox": [int(x[0]), int(y[0]), int(x[-1] - x[0] + 1), int(y[-1] - y[0] + 1)],
                "iscrowd": 0,
            }
        )
    return {
        "images": [{"id": image_id, "height": height, "width": width, "file_name": file_name}],
        "categories": [
            {"id": label, "name": name, "supercategory": "face"} for label, name in enumerate(order.classes) if label
        ],
        "annotations": annotations,
    }


def _runs(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Lengths of runs of equal values down the columns, those of False first."""
    flat = mask.ravel(order="F")
    ends = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate([[0], ends, [flat.size]])
    lengths: list[int] = np.diff(edges).tolist()
    return [0, *lengths] if flat[0] else lengths
