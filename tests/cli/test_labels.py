"""`segface-edge labels`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segface_edge.labels import LABEL_SETS

Cli = Callable[..., Any]


def test_all_orders_are_listed_with_their_classes(cli: Cli) -> None:
    result = cli("labels")
    assert (result.code, result.err) == (0, "")
    lines = result.out.splitlines()
    for order in LABEL_SETS.values():
        title = f"{order.name} ({len(order)} classes"
        (at,) = [i for i, line in enumerate(lines) if line.startswith(title)]
        assert ("viewer's left" in lines[at]) is (order.name in ("lapa", "helen"))
        assert lines[at + 1].split() == list(order.classes)


@pytest.mark.parametrize("name", LABEL_SETS)
def test_one_order_has_ids_colours_and_pairs(cli: Cli, name: str) -> None:
    order = LABEL_SETS[name]
    title, *lines = cli("labels", name).out.splitlines()
    assert title.startswith(name)
    assert "\x1b" not in "".join(lines), "colours are for terminals"
    assert len(lines) == len(order)
    for index, line in enumerate(lines):
        number, color, class_name, *mirror = line.split()
        assert (int(number), class_name) == (index, order.classes[index])
        assert bytes.fromhex(color.removeprefix("#")) == order.palette[index].tobytes()
        mirrored = order.classes[order.mirrored[index]]
        assert mirror == ([] if mirrored == class_name else ["mirrors", mirrored])


def test_json_holds_the_orders(cli: Cli, tmp_path: Path) -> None:
    document = json.loads(cli("labels", "--json", "-").out)
    assert list(document) == list(LABEL_SETS)
    for name, order in LABEL_SETS.items():
        assert document[name] == {
            "classes": list(order.classes),
            "palette": order.palette.tolist(),
            "pairs": [list(pair) for pair in order.pairs],
        }
    result = cli("labels", "lapa", "--json", tmp_path / "lapa.json")
    assert result.out.startswith("lapa")
    assert json.loads((tmp_path / "lapa.json").read_text()) == {"lapa": document["lapa"]}


def test_an_unknown_order_is_answered_with_the_known_ones(cli: Cli) -> None:
    result = cli("labels", "coco")
    assert (result.code, result.out) == (2, "")
    assert result.err == f"error: label order 'coco': is unknown; use one of: {', '.join(LABEL_SETS)}\n"
