"""Networks with random weights: for speed, in every precision."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="networks are PyTorch's")
pytest.importorskip("onnx", reason="the room of exports needs onnx")

from segface_edge.evaluation.photos import bundled_faces
from segface_edge.export.fresh import fresh_network
from segface_edge.network.deploy import normalise

SIZE = 64


def test_they_are_the_same_each_time() -> None:
    one, other = (fresh_network("mobilenet", "segface", SIZE).state_dict() for _ in range(2))
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("name", ["mobilenet", "efficientnet_lite0_s8", "resnet"])
def test_half_precision_holds_their_numbers(name: str) -> None:
    """ResNet's 101 layers would otherwise end beyond 65,504, the most that half precision holds."""
    if name == "resnet":
        pytest.importorskip("torchvision", reason="the extra backbones")
    model = fresh_network(name, "segface", SIZE)
    assert not any(module.training for module in model.modules())
    frames = torch.from_numpy(np.stack(bundled_faces(SIZE)[4:8]))
    with torch.no_grad():
        taps = model.backbone.features(normalise(frames, model.backbone.mean, model.backbone.std))
    for tap in taps:
        assert 0 < tap.abs().max() < 5000
