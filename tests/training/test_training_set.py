"""What a network is trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("dacite", reason="training needs dacite")

from PIL import Image

from segface_edge.datasets.sides import wrong_sides
from segface_edge.errors import UsageError
from segface_edge.labels import label_set
from segface_edge.training.augment import AugmentConfig, augment
from segface_edge.training.recipe import DataConfig, ModelConfig, Recipe, StageConfig
from segface_edge.training.sampling import Key
from segface_edge.training.training_set import TrainingSet, make_training_set, open_labelled, open_validation

HQ, LAPA = label_set("celebamask-hq"), label_set("lapa")
SIDE = 64
# A face of boxes (left, top, right, bottom) as one sees it: what lies on the picture's left is the subject's right.
SKIN, HAIR, NOSE, UPPER, INSIDE, LOWER = (12, 14, 52, 60), (8, 4, 56, 30), (29, 28, 35, 42), (24, 46, 40, 48), (
    24, 48, 40, 50), (24, 50, 40, 53)  # fmt: skip
LEFT_BROW, RIGHT_BROW, LEFT_EYE, RIGHT_EYE = (18, 22, 28, 24), (36, 22, 47, 25), (19, 28, 27, 31), (37, 28, 46, 32)
# id -> box, as the data sets have them: LaPa's and Helen's "left brow", 2, lies on the picture's left, CelebAMask-HQ's
# l_brow, 6, on its right.
ELEVEN = {10: HAIR, 1: SKIN, 2: LEFT_BROW, 3: RIGHT_BROW, 4: LEFT_EYE, 5: RIGHT_EYE, 6: NOSE, 7: UPPER, 8: INSIDE,
          9: LOWER}  # fmt: skip
NINETEEN = {13: HAIR, 1: SKIN, 7: LEFT_BROW, 6: RIGHT_BROW, 5: LEFT_EYE, 4: RIGHT_EYE, 2: NOSE, 11: UPPER, 10: INSIDE,
            12: LOWER}  # fmt: skip


def drawn(ids: dict[int, tuple[int, int, int, int]]) -> npt.NDArray[np.uint8]:
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for index, (left, top, right, bottom) in ids.items():
        labels[top:bottom, left:right] = index
    return labels


def write(folder: Path, photo: str, labels: str, ids: dict[int, tuple[int, int, int, int]]) -> None:
    for path in (folder / photo, folder / labels):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((SIDE, SIDE, 3), 128, np.uint8)).save(folder / photo)
    Image.fromarray(drawn(ids)).save(folder / labels)


@pytest.fixture
def sets(tmp_path: Path) -> tuple[str, ...]:
    """The same face in CelebAMask-HQ's, LaPa's and Helen's ids."""
    hq, lapa, helen = (tmp_path / name for name in ("hq", "lapa", "helen"))
    write(hq, "train/images/1.png", "train/labels/1.png", NINETEEN)
    (hq / "dataset.toml").write_text('label_order = "celebamask-hq"\n')
    write(lapa, "train/images/1.jpg", "train/labels/1.png", ELEVEN)
    (lapa / "train" / "landmarks").mkdir()
    (lapa / "train" / "landmarks" / "1.txt").write_text("106\n" + "1 1\n" * 106)
    write(helen, "train/1_image.jpg", "train/1_label.png", ELEVEN)
    return str(hq), str(lapa), str(helen)


def merged(roots: tuple[str, ...], labels: str) -> TrainingSet:
    recipe = Recipe(
        data=DataConfig(train=roots, train_split="train", side=SIDE),
        model=ModelConfig(labels=labels, size=SIDE),
        stage=(StageConfig(steps=1, batch=2, sizes=(SIDE,)),),
        augment=AugmentConfig(flip=0.0),
    )
    data = [open_labelled(root, recipe.data.train_split, recipe.data.label_order) for root in recipe.data.train_sets]
    return make_training_set(recipe, data, [])


def test_a_data_sets_own_order_counts(labelled: Path) -> None:
    (labelled / "dataset.toml").write_text('label_order = "bisenet"\n')
    assert open_labelled(str(labelled), None, "celebamask-hq").order.name == "bisenet"


@pytest.mark.parametrize("labels", ["lapa", "helen"])
def test_sets_with_other_words_for_left_say_the_same_when_merged(sets: tuple[str, ...], labels: str) -> None:
    training = merged(sets, labels)
    assert training.labelled == 3
    for index in range(3):
        assert np.array_equal(training.source[Key(index, 0, SIDE)]["labels"], drawn(ELEVEN)), sets[index]
        assert training.source.photo(index)[1][23, 20] == label_set(labels).index("r_brow")


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_merged_faces_keep_their_sides_when_they_are_mirrored(sets: tuple[str, ...], flip: float) -> None:
    training = merged(sets, "lapa")
    samples = [training.source[Key(index, index, SIDE)] for index in range(3)]
    batch = {name: torch.from_numpy(np.stack([one[name] for one in samples])) for name in samples[0]}
    _, labels = augment(
        batch["image"], batch["labels"], batch["background"], batch["draws"],
        size=SIDE, order=LAPA, config=AugmentConfig(flip=flip, affine=0.0, zoom_out=0.0),
    )  # fmt: skip
    assert [wrong_sides(one, LAPA) for one in labels.numpy()] == [(2, 0)] * 3
    assert np.array_equal(labels[0], labels[1])
    assert np.array_equal(labels[1], labels[2])


def test_19_classes_cannot_be_learned_from_a_set_of_11(sets: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match=r"'lapa': cannot be remapped to 'segface'.*; train .* model.labels = 'lapa'"):
        merged(sets, "segface")
    assert merged(sets[:1], "segface").labelled == 1


def test_one_set_is_a_list_of_one(sets: tuple[str, ...]) -> None:
    assert DataConfig(train=sets[0]).train_sets == sets[:1]
    with pytest.raises(UsageError, match="train: is out of range; name a data set"):
        DataConfig(train=())


def test_several_sets_are_measured_on_together(sets: tuple[str, ...]) -> None:
    hq, lapa, _ = sets
    config = DataConfig(train=hq, val=(hq, hq), val_split="train")
    data = open_validation(config)
    assert data is not None
    assert (data.order.name, [sample.name for sample in data.samples]) == ("celebamask-hq", ["1", "1"])
    assert open_validation(DataConfig(train=hq)) is None
    with pytest.raises(UsageError, match="data.val: has sets in the label orders celebamask-hq and lapa; measure on"):
        open_validation(DataConfig(train=hq, val=(hq, lapa), val_split="train"))
