"""Data sets on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segface_edge.errors import DataError
from segface_edge.evaluation.datasets import Sample, folder, read_labels
from segface_edge.labels import label_set

SEGFACE, LAPA = label_set("segface"), label_set("lapa")
IDS = np.arange(19 * 20, dtype=np.uint8).reshape(19, 20) % 19


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    for name in ("b.jpg", "a.png", "c.JPEG"):
        Image.new("RGB", (20, 19)).save(tmp_path / "images" / name)
        Image.fromarray(IDS).save(tmp_path / "labels" / f"{Path(name).stem}.png")
    (tmp_path / "images" / "notes.txt").write_text("x")
    return tmp_path


def test_photos_are_paired_with_their_label_maps_by_name_and_sorted(dataset: Path) -> None:
    images, labels = dataset / "images", dataset / "labels"
    assert folder(dataset) == [
        Sample(images / "a.png", labels / "a.png"),
        Sample(images / "b.jpg", labels / "b.png"),
        Sample(images / "c.JPEG", labels / "c.png"),
    ]


def test_a_label_map_without_a_photo_does_not_matter(dataset: Path) -> None:
    Image.fromarray(IDS).save(dataset / "labels" / "spare.png")
    assert len(folder(dataset)) == 3


@pytest.mark.parametrize("part", ["images", "labels"])
def test_a_missing_folder_is_named_with_the_layout(tmp_path: Path, part: str) -> None:
    for name in {"images", "labels"} - {part}:
        (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=f"has no folder '{part}'; lay it out as images/NAME.jpg") as caught:
        folder(tmp_path)
    assert caught.value.exit_code == 1


def test_a_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent"):
        folder(tmp_path / "absent")


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    (tmp_path / "images" / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="images: holds no pictures"):
        folder(tmp_path)


def test_a_photo_without_a_label_map_is_named_and_counted(dataset: Path) -> None:
    (dataset / "labels" / "b.png").unlink()
    (dataset / "labels" / "c.png").unlink()
    with pytest.raises(DataError, match=r"b\.png: no such file \(2 of 3 photos have no label map\)"):
        folder(dataset)


def test_a_grey_png_is_read_as_ids(dataset: Path) -> None:
    labels = read_labels(dataset / "labels" / "a.png", SEGFACE)
    assert labels.dtype == np.uint8
    assert np.array_equal(labels, IDS)


def test_a_palette_png_is_read_as_ids_and_not_as_colours(tmp_path: Path) -> None:
    picture = Image.fromarray(IDS)
    picture.putpalette(SEGFACE.palette[::-1].tobytes())
    picture.save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as saved:
        assert saved.mode == "P"
    assert np.array_equal(read_labels(tmp_path / "a.png", SEGFACE), IDS)


def test_255_is_read_as_ignored(tmp_path: Path) -> None:
    ids = IDS.copy()
    ids[:3] = 255
    Image.fromarray(ids).save(tmp_path / "a.png")
    assert np.array_equal(read_labels(tmp_path / "a.png", SEGFACE), ids)


@pytest.mark.parametrize("highest", [11, 18, 254])
def test_an_id_outside_the_order_is_refused_with_the_cure(tmp_path: Path, highest: int) -> None:
    ids = np.zeros((20, 20), np.uint8)
    ids[5, 5] = 10
    Image.fromarray(ids).save(tmp_path / "a.png")
    assert read_labels(tmp_path / "a.png", LAPA).max() == 10
    ids[7, 7] = highest
    Image.fromarray(ids).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=f"has the id {highest}, the label order 'lapa' ends at 10.*--label-order"):
        read_labels(tmp_path / "a.png", LAPA)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "1", "I;16"])
def test_a_picture_that_is_not_of_ids_is_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (20, 20)).save(tmp_path / "a.png")
    with pytest.raises(DataError, match=f"is a picture of mode {mode}, not of label ids"):
        read_labels(tmp_path / "a.png", SEGFACE)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.8])
def test_a_damaged_label_map_is_refused_by_name(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 19, (64, 64), np.uint8)).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"a\.png: is not a label map that can be read"):
        read_labels(path, SEGFACE)


def test_a_missing_label_map_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not a label map that can be read"):
        read_labels(tmp_path / "absent.png", SEGFACE)


def test_a_label_map_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.fromarray(IDS).save(tmp_path / "a.png")
    monkeypatch.setattr("segface_edge.evaluation.datasets.LARGEST_MAX_PIXELS", IDS.size - 1)
    with pytest.raises(DataError, match="has over 379 pixels"):
        read_labels(tmp_path / "a.png", SEGFACE)


def test_the_shared_faces_are_a_data_set(faces: Path) -> None:
    samples = folder(faces)
    assert len(samples) == 100
    labels = read_labels(samples[0].labels, label_set("celebamask-hq"))
    assert {0, 1} <= set(np.unique(labels))
