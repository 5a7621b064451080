"""`segface-edge eval`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segface_edge import zoo
from segface_edge.labels import label_set

Cli = Callable[..., Any]


def test_labels_that_are_the_model_s_own_give_an_f1_of_one(cli: Cli, labelled: Path) -> None:
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
        "per_class_f1",
        "per_class_iou",
    ]
    assert document["model"] == str(zoo.DEFAULT_MODEL)
    assert (document["protocol"], document["images"], document["size"]) == ("native", 2, 256)
    assert document["mean_f1"] == document["mean_iou"] == 1.0
    assert list(document["per_class_f1"]) == list(label_set(document["label_order"]).classes)
    assert document["per_class_f1"].keys() == document["per_class_iou"].keys()
    assert document["per_class_f1"]["hair"] == 1.0
    # Nobody wears a necklace: no figure, and none in the mean.
    assert document["per_class_f1"]["neck_l"] is None


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
    rows = {line.split()[0]: line.split()[1:] for line in result.out.splitlines()[1:]}
    assert rows["hair"] == ["100.00", "100.00"]
    assert rows["neck_l"] == ["-", "-"]
    assert rows["mean"][:2] == ["100.00", "100.00"]
    assert json.loads(target.read_text())["mean_f1"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data", "labelled", "--label-order", "coco"], "label order 'coco': is unknown"),
        (["--data", "labelled", "--protocol", "mine"], "--protocol"),
        ([], "--data"),
    ],
)
def test_options_that_do_not_exist_are_refused(
    cli: Cli, labelled: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], message: str
) -> None:
    monkeypatch.chdir(labelled.parent)
    result = cli("eval", *options)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
