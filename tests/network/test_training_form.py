"""What training computes in another order is what the plain network computes, gradients included."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

from torch import Tensor, nn

from segface_edge.network.decoder import FaceDecoder
from segface_edge.network.transformer import Attention


def both_ways(
    module: nn.Module, inputs: list[Tensor], plain: Callable[..., Tensor], training: Callable[..., Tensor]
) -> list[dict[str, Tensor]]:
    """Output and all gradients in double, as the plain network has them and as training has them."""
    found = []
    for mode, call in ((False, plain), (True, training)):
        module.double().train(mode)
        module.zero_grad()
        given = [one.double().clone().requires_grad_() for one in inputs]
        output = call(*given)
        # Weighted, so that no gradient adds up to nothing.
        (
            output * torch.linspace(-1, 2, output.numel(), dtype=torch.double).reshape(output.shape).sin()
        ).sum().backward()
        gradients = {name: one.grad for name, one in module.named_parameters()}
        found.append({"output": output.detach(), **gradients, **{f"input {i}": x.grad for i, x in enumerate(given)}})
    return found


def assert_same(found: list[dict[str, Tensor]]) -> None:
    plain, training = found
    largest = max(value.abs().max() for value in plain.values())
    for name, value in plain.items():
        assert training[name] is not None, name
        assert (value - training[name]).abs().max() < 1e-12 * largest, name


def test_few_queries() -> None:
    attention, tokens, image, position = attention_and_inputs()
    assert_same(
        both_ways(
            attention,
            [tokens, image],
            lambda q, image: attention(q, image + position, image),
            lambda q, image: attention.of_image(q, image, image + position),
        )
    )


def test_few_keys() -> None:
    attention, tokens, image, position = attention_and_inputs()
    assert_same(
        both_ways(
            attention,
            [tokens, tokens.flip(0), image],
            lambda k, v, image: image + attention(image + position, k, v),
            lambda k, v, image: attention.into_image(image, image + position, k, v),
        )
    )


def attention_and_inputs() -> tuple[Attention, Tensor, Tensor, Tensor]:
    """With 5 tokens and 48 pixels."""
    torch.manual_seed(0)
    attention = Attention(32, 4, 16)
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    return attention, torch.randn(2, 5, 32), torch.randn(2, 48, 32), torch.randn(2, 48, 32).double()


@pytest.mark.parametrize("beside", [None, 24])
def test_the_decoder(beside: int | None) -> None:
    torch.manual_seed(0)
    decoder = FaceDecoder(19, beside)
    position = torch.randn(48, 256).double()
    inputs = [torch.randn(2, 256, 6, 8)]
    if beside is not None:
        inputs.append(torch.randn(2, beside, 12, 16))

    def call(fused: Tensor, *tap: Tensor) -> Tensor:
        return decoder(fused, position, *tap)

    found = both_ways(decoder, inputs, call, call)
    assert found[0]["output"].shape == (2, 19, *((24, 32) if beside is None else (48, 64)))
    assert_same(found)


def test_the_decoder_in_bf16() -> None:
    """The gradient points where fp32's does (the plain network's in bf16: 0.989)."""
    torch.manual_seed(0)
    decoder = FaceDecoder(19).train()
    position, fused = torch.randn(48, 256), torch.randn(2, 256, 6, 8)
    found = []
    for half in (False, True):
        decoder.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            logits = decoder(fused.bfloat16() if half else fused, position)
        assert logits.dtype is (torch.bfloat16 if half else torch.float32)
        nn.functional.cross_entropy(
            logits.float(), torch.arange(24 * 32).reshape(1, 24, 32).expand(2, -1, -1) % 19
        ).backward()
        found.append(torch.cat([parameter.grad.flatten() for parameter in decoder.parameters()]))
    assert nn.functional.cosine_similarity(*found, dim=0) > 0.98
