"""A data set looked at before training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageEnhance, ImageOps

from segface_edge import zoo
from segface_edge.datasets.check import KINDS, Finding, Report, check, near_pairs, wrong_sides
from segface_edge.datasets.opening import open_splits
from segface_edge.errors import DataError
from segface_edge.labels import LabelSet, label_set

Array = npt.NDArray[np.uint8]

HQ, LAPA, SEGFACE = label_set("celebamask-hq"), label_set("lapa"), label_set("segface")
SIDE = 96
# A face of boxes (left, top, right, bottom), upright: the subject's left lies to the picture's right.
FACE = {
    "hair": (10, 2, 86, 60),
    "skin": (20, 20, 76, 90),
    "r_ear": (12, 44, 20, 56),
    "l_ear": (76, 44, 84, 56),
    "r_brow": (28, 34, 42, 38),
    "l_brow": (54, 34, 68, 38),
    "r_eye": (30, 42, 40, 48),
    "l_eye": (56, 42, 66, 48),
    "nose": (43, 46, 53, 62),
    "u_lip": (38, 68, 58, 72),
    "l_lip": (38, 72, 58, 77),
}


def face(order: LabelSet = HQ, *, without: tuple[str, ...] = ()) -> Array:
    labels = np.zeros((SIDE, SIDE), np.uint8)
    for name, (left, top, right, bottom) in FACE.items():
        if name in order.classes and name not in without:
            labels[top:bottom, left:right] = order.index(name)
    return labels


def picture(number: int) -> Image.Image:
    """The portrait, moved round: another picture for every number."""
    with Image.open(zoo.PORTRAIT) as opened:
        pixels = np.asarray(opened.resize((SIDE, SIDE)))
    return Image.fromarray(np.roll(pixels, (17 * number, 29 * number), axis=(0, 1)))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four photos in `train`, two in `val`, nothing wrong with them."""
    for split, numbers in (("train", range(4)), ("val", (4, 5))):
        for part in ("images", "labels"):
            (tmp_path / split / part).mkdir(parents=True)
        for number in numbers:
            picture(number).save(tmp_path / split / "images" / f"{number}.png")
            Image.fromarray(face()).save(tmp_path / split / "labels" / f"{number}.png")
    (tmp_path / "dataset.toml").write_text('label_order = "celebamask-hq"\n')
    return tmp_path


def run(root: Path, **options: Any) -> Report:
    return check(open_splits(root, strict=False, **options))


def the_one(report: Report, kind: str) -> Finding:
    assert [finding.kind for finding in report.findings] == [kind]
    assert report.ok is (KINDS[kind][0] == "warning")
    return report.findings[0]


def test_a_sound_data_set_is_counted(root: Path) -> None:
    labels = face(without=("l_ear", "hair"))
    labels[:5] = 255
    Image.fromarray(labels).save(root / "train" / "labels" / "0.png")
    calls: list[int] = []
    report = check(open_splits(root, strict=False), progress=calls.append)
    assert sum(calls) == 6
    assert (report.ok, report.findings, report.layout, report.order) == (True, (), "folder", HQ)
    train, val = report.splits
    assert (train.name, train.pairs, val.name, val.pairs) == ("train", 4, "val", 2)
    for split, maps in ((train, [labels, *[face()] * 3]), (val, [face()] * 2)):
        for index in range(len(HQ)):
            assert split.images[index] == sum((one == index).any() for one in maps)
            assert split.pixels[index] == sum((one == index).sum() for one in maps)
    assert (train.ignored, val.ignored) == (5 * SIDE, 0)


def test_the_report_is_json(root: Path) -> None:
    picture(0).save(root / "val" / "images" / "4.png")
    document = json.loads(json.dumps(run(root).to_dict()))
    assert list(document) == ["root", "layout", "label_order", "ok", "splits", "faults", "warnings"]
    assert (document["ok"], document["warnings"], document["label_order"]) == (False, [], "celebamask-hq")
    assert document["splits"]["train"]["images"]["hair"] == 4
    assert list(document["splits"]["val"]) == ["pairs", "images", "pixels", "ignored_pixels"]
    assert list(document["faults"][0]) == ["kind", "split", "file", "problem", "cure", "other"]


def test_every_kind_of_finding_has_a_level_and_a_title() -> None:
    assert {level for level, _ in KINDS.values()} == {"fault", "warning"}


def _missing(root: Path) -> Path:
    path = root / "val" / "labels" / "5.png"
    path.unlink()
    return path


def _spare(root: Path) -> Path:
    path = root / "val" / "labels" / "9.png"
    Image.fromarray(face()).save(path)
    return path


def _photo(root: Path) -> Path:
    path = root / "train" / "images" / "2.png"
    path.write_bytes(path.read_bytes()[:3000])
    return path


def _labels(root: Path) -> Path:
    path = root / "train" / "labels" / "2.png"
    path.write_bytes(path.read_bytes()[:60])
    return path


def _colours(root: Path) -> Path:
    path = root / "train" / "labels" / "2.png"
    Image.fromarray(face()).convert("RGB").save(path)
    return path


def _ids(root: Path) -> Path:
    path = root / "train" / "labels" / "2.png"
    labels = face()
    labels[0, 0] = 19
    Image.fromarray(labels).save(path)
    return path


def _size(root: Path) -> Path:
    path = root / "val" / "labels" / "4.png"
    Image.fromarray(face()[:80]).save(path)
    return path


def _swapped(root: Path) -> Path:
    path = root / "train" / "labels" / "3.png"
    Image.fromarray(HQ.mirrored[face()]).save(path)
    return path


@pytest.mark.parametrize(
    ("spoil", "kind", "problem"),
    [
        (_missing, "missing", "no such file"),
        (_spare, "spare", "has no partner and is not used"),
        (_photo, "photo", "is damaged"),
        (_labels, "labels", "is not a label map that can be read"),
        (_colours, "labels", "is a picture of mode RGB, not of label ids"),
        (_ids, "ids", "has the id 19, the label order 'celebamask-hq' ends at 18"),
        (_size, "size", "is 96 x 80, its upright photo 96 x 96"),
        (_swapped, "swapped", "has 3 of 3 left/right pairs the wrong way round"),
    ],
)
def test_each_kind_of_fault_is_found_by_file(
    root: Path, spoil: Callable[[Path], Path], kind: str, problem: str
) -> None:
    file = spoil(root)
    found = the_one(run(root), kind)
    assert found.file == file
    assert found.split in str(file)
    assert problem in found.problem
    assert found.cure


def test_landmarks_that_cannot_be_read_are_found(tmp_path: Path) -> None:
    for part in ("images", "labels", "landmarks"):
        (tmp_path / "train" / part).mkdir(parents=True)
    for number in range(2):
        picture(number).save(tmp_path / "train" / "images" / f"{number}.jpg")
        Image.fromarray(face(LAPA)).save(tmp_path / "train" / "labels" / f"{number}.png")
        points = "\n".join(["106", *["1 2"] * (106 - number)])
        (tmp_path / "train" / "landmarks" / f"{number}.txt").write_text(points)
    found = the_one(run(tmp_path), "landmarks")
    assert (found.file.name, found.problem) == ("1.txt", "has 105 points")


def test_left_and_right_reversed_in_most_of_a_split_is_one_fault(root: Path) -> None:
    for number in (0, 1, 3):
        Image.fromarray(HQ.mirrored[face()]).save(root / "train" / "labels" / f"{number}.png")
    found = the_one(run(root), "reversed")
    assert (found.split, found.problem) == ("train", "has left and right swapped in 3 of 4 label maps")
    assert "or name another order than 'celebamask-hq'" in found.cure


def test_half_of_a_split_swapped_is_told_one_by_one(root: Path) -> None:
    for number in (0, 1):
        Image.fromarray(HQ.mirrored[face()]).save(root / "train" / "labels" / f"{number}.png")
    assert [finding.kind for finding in run(root).findings] == ["swapped"] * 2


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


def changed(number: int) -> Image.Image:
    """A copy that was scaled down, brightened and compressed."""
    small = picture(number).resize((60, 60), Image.Resampling.BILINEAR)
    return ImageEnhance.Brightness(small).enhance(1.1)


@pytest.mark.parametrize("copy", [picture, changed, lambda number: ImageOps.mirror(picture(number))])
def test_a_photo_in_two_splits_is_a_fault(root: Path, copy: Callable[[int], Image.Image]) -> None:
    copy(1).resize((SIDE, SIDE)).save(root / "val" / "images" / "5.png")
    found = the_one(run(root), "leak")
    assert (found.split, found.file) == ("val", root / "val" / "images" / "5.png")
    assert found.other == root / "train" / "images" / "1.png"
    mirrored = " mirrored" if copy not in (picture, changed) else ""
    assert found.problem == f"shows the picture of {found.other}{mirrored}"
    assert found.cure == "keep one: what is trained on cannot measure"


def test_a_photo_twice_in_a_split_is_a_warning(root: Path) -> None:
    picture(1).save(root / "train" / "images" / "2.png")
    found = the_one(run(root), "duplicate")
    assert (found.file.name, found.split) == ("2.png", "train")


def test_of_many_alike_one_finding_each_and_one_at_least_across(root: Path) -> None:
    """Four pictures in two splits: three findings, those across told apart from those within."""
    for split, name in (("train", "0"), ("train", "2"), ("val", "4"), ("val", "5")):
        (changed(1).resize((SIDE, SIDE)) if name in "24" else picture(1)).save(root / split / "images" / f"{name}.png")
    kinds = [finding.kind for finding in run(root).findings]
    assert len(kinds) == 4  # with picture 1 itself, five are alike
    assert "leak" in kinds


def test_splits_that_share_a_chain_of_likeness_never_pass_as_within() -> None:
    """Whatever the order of pairs, likeness that reaches two splits gives a finding across."""
    from segface_edge.datasets.check import _duplicates, _Picture

    random = np.random.default_rng(0)
    base = np.asarray(picture(0).convert("L").resize((32, 32)))
    for _ in range(20):
        thumbs = [np.clip(base + random.normal(0, 2, base.shape), 0, 255).astype(np.uint8) for _ in range(3)]
        chosen = random.integers(0, 3, 8)
        splits = random.choice(["train", "val"], 8)
        pictures = [
            _Picture(split=str(split), file=Path(f"{i}.png"), thumb=thumbs[which])
            for i, (which, split) in enumerate(zip(chosen, splits, strict=True))
        ]
        found = _duplicates(pictures)
        assert len(found) == 7
        assert any(one.kind == "leak" for one in found) is (len(set(splits)) > 1)


def test_near_pairs_are_those_of_a_plain_computation() -> None:
    """Against a loop over all pairs, over the borders of blocks too."""
    from segface_edge.datasets import check as module

    random = np.random.default_rng(1)
    bases = random.integers(0, 256, (12, 8, 8), np.uint8)
    thumbs = []
    for i in range(40):
        large = np.kron(bases[i % 12], np.ones((4, 4))) + random.normal(0, 3, (32, 32))
        thumb = np.clip(large, 0, 255).astype(np.uint8)
        thumbs.append(np.ascontiguousarray(thumb[:, ::-1]) if i % 5 == 0 else thumb)
    thumbs += [thumbs[3], np.full((32, 32), 9, np.uint8), np.full((32, 32), 200, np.uint8)]
    expected = set()
    for mirrored in (False, True):
        for i, first in enumerate(thumbs):
            turned = first[:, ::-1] if mirrored else first
            for j in range(i + 1, len(thumbs)):
                with np.errstate(invalid="ignore"):
                    correlation = np.corrcoef(turned.reshape(-1), thumbs[j].reshape(-1))[0, 1]
                if correlation >= module.LEAST_CORRELATION:
                    expected.add((i, j, mirrored))
    # Of equal pictures only the first is compared with others.
    expected = {pair for pair in expected if 40 not in pair[:2]} | {(3, 40, False)}
    whole = set(near_pairs(thumbs))
    assert whole == expected
    assert len(whole) > 40


def test_many_pictures_that_are_equal_are_not_compared_with_each_other() -> None:
    pairs = list(near_pairs([np.zeros((32, 32), np.uint8)] * 20_000))
    assert pairs == [(0, i, False) for i in range(1, 20_000)]


def test_no_pictures_make_no_pairs() -> None:
    assert list(near_pairs([])) == []


def test_splits_in_different_orders_are_refused(root: Path) -> None:
    (root / "val" / "dataset.toml").write_text('label_order = "segface"\n')
    with pytest.raises(DataError, match="has 'segface' labels in val, 'celebamask-hq' in train; check one split"):
        run(root)
    assert run(root, split="train").ok


def test_what_cannot_be_read_at_all_leaves_a_report(root: Path) -> None:
    for path in [*root.glob("train/labels/*"), *root.glob("train/images/*")]:
        path.write_bytes(b"")
    report = run(root)
    assert [finding.kind for finding in report.findings] == ["photo"] * 4 + ["labels"] * 4
    assert report.splits[0].images.tolist() == [0] * len(HQ)


def test_warnings_are_as_they_were_afterwards(root: Path) -> None:
    import warnings

    before = list(warnings.filters)
    run(root)
    assert warnings.filters == before
