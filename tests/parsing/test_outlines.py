"""Outlines: along the edges of a mask's pixels, with its area."""

from __future__ import annotations

import numpy as np
import pytest

from segface_edge import FaceParser, zoo
from segface_edge.errors import UsageError
from segface_edge.labels import label_set
from segface_edge.parsing.result import FaceParse

SEGFACE = label_set("segface")


def area(polygon: list[tuple[float, float]]) -> float:
    """By the shoelace formula."""
    x, y = (np.array(values) for values in zip(*polygon, strict=True))
    return float(abs((x * np.roll(y, 1) - y * np.roll(x, 1)).sum()) / 2)


def test_polygons_follow_the_edges_of_the_mask() -> None:
    labels = np.zeros((60, 80), np.uint8)
    boxes = {"nose": (25, 15, 30, 20), "l_eye": (60, 5, 69, 8), "r_eye": (40, 50, 57, 55), "ear_r": (3, 3, 4, 12)}
    for name, (left, top, right, bottom) in boxes.items():
        labels[top:bottom, left:right] = SEGFACE.index(name)
    labels[59, 79] = SEGFACE.index("hair")
    face = FaceParse(image=np.zeros((60, 80, 3), np.uint8), labels=labels, label_set=SEGFACE)
    for name, (left, top, right, bottom) in {**boxes, "hair": (79, 59, 80, 60)}.items():
        (polygon,) = face.polygons(name)
        assert set(polygon) == {(left, top), (right, top), (right, bottom), (left, bottom)}, name
        assert area(polygon) == face.areas()[name]
    assert face.polygons("hat") == []
    with pytest.raises(UsageError, match="names no class"):
        face.polygons()


def test_polygons_of_a_face_have_its_areas(parser: FaceParser) -> None:
    face = parser(zoo.PORTRAIT)
    for name in ("l_eye", "nose", "u_lip"):
        exact = sum(map(area, face.polygons(name, tolerance=0)))
        assert exact == pytest.approx(face.areas()[name], rel=0.03)
        few = face.polygons(name)
        assert sum(map(area, few)) == pytest.approx(face.areas()[name], rel=0.15)
        assert sum(map(len, few)) < sum(map(len, face.polygons(name, tolerance=0))) / 3
