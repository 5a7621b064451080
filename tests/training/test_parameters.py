"""What is trained: where its weights start from, and which rates its parameters have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("dacite", reason="training needs dacite")

from segface_edge.network import build_segface
from segface_edge.network.checkpoint import write_checkpoint
from segface_edge.training.parameters import parameter_groups, starting_network
from segface_edge.training.recipe_file import read_recipe


def test_a_class_may_start_from_anothers_token(recipe_of: Callable[..., Path]) -> None:
    recipe = read_recipe(recipe_of(1), ['model.tokens={neck_l = "ear_r"}'])
    plain = starting_network(read_recipe(recipe_of(1)))
    given = starting_network(recipe)
    necklace, earring = (plain.labels.index(name) for name in ("neck_l", "ear_r"))
    tokens, before = given.face_decoder.class_tokens, plain.face_decoder.class_tokens
    assert torch.equal(tokens[necklace], before[earring])
    others = [i for i in range(len(tokens)) if i != necklace]
    assert torch.equal(tokens[others], before[others])


def test_a_network_of_one_block_starts_from_one_of_two(recipe_of: Callable[..., Path], tmp_path: Path) -> None:
    """What it has, it has from there; the deeper network's later block is left."""
    source = tmp_path / "deep.safetensors"
    deep = build_segface("efficientnet_lite0_s8", "segface", 64)
    write_checkpoint(source, deep, trained_size=64, terms="x", notes={}, half=False)
    changes = ["model.backbone=efficientnet_lite0_s8_b1", f"model.weights={source}"]
    shallow = starting_network(read_recipe(recipe_of(1), changes)).state_dict()
    given = deep.state_dict()
    assert all(torch.equal(tensor, given[name]) for name, tensor in shallow.items())
    left = {name for name in given if name not in shallow}
    assert left
    assert all(name.startswith("face_decoder.transformer.layers.1.") for name in left)


def test_backbone_and_tokens_have_rates_of_their_own(recipe_of: Callable[..., Path]) -> None:
    changes = ["optimiser.lr=1e-3", "optimiser.backbone_lr_share=0.5", "optimiser.token_lr_share=10"]
    recipe = read_recipe(recipe_of(), [*changes, "optimiser.weight_decay=0.1"])
    network = starting_network(recipe)
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    rates = {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in parameter_groups(network, recipe)
        for parameter in group["params"]
    }
    assert set(rates) == set(names.values())
    assert rates["face_decoder.class_tokens"] == (1e-2, 0)
    assert rates["face_decoder.transformer.layers.0.norm1.weight"] == (1e-3, 0)
    assert rates["face_decoder.transformer.layers.0.mlp.lin1.weight"] == (1e-3, 0.1)
    assert {rate for name, (rate, _) in rates.items() if name.startswith("backbone.")} == {5e-4}
