"""A model against a labelled folder: both protocols against an independent computation."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from segface_edge.datasets.opening import folder
from segface_edge.datasets.samples import Sample
from segface_edge.errors import DataError
from segface_edge.evaluation.evaluate import Evaluation, PhotoScore, compared, evaluate
from segface_edge.labels import LabelSet, label_set

MakeEngine = Callable[..., Any]
Array = npt.NDArray[np.uint8]

SEGFACE, HQ, LAPA = label_set("segface"), label_set("celebamask-hq"), label_set("lapa")
SIZE = 32


def blobs(height: int, width: int, classes: int, seed: int, block: int = 6) -> Array:
    """A label map of coarse blocks."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, classes, (height // block + 1, width // block + 1), np.uint8)
    return np.repeat(np.repeat(coarse, block, axis=0), block, axis=1)[:height, :width]


def write(root: Path, maps: list[Array], photos: list[tuple[int, int]] | None = None) -> list[Sample]:
    """Writes a data set of grey photos; `photos` are their (height, width), those of the maps by default."""
    for part in ("images", "labels"):
        (root / part).mkdir()
    for i, labels in enumerate(maps):
        height, width = photos[i] if photos else labels.shape
        Image.new("RGB", (width, height), (128, 128, 128)).save(root / "images" / f"{i:02}.png")
        Image.fromarray(np.ascontiguousarray(labels)).save(root / "labels" / f"{i:02}.png")
    return folder(root)


def scores(truth: list[Array], predicted: list[Array], order: LabelSet) -> dict[str, tuple[float, float] | None]:
    """{class: (F1, IoU)} over all pixels whose truth is not 255."""
    t, p = (np.concatenate([one.reshape(-1) for one in maps]) for maps in (truth, predicted))
    t, p = t[t != 255], p[t != 255]
    found: dict[str, tuple[float, float] | None] = {}
    for label, name in enumerate(order.classes):
        both, either = ((t == label) & (p == label)).sum(), ((t == label) | (p == label)).sum()
        found[name] = (2 * both / ((t == label).sum() + (p == label).sum()), both / either) if either else None
    return found


def check(evaluation: Evaluation, wanted: dict[str, tuple[float, float] | None]) -> None:
    document = evaluation.to_dict()
    for i, key in enumerate(("per_class_f1", "per_class_iou")):
        for name, value in wanted.items():
            assert document[key][name] == (None if value is None else pytest.approx(value[i])), (key, name)
        assert list(document[key]) == list(evaluation.order.classes)
    names = [name for name, value in wanted.items() if value is not None]
    f1 = [wanted[name][0] for name in names if name != "background"]  # type: ignore[index]
    iou = [wanted[name][1] for name in names]  # type: ignore[index]
    assert document["mean_f1"] == pytest.approx(sum(f1) / len(f1))
    assert document["mean_iou"] == pytest.approx(sum(iou) / len(iou))


def nearest(labels: Array, size: int) -> Array:
    """The label at each target pixel's centre."""
    rows = ((np.arange(size) + 0.5) * labels.shape[0] / size).astype(int)
    columns = ((np.arange(size) + 0.5) * labels.shape[1] / size).astype(int)
    return labels[rows][:, columns]


def test_paper_compares_in_the_networks_square(tmp_path: Path, constant_engine: MakeEngine) -> None:
    prediction = blobs(SIZE, SIZE, 12, seed=1)
    truths = [blobs(48, 80, 14, seed=2), blobs(64, 64, 10, seed=3), blobs(90, 31, 8, seed=4)]
    samples = write(tmp_path, truths)
    evaluation = evaluate(constant_engine(prediction), samples, SEGFACE, "paper")
    wanted = scores([nearest(truth, SIZE) for truth in truths], [prediction] * 3, SEGFACE)
    check(evaluation, wanted)
    assert wanted["hat"] is None
    assert evaluation.histogram.counts.sum() == 3 * SIZE * SIZE


def test_native_compares_in_the_label_maps_own_pixels(tmp_path: Path, constant_engine: MakeEngine) -> None:
    """A frame of vertical halves, twice as large in the photos: the edge falls between pixels."""
    prediction = np.zeros((SIZE, SIZE), np.uint8)
    prediction[:, : SIZE // 2], prediction[:, SIZE // 2 :] = 2, 14
    square, wide = blobs(64, 64, 16, seed=5), blobs(32, 64, 16, seed=6)
    restored = np.repeat(np.array([[2, 14]], np.uint8), 32, axis=1)
    evaluation = evaluate(constant_engine(prediction), write(tmp_path, [square, wide]), SEGFACE, "native")
    predicted = [np.repeat(restored, 64, axis=0), np.repeat(restored, 32, axis=0)]
    check(evaluation, scores([square, wide], predicted, SEGFACE))
    assert evaluation.histogram.counts.sum() == 64 * 64 + 32 * 64


def test_native_leaves_the_padding_of_the_frame_out(tmp_path: Path, constant_engine: MakeEngine) -> None:
    prediction = np.full((SIZE, SIZE), 17, np.uint8)
    prediction[8:24] = 2
    truth = np.full((32, 64), 2, np.uint8)
    document = evaluate(constant_engine(prediction), write(tmp_path, [truth]), SEGFACE, "native").to_dict()
    assert document["per_class_f1"]["skin"] == 1
    assert document["per_class_f1"]["ear_r"] is None


def test_native_takes_label_maps_of_another_size_than_their_photos(tmp_path: Path, constant_engine: MakeEngine) -> None:
    """As in CelebAMask-HQ: photos of 1024, label maps of 512 pixels."""
    prediction = np.zeros((SIZE, SIZE), np.uint8)
    prediction[:, SIZE // 2 :] = 10
    truth = np.zeros((48, 48), np.uint8)
    truth[:, 24:] = 10
    samples = write(tmp_path, [truth], photos=[(96, 96)])
    evaluation = evaluate(constant_engine(prediction), samples, SEGFACE, "native")
    assert evaluation.histogram.equal() == 1
    assert evaluation.histogram.counts.sum() == 48 * 48


@pytest.mark.parametrize("protocol", ["paper", "native"])
def test_labels_on_disk_of_another_order_are_remapped(
    tmp_path: Path, constant_engine: MakeEngine, protocol: Any
) -> None:
    prediction = blobs(SIZE, SIZE, 19, seed=7)
    by_name = np.array([HQ.classes.index(name) for name in SEGFACE.classes], np.uint8)
    samples = write(tmp_path, [by_name[prediction]])
    evaluation = evaluate(constant_engine(prediction), samples, HQ, protocol)
    assert evaluation.order.name == "segface"
    assert evaluation.histogram.equal() == 1
    misread = evaluate(constant_engine(prediction), samples, SEGFACE, protocol)
    assert misread.histogram.equal() == pytest.approx((by_name[prediction] == prediction).mean())
    assert misread.histogram.equal() < 0.5


@pytest.mark.parametrize("protocol", ["paper", "native"])
def test_11_classes_on_disk_are_compared_in_11_classes(
    tmp_path: Path, constant_engine: MakeEngine, protocol: Any
) -> None:
    prediction = blobs(SIZE, SIZE, 19, seed=8)
    truth = blobs(SIZE, SIZE, 11, seed=9)
    evaluation = evaluate(constant_engine(prediction), write(tmp_path, [truth]), LAPA, protocol)
    merged = {"l_ear": "skin", "r_ear": "skin"}
    few = [
        merged.get(name, name) if merged.get(name, name) in LAPA.classes else "background" for name in SEGFACE.classes
    ]
    predicted = np.array([LAPA.classes.index(name) for name in few], np.uint8)[prediction]
    assert evaluation.order.name == "lapa"
    check(evaluation, scores([truth], [predicted], LAPA))


def test_a_model_of_11_classes_is_compared_in_11_classes(tmp_path: Path, constant_engine: MakeEngine) -> None:
    truth = blobs(SIZE, SIZE, 19, seed=10)
    names = [name if name in LAPA.classes else "background" for name in SEGFACE.classes]
    names[SEGFACE.index("l_ear")] = names[SEGFACE.index("r_ear")] = "skin"
    prediction = np.array([LAPA.classes.index(name) for name in names], np.uint8)[truth]
    evaluation = evaluate(constant_engine(prediction, LAPA), write(tmp_path, [truth]), SEGFACE, "native")
    assert evaluation.order.name == "lapa"
    assert evaluation.histogram.equal() == 1


@pytest.mark.parametrize("protocol", ["paper", "native"])
def test_ignored_pixels_do_not_count(tmp_path: Path, constant_engine: MakeEngine, protocol: Any) -> None:
    truth = np.full((SIZE, SIZE), 2, np.uint8)
    truth[:10] = 255
    evaluation = evaluate(constant_engine(np.full((SIZE, SIZE), 2)), write(tmp_path, [truth]), SEGFACE, protocol)
    assert evaluation.histogram.counts.sum() == 22 * SIZE
    assert evaluation.histogram.equal() == 1


def test_the_document_says_what_was_evaluated(tmp_path: Path, constant_engine: MakeEngine) -> None:
    samples = write(tmp_path, [np.full((20, 20), 2, np.uint8)] * 6)
    done: list[int] = []
    evaluation = evaluate(constant_engine(np.full((SIZE, SIZE), 2)), samples, SEGFACE, "paper", progress=done.append)
    document = evaluation.to_dict()
    assert {key: document[key] for key in ("model", "protocol", "size", "images", "label_order")} == {
        "model": "fake",
        "protocol": "paper",
        "size": SIZE,
        "images": 6,
        "label_order": "segface",
    }
    assert document["mean_f1"] == document["mean_iou"] == 1
    assert sum(done) == 6


def test_a_split_of_background_alone_has_no_mean_f1(tmp_path: Path, constant_engine: MakeEngine) -> None:
    samples = write(tmp_path, [np.zeros((20, 20), np.uint8)])
    document = evaluate(constant_engine(np.zeros((SIZE, SIZE))), samples, SEGFACE, "paper").to_dict()
    assert document["mean_f1"] is None
    assert document["mean_iou"] == 1
    assert not any(isinstance(value, float) and math.isnan(value) for value in document["per_class_f1"].values())


def test_photos_reach_the_model_in_their_order(tmp_path: Path, echo_engine: MakeEngine) -> None:
    """Photo i is red 16 i, so that the model answers i: right only where each answer meets its own label map."""
    samples = write(tmp_path, [np.full((20, 20), i, np.uint8) for i in range(11)])
    for i, sample in enumerate(samples):
        Image.new("RGB", (18, 18), (16 * i, 0, 0)).save(sample.image)
    for protocol in ("paper", "native"):
        evaluation = evaluate(echo_engine(SIZE), samples, SEGFACE, protocol)  # type: ignore[arg-type]
        rows = np.diag(evaluation.histogram.counts)[:11]
        assert (rows > 0).all()
        assert evaluation.histogram.equal() == 1


@pytest.mark.parametrize("protocol", ["paper", "native"])
def test_a_photo_and_labels_that_are_not_of_one_frame_are_refused(
    tmp_path: Path, constant_engine: MakeEngine, protocol: str
) -> None:
    samples = write(tmp_path, [np.zeros((40, 60), np.uint8)])
    Image.new("RGB", (40, 60)).save(samples[0].image)
    with pytest.raises(DataError, match=r"is 60 x 40, its upright photo 40 x 60"):
        evaluate(constant_engine(np.zeros((SIZE, SIZE))), samples, SEGFACE, protocol)
    Image.new("RGB", (121, 79)).save(samples[0].image)
    evaluate(constant_engine(np.zeros((SIZE, SIZE))), samples, SEGFACE, protocol)


def test_each_photo_has_its_own_score(tmp_path: Path, constant_engine: MakeEngine) -> None:
    prediction = blobs(SIZE, SIZE, 12, seed=11)
    truths = [blobs(SIZE, SIZE, 14, seed=seed) for seed in range(12, 18)]
    evaluation = evaluate(constant_engine(prediction), write(tmp_path, truths), SEGFACE, "paper")
    assert [photo.name for photo in evaluation.photos] == [f"{i:02}.png" for i in range(6)]
    for photo, truth in zip(evaluation.photos, truths, strict=True):
        f1 = {
            name: value[0]
            for name, value in scores([truth], [prediction], SEGFACE).items()
            if value is not None and name != "background"
        }
        assert photo.mean_f1 == pytest.approx(sum(f1.values()) / len(f1))
        assert photo.worst_f1 == pytest.approx(min(f1.values()))
        assert photo.worst_class is not None
        assert f1[photo.worst_class] == pytest.approx(photo.worst_f1)


@pytest.mark.parametrize("protocol", ["paper", "native"])
def test_the_worst_photo_is_the_one_whose_labels_were_damaged(
    tmp_path: Path, constant_engine: MakeEngine, protocol: Any
) -> None:
    prediction = blobs(SIZE, SIZE, 19, seed=19)
    truths = [prediction.copy() for _ in range(12)]
    truths[7][truths[7] == SEGFACE.index("hat")] = SEGFACE.index("hair")
    truths[4][0, 0] = (truths[4][0, 0] + 1) % 19
    evaluation = evaluate(constant_engine(prediction), write(tmp_path, truths), SEGFACE, protocol)
    worst = evaluation.to_dict()["worst"]
    assert [photo["file"] for photo in worst[:2]] == ["07.png", "04.png"]
    assert (worst[0]["worst_class"], worst[0]["worst_f1"]) == ("hat", 0)
    assert worst[0]["mean_f1"] < worst[1]["mean_f1"] < 1
    assert len(worst) == 10
    assert all(photo["mean_f1"] == 1 for photo in worst[2:])
    assert evaluation.worst(1) == [7]


def test_a_photo_of_background_alone_is_no_worst_case(tmp_path: Path, constant_engine: MakeEngine) -> None:
    truths = [np.zeros((SIZE, SIZE), np.uint8), np.full((SIZE, SIZE), 255, np.uint8)]
    evaluation = evaluate(constant_engine(np.zeros((SIZE, SIZE))), write(tmp_path, truths), SEGFACE, "paper")
    assert evaluation.photos[0] == PhotoScore(name="00.png", mean_f1=None, worst_class=None, worst_f1=None)
    assert [photo["mean_f1"] for photo in evaluation.to_dict()["worst"]] == [None, None]
    assert evaluation.photos[1].describe() == "01.png: background alone"
    assert sorted(evaluation.worst(8)) == [0, 1]


def test_the_confusion_counts_pixels_by_truth_and_prediction(tmp_path: Path, constant_engine: MakeEngine) -> None:
    prediction = np.full((SIZE, SIZE), SEGFACE.index("hair"), np.uint8)
    truth = np.full((SIZE, SIZE), SEGFACE.index("hat"), np.uint8)
    truth[:3] = 255
    document = evaluate(constant_engine(prediction), write(tmp_path, [truth]), SEGFACE, "paper").to_dict()
    wanted = np.zeros((19, 19), int)
    wanted[SEGFACE.index("hat"), SEGFACE.index("hair")] = 29 * SIZE
    assert document["confusion"] == wanted.tolist()


def test_photos_can_be_compared_again(tmp_path: Path, echo_engine: MakeEngine) -> None:
    """Whichever are asked for, in that order: photo i is red 16 i, and the model answers i."""
    samples = write(tmp_path, [np.full((20, 20), i, np.uint8) for i in range(9)])
    for i, sample in enumerate(samples):
        Image.new("RGB", (40, 40), (16 * i, 0, 0)).save(sample.image)
    for protocol, side in (("paper", SIZE), ("native", 20)):
        pairs = list(compared(echo_engine(SIZE), [samples[i] for i in (6, 2, 8, 1, 3)], SEGFACE, protocol))  # type: ignore[arg-type]
        assert [int(pair.truth[10, 10]) for pair in pairs] == [6, 2, 8, 1, 3]
        for pair in pairs:
            assert pair.truth.shape == pair.predicted.shape == (side, side)
            np.testing.assert_array_equal(pair.truth, pair.predicted)
            assert pair.image.shape == ((SIZE, SIZE, 3) if protocol == "paper" else (40, 40, 3))
            assert (pair.image[..., 0] == 16 * pair.truth[10, 10]).all()


def test_no_label_maps_are_kept(tmp_path: Path, constant_engine: MakeEngine) -> None:
    """A photo's score is a few words, however large the photo."""
    samples = write(tmp_path, [np.full((300, 300), 2, np.uint8)])
    evaluation = evaluate(constant_engine(np.full((SIZE, SIZE), 2)), samples, SEGFACE, "native")
    assert evaluation.photos == (PhotoScore(name="00.png", mean_f1=1.0, worst_class="skin", worst_f1=1.0),)
