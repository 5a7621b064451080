"""The network against what the reference implementation computes.

EfficientNet's file is not among them: with its random weights a millionth of change in the input, or another CPU's
order of sums, changes the logits by more than the largest of them (`test_the_efficientnet_file_decides_nothing`).
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

from segface_edge.network import build_segface, load_reference_state_dict


@pytest.mark.parametrize(
    "name",
    [
        "celeb_mobilenet_256",
        "celeb_mobilenet_512",
        "helen_mobilenet_256",
        "celeb_resnet_256",
        "celeb_convnext_small_256",
        "celeb_swinv2_tiny_256",
        pytest.param("celeb_swinv2_small_256", marks=pytest.mark.slow),
        pytest.param("celeb_convnext_base_256", marks=pytest.mark.slow),
        pytest.param("celeb_swin_base_256", marks=pytest.mark.slow),
        pytest.param("celeb_swinv2_base_256", marks=pytest.mark.slow),
    ],
)
def test_logits_and_labels_equal_the_reference(shared: Path, name: str) -> None:
    golden = shared / "golden"
    about = json.loads((golden / f"segface_{name}.json").read_text())
    wanted = np.load(golden / f"segface_{name}.npz")
    size, labels = about["resolution"], {"celeb": "segface"}.get(about["dataset"], about["dataset"])
    rule = deterministic(golden)
    images = rule.golden_input(size, about["seed"])
    state = rule.fill_state_dict(about["keys"], about["seed"])
    assert images.double().sum().item() == pytest.approx(about["self_check"]["input_sum"], rel=1e-6)

    model = build_segface(about["backbone"], labels, size).eval()
    load_reference_state_dict(model, state)
    with torch.inference_mode():
        logits = model(images)[0].numpy()

    stride = about["logit_stride"]
    assert np.abs(logits[:, ::stride, ::stride] - wanted["logits"]).max() <= 2e-4 * about["logit_absmax"]
    assert (logits.argmax(0) == wanted["labels"]).mean() >= 0.999


def deterministic(golden: Path) -> ModuleType:
    """The rule that weights and inputs are made by."""
    loader = importlib.util.spec_from_file_location("deterministic", golden / "deterministic.py")
    assert loader is not None
    assert loader.loader is not None
    rule = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(rule)
    return rule


@pytest.mark.slow
def test_the_efficientnet_file_decides_nothing(shared: Path) -> None:
    """Its keys are all taken, and no other; its logits are not reproducible. If they became so, compare them above."""
    golden = shared / "golden"
    about = json.loads((golden / "segface_celeb_efficientnet_256.json").read_text())
    rule = deterministic(golden)
    model = build_segface("efficientnet", "segface", 256).eval()
    load_reference_state_dict(model, rule.fill_state_dict(about["keys"], about["seed"]))
    images = rule.golden_input(256, about["seed"])
    with torch.inference_mode():
        found = model(images)
        moved = model(images + 1e-6 * torch.randn(images.shape, generator=torch.Generator().manual_seed(0)))
    assert (found - moved).abs().max() > 0.05 * about["logit_absmax"]
