"""The networks of LaPa, which warp, and of Helen, which do not, against what the reference implementation computes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

from segface_edge.network import build_segface, load_reference_state_dict
from segface_edge.network.segface import BACKBONES


@pytest.mark.parametrize("name", ["lapa_mobilenet_256", "lapa_swin_base_224", "helen_mobilenet_256"])
def test_logits_and_labels_equal_the_reference(shared: Path, name: str) -> None:
    golden = shared / "golden"
    about = json.loads((golden / f"segface_{name}.json").read_text())
    if about["backbone"] not in BACKBONES:
        pytest.skip(f"there is no backbone '{about['backbone']}'")
    wanted = np.load(golden / f"segface_{name}.npz")
    loader = importlib.util.spec_from_file_location("deterministic", golden / "deterministic.py")
    assert loader is not None
    assert loader.loader is not None
    rule = importlib.util.module_from_spec(loader)
    loader.loader.exec_module(rule)
    size = about["resolution"]
    images = rule.golden_input(size, about["seed"])
    assert images.double().sum().item() == pytest.approx(about["self_check"]["input_sum"], rel=1e-6)

    model = build_segface(about["backbone"], about["dataset"], size).eval()
    load_reference_state_dict(model, rule.fill_state_dict(about["keys"], about["seed"]))
    landmarks = rule.golden_landmarks(size) if about["dataset"] == "lapa" else None
    with torch.inference_mode():
        logits = model(images, landmarks)[0].numpy()

    stride = about["logit_stride"]
    assert np.abs(logits[:, ::stride, ::stride] - wanted["logits"]).max() <= 2e-4 * about["logit_absmax"]
    assert (logits.argmax(0) == wanted["labels"]).mean() >= 0.999
