"""Left and right exchanged, whatever the roll of the head."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segface_edge.datasets.check import check
from segface_edge.datasets.opening import open_splits
from segface_edge.datasets.sides import wrong_sides
from segface_edge.evaluation.evaluate import evaluate
from segface_edge.labels import LabelSet, label_set
from segface_edge.parsing.parser import FaceParser

from .drawn import SIDE, face, picture

HQ, LAPA, SEGFACE = label_set("celebamask-hq"), label_set("lapa"), label_set("segface")


@pytest.mark.parametrize("order", [HQ, SEGFACE, LAPA], ids=lambda order: order.name)
@pytest.mark.parametrize("angle", range(0, 360, 30))
def test_a_head_that_is_turned_is_not_taken_for_a_swapped_one(order: LabelSet, angle: int) -> None:
    pairs = len(order.pairs)
    turned = np.asarray(Image.fromarray(face(order)).rotate(angle))
    assert wrong_sides(turned, order) == (pairs, 0)
    assert wrong_sides(order.mirrored[turned], order) == (pairs, pairs)
    # Mirrored with its sides exchanged it is sound again.
    assert wrong_sides(np.ascontiguousarray(order.mirrored[turned[:, ::-1]]), order) == (pairs, 0)


def test_pairs_of_which_one_shows_are_not_judged() -> None:
    assert wrong_sides(face(without=("l_ear", "l_eye", "r_brow")), HQ) == (0, 0)
    assert wrong_sides(np.zeros((8, 8), np.uint8), HQ) == (0, 0)
    ears = np.zeros((8, 8), np.uint8)
    ears[4, 0], ears[4, 7] = HQ.index("r_ear"), HQ.index("l_ear")
    assert wrong_sides(ears, HQ) == (1, 0)  # nothing tells up from down: upright


@pytest.fixture
def genuine(shared: Path, tmp_path: Path) -> Path:
    """Two faces laid out and labelled as LaPa is: 2 and 4 on the picture's left."""
    archive = shared / "reports" / "lapa.tar.gz"
    if not archive.is_file():
        pytest.skip(f"no {archive}")
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    return tmp_path / "lapa"


def test_nothing_is_wrong_with_a_genuine_lapa(genuine: Path) -> None:
    report = check(open_splits(genuine, strict=False))
    assert (report.layout, report.findings) == ("lapa", ())


def test_a_model_of_another_order_is_measured_on_lapa_by_the_subjects_sides(genuine: Path, parser: FaceParser) -> None:
    (data,) = open_splits(genuine)
    found = evaluate(parser.engine, data.samples, data.order, "paper").to_dict()
    # Exchanged they would be near 0.
    assert min(found["per_class_f1"][f"{side}_{part}"] for side in "lr" for part in ("brow", "eye")) > 0.7
    assert found["mean_f1"] > 0.8  # with sides the other way round 0.57


@pytest.mark.parametrize("name", ["lapa", "helen"])
@pytest.mark.parametrize("viewers", [True, False])
def test_left_is_the_viewers_in_lapa_and_helen(tmp_path: Path, name: str, viewers: bool) -> None:
    order = label_set(name)
    labels = face(order)
    columns = {index: np.nonzero(labels == index)[1].mean() for index in (2, 3, 4, 5)}
    assert columns[2] < columns[3]
    assert columns[4] < columns[5]
    if not viewers:
        labels = order.mirrored[labels]
    photo, ids = ("train/images/1.jpg", "train/labels/1.png") if name == "lapa" else (
        "train/1_image.jpg", "train/1_label.png"
    )  # fmt: skip
    for path in (photo, ids, "train/landmarks/1.txt"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "train/landmarks/1.txt").write_text("106\n" + f"{SIDE} {SIDE}\n" * 106)
    if name == "helen":
        (tmp_path / "train/landmarks/1.txt").unlink()
        (tmp_path / "train/landmarks").rmdir()
    picture(1).save(tmp_path / photo)
    Image.fromarray(labels).save(tmp_path / ids)
    report = check(open_splits(tmp_path, strict=False))
    assert (report.layout, report.ok) == (name, viewers)
    assert [finding.kind for finding in report.findings] == ([] if viewers else ["reversed"])
