"""The network against what the reference implementation computes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

from segface_edge.network import build_segface, load_reference_state_dict


@pytest.mark.parametrize("size", [256, 512])
def test_logits_and_labels_equal_the_reference(shared: Path, size: int) -> None:
    golden = shared / "golden"
    about = json.loads((golden / f"segface_celeb_mobilenet_{size}.json").read_text())
    wanted = np.load(golden / f"segface_celeb_mobilenet_{size}.npz")
    loader = importlib.util.spec_from_file_location("deterministic", golden / "deterministic.py")
    assert loader is not None
    assert loader.loader is not None
    rule = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(rule)
    images = rule.golden_input(size, about["seed"])
    state = rule.fill_state_dict(about["keys"], about["seed"])
    assert images.double().sum().item() == pytest.approx(about["self_check"]["input_sum"], rel=1e-6)

    model = build_segface("mobilenet", "segface", size).eval()
    load_reference_state_dict(model, state)
    with torch.inference_mode():
        logits = model(images)[0].numpy()

    stride = about["logit_stride"]
    assert np.abs(logits[:, ::stride, ::stride] - wanted["logits"]).max() <= 2e-4 * about["logit_absmax"]
    assert (logits.argmax(0) == wanted["labels"]).mean() >= 0.999
