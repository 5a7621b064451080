"""Photos to calibrate on: every class among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from segface_edge.errors import DataError, ImageError
from segface_edge.evaluation.calibration import candidates, chosen, stratified
from segface_edge.evaluation.photos import Faces


def test_the_rare_come_first() -> None:
    # Class 0 on all photos, class 1 on the last alone, class 2 on the two before it.
    shown = np.zeros((50, 3), bool)
    shown[:, 0] = True
    shown[49, 1] = True
    shown[47:49, 2] = True
    assert stratified(shown, 3)[-1] == 49
    assert set(stratified(shown, 4)) >= {47, 48, 49}


@given(data=st.data(), photos=st.integers(1, 30), classes=st.integers(1, 6))
def test_every_photo_once_and_no_class_missed_that_could_be_shown(
    data: st.DataObject, photos: int, classes: int
) -> None:
    rows = st.lists(st.booleans(), min_size=classes, max_size=classes)
    shown = np.array(data.draw(st.lists(rows, min_size=photos, max_size=photos)))
    count = data.draw(st.integers(1, photos))
    taken = stratified(shown, count)
    assert len(taken) == len(set(taken)) == count
    assert taken == sorted(taken)
    if count >= classes:
        # One photo a class is enough for all classes that any photo shows.
        assert (shown[taken].any(axis=0) == shown.any(axis=0)).all()


def test_faces_are_chosen_by_what_the_model_sees(tmp_path: Path, echo_engine: type) -> None:
    """A photo's red says its label: of 20 photos of class 1 and one of class 9, two are one of each."""
    for index in range(12):
        red = 9 * 16 if index == 7 else 16
        Image.new("RGB", (32, 32), (red, 0, 0)).save(tmp_path / f"{index:02}.png")
    seen: list[int] = []
    faces = chosen(candidates(tmp_path, 2, 32), 2, echo_engine(32), seen.append)
    assert [int(face[0, 0, 0]) // 16 for face in faces] == [1, 9]
    assert sum(seen) == 12


def test_few_photos_are_all_taken(tmp_path: Path, echo_engine: type) -> None:
    Image.new("RGB", (32, 32)).save(tmp_path / "0.png")
    assert len(chosen(candidates(tmp_path, 64, 32), 64, echo_engine(32))) == 1


def test_no_photos(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        candidates(tmp_path / "absent", 4, 32)


def test_photos_are_read_when_they_are_looked_at(tmp_path: Path, echo_engine: type) -> None:
    """Whatever their number, one at a time is in memory; and one that cannot be read is told of at once."""
    for index in range(3):
        Image.new("RGB", (32, 32), (16 * index, 0, 0)).save(tmp_path / f"{index}.png")
    faces = candidates(tmp_path, 3, 32)
    assert all(isinstance(one, Path) for one in faces.held)
    assert [int(face[0, 0, 0]) for face in faces[1:]] == [16, 32]
    held = Faces([np.zeros((32, 32, 3), np.uint8)], 32)
    assert [int(face[0, 0, 0]) for face in held + faces] == [0, 0, 16, 32]
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"1\.png"):
        chosen(faces, 3, echo_engine(32))
