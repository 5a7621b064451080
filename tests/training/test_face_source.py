"""Samples and batches: what a worker does to a photo."""

from __future__ import annotations

from pathlib import Path

import cv2
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


def test_a_source_is_drawn_as_pillow_draws_it(labelled: Path) -> None:
    photo = reading.load(labelled / "images" / "0.png")
    wanted = np.asarray(Image.fromarray(photo).resize((160, 160), Image.Resampling.BICUBIC)).astype(int)
    found = source(labelled, side=256)[Key(0, 0, 128)]["image"]
    assert np.abs(found - wanted).max() <= 2
    assert (found != wanted).mean() < 0.03


def test_a_sample_follows_from_its_key_alone(labelled: Path) -> None:
    config = AugmentConfig(
        noise=0.5, jpeg=0.5, paste=0.5, hand=0.5, mask=0.5, light=0.5, motion=0.5, low_resolution=0.5
    )
    first, second = source(labelled, config), source(labelled, config)
    # Kept photos are small: a part that has no pixel left there is nothing to paste.
    plain = AugmentConfig(noise=0.5, jpeg=0.5)
    read, kept = source(labelled, plain), source(labelled, plain, preload=True)
    for position in range(6):
        key = Key(position % 2, position, 64)
        for one, other in ((first[key], second[key]), (read[key], kept[key])):
            assert all(np.array_equal(one[name], other[name]) for name in one)
    assert not np.array_equal(first[Key(0, 0, 64)]["draws"], first[Key(0, 2, 64)]["draws"])


def test_a_change_moves_no_other(labelled: Path) -> None:
    """Noise is the same with a mask and without it, and a mask with and without a hand."""
    faces = {
        name: source(labelled, AugmentConfig(flip=0.0, **dict.fromkeys(name.split(), 1.0)), side=256)
        for name in ("noise", "mask", "mask noise", "mask hand", "hand")
    }
    plain = source(labelled, side=256)
    for position in range(4):
        key = Key(0, position, 256)
        samples = {name: one[key] for name, one in faces.items()}
        before = plain[key]
        for sample in samples.values():
            assert np.array_equal(sample["draws"], before["draws"])
        masked = samples["mask"]["labels"] != before["labels"]
        assert masked.any()
        # Without limits at 0 and 255, noise is what is added.
        added = samples["noise"]["image"].astype(int) - before["image"]
        with_mask = samples["mask noise"]["image"].astype(int) - samples["mask"]["image"]
        inside = np.ones(added.shape, bool)
        for name in ("noise", "mask noise"):
            inside &= (samples[name]["image"] > 0) & (samples[name]["image"] < 255)
        assert inside.mean() > 0.5
        assert np.abs(added - with_mask)[inside].max() <= 1
        hand = samples["hand"]["labels"] == 255
        assert (samples["mask hand"]["labels"][masked & ~hand & (samples["hand"]["labels"] == before["labels"])] ==
                ORDER.index("cloth")).all()  # fmt: skip


def test_samples_are_those_of_before_there_were_scenes(labelled: Path) -> None:
    """Numbers that a recipe of old draws: what noise and numbers gave then, from NumPy's generator alone."""
    sample = source(labelled, AugmentConfig(flip=0.0, noise=1.0), side=256)[Key(0, 7, 256)]
    rng = np.random.default_rng((3, 3, 7))  # seed, stream of samples, position
    assert np.array_equal(sample["draws"], rng.random(32, dtype=np.float32))
    rng.random(4)
    rng.integers(2)  # another photo, for a background
    image = reading.load(labelled / "images" / "0.png")
    noise = rng.normal(0, rng.uniform(2, 16), image.shape).astype(np.float32)
    if rng.random() < 0.5:
        noise = np.asarray(2 * cv2.blur(noise, (2, 2)), np.float32)
    assert np.array_equal(sample["image"], np.clip(image + noise, 0, 255).astype(np.uint8))


def test_few_pixels_are_those_of_the_frame(labelled: Path) -> None:
    """A factor of 4 leaves a frame of 64 pixels 16 of them, whatever the source's side is."""
    config = AugmentConfig(flip=0.0, low_resolution=1.0, low_resolution_factor=(4.0, 4.0))
    faces, plain = source(labelled, config, side=256), source(labelled, side=256)
    for position in range(3):
        image = faces[Key(0, position, 64)]["image"]
        assert image.shape == (96, 96, 3)
        # Every sixth pixel and straight lines between them: no more than 16 x 16 numbers are in it.
        rank = np.linalg.matrix_rank(image[..., 0].astype(float), tol=60)
        assert rank <= 16 < np.linalg.matrix_rank(plain[Key(0, position, 64)]["image"][..., 0].astype(float), tol=60)


def test_workers_change_nothing(labelled: Path) -> None:
    faces = source(labelled, AugmentConfig(noise=0.5, hand=0.5, light=0.5))
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
