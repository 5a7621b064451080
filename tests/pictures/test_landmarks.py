"""Five points of a face: of more, and from files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from segface_edge.errors import DataError, UsageError
from segface_edge.pictures.landmarks import faces_of, five, read_landmarks

POINTS = [(10.0, 20.5), (30.0, 20.0), (20.0, 30.0), (12.0, 40.0), (28.0, 41.0)]


def test_five_are_the_five() -> None:
    assert five(POINTS) == tuple(POINTS)
    assert five(np.array(POINTS, np.float32)) == tuple(POINTS)


def test_lapas_and_ibugs_points_become_five() -> None:
    points = np.array([(i, 1000 + 2 * i) for i in range(106)], float)
    assert [x for x, _ in five(points)] == [89, 94, 54, 84, 90]
    assert [y for _, y in five(points)] == [1178, 1188, 1108, 1168, 1180]
    assert [x for x, _ in five(points[:68])] == [38.5, 44.5, 30, 48, 54]


@pytest.mark.parametrize("points", [POINTS[:4], [1, 2], np.zeros((5, 3)), np.zeros((98, 2)), []])
def test_other_shapes_are_refused(points: object) -> None:
    with pytest.raises(UsageError, match="landmarks of shape .*5, 68, 106"):
        five(points)  # type: ignore[arg-type]


@pytest.mark.parametrize("points", [[(3.0, 4.0)] * 5, [*POINTS[:4], (float("nan"), 1.0)], [*POINTS[:4], (1e400, 1.0)]])
def test_no_face_lies_in_one_place_or_nowhere(points: list[tuple[float, float]]) -> None:
    with pytest.raises(UsageError, match="not finite, or all in one place"):
        five(points)


def test_faces_are_one_or_several() -> None:
    assert faces_of(POINTS) == [tuple(POINTS)]
    assert faces_of([POINTS, POINTS]) == [tuple(POINTS)] * 2
    assert faces_of([]) == []


@pytest.mark.parametrize("head", ["", "5\n"])
def test_a_file_of_five(tmp_path: Path, head: str) -> None:
    path = tmp_path / "face.txt"
    path.write_text(head + "\n".join(f"{x} {y}" for x, y in POINTS) + "\n\n")
    assert read_landmarks(path) == tuple(POINTS)


def test_lapas_file(tmp_path: Path) -> None:
    path = tmp_path / "face.txt"
    path.write_text("106\n" + "\n".join(f"{i} {i / 2}" for i in range(106)))
    assert read_landmarks(path)[0] == (89, 44.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("", "line 1 is not 5 or 68 or 106"),
        ("7\n1 2\n", "line 1 is not 5 or 68 or 106"),
        ("1 2\n3 4\n", "has 2 points"),
        ("5\n1 2\n3 four\n", "line 3 is not x and y"),
        ("5\n1 2\n3 inf\n", "line 3 is not x and y"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "face.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=rf"face\.txt: {message}"):
        read_landmarks(path)
