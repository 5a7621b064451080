"""The rows of a result: their columns, and what is in them of a photo. docs/label.md says it for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from segface_edge.labels import LabelSet
from segface_edge.parsing.result import FaceParse

from .loading import Loaded
from .masks import masks_of
from .places import text_of

VERSION = 1
METADATA_KEY = "segface_edge"
_FACE = pa.struct(
    [
        ("box", pa.list_(pa.float32())),
        ("score", pa.float32()),
        ("turn", pa.int16()),
        ("landmarks", pa.list_(pa.list_(pa.float32()))),
    ]
)
_MASK = pa.struct([("label", pa.int16()), ("class", pa.string()), ("counts", pa.string())])


def schema_of(labels: LabelSet) -> pa.Schema:
    """The columns of results in a label order."""
    classes: Sequence[str] = labels.classes
    about = {"version": VERSION, "label_order": labels.name, "classes": list(classes)}
    return pa.schema(
        [
            pa.field("path", pa.string(), nullable=False),
            ("sha256", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("faces", pa.list_(_FACE)),
            ("areas", pa.struct([(name, pa.int32()) for name in classes])),
            ("masks", pa.list_(_MASK)),
            pa.field("model_sha256", pa.string(), nullable=False),
            ("error", pa.string()),
        ],
        metadata={METADATA_KEY: json.dumps(about)},
    )


def row_of(photo: Loaded, face: FaceParse, model_sha256: str) -> dict[str, Any]:
    """The row of a photo that was parsed."""
    height, width = face.labels.shape
    classes = face.label_set.classes
    masks = list(masks_of(face.labels))
    areas = dict.fromkeys(classes, 0) | {classes[label]: pixels for label, pixels, _ in masks}
    areas[classes[0]] = height * width - sum(areas.values())
    return {
        "path": text_of(photo.name),
        "sha256": photo.sha256,
        "width": width,
        "height": height,
        "faces": [
            {
                "box": [box.left, box.top, box.right, box.bottom],
                "score": box.score,
                "turn": box.turn,
                "landmarks": box.landmarks,
            }
            for box in face.faces
        ],
        "areas": areas,
        "masks": [{"label": label, "class": classes[label], "counts": counts} for label, _, counts in masks],
        "model_sha256": model_sha256,
        "error": None,
    }


def row_of_failed(photo: Loaded, error: Exception, model_sha256: str) -> dict[str, Any]:
    """The row of a photo that could not be: why, in one line, and nothing else."""
    return {
        "path": text_of(photo.name),
        "sha256": photo.sha256,
        "model_sha256": model_sha256,
        "error": text_of(" ".join(str(error).split())),
    }
