"""Samples and batches: what a worker does to a photo."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("dacite", reason="training needs dacite")

from PIL import Image

from segface_edge.datasets.opening import folder
from segface_edge.datasets.samples import read_labels
from segface_edge.errors import DataError, ImageError
from segface_edge.labels import LABEL_SETS
from segface_edge.pictures import fitting, reading
from segface_edge.training.augment import AugmentConfig
from segface_edge.training.batches import batches, collate
from segface_edge.training.face_source import FaceSource
from segface_edge.training.sampling import Key

DISK, ORDER = LABEL_SETS["celebamask-hq"], LABEL_SETS["segface"]


def source(root: Path, config: AugmentConfig | None = None, *, side: int = 64, preload: bool = False) -> FaceSource:
    samples = folder(root)
    return FaceSource(
        samples,
        [DISK] * len(samples),
        ORDER,
        side=side,
        config=config or AugmentConfig(flip=0.0),
        seed=3,
        preload=preload,
    )


def test_a_sample_is_the_photo_and_its_labels_in_the_networks_order(labelled: Path) -> None:
    sample = source(labelled, side=256)[Key(0, 0, 256)]
    assert np.array_equal(sample["image"], reading.load(labelled / "images" / "0.png"))
    expected = DISK.table_to(ORDER)[read_labels(labelled / "labels" / "0.png", DISK)]
    assert np.array_equal(sample["labels"], expected)
    assert sample["draws"].shape == (32,)
    assert sample["background"].shape == (32, 32, 3)


def test_a_photo_that_is_no_square_is_padded_as_the_runtime_does(labelled: Path) -> None:
    photo = reading.load(labelled / "images" / "1.png")  # 200 x 240
    sample = source(labelled, side=240)[Key(1, 0, 240)]
    assert np.array_equal(sample["image"], fitting.fit(photo, 240).pixels)
    assert not sample["labels"][:, :19].any()
    assert not sample["labels"][:, -19:].any()
    inner = sample["labels"][:, 20:220]
    assert np.array_equal(inner, DISK.table_to(ORDER)[read_labels(labelled / "labels" / "1.png", DISK)])


def test_a_source_is_drawn_a_little_larger_than_the_frame(labelled: Path) -> None:
    faces = source(labelled, side=256)
    assert faces[Key(0, 0, 64)]["image"].shape == (96, 96, 3)
    assert faces[Key(0, 0, 256)]["image"].shape == (256, 256, 3)
    assert faces[Key(0, 0, 64)]["labels"].shape == (256, 256)


def test_a_sample_follows_from_its_key_alone(labelled: Path) -> None:
    config = AugmentConfig(noise=0.5, jpeg=0.5, paste=0.5)
    first, second = source(labelled, config), source(labelled, config)
    # Kept photos are small: a part that has no pixel left there is nothing to paste.
    plain = AugmentConfig(noise=0.5, jpeg=0.5)
    read, kept = source(labelled, plain), source(labelled, plain, preload=True)
    for position in range(6):
        key = Key(position % 2, position, 64)
        for one, other in ((first[key], second[key]), (read[key], kept[key])):
            assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not np.array_equal(first[Key(0, 0, 64)]["draws"], first[Key(0, 2, 64)]["draws"])


def test_workers_change_nothing(labelled: Path) -> None:
    faces = source(labelled, AugmentConfig(noise=0.5))
    keys = [[Key(0, 2 * step, 32), Key(1, 2 * step + 1, 32)] for step in range(4)]
    alone = list(batches(faces, iter(keys), workers=0, pin=False))
    helped = list(batches(faces, iter(keys), workers=2, pin=False))
    assert len(alone) == len(helped) == 4
    for one, other in zip(alone, helped, strict=True):
        for name in ("images", "labels", "backgrounds", "draws"):
            assert torch.equal(getattr(one, name), getattr(other, name))


def test_what_is_present_is_told_in_the_networks_order(labelled: Path) -> None:
    expected = set(np.unique(DISK.table_to(ORDER)[read_labels(labelled / "labels" / "0.png", DISK)]).tolist())
    assert source(labelled).present()[0] == expected
    # A kept photo was made small: what has no pixel left is not there.
    assert source(labelled, side=256, preload=True).present()[0] == expected


def test_prior_counts_pixels(labelled: Path) -> None:
    faces = source(labelled, side=64)
    counts = sum(np.bincount(faces[Key(i, 0, 64)]["labels"].reshape(-1), minlength=19) for i in range(2))
    expected = np.log(np.maximum(counts, 1) / counts.sum())
    assert torch.allclose(faces.log_prior(2), torch.from_numpy(expected).float())


def test_a_batch_is_stacked(labelled: Path) -> None:
    faces = source(labelled)
    batch = collate([faces[Key(0, 0, 64)], faces[Key(1, 1, 64)]])
    assert batch.images.shape == (2, 64, 64, 3)
    assert batch.labels.dtype == torch.uint8
    assert batch.to(torch.device("cpu")).draws.shape == (2, 32)


def test_a_missing_photo_is_named(labelled: Path) -> None:
    faces = source(labelled)
    (labelled / "images" / "0.png").unlink()
    for workers in (0, 1):
        with pytest.raises(ImageError, match=r"0\.png"):
            next(batches(faces, iter([[Key(0, 0, 32)]]), workers=workers, pin=False))


def test_labels_of_another_frame_are_refused(labelled: Path) -> None:
    Image.new("P", (64, 100)).save(labelled / "labels" / "0.png")
    with pytest.raises(DataError, match=r"0\.png.*64 x 100.*256 x 256"):
        next(batches(source(labelled), iter([[Key(0, 0, 32)]]), workers=0, pin=False))


def test_photos_of_the_data_set_get_parts_pasted_on(shared: Path) -> None:
    samples = folder(shared / "data" / "celebamask-hq-mini" / "val")[:40]
    faces = FaceSource(
        samples, [DISK] * 40, ORDER, side=128, config=AugmentConfig(flip=0.0, paste=1.0), seed=0, preload=True
    )
    plain = FaceSource(samples, [DISK] * 40, ORDER, side=128, config=AugmentConfig(flip=0.0), seed=0, preload=True)
    rare = {ORDER.index(name) for name in ("eye_g", "hat", "ear_r", "neck_l")}
    gained = 0
    for photo in range(40):
        before = set(np.unique(plain[Key(photo, photo, 128)]["labels"]))
        after = set(np.unique(faces[Key(photo, photo, 128)]["labels"]))
        assert after - before <= rare
        gained += bool(after - before)
    assert gained >= 10
