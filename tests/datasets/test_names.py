"""All that is wrong with names, places and lists is said at once; and CelebAMask-HQ as one split."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segface_edge.datasets.check import check
from segface_edge.datasets.opening import open_dataset, open_splits
from segface_edge.errors import DataError
from segface_edge.labels import label_set

from .test_opening import HQ_MASKS, mask, photo, write_folder, write_helen, write_hq

PARTITION, MAPPING = "list_eval_partition.txt", "CelebA-HQ-to-CelebA-mapping.txt"


def found(root: Path, kind: str) -> list[tuple[str, str]]:
    """(file, problem) of the findings of a kind."""
    report = check(open_splits(root, strict=False))
    assert not report.ok
    return [(str(one.file.relative_to(root)), one.problem) for one in report.findings if one.kind == kind]


def add(path: Path, *lines: str) -> None:
    path.write_text(path.read_text() + "".join(f"{line}\n" for line in lines))


def test_every_mask_whose_name_or_place_is_wrong_is_found_once(tmp_path: Path) -> None:
    write_hq(tmp_path)
    wrong = ["0/00000_beard.png", "0/skin.png", "0/1_hat.png", "0/02000_hat.png", "1/00001_hat.png"]
    for name in wrong:
        mask(tmp_path / HQ_MASKS / name)
    names = found(tmp_path, "name")
    assert {name for name, _ in names} == {f"{HQ_MASKS}/{name}" for name in wrong}
    assert len(names) == len(wrong)
    with pytest.raises(DataError, match=r"\(and 4 more: segface-edge data check lists all\)"):
        open_dataset(tmp_path, split="val")


def test_every_line_of_a_list_that_is_wrong_is_found_once(tmp_path: Path) -> None:
    write_hq(tmp_path)
    add(tmp_path / PARTITION, "x.jpg 3", "y.jpg")
    add(tmp_path / MAPPING, "3 4", "0 4 119614.jpg", "7 4 000007.jpg")
    assert found(tmp_path, "list") == [
        (PARTITION, "line 5 is not a file name and 0, 1 or 2"),
        (PARTITION, "line 6 is not a file name and 0, 1 or 2"),
        (MAPPING, "line 5 is not idx, orig_idx and orig_file"),
        (MAPPING, "line 6 names photo 0 again"),
        (MAPPING, f"line 7 names 000007.jpg, which {PARTITION} does not"),
    ]


def test_lists_without_a_line_that_can_be_used_are_no_undivided_set(tmp_path: Path) -> None:
    write_hq(tmp_path)
    (tmp_path / PARTITION).write_text("119614.jpg 9\n099095.jpg 9\n200122.jpg 9\n")
    assert len(found(tmp_path, "list")) == 6
    with pytest.raises(DataError, match="line 1 is not a file name and 0, 1 or 2 .and 5 more"):
        open_dataset(tmp_path)


def test_every_photo_that_shares_a_label_map_is_found(tmp_path: Path) -> None:
    write_folder(tmp_path)
    (tmp_path / "dataset.toml").write_text('label_order = "celebamask-hq"\n')
    stems = sorted(path.stem for path in (tmp_path / "train" / "images").iterdir())
    for stem in stems:
        photo(tmp_path / "train" / "images" / f"{stem}.webp")
    names = found(tmp_path, "name")
    assert len(names) == len(stems)
    assert all("has the name of" in problem for _, problem in names)
    with pytest.raises(DataError, match=f"has the name of .* .and {len(stems) - 1} more"):
        open_dataset(tmp_path, split="train")


def test_every_bad_line_of_landmarks_is_found(tmp_path: Path) -> None:
    write_helen(tmp_path)
    numbers = " ".join("1" * 136)
    add(tmp_path / "landmarks.txt", "1 2 3 short", f"{numbers} 100_1", "what")
    problems = [problem for _, problem in found(tmp_path, "landmarks")]
    assert problems == [
        "line 3 is not 136 numbers and a name",
        "line 4 names 100_1 again",
        "line 5 is not 136 numbers and a name",
    ]


# ---------------------------------------------------------------------------------------------------------------------
# CelebAMask-HQ without the list that divides it
# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("absent", [[PARTITION], [PARTITION, MAPPING]])
def test_celebamask_hq_without_its_partition_is_one_split(tmp_path: Path, absent: list[str]) -> None:
    write_hq(tmp_path)
    whole = {sample.image: sample.read_labels(label_set("segface")) for split in open_splits(tmp_path)
             for sample in split.samples}  # fmt: skip
    for name in absent:
        (tmp_path / name).unlink()
    (data,) = open_splits(tmp_path)
    assert (data.layout, data.split, data.order.name, data.spare) == ("celebamask-hq", None, "segface", ())
    assert [sample.name for sample in data.samples] == ["0", "1", "2000"]
    for sample in data.samples:
        assert (sample.read_labels(data.order) == whole[sample.image]).all()
    assert [split.name for split in check([data]).splits] == ["all"]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda root: (root / "CelebA-HQ-img" / "1.jpg").unlink(), r"img/1\.jpg: no such file \(1 of 3 photos lack"),
        (
            lambda root: photo(root / "CelebA-HQ-img" / "5.jpg"),
            r"00005_skin\.png: no such file \(1 of 4 photos have",
        ),
        (lambda root: mask(root / HQ_MASKS / "0" / "00000_beard.png"), r"00000_beard\.png: is not named"),
    ],
)
def test_what_is_missing_there_is_still_said(tmp_path: Path, spoil: Callable[[Path], Any], message: str) -> None:
    write_hq(tmp_path)
    (tmp_path / PARTITION).unlink()
    spoil(tmp_path)
    with pytest.raises(DataError, match=message):
        open_dataset(tmp_path)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_split_that_nothing_tells_apart_is_refused(tmp_path: Path, split: str) -> None:
    write_hq(tmp_path)
    (tmp_path / PARTITION).unlink()
    with pytest.raises(DataError, match=f"has no split '{split}'; leave the split out: it is undivided; or add"):
        open_dataset(tmp_path, split=split)
