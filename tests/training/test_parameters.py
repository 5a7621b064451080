"""What is trained: where its weights start from, and which rates its parameters have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("dacite", reason="training needs dacite")

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
