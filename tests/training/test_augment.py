"""Augmentation: picture and labels stay aligned, and a sample's look depends on its own numbers alone."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from segface_edge import zoo
from segface_edge.errors import UsageError
from segface_edge.labels import IGNORED, LABEL_SETS
from segface_edge.pictures import fitting, reading
from segface_edge.pictures.fitting import PADDING
from segface_edge.spec import IMAGENET_MEAN, IMAGENET_STD
from segface_edge.training.augment import CHANCES, DRAWS, AugmentConfig, augment

ORDER = LABEL_SETS["segface"]
PLAIN = AugmentConfig(flip=0.0)
SIDE = 96


def pixels(frames: torch.Tensor) -> torch.Tensor:
    """Back from the normalised: (N, S, S, 3) in 0..255."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (255 * (frames * std + mean)).permute(0, 2, 3, 1)


def drawn(seed: int, count: int = 1) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).random((count, DRAWS), dtype=np.float32))


def blobs(seed: int, classes: int = 19) -> torch.Tensor:
    """(1, SIDE, SIDE) label map of large regions."""
    rng = np.random.default_rng(seed)
    coarse = torch.from_numpy(rng.integers(0, classes, (1, 1, 4, 4))).float()
    return functional.interpolate(coarse, size=(SIDE, SIDE), mode="nearest")[:, 0].to(torch.uint8)


def run(
    images: torch.Tensor, labels: torch.Tensor, draws: torch.Tensor, config: AugmentConfig, size: int = SIDE
) -> tuple[torch.Tensor, torch.Tensor]:
    backgrounds = torch.full((len(images), 4, 4, 3), 200, dtype=torch.uint8)
    return augment(images, labels, backgrounds, draws, size=size, order=ORDER, config=config)


def photo(side: int = SIDE) -> torch.Tensor:
    return torch.from_numpy(fitting.fit(reading.load(zoo.PORTRAIT), side).pixels.copy())[None]


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_picture_and_labels_stay_aligned(seed: int) -> None:
    """A picture whose red is its label: wherever it is not between two labels, it must still be."""
    labels = blobs(seed)
    images = (labels[..., None] * 12).expand(-1, -1, -1, 3).contiguous()
    config = AugmentConfig(
        flip=0.5, affine=0.7, rotation=45, scale=(0.6, 1.6), shift=0.2, turn=0.2, zoom_out=0.3, crop=0.2
    )
    draws = drawn(seed)
    frames, new = run(images, labels, draws, config)
    red = pixels(frames)[0, ..., 0]
    mirrored = bool(draws[0, 0] < 0.5)
    # What the picture says; a mirrored one says the label before left and right were swapped.
    told = (red / 12).round().long().clamp(0, len(ORDER) - 1)
    if mirrored:
        told = torch.from_numpy(ORDER.mirrored).long()[told]
    ids = new[0].float()[None, None]
    # Away from borders between labels and from the photo's own.
    flat = functional.max_pool2d(ids, 7, 1, 3) == -functional.max_pool2d(-ids, 7, 1, 3)
    inside = flat[0, 0] & (new[0] != 0)
    # Labels that end just outside the frame are unseen here, but not by the picture's interpolation.
    inside[:4], inside[-4:], inside[:, :4], inside[:, -4:] = False, False, False, False
    assert bool((told == new[0])[inside].all())


def test_without_changes_a_photo_of_the_frames_size_comes_through() -> None:
    images, labels = photo(), blobs(0)
    frames, new = run(images, labels, drawn(0), PLAIN)
    assert torch.equal(new, labels)
    assert (pixels(frames) - images.float()).abs().max() < 0.01


def test_mirroring_swaps_left_and_right() -> None:
    images, labels = photo(), blobs(3)
    frames, new = run(images, labels, drawn(0), AugmentConfig(flip=1.0))
    swapped = torch.from_numpy(ORDER.mirrored)[labels.long()].flip(2)
    assert torch.equal(new, swapped)
    assert (pixels(frames) - images.flip(2).float()).abs().max() < 0.01
    left, right = ORDER.index("l_eye"), ORDER.index("r_eye")
    assert bool((new == left).sum() == (labels == right).sum())


def test_ignored_pixels_stay_ignored() -> None:
    labels = blobs(1)
    labels[:, :20] = IGNORED
    for flip in (0.0, 1.0):
        _, new = run(photo(), labels, drawn(0), AugmentConfig(flip=flip))
        assert bool((new[:, :20] == IGNORED).all())
        assert not bool((new[:, 20:] == IGNORED).any())


def test_what_lies_outside_a_photo_is_padding_and_background() -> None:
    images = torch.full((8, SIDE, SIDE, 3), 255, dtype=torch.uint8)
    labels = torch.full((8, SIDE, SIDE), ORDER.index("skin"), dtype=torch.uint8)
    config = AugmentConfig(flip=0.0, affine=1.0, rotation=0, scale=(0.5, 0.5), shift=0.0)
    frames, new = run(images, labels, drawn(0, 8), config)
    outside = new == 0
    assert outside.float().mean() == pytest.approx(0.75, abs=0.02)
    assert torch.allclose(pixels(frames)[:, 2, 2], torch.tensor(PADDING).float(), atol=0.01)
    assert bool((pixels(frames)[~outside] > 250).all())


def test_a_face_made_small_is_whole_and_stands_before_something_else() -> None:
    images = torch.full((64, SIDE, SIDE, 3), 255, dtype=torch.uint8)
    labels = torch.full((64, SIDE, SIDE), ORDER.index("skin"), dtype=torch.uint8)
    config = AugmentConfig(flip=0.0, rotation=0, zoom_out=1.0, zoom_out_scale=(0.5, 0.5))
    frames, new = run(images, labels, drawn(1, 64), config)
    # Half as large: a quarter of the pixels, none cut off.
    areas = (new != 0).float().mean(dim=(1, 2))
    assert bool((areas > 0.2).all())
    assert bool((areas < 0.3).all())
    behind = pixels(frames)[:, 0, 0].round()
    assert {tuple(colour) for colour in behind.int().tolist()} >= {(200, 200, 200)}
    places = {tuple((new[i] != 0).nonzero()[0].tolist()) for i in range(64)}
    assert len(places) > 32


def test_a_strong_turn_may_be_any() -> None:
    """The way from the frame's middle to a mark says how far it was turned."""
    images = torch.zeros((64, SIDE, SIDE, 3), dtype=torch.uint8)
    labels = torch.ones((64, SIDE, SIDE), dtype=torch.uint8)
    labels[:, 20:26, 45:51] = 2
    draws = drawn(3, 64)
    _, new = run(images, labels, draws, AugmentConfig(flip=0.0, turn=1.0, turn_angle=180))
    for i in range(64):
        rows, columns = (new[i] == 2).nonzero().float().mean(0) + 0.5 - SIDE / 2
        assert float(torch.hypot(rows, columns)) == pytest.approx(25, abs=1)
        angle = torch.rad2deg(torch.atan2(columns, -rows))
        wanted = 360 * float(draws[i, 27]) - 180
        assert abs((float(angle) - wanted + 180) % 360 - 180) < 3
    mild = run(images, labels, draws, AugmentConfig(flip=0.0, turn=1.0, turn_angle=0))[1]
    assert torch.equal(mild, labels)


def test_a_tight_crop_lies_inside_the_photo_and_on_its_middle() -> None:
    images = torch.zeros((64, SIDE, SIDE, 3), dtype=torch.uint8)
    labels = torch.ones((64, SIDE, SIDE), dtype=torch.uint8)
    labels[:, 44:52, 44:52] = 2
    config = AugmentConfig(flip=0.0, crop=1.0, crop_scale=(2.0, 2.0))
    _, new = run(images, labels, drawn(4, 64), config)
    assert bool((new != 0).all())
    # Twice as large, and whole.
    assert (new == 2).sum(dim=(1, 2)).tolist() == pytest.approx([256] * 64, abs=40)
    assert len({tuple((new[i] == 2).nonzero()[0].tolist()) for i in range(64)}) > 32


def test_what_is_off_changes_nothing() -> None:
    """A recipe from before there were turns and crops gives what it gave: where neither is drawn, the same."""
    config = AugmentConfig(affine=0.6, zoom_out=0.2, background=0.3, colour=0.7, blur=0.5, erase=0.5)
    more = replace(config, turn=1e-9, crop=1e-9)
    images, labels, draws = photo().expand(8, -1, -1, -1), blobs(1).expand(8, -1, -1), drawn(5, 8)
    for one, other in zip(run(images, labels, draws, config), run(images, labels, draws, more), strict=True):
        assert torch.equal(one, other)


def test_erased_pixels_are_ignored() -> None:
    images, labels = photo().expand(16, -1, -1, -1), blobs(2).expand(16, -1, -1)
    frames, new = run(images, labels, drawn(2, 16), AugmentConfig(flip=0.0, erase=1.0, erase_side=0.5))
    erased = new == IGNORED
    assert bool(erased.flatten(1).any(1).all())
    assert torch.allclose(pixels(frames)[erased], torch.tensor(200.0), atol=0.01)
    assert torch.equal(new[~erased], labels[~erased])


def test_replacing_the_background_leaves_the_person() -> None:
    labels = blobs(5)
    frames, new = run(photo(), labels, drawn(0), AugmentConfig(flip=0.0, background=1.0))
    assert torch.equal(new, labels)
    assert torch.allclose(pixels(frames)[labels == 0], torch.tensor(200.0), atol=0.01)
    assert (pixels(frames) - photo().float())[labels != 0].abs().max() < 0.01


def test_colour_changes_leave_labels_and_shape() -> None:
    config = AugmentConfig(flip=0.0, colour=1.0, gamma=1.0, blur=1.0)
    images = photo().expand(8, -1, -1, -1)
    frames, new = run(images, blobs(0).expand(8, -1, -1), drawn(7, 8), config)
    assert torch.equal(new, blobs(0).expand(8, -1, -1))
    difference = (pixels(frames) - images.float()).abs().mean(dim=(1, 2, 3))
    assert bool((difference > 1).all())
    # Edges stay where they are.
    before, after = (each.float().mean(-1) for each in (images, pixels(frames)))
    for i in range(8):
        correlation = torch.corrcoef(torch.stack([before[i].flatten(), after[i].flatten()]))[0, 1]
        assert correlation > 0.8


@pytest.mark.parametrize("most", [1.5, 6.0])
def test_a_blur_is_a_gaussian_of_up_to_its_limit(most: float) -> None:
    """A line becomes a bell of the standard deviation that was drawn, at 256 pixels a side."""
    side = 256
    images = torch.zeros((16, side, side, 3), dtype=torch.uint8)
    images[:, :, 128] = 255
    labels, draws = torch.zeros((16, side, side), dtype=torch.uint8), drawn(6, 16)
    frames, _ = run(images, labels, draws, AugmentConfig(flip=0.0, blur=1.0, blur_sigma=most), size=side)
    line = pixels(frames)[:, 50, :, 0].double()
    weights = line / line.sum(1, keepdim=True)
    spread = ((torch.arange(side) - 128) ** 2 * weights).sum(1).sqrt()
    wanted = 0.2 + (most - 0.2) * draws[:, 20]
    clear = wanted > 0.6  # less is less than a pixel
    assert torch.allclose(spread[clear], wanted[clear].double(), rtol=0.08)


def test_grey_has_no_colour() -> None:
    frames, _ = run(photo(), blobs(0), drawn(0), AugmentConfig(flip=0.0, grey=1.0))
    seen = pixels(frames)
    assert (seen.amax(-1) - seen.amin(-1)).max() < 0.01


def test_a_samples_look_does_not_depend_on_its_batch() -> None:
    config = AugmentConfig(
        affine=0.6,
        turn=0.3,
        zoom_out=0.2,
        crop=0.3,
        background=0.3,
        colour=0.7,
        gamma=0.5,
        grey=0.2,
        blur=0.5,
        erase=0.5,
    )
    images = torch.cat([photo(), photo().flip(1), photo().flip(2), photo() // 2])
    labels = torch.cat([blobs(seed) for seed in range(4)])
    draws = drawn(11, 4)
    frames, new = run(images, labels, draws, config)
    for i in range(4):
        alone, labels_alone = run(images[i : i + 1], labels[i : i + 1], draws[i : i + 1], config)
        assert torch.equal(labels_alone[0], new[i])
        assert (alone[0] - frames[i]).abs().max() < 1e-4


def test_a_frame_larger_or_smaller_than_its_source() -> None:
    for size in (64, 128):
        frames, new = run(photo(), blobs(0), drawn(0), PLAIN, size=size)
        assert frames.shape == (1, 3, size, size)
        assert new.shape == (1, size, size)
        assert frames.is_contiguous(memory_format=torch.channels_last)
        expected = functional.interpolate(blobs(0)[:, None].float(), size=(size, size), mode="nearest-exact")[:, 0]
        assert (new == expected).float().mean() > 0.97


def test_every_probability_is_off_but_mirroring_and_checked() -> None:
    plain = AugmentConfig()
    zero = {item.name for item in fields(AugmentConfig) if item.default == 0.0}
    assert zero == set(CHANCES) - {"flip"}
    assert plain.flip == 0.5
    for name in CHANCES:
        for wrong in (-0.1, 1.1):
            with pytest.raises(UsageError, match=f"{name}.*is not a probability"):
                AugmentConfig(**{name: wrong})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("turn_angle", 181.0),
        ("motion_length", 0.3),
        ("noise_sigma", 1.0),
        ("crop_scale", (0.9, 2.0)),
        ("crop_scale", (2.0, 1.5)),
        ("low_resolution_factor", (2.0, 17.0)),
        ("low_resolution_factor", (0.5, 2.0)),
    ],
)
def test_ranges_are_checked(name: str, value: object) -> None:
    with pytest.raises(UsageError, match=name):
        AugmentConfig(**{name: value})  # type: ignore[arg-type]
