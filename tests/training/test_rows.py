"""A backbone of every family trains, and goes on exactly, layers that are left out at random included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from segface_edge.training import loop
from segface_edge.training.processes import Processes
from segface_edge.training.recipe_file import read_recipe

from .states import same

ALONE = Processes(0, 1, torch.device("cpu"))
# The smallest of each family and stride: the others are the same layers in other numbers, and take minutes each.
ROWS = (
    "mobilenet", "mobilenet_s8", "mobilenet_v3_small", "efficientnet_lite0", "efficientnet_lite0_s8_b1",
    "resnet", "efficientnet", "convnext_tiny", "swinv2_tiny",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS)
def test_a_step_and_a_resumed_one(row: str, recipe_of: Callable[..., Path], tmp_path: Path) -> None:
    pytest.importorskip("torchvision", reason="the extra backbones")
    text = recipe_of(2).read_text().replace('weights = "bundled"\n', "").replace("[32, 64]", "[64]")
    (tmp_path / "recipe.toml").write_text(text.replace("size = 32", "size = 64"))
    recipe = read_recipe(tmp_path / "recipe.toml", [f"model.backbone={row}"])

    def state(folder: str) -> dict[str, object]:
        found: dict[str, object] = torch.load(tmp_path / folder / "state.pt", weights_only=True)
        return found

    loop.train(recipe, tmp_path / "whole", processes=ALONE)
    loop.train(recipe, tmp_path / "parts", processes=ALONE, stop_after=1)
    assert state("parts")["done"] == 1
    loop.train(recipe, tmp_path / "parts", processes=ALONE, resume=True)
    assert same(state("parts"), state("whole"))
