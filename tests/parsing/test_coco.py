"""COCO's annotations: decoded, they are the masks."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from segface_edge import FaceParser, zoo
from segface_edge.labels import label_set
from segface_edge.parsing.result import FaceLabels, FaceParse

SEGFACE = label_set("segface")
HAIR = SEGFACE.index("hair")


@given(arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3)))
def test_coco_runs_are_the_masks(labels: np.ndarray) -> None:
    """Decoded by their definition: runs down the columns, background first."""
    face = FaceParse(image=np.zeros((*labels.shape, 3), np.uint8), labels=labels, label_set=SEGFACE)
    document = face.to_coco(image_id=7, first_id=3)
    assert [one["id"] for one in document["annotations"]] == list(range(3, 3 + len(document["annotations"])))
    assert {one["category_id"] for one in document["annotations"]} == set(np.unique(labels)) - {0}
    assert len(document["categories"]) == 18
    for one in document["annotations"]:
        counts = one["segmentation"]["counts"]
        flat = np.concatenate([np.full(count, index % 2, bool) for index, count in enumerate(counts)])
        mask = flat.reshape(labels.shape[::-1]).T
        assert np.array_equal(mask, labels == one["category_id"])
        assert one["area"] == mask.sum()
        x, y, width, height = one["bbox"]
        assert mask[y : y + height, x : x + width].sum() == one["area"]
        assert mask[y].any()
        assert mask[:, x + width - 1].any()
    json.dumps(document)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of pycocotools, by numpy 2
def test_coco_s_own_tools_read_it(parser: FaceParser) -> None:
    tools = pytest.importorskip("pycocotools.mask", reason="pycocotools is not installed")
    face = parser(zoo.PORTRAIT)
    for one in face.to_coco()["annotations"]:
        packed = tools.frPyObjects(one["segmentation"], *face.labels.shape)
        assert np.array_equal(tools.decode(packed).astype(bool), face.labels == one["category_id"])
        assert int(tools.area(packed)) == one["area"]


def test_coco_has_the_classes_of_each_face() -> None:
    """Of two faces that overlap: each pixel is one's."""
    labels = np.zeros((10, 30), np.uint8)
    labels[:, :14], labels[:, 14:] = HAIR, HAIR
    parts = (
        FaceLabels(top=0, left=0, labels=np.full((10, 18), HAIR, np.uint8)),
        FaceLabels(top=0, left=18, labels=np.full((10, 12), HAIR, np.uint8)),
    )
    face = FaceParse(image=np.zeros((10, 30, 3), np.uint8), labels=labels, label_set=SEGFACE, face_labels=parts)
    found = face.to_coco(file_name="a.jpg")
    assert [(one["category_id"], one["area"], one["bbox"]) for one in found["annotations"]] == [
        (HAIR, 180, [0, 0, 18, 10]),
        (HAIR, 120, [18, 0, 12, 10]),
    ]
    assert found["images"][0]["file_name"] == "a.jpg"
