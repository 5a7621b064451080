"""Each step of the deploy graph against the step before, and the whole against the plain network on real faces."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

from segface_edge import zoo
from segface_edge.network import build_segface, load_reference_state_dict, read_checkpoint
from segface_edge.network.deploy import DeployGraph, PositionTables, normalise
from segface_edge.network.planes import PlaneGraph
from segface_edge.network.rows import ImageToTokens, RowFusion, RowHead, RowNorm, TokensToImage, to_picture
from segface_edge.network.segface import SegFace
from segface_edge.network.transformer import Attention
from segface_edge.pictures import fitting, reading

SIZE = 128


@pytest.fixture(
    scope="module", params=["mobilenet", "efficientnet_lite0_s8", "mobilenet_v3_small_s8", "efficientnet_lite0_s8_b1"]
)
def model(request: pytest.FixtureRequest) -> SegFace:
    """The released weights, and rows with image tokens at stride 8, one with a single block: fresh ones."""
    torch.manual_seed(0)
    model = build_segface(request.param, "segface", SIZE).eval()
    if request.param == "mobilenet":
        load_reference_state_dict(model, read_checkpoint(zoo.RELEASED["mobilenet"]).state)
    else:
        # Classes of fresh weights differ by little.
        model.face_decoder.class_tokens.data.mul_(3)
    return model


@pytest.fixture(scope="module")
def frames() -> torch.Tensor:
    portrait = fitting.fit(reading.load(zoo.PORTRAIT), SIZE).pixels
    return torch.tensor(np.stack([portrait, portrait[:, ::-1]]))


def test_normalisation_is_imagenet_s(frames: torch.Tensor) -> None:
    mean = torch.tensor([0.485, 0.456, 0.406], dtype=torch.float64)
    std = torch.tensor([0.229, 0.224, 0.225], dtype=torch.float64)
    wanted = ((frames.double() / 255 - mean) / std).permute(0, 3, 1, 2)
    torch.testing.assert_close(normalise(frames).double(), wanted, rtol=0, atol=1e-6)


SHIFT = torch.linspace(-1, 1, 256, dtype=torch.float64)  # what the rows hold too much


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    assert found.shape == wanted.shape
    assert (wanted - found).abs().max() <= 1e-5 * wanted.abs().max()


@torch.inference_mode()
def test_fusion_on_rows_equals_the_fusion(model: SegFace, frames: torch.Tensor) -> None:
    _, taps = model.divided(model.backbone.features(normalise(frames)))
    wanted = model.fusion(taps).flatten(2).transpose(1, 2)
    close(RowFusion(model.fusion, SHIFT)(taps), wanted + SHIFT.float())


@pytest.fixture(scope="module")
def rows() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tokens (2, 19, 256), image rows (2, 100, 256), positional term (100, 256)."""
    generator = torch.Generator().manual_seed(0)
    tokens, image, position = (torch.randn(*shape, 256, generator=generator) for shape in ((2, 19), (2, 100), (100,)))
    return tokens, image, position


@pytest.fixture(scope="module")
def attention(model: SegFace) -> Attention:
    """One with biases that matter: the released ones are small."""
    attention = Attention(256, 8, 128)
    attention.load_state_dict(model.face_decoder.transformer.layers[-1].cross_attn_token_to_image.state_dict())
    for projection in (attention.q_proj, attention.k_proj, attention.v_proj, attention.out_proj):
        torch.nn.init.normal_(projection.bias, std=0.5)
    return attention


@pytest.mark.parametrize("batch", [1, 2])
@torch.inference_mode()
def test_attention_of_tokens_to_the_image(
    attention: Attention, rows: tuple[torch.Tensor, torch.Tensor, torch.Tensor], batch: int
) -> None:
    tokens, image, position = rows
    tokens = tokens[:batch]  # one for all images: the first block's are constants
    wanted = attention(tokens.expand(2, -1, -1), image + position, image)
    close(TokensToImage(attention, SHIFT)(tokens, image + SHIFT.float(), position), wanted)


@torch.inference_mode()
def test_attention_of_the_image_to_tokens(
    attention: Attention, rows: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> None:
    tokens, image, position = rows
    keys = tokens.flip(1)
    wanted = attention(image + position, keys, tokens)
    found = ImageToTokens(attention, SHIFT)(image + SHIFT.float(), position, keys, tokens)
    close(found + ImageToTokens.shift_of(attention).float(), wanted)


@torch.inference_mode()
def test_a_norm_adds_what_its_rows_hold_too_much(rows: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    norm = torch.nn.LayerNorm(256)
    torch.nn.init.uniform_(norm.weight)
    torch.nn.init.uniform_(norm.bias)
    close(RowNorm(norm, SHIFT)(rows[1]), norm(rows[1]) + SHIFT.float())


@torch.inference_mode()
def test_the_head_on_rows_equals_the_head(
    model: SegFace, rows: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
) -> None:
    tokens, image, _ = rows
    tap = torch.randn(2, model.backbone.channels[0], 20, 20, generator=torch.Generator().manual_seed(1))
    wanted = model.face_decoder.head(tokens, image, 10, 10, tap)
    found = to_picture(RowHead(model.face_decoder)(tokens, image, tap), 10).permute(0, 3, 1, 2)
    if model.stride == 8:
        assert wanted.shape[-1] == 80
        found = torch.nn.functional.interpolate(found, size=(80, 80), mode="bilinear", align_corners=False)
    close(found, wanted)


@torch.inference_mode()
def test_position_tables_equal_the_positional_term(model: SegFace) -> None:
    wanted = model.pe_layer(SIZE // model.stride, SIZE // model.stride)
    found = PositionTables(model.pe_layer.positional_encoding_gaussian_matrix, SIZE // model.stride)()
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


@torch.inference_mode()
def test_planes_of_one_photo_give_the_same_logits_without_more_than_four_axes(
    model: SegFace, frames: torch.Tensor
) -> None:
    planes = frames[:1].permute(0, 3, 1, 2).float()
    graph = PlaneGraph(model).eval()
    (wanted,) = DeployGraph(model, "logits").eval()(frames[:1])
    close(graph(planes), wanted)
    program = torch.export.export(graph, (planes,))
    values = [node.meta["val"] for node in program.graph.nodes if isinstance(node.meta.get("val"), torch.Tensor)]
    assert max(value.ndim for value in values) == 4


def test_the_model_it_is_made_from_stays_as_it_is(model: SegFace) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    DeployGraph(model)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
