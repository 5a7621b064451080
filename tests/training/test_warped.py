"""Training on warped faces: landmarks go with the photo, and the loss sees logits of the photo's own pixels."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
for package in ("dacite", "matplotlib"):
    pytest.importorskip(package, reason=f"training needs {package}")

from PIL import Image

from segface_edge.datasets.opening import open_dataset
from segface_edge.errors import DataError, InputError
from segface_edge.labels import label_set
from segface_edge.network import read_checkpoint
from segface_edge.pictures.geometry import FaceBox
from segface_edge.training import loop
from segface_edge.training.augment import AugmentConfig, augment, move_points
from segface_edge.training.batches import collate
from segface_edge.training.face_source import FaceSource
from segface_edge.training.processes import Processes
from segface_edge.training.recipe_file import read_recipe
from segface_edge.training.sampling import Key

ALONE = Processes(0, 1, torch.device("cpu"))
LAPA = label_set("lapa")
FIVE = [(120.0, 90.0), (190.0, 95.0), (150.0, 120.0), (125.0, 155.0), (180.0, 160.0)]
RECIPE = """
[model]
labels = "lapa"
size = 64
warp = true

[data]
train = "{data}"
val = "{data}"
train_split = "train"
val_split = "train"
side = 64

[[stage]]
steps = 2
batch = 2
sizes = [64]

[augment]
affine = 1.0

[run]
log_every = 1
"""


@pytest.fixture
def lapa(tmp_path: Path) -> Path:
    """Two photos of 320 x 240 in LaPa's layout."""
    root = tmp_path / "LaPa"
    random = np.random.default_rng(0)
    points = [(0.0, 0.0)] * 106
    for members, point in zip(((74, 104), (83, 105), (54,), (84,), (90,)), FIVE, strict=True):
        for member in members:
            points[member] = point
    for part in ("images", "labels", "landmarks"):
        (root / "train" / part).mkdir(parents=True)
    for name in "ab":
        photo = random.integers(0, 255, (8, 10, 3), np.uint8).repeat(30, 0).repeat(32, 1)
        labels = random.integers(0, 11, (8, 10), np.uint8).repeat(30, 0).repeat(32, 1)
        Image.fromarray(photo).save(root / "train" / "images" / f"{name}.png")
        Image.fromarray(labels).save(root / "train" / "labels" / f"{name}.png")
        text = "\n".join(["106", *(f"{x} {y}" for x, y in points)])
        (root / "train" / "landmarks" / f"{name}.txt").write_text(text)
    return root


def source(root: Path, **options: object) -> FaceSource:
    samples = open_dataset(root, split="train").samples
    return FaceSource(samples, [LAPA] * len(samples), LAPA, side=64, config=AugmentConfig(), seed=0, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("preload", [False, True])
def test_landmarks_lie_where_the_photo_was_fitted(lapa: Path, preload: bool) -> None:
    faces = source(lapa, preload=preload, warps=True)
    batch = collate([faces[Key(0, 0, 64)], faces[Key(1, 1, 64)]])
    assert not isinstance(batch, Exception)
    assert batch.landmarks is not None
    # 320 x 240 becomes 64 x 48, in the middle of 64 x 64.
    wanted = (np.array(FIVE) * 0.2 + (0, 8)) / 32 - 1
    assert np.allclose(batch.landmarks.numpy(), wanted, atol=1e-6)
    assert batch.to(torch.device("cpu")).landmarks is not None
    assert "landmarks" not in source(lapa)[Key(0, 0, 64)]


@pytest.mark.parametrize("seed", range(6))
def test_points_move_with_the_photo(seed: int) -> None:
    """Five dots of a colour of their own, found again in the frame."""
    config = AugmentConfig(flip=0.5, affine=1.0, rotation=30, crop=0.3)
    draws = torch.rand(1, 32, generator=torch.Generator().manual_seed(seed))
    places = torch.tensor([[24, 26], [40, 25], [32, 33], [26, 42], [39, 41]])
    labels = torch.zeros(1, 64, 64, dtype=torch.uint8)
    for number, (x, y) in enumerate(places.tolist(), 1):
        labels[0, y - 1 : y + 2, x - 1 : x + 2] = number
    # Skin, the brows and an eye: what is mirrored has the other side's label.
    points = ((places + 0.5) / 32 - 1)[None].float()
    _, moved = augment(
        torch.zeros(1, 64, 64, 3, dtype=torch.uint8),
        labels,
        torch.zeros(1, 32, 32, 3, dtype=torch.uint8),
        draws,
        size=64,
        order=LAPA,
        config=config,
    )
    found = move_points(points, draws, size=64, config=config)[0]
    mirrored = bool(draws[0, 0] < config.flip)
    order = [1, 0, 2, 4, 3] if mirrored else [0, 1, 2, 3, 4]
    for place, number in zip(found.tolist(), order, strict=True):
        label = int(LAPA.mirrored[number + 1]) if mirrored else number + 1
        rows, columns = np.nonzero(moved[0].numpy() == label)
        if min(place) > 3 and max(place) < 61 and len(rows) >= 6:
            assert math.dist(place, (columns.mean() + 0.5, rows.mean() + 0.5)) < 1.0


def test_a_run_on_lapa_warps(lapa: Path, tmp_path: Path) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(data=lapa))
    seen = []
    from segface_edge.network import SegFace

    forward = SegFace.forward

    def noted(self: SegFace, images: torch.Tensor, landmarks: torch.Tensor | None = None) -> torch.Tensor:
        seen.append(landmarks)
        return forward(self, images, landmarks)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SegFace, "forward", noted)
        result = loop.train(read_recipe(path), tmp_path / "run", processes=ALONE)
    assert [None if points is None else tuple(points.shape) for points in seen] == [(2, 5, 2)] * 2
    assert result.last is not None
    assert read_checkpoint(tmp_path / "run" / "last.safetensors").warp == "roi-tanh"


def test_a_photo_without_landmarks_is_told_of_before_the_first_step(lapa: Path, tmp_path: Path) -> None:
    for part in ("images", "labels"):
        (lapa / "train" / part).rename(tmp_path / part)
    (tmp_path / "dataset.toml").write_text('label_order = "lapa"\n')
    path = tmp_path / "recipe.toml"
    text = RECIPE.format(data=tmp_path).replace('train_split = "train"\nval_split = "train"\n', "")
    path.write_text(text)
    with pytest.raises(DataError, match=r"a\.png: has no landmarks, which model\.warp needs"):
        loop.train(read_recipe(path), tmp_path / "run", processes=ALONE)


@pytest.mark.parametrize("table", ['[teacher]\nweights = "bundled"\n[loss]\ndistillation = 0.5\n', "[contrastive]\n"])
def test_a_warp_goes_without_what_sees_unwarped_faces(tmp_path: Path, table: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(RECIPE.format(data=tmp_path) + table)
    with pytest.raises(InputError, match=r"model\.warp.*does not go with"):
        read_recipe(path)


def test_helens_box_is_what_a_network_is_trained_on(lapa: Path) -> None:
    from dataclasses import replace

    samples = open_dataset(lapa, split="train").samples
    boxed = replace(samples[0], box=FaceBox(left=160, top=-30, right=480, bottom=290))
    config = AugmentConfig()
    faces = FaceSource([boxed], [LAPA], LAPA, side=64, config=config, seed=0)
    photo, labels = faces.photo(0)
    # The right half of the photo, stretched.
    with Image.open(boxed.image) as whole, Image.open(boxed.labels) as truth:
        wanted = whole.crop((160, 0, 320, 240)).resize((64, 64), Image.Resampling.BICUBIC)
        ids = truth.crop((160, 0, 320, 240)).resize((64, 64), Image.Resampling.NEAREST)
        assert np.array_equal(photo, np.asarray(wanted))
        assert np.array_equal(labels, np.asarray(ids))
