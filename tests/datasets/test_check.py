"""A data set looked at before training."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageEnhance, ImageOps

from segface_edge.datasets.check import check
from segface_edge.datasets.findings import KINDS, Finding, Report
from segface_edge.datasets.opening import open_splits
from segface_edge.errors import DataError
from segface_edge.labels import label_set

from .drawn import SIDE, face, picture

HQ, LAPA = label_set("celebamask-hq"), label_set("lapa")


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
