"""Label orders and the way between them."""

from __future__ import annotations

import itertools
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import pytest

from segface_edge.errors import UsageError
from segface_edge.labels import LABEL_SETS, LabelSet, label_set

NINETEEN = [name for name, order in LABEL_SETS.items() if len(order) == 19]
ELEVEN = [name for name, order in LABEL_SETS.items() if len(order) == 11]


def test_there_are_three_orders_of_19_classes_and_two_of_11() -> None:
    assert NINETEEN == ["segface", "celebamask-hq", "bisenet"]
    assert ELEVEN == ["lapa", "helen"]


@pytest.mark.parametrize("name", LABEL_SETS)
def test_an_order_is_filed_under_its_own_name_and_starts_with_background(name: str) -> None:
    assert label_set(name).name == name
    assert label_set(name).classes[0] == "background"


@pytest.mark.parametrize("names", [NINETEEN, ELEVEN], ids=["19", "11"])
def test_orders_of_one_length_hold_the_same_classes(names: list[str]) -> None:
    assert len({frozenset(label_set(name).classes) for name in names}) == 1


# The classes from 1 on, written down apart from the tables in the package: a slip in either is seen.
SOURCES = {
    "celebamask-hq": "skin nose eye_g l_eye r_eye l_brow r_brow l_ear r_ear mouth u_lip l_lip hair hat ear_r neck_l "
    "neck cloth",
    "bisenet": "skin l_brow r_brow l_eye r_eye eye_g l_ear r_ear ear_r nose mouth u_lip l_lip neck neck_l cloth hair "
    "hat",
    "segface": "neck skin cloth l_ear r_ear l_brow r_brow l_eye r_eye nose mouth l_lip u_lip hair eye_g hat ear_r "
    "neck_l",
    # By the subject's sides: in the words of both, 2 is the left brow and 4 the left eye, which are the viewer's.
    "lapa": "skin r_brow l_brow r_eye l_eye nose u_lip mouth l_lip hair",
    "helen": "skin r_brow l_brow r_eye l_eye nose u_lip mouth l_lip hair",
}


@pytest.mark.parametrize("order", LABEL_SETS)
def test_classes_lie_where_their_source_puts_them(order: str) -> None:
    classes = ["background", *SOURCES[order].split()]
    assert [label_set(order).index(name) for name in classes] == list(range(len(label_set(order))))


@pytest.mark.parametrize(("source", "target"), list(itertools.permutations(NINETEEN, 2)))
def test_remapping_between_19_class_orders_is_a_permutation_by_name_and_round_trips(source: str, target: str) -> None:
    there = label_set(source).table_to(label_set(target))
    back = label_set(target).table_to(label_set(source))
    assert there.dtype == np.uint8
    assert sorted(there.tolist()) == list(range(19))
    assert [label_set(target).classes[label] for label in there] == list(label_set(source).classes)
    assert back[there].tolist() == list(range(19))
    assert there.tolist() != list(range(19)), "the orders would be the same"


@pytest.mark.parametrize("target", ELEVEN)
@pytest.mark.parametrize("source", NINETEEN)
def test_towards_11_classes_ears_become_skin_and_the_rest_background(source: str, target: str) -> None:
    order, few = label_set(source), label_set(target)
    became = {name: few.classes[label] for name, label in zip(order.classes, order.table_to(few), strict=True)}
    kept = ["skin", "nose", "mouth", "u_lip", "l_lip", "hair", "l_eye", "r_eye", "l_brow", "r_brow", "background"]
    expected = {name: name for name in kept}
    expected |= {"l_ear": "skin", "r_ear": "skin"}
    expected |= dict.fromkeys(("neck", "cloth", "eye_g", "hat", "ear_r", "neck_l"), "background")
    assert became == expected


@pytest.mark.parametrize("target", NINETEEN)
def test_from_11_classes_to_19_is_refused_and_names_what_cannot_be_told(target: str) -> None:
    with pytest.raises(UsageError, match=r"'lapa': cannot be remapped to") as caught:
        label_set("lapa").table_to(label_set(target))
    for name in ("neck", "cloth", "l_ear", "r_ear", "eye_g", "hat", "ear_r", "neck_l"):
        assert name in caught.value.problem


@pytest.mark.parametrize("name", LABEL_SETS)
def test_mirroring_swaps_left_and_right_and_twice_is_nothing(name: str) -> None:
    order = label_set(name)
    table = order.mirrored
    assert table[table].tolist() == list(range(len(order)))
    swapped = {order.classes[i]: order.classes[j] for i, j in enumerate(table) if i != j}
    parts = ("ear", "brow", "eye") if len(order) == 19 else ("brow", "eye")
    assert swapped == {f"{a}_{part}": f"{b}_{part}" for part in parts for a, b in (("l", "r"), ("r", "l"))}
    assert len(order.pairs) == len(parts)
    assert all(
        order.classes[left].startswith("l_") and order.classes[right].startswith("r_") for left, right in order.pairs
    )


@pytest.mark.parametrize("name", LABEL_SETS)
def test_the_lower_lip_is_not_the_left_half_of_a_pair(name: str) -> None:
    order = label_set(name)
    lower = order.index("l_lip")
    assert order.mirrored[lower] == lower
    assert lower not in {label for pair in order.pairs for label in pair}


@pytest.mark.parametrize("name", LABEL_SETS)
def test_colours_are_distinct_within_an_order(name: str) -> None:
    palette = label_set(name).palette
    assert palette.shape == (len(label_set(name)), 3)
    assert palette.dtype == np.uint8
    assert len(np.unique(palette, axis=0)) == len(palette)
    assert palette[0].tolist() == [0, 0, 0]


def test_a_class_has_one_colour_in_every_order() -> None:
    seen: dict[str, tuple[int, ...]] = {}
    for order in LABEL_SETS.values():
        for name, color in zip(order.classes, order.palette.tolist(), strict=True):
            assert seen.setdefault(name, tuple(color)) == tuple(color)
    assert len(seen) == 19


def test_a_users_own_order_has_distinct_colours() -> None:
    order = LabelSet(name="own", classes=("background", *(f"part{i}" for i in range(255))))
    assert len(np.unique(order.palette, axis=0)) == 256


@pytest.mark.parametrize(
    ("word", "members"),
    [
        ("eyes", ["l_eye", "r_eye"]),
        ("brows", ["l_brow", "r_brow"]),
        ("lips", ["u_lip", "l_lip"]),
        ("ears", ["l_ear", "r_ear"]),
        ("face", ["skin"]),
        ("glasses", ["eye_g"]),
        ("earrings", ["ear_r"]),
        ("necklace", ["neck_l"]),
        ("lower_lip", ["l_lip"]),
        ("left_eye", ["l_eye"]),
        ("clothes", ["cloth"]),
    ],
)
@pytest.mark.parametrize("name", NINETEEN)
def test_words_that_people_use_name_their_classes(name: str, word: str, members: list[str]) -> None:
    order = label_set(name)
    assert order.indices([word]) == [order.classes.index(member) for member in members]


def test_a_class_named_twice_counts_once_and_the_order_of_asking_is_kept() -> None:
    order = label_set("segface")
    assert order.indices(["hair", "eyes", "l_eye", "hair"]) == [14, 8, 9]


def test_a_group_has_no_single_label() -> None:
    with pytest.raises(UsageError, match=r"'eyes'.*names 2 classes"):
        label_set("segface").index("eyes")


@pytest.mark.parametrize("name", LABEL_SETS)
def test_an_unknown_class_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match="'beard'") as caught:
        label_set(name).indices(["skin", "beard"])
    assert all(known in caught.value.cure for known in label_set(name).classes)
    assert caught.value.exit_code == 2


def test_a_group_whose_members_the_order_lacks_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'ears'.*'lapa'"):
        label_set("lapa").indices(["ears"])


def test_an_unknown_order_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'cityscapes'") as caught:
        label_set("cityscapes")
    assert all(known in caught.value.cure for known in LABEL_SETS)


@pytest.mark.parametrize(
    "classes",
    [(), ("skin", "background"), ("background", "skin", "skin"), ("background", *map(str, range(256)))],
    ids=["none", "background not first", "one twice", "257"],
)
def test_an_order_that_cannot_work_is_refused(classes: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="'own'"):
        LabelSet(name="own", classes=classes)


def test_the_documented_table_is_that_of_the_orders(root: Path) -> None:
    loader = spec_from_file_location("label_orders", root / "docs" / "label_orders.py")
    assert loader is not None
    assert loader.loader is not None
    script = module_from_spec(loader)
    loader.loader.exec_module(script)
    page = (root / "docs" / "label-orders.md").read_text(encoding="utf-8")
    assert page == script.made_anew(page), "make it anew: python docs/label_orders.py"
    assert "| `r_brow` | 7 | 7 | 3 | 2 “left brow” | 2 “left brow” |" in page
