"""`segface-edge data`."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segface_edge.labels import label_set

Cli = Callable[..., Any]

HQ = label_set("celebamask-hq")


@pytest.fixture
def splits(labelled: Path) -> Path:
    """The labelled folder as the split `train`, its second photo as `val`."""
    root = labelled.parent / "splits"
    for split, name in (("train", "0"), ("val", "1")):
        for part in ("images", "labels"):
            (root / split / part).mkdir(parents=True)
            shutil.copy(labelled / part / f"{name}.png", root / split / part)
    # The same portrait would be a near-duplicate.
    with Image.open(root / "val" / "images" / "1.png") as picture:
        turned = picture.transpose(Image.Transpose.ROTATE_180)
    turned.save(root / "val" / "images" / "1.png")
    (root / "dataset.toml").write_text('label_order = "celebamask-hq"\n')
    return root


def test_a_table_of_classes_and_no_finding(cli: Cli, splits: Path) -> None:
    result = cli("data", "check", splits)
    assert (result.code, result.err) == (0, "")
    first, head, *rows, empty, last = result.out.splitlines()
    assert first == f"{splits}: layout folder, photos with labels: train 1, val 1, classes of 'celebamask-hq'"
    assert head.split() == ["class", "images", "share", "pixels", "train", "val"]
    assert [row.split()[0] for row in rows] == list(HQ.classes)
    table = {row.split()[0]: row.split()[1:] for row in rows}
    assert table["hair"][:2] == ["2", "100.0%"]
    assert table["hat"] == ["0", "0.0%", "0", "0.0%", "0.0%"]
    assert (empty, last) == ("", "nothing is wrong with it")


def test_one_split_may_be_checked_by_itself(cli: Cli, splits: Path) -> None:
    result = cli("data", "check", splits, "--split", "val", "--json", "-")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert list(document["splits"]) == ["val"]
    assert document["splits"]["val"]["pairs"] == 1


def test_an_undivided_folder_is_called_all(cli: Cli, labelled: Path) -> None:
    result = cli("data", "check", labelled, "--label-order", "celebamask-hq", "--json", "-")
    document = json.loads(result.out)
    assert list(document["splits"]) == ["all"]
    assert document["ok"] is (result.code == 0)


def test_json_to_a_file_leaves_the_text(cli: Cli, splits: Path, tmp_path: Path) -> None:
    result = cli("data", "check", splits, "--json", tmp_path / "report.json")
    assert (result.code, result.err) == (0, "")
    assert "nothing is wrong with it" in result.out
    assert json.loads((tmp_path / "report.json").read_text())["ok"] is True


def test_faults_give_exit_code_1_and_the_first_ten(cli: Cli, splits: Path) -> None:
    for number in range(12):
        shutil.copy(splits / "train" / "images" / "0.png", splits / "train" / "images" / f"more{number:02}.png")
    result = cli("data", "check", splits)
    assert (result.code, result.err) == (1, "")
    lines = result.out.splitlines()
    start = lines.index("fault: files that are missing (12)")
    assert lines[start + 1] == f"  {splits / 'train' / 'labels' / 'more00.png'}: no such file"
    assert lines[start + 10].startswith(f"  {splits / 'train' / 'labels' / 'more09.png'}")
    assert lines[start + 11 :] == [
        "  … and 2 more (--json has them all)",
        "  cure: add the label maps or remove the photos",
    ]


def test_warnings_leave_exit_code_0(cli: Cli, splits: Path) -> None:
    for part in ("images", "labels"):
        shutil.copy(splits / "train" / part / "0.png", splits / "train" / part / "copy.png")
    result = cli("data", "check", splits)
    assert (result.code, result.err) == (0, "")
    assert "warning: near-duplicates within a split (1)" in result.out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["absent"], 1, "absent: no such folder; give the folder of a labelled data set"),
        (["splits/dataset.toml"], 1, "dataset.toml: is not a folder; give the folder of a labelled data set"),
        (["labelled"], 1, "does not say in which order its labels are; name it: --label-order"),
        (["labelled", "--label-order", "coco"], 2, "label order 'coco': is unknown"),
        (["splits", "--split", "dev"], 1, "has no split 'dev'; use one of: train, val"),
        (["splits", "--layout", "coco"], 2, "layout 'coco': is unknown"),
        (["splits", "--layout", "lapa"], 1, "is not laid out as 'lapa'"),
        (["splits", "--plot", "nowhere/classes.png"], 1, "cannot be written (its folder does not exist)"),
        (["splits", "--json", "nowhere/report.json"], 1, "cannot be written (its folder does not exist)"),
        (["splits/train/images"], 1, "is of no known layout; lay it out as one of these"),
        ([], 2, "DIR"),
    ],
)
def test_bad_arguments_are_refused(
    cli: Cli, splits: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(splits.parent)
    result = cli("data", "check", *arguments)
    assert (result.code, result.out) == (code, "")
    assert message in result.err


def test_a_plot_is_in_a_format_of_figures(cli: Cli, splits: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = cli("data", "check", splits, "--plot", tmp_path / "classes.jpg")
    assert (result.code, result.out) == (2, "")
    assert "'.jpg' is no format of figures; use .png, .svg, .pdf" in result.err
    assert cli("data", "check", splits, "--plot", tmp_path / "classes.svg").code == 0
    assert "<svg" in (tmp_path / "classes.svg").read_text()


def test_the_plot_is_a_picture(cli: Cli, splits: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    result = cli("data", "check", splits, "--plot", tmp_path / "classes.png")
    assert (result.code, result.err) == (0, "")
    with Image.open(tmp_path / "classes.png") as picture:
        assert picture.format == "PNG"
        assert min(picture.size) > 600
        assert len(np.unique(np.asarray(picture.convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_the_plot_shows_each_class_and_split(splits: Path) -> None:
    pytest.importorskip("matplotlib")
    from segface_edge.datasets.check import check
    from segface_edge.datasets.opening import open_splits
    from segface_edge.plots.counts import class_counts_figure

    report = check(open_splits(splits))
    (axes,) = class_counts_figure(report).axes
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert sorted(names) == sorted(HQ.classes[1:])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["train, 1 photos", "val, 1 photos"]
    # Most frequent first; what nobody shows is written out.
    totals = [sum(int(split.images[HQ.index(name)]) for split in report.splits) for name in names]
    assert totals == sorted(totals, reverse=True)
    assert [text.get_text() for text in axes.texts].count("none") == sum(
        int(split.images[index] == 0) for split in report.splits for index in range(1, len(HQ))
    )


def test_a_plot_without_matplotlib_quotes_what_installs_it(
    cli: Cli, splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delitem(sys.modules, "segface_edge.plots.figure", raising=False)
    for name in ("matplotlib", "matplotlib.figure"):  # the second is there where an earlier test has drawn
        monkeypatch.setitem(sys.modules, name, None)
    result = cli("data", "check", splits, "--plot", tmp_path / "classes.png")
    assert (result.code, result.out) == (3, "")
    assert "the package 'matplotlib' is not installed; install it with: pip install 'segface-edge[plot]'" in result.err
    assert not (tmp_path / "classes.png").exists()


def test_help_names_the_subcommand(cli: Cli) -> None:
    result = cli("data", "--help")
    assert result.code == 0
    assert "check" in result.out


# The 820 photos beside the repository.


def mini(shared: Path) -> Path:
    return shared / "data" / "celebamask-hq-mini"


@pytest.mark.slow
def test_the_shared_faces_have_no_fault(cli: Cli, shared: Path) -> None:
    result = cli("data", "check", mini(shared), "--label-order", "celebamask-hq", "--json", "-")
    document = json.loads(result.out)
    assert (result.code, document["faults"], document["warnings"]) == (0, [], [])
    assert [split["pairs"] for split in document["splits"].values()] == [720, 100]
    rare = {name: document["splits"]["val"]["images"][name] for name in ("eye_g", "hat", "neck_l", "ear_r")}
    assert rare == {"eye_g": 8, "hat": 8, "neck_l": 7, "ear_r": 38}


@pytest.fixture
def few(shared: Path, tmp_path: Path) -> Path:
    """Ten of the shared photos in each split."""
    for split in ("train", "val"):
        for part in ("images", "labels"):
            (tmp_path / split / part).mkdir(parents=True)
        for image in sorted((mini(shared) / split / "images").iterdir())[:10]:
            labels = mini(shared) / split / "labels" / f"{image.stem}.png"
            (tmp_path / split / "images" / image.name).write_bytes(image.read_bytes())
            (tmp_path / split / "labels" / labels.name).write_bytes(labels.read_bytes())
    return tmp_path


def test_a_label_map_with_its_sides_swapped_is_found(cli: Cli, few: Path) -> None:
    path = sorted((few / "train" / "labels").iterdir())[4]
    with Image.open(path) as picture:
        labels = np.asarray(picture)
    Image.fromarray(HQ.mirrored[labels]).save(path)
    result = cli("data", "check", few, "--label-order", "celebamask-hq")
    assert result.code == 1
    assert "fault: label maps whose left and right look swapped (1)" in result.out
    assert str(path) in result.out


def test_a_photo_in_both_splits_is_found(cli: Cli, few: Path) -> None:
    image = sorted((few / "train" / "images").iterdir())[3]
    shutil.copy(image, few / "val" / "images" / "copied.jpg")
    shutil.copy(few / "train" / "labels" / f"{image.stem}.png", few / "val" / "labels" / "copied.png")
    result = cli("data", "check", few, "--label-order", "celebamask-hq")
    assert result.code == 1
    assert "fault: near-duplicates across splits (1)" in result.out
    assert f"{few / 'val' / 'images' / 'copied.jpg'}: shows the picture of {image}" in result.out
