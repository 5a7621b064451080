"""`segface-edge eval`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segface_edge import zoo
from segface_edge.evaluation.corruptions import CORRUPTIONS
from segface_edge.labels import label_set

Cli = Callable[..., Any]


def test_labels_that_are_the_model_s_own_give_an_f1_of_one(cli: Cli, labelled: Path, released_size: int) -> None:
    arguments = ("eval", "--data", labelled, "--label-order", "celebamask-hq", "--protocol", "native", "--json", "-")
    result = cli(*arguments)
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert list(document) == [
        "model",
        "protocol",
        "size",
        "images",
        "label_order",
        "mean_f1",
        "mean_iou",
        "merged_f1",
        "per_class_f1",
        "per_class_iou",
        "worst",
        "confusion",
    ]
    assert document["model"] == str(zoo.DEFAULT_MODEL)
    assert (document["protocol"], document["images"], document["size"]) == ("native", 2, released_size)
    assert document["mean_f1"] == document["mean_iou"] == 1.0
    assert list(document["per_class_f1"]) == list(label_set(document["label_order"]).classes)
    assert document["per_class_f1"].keys() == document["per_class_iou"].keys()
    assert document["per_class_f1"]["hair"] == 1.0
    assert document["merged_f1"] == dict.fromkeys(("eyes", "brows", "mouth", "overall"), 1.0)
    # Nobody wears a necklace: no figure, and none in the mean.
    assert document["per_class_f1"]["hat"] is None


def test_the_paper_s_protocol_compares_in_the_network_s_square(cli: Cli, labelled: Path) -> None:
    document = json.loads(cli("eval", "--data", labelled, "--label-order", "celebamask-hq", "--json", "-").out)
    assert document["protocol"] == "paper"
    # The second photo is stretched here and was not when its labels were made.
    assert 0.8 < document["mean_f1"] < 1


def test_the_label_order_counts(cli: Cli, labelled: Path) -> None:
    result = cli("eval", "--data", labelled, "--json", "-")
    assert result.code == 0, result.err
    assert json.loads(result.out)["mean_f1"] < 0.5


def test_text_shows_points(cli: Cli, labelled: Path, tmp_path: Path) -> None:
    target = tmp_path / "result.json"
    arguments = ("eval", "--model", zoo.DEFAULT_MODEL, "--data", labelled, "--label-order", "celebamask-hq")
    result = cli(*arguments, "--protocol", "native", "--json", target)
    assert (result.code, result.err) == (0, "")
    rows = {line.split()[0]: line.split()[1:] for line in result.out.splitlines()[1:] if line}
    assert rows["hair"] == ["100.00", "100.00"]
    assert rows["hat"] == ["-", "-"]
    assert rows["brows"] == ["100.00"]
    assert rows["mean"][:2] == ["100.00", "100.00"]
    assert json.loads(target.read_text())["mean_f1"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "labelled", "--label-order", "coco"], "label order 'coco': is unknown"),
        (["--data", "labelled", "--protocol", "mine"], "--protocol"),
        ([], "--data"),
        (["--data", "labelled", "--sizes", "64"], "is no checkpoint: it has one input size; give the checkpoint"),
        (["--data", "labelled", "--model", "own.onnx", "--sizes", "64"], "--sizes: own.onnx is no checkpoint"),
        (["--data", "labelled", "--model", "m.safetensors", "--sizes", "64,100"], "'100' is not a multiple of 32"),
        (["--data", "labelled", "--model", "m.safetensors", "--sizes", "64;96"], "'64;96' is not a multiple of 32"),
        (["--data", "labelled", "--model", "m.safetensors", "--sizes", "4096"], "up to 2048"),
        (["--data", "labelled", "--model", "m.safetensors", "--sizes", ""], "'' is not a multiple of 32"),
        (["--data", "labelled", "--corruptions", "dark,rain"], "'rain' is unknown; use all, or: dark, bright"),
        (["--data", "labelled", "--corruptions", "all,dark"], "'all' is unknown; use all, or: dark"),
    ],
)
def test_options_that_do_not_exist_are_refused(
    cli: Cli, labelled: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(labelled.parent)
    result = cli("eval", *options)
    assert (result.code, result.out) == (2, "")
    assert message in result.err


def test_corruptions_are_measured_beside_the_clean_photos(cli: Cli, labelled: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    target, plots = tmp_path / "result.json", tmp_path / "plots"
    arguments = ("eval", "--data", labelled, "--label-order", "celebamask-hq", "--protocol", "native")
    result = cli(*arguments, "--corruptions", "turn, grey", "--plots", plots, "--json", target)
    assert (result.code, result.err) == (0, "")
    document = json.loads(target.read_text())
    worse = document["robustness"]
    assert worse["clean"]["mean_f1"] == document["mean_f1"] == 1.0
    rows = worse["corrupted"]
    assert [(row["corruption"], row["strength"]) for row in rows] == [
        (name, strength) for name in ("grey", "turn") for strength in (1, 2, 3)
    ]
    # The labels are the model's own of the clean photos: it loses more the more they are changed.
    for first in (0, 3):
        losses = [row["loss"] for row in rows[first : first + 3]]
        assert 0 < losses[0] < losses[2]
        assert all(row["mean_f1"] == pytest.approx(1 - row["loss"]) for row in rows)
    assert losses[0] < 0.3, "labels are turned too"
    lines = result.out.splitlines()
    start = next(i for i, line in enumerate(lines) if line.split()[:1] == ["clean"])
    assert lines[start].split()[1] == "100.00"
    shown = [line.split() for line in lines[start + 1 :]]
    assert [row[:2] for row in shown[:-1]] == [[row["corruption"], str(row["strength"])] for row in rows]
    assert [row[2] for row in shown[:-1]] == [f"{100 * row['mean_f1']:.2f}" for row in rows]
    assert [row[4] for row in shown[:-1]] == [f"{100 * row['loss']:.2f}" for row in rows]
    assert shown[-1][:3] == ["mean", "loss", f"{100 * worse['mean_loss']:.2f}"]
    assert {path.name for path in plots.iterdir()} == {"confusion.png", "per_class.png", "worst.png", "robustness.png"}


def test_the_help_names_every_corruption(cli: Cli) -> None:
    text = "".join(cli("eval", "--help").out.split())  # lines are broken at hyphens too
    assert ",".join(CORRUPTIONS) in text


@pytest.fixture
def plotted(cli: Cli, labelled: Path, tmp_path: Path) -> Path:
    """The plots of the folder with the second photo's labels damaged."""
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    path = labelled / "labels" / "1.png"
    with Image.open(path) as picture:
        damaged = np.zeros_like(np.asarray(picture))
    damaged[:20] = label_set("celebamask-hq").index("neck_l")
    Image.fromarray(damaged).save(path)
    folder = tmp_path / "deep" / "plots"
    result = cli("eval", "--data", labelled, "--label-order", "celebamask-hq", "--plots", folder, "--json", "-")
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out)["worst"][0]["file"] == "1.png"
    return folder


def test_plots_are_pictures_in_the_folder_that_was_named(plotted: Path) -> None:
    assert sorted(path.name for path in plotted.iterdir()) == ["confusion.png", "per_class.png", "worst.png"]
    for path in plotted.iterdir():
        with Image.open(path) as picture:
            assert min(picture.size) > 300
            assert np.asarray(picture.convert("L")).std() > 10


def test_the_worst_photo_is_shown_first(plotted: Path) -> None:
    """The necklace that only the damaged labels have lies in the upper half."""
    with Image.open(plotted / "worst.png") as picture:
        sheet = np.asarray(picture.convert("RGB"), np.int16)
    # Wrong pixels of the error column: nearly all of the first photo's head, none or few of the second's.
    red = (sheet == (255, 40, 40)).all(axis=2).sum(axis=1)
    half = len(red) // 2
    assert red[:half].sum() > 20 * red[half:].sum()


@pytest.mark.slow
def test_a_checkpoint_is_measured_at_several_sizes(
    cli: Cli, labelled: Path, tmp_path: Path, released_size: int
) -> None:
    pytest.importorskip("torch", reason="checkpoints need torch")
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    arguments = ("eval", "--model", zoo.DEFAULT_CHECKPOINT, "--data", labelled, "--label-order", "celebamask-hq")
    target = tmp_path / "result.json"
    sides = f"{released_size}, 64,{released_size},160"
    result = cli(*arguments, "--sizes", sides, "--plots", tmp_path / "plots", "--json", target)
    assert (result.code, result.err) == (0, "")
    document = json.loads(target.read_text())
    sizes = document["sizes"]
    assert list(sizes) == ["64", "160", str(released_size)]
    assert sizes["64"] < sizes["160"] < sizes[str(released_size)]
    assert (document["size"], document["mean_f1"]) == (released_size, sizes[str(released_size)])
    rows = [line.split() for line in result.out.splitlines()[-3:]]
    assert rows == [[side, f"{100 * f1:.2f}"] for side, f1 in sizes.items()]
    assert {path.name for path in (tmp_path / "plots").iterdir()} == {
        "confusion.png",
        "per_class.png",
        "sizes.png",
        "worst.png",
    }


def test_sizes_need_no_matplotlib(
    cli: Cli, labelled: Path, monkeypatch: pytest.MonkeyPatch, released_size: int
) -> None:
    pytest.importorskip("torch", reason="checkpoints need torch")
    _hide_matplotlib(monkeypatch)
    arguments = ("eval", "--model", zoo.DEFAULT_CHECKPOINT, "--data", labelled, "--label-order", "celebamask-hq")
    result = cli(*arguments, "--sizes", "64", "--json", "-")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert document["size"] == released_size, "the model's own size is what the rest of the document is about"
    assert document["sizes"]["64"] < document["mean_f1"]


def test_plots_without_matplotlib_say_so_before_the_evaluation(
    cli: Cli, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _hide_matplotlib(monkeypatch)
    _forbid_evaluation(monkeypatch)
    result = cli("eval", "--data", labelled, "--plots", tmp_path / "plots")
    assert (result.code, result.out) == (3, "")
    assert result.err == (
        "error: --plots: the package 'matplotlib' is not installed; install it with: pip install 'segface-edge[plot]'\n"
    )
    assert not (tmp_path / "plots").exists()


@pytest.mark.parametrize("place", ["file", "file/plots", "taken"])
def test_plots_that_could_not_be_written_are_refused_before_the_evaluation(
    cli: Cli, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    pytest.importorskip("matplotlib", reason="plots need matplotlib")
    (tmp_path / "file").touch()
    (tmp_path / "taken" / "worst.png").mkdir(parents=True)
    _forbid_evaluation(monkeypatch)
    result = cli("eval", "--data", labelled, "--plots", tmp_path / place)
    assert (result.code, result.out) == (1, "")
    assert "cannot be made" in result.err or "worst.png: is a folder" in result.err


def _hide_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "segface_edge.plots.scores", raising=False)


def _forbid_evaluation(monkeypatch: pytest.MonkeyPatch) -> None:
    def evaluate(*_: Any, **__: Any) -> None:
        pytest.fail("the evaluation was started")

    monkeypatch.setattr("segface_edge.evaluation.evaluate.evaluate", evaluate)


def test_landmarks_of_a_folder_go_to_a_model_that_warps(cli: Cli, labelled: Path, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="checkpoints need torch")
    from segface_edge.network import build_segface
    from segface_edge.network.checkpoint import write_checkpoint

    torch.manual_seed(0)
    path = tmp_path / "lapa.safetensors"
    write_checkpoint(path, build_segface("mobilenet", "lapa", 64, warps=True), trained_size=64, terms="none", notes={})
    given = ("eval", "--model", path, "--data", labelled, "--label-order", "celebamask-hq")
    result = cli(*given)
    assert (result.code, len(result.err.splitlines())) == (1, 1)
    assert "0.png: has no landmarks, which" in result.err
    for name in ("0", "1"):
        (tmp_path / f"{name}.txt").write_text("100 110\n150 110\n125 140\n105 165\n145 165\n")
    result = cli(*given, "--landmarks", tmp_path, "--json", "-")
    assert result.code == 0, result.err
    assert json.loads(result.out)["label_order"] == "lapa"
    result = cli(*given, "--landmarks", tmp_path, "--corruptions", "dark")
    assert (result.code, "--corruptions: move faces away" in result.err) == (2, True)
