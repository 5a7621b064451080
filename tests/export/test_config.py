"""Options and recipes of an export."""

from __future__ import annotations

from pathlib import Path

import pytest

from segface_edge.errors import InputError, UsageError
from segface_edge.export.config import ExportConfig, read_recipe


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"opset": 17}, "opset 17"),
        ({"opset": 23}, "opset 23"),
        ({"precision": "int8", "calib_data": Path("photos"), "opset": 18}, "opset 18: is none for int8.*19 or 20"),
        ({"precision": "int8", "calib_data": Path("photos"), "opset": 21}, "opset 21"),
        ({"batch": 0}, "batch 0"),
        ({"graph": "plain"}, "deploy or reference"),
        ({"output": "mask"}, "labels, confidence, logits"),
        ({"imgsz": 250}, "multiple of 32"),
        ({"imgsz": -32}, "multiple of 32"),
        ({"graph": "reference", "output": "labels"}, "reference graph gives logits"),
        ({"weights": Path("x.pt"), "random_weights": True}, "contradict"),
        ({"dynamic": True, "batch": 4}, "contradict"),
    ],
)
def test_options_that_do_not_exist_or_fit_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ExportConfig(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "outputs"),
    [
        ({}, ("labels",)),
        ({"output": "confidence"}, ("labels", "confidence")),
        ({"output": "logits"}, ("logits",)),
        ({"graph": "reference"}, ("logits",)),
    ],
)
def test_outputs_follow_graph_and_output(options: dict[str, object], outputs: tuple[str, ...]) -> None:
    assert ExportConfig(**options).output_kinds == outputs  # type: ignore[arg-type]


def test_every_recipe_of_the_repository_is_valid(root: Path) -> None:
    recipes = sorted(path for path in (root / "export").glob("*.toml") if path.name != "suite.toml")
    assert {recipe.stem for recipe in recipes} >= {"cpu", "rtx", "jetson-orin-nano", "jetson-agx-orin"}
    for recipe in recipes:
        ExportConfig(**read_recipe(recipe))


def test_paths_of_a_recipe_are_relative_to_it(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('weights = "weights/model.pt"\nbatch = 2\n')
    assert read_recipe(recipe) == {"weights": tmp_path / "weights" / "model.pt", "batch": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("imagesize = 256", "unknown key 'imagesize'"),
        ('batch = "4"', "is not of type int"),
        ("dynamic = 1", "is not of type bool"),
        ("imgsz = true", "is not of type int"),
        ("backbone = 3", "is not of type str"),
        ("batch = = 4", "is not a recipe"),
    ],
)
def test_a_wrong_recipe_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_recipe(recipe)
    assert "recipe.toml" in str(caught.value)


def test_an_absent_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_recipe(tmp_path / "absent.toml")


def test_a_value_out_of_range_names_the_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text("opset = 5\n")
    with pytest.raises(InputError, match=r"recipe\.toml: opset 5"):
        read_recipe(recipe)
