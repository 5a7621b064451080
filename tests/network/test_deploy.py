"""Each step of the deploy graph against the step before, and the whole against the plain network on real faces."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

from segface_edge import imaging, zoo
from segface_edge.network import build_segface, load_reference_state_dict, read_checkpoint
from segface_edge.network.deploy import DeployGraph, FoldedFusion, PositionTables, normalise
from segface_edge.network.segface import SegFace

SIZE = 128


@pytest.fixture(scope="module")
def model() -> SegFace:
    model = build_segface("mobilenet", "segface", SIZE).eval()
    load_reference_state_dict(model, read_checkpoint(zoo.DEFAULT_CHECKPOINT).state)
    return model


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    portrait = imaging.fit(imaging.load(zoo.PORTRAIT), SIZE).pixels
    return torch.tensor(np.stack([portrait, portrait[:, ::-1]]))


def test_normalisation_is_imagenet_s(frames: torch.Tensor) -> None:
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)
    wanted = ((frames.double() / 255 - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(normalise(frames).double(), wanted, rtol=0, atol=1e-6)


@torch.inference_mode()
def test_folded_fusion_equals_the_fusion(model: SegFace, frames: torch.Tensor) -> None:
    taps = model.backbone.features(normalise(frames))
    wanted, found = model.fusion(taps), FoldedFusion(model)(taps)
    assert (wanted - found).abs().max() <= 1e-5 * wanted.abs().max()


@torch.inference_mode()
def test_position_tables_equal_the_positional_term(model: SegFace) -> None:
    wanted = model.pe_layer(SIZE // 4, SIZE // 4)
    found = PositionTables(model.pe_layer.positional_encoding_gaussian_matrix, SIZE // 4)()
    torch.testing.assert_close(found, wanted, rtol=0, atol=2e-5)


@torch.inference_mode()
def test_logits_equal_the_plain_network_s(model: SegFace, frames: torch.Tensor) -> None:
    wanted = model(normalise(frames))
    (found,) = DeployGraph(model, "logits").eval()(frames)
    assert (wanted - found).abs().max() <= 3e-5 * wanted.abs().max()


@torch.inference_mode()
def test_labels_and_confidence_are_argmax_and_largest_softmax(model: SegFace, frames: torch.Tensor) -> None:
    best, wanted = model(normalise(frames)).softmax(1).max(1)
    labels, confidence = DeployGraph(model, "confidence").eval()(frames)
    assert labels.dtype == confidence.dtype == torch.uint8
    assert (labels == wanted).double().mean() >= 0.9999
    assert ((255 * best).round() - confidence).abs().max() <= 1
    assert torch.equal(DeployGraph(model, "labels").eval()(frames)[0], labels)


def test_the_model_it_is_made_from_stays_as_it_is(model: SegFace) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    DeployGraph(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
