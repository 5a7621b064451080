"""What training computes in another order is what the plain network computes, gradients included."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

from torch import Tensor, nn

from segface_edge.network.decoder import FaceDecoder
from segface_edge.network.transformer import Attention


def both_ways(module: nn.Module, inputs: list[Tensor], call: Callable[..., Tensor]) -> list[dict[str, Tensor]]:
    """Output and all gradients in double, as the plain network has them and as training has them."""
    found = []
    for training in (False, True):
        module.double().train(training)
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


@pytest.mark.parametrize(("queries", "keys"), [(5, 48), (48, 5), (6, 6)])
def test_attention(queries: int, keys: int) -> None:
    torch.manual_seed(0)
    attention = Attention(32, 4, 16)
    for parameter in attention.parameters():
        nn.init.normal_(parameter)
    inputs = [torch.randn(2, queries, 32), torch.randn(2, keys, 32), torch.randn(2, keys, 32)]
    assert_same(both_ways(attention, inputs, attention))


@pytest.mark.parametrize("beside", [None, 24])
def test_the_decoder(beside: int | None) -> None:
    torch.manual_seed(0)
    decoder = FaceDecoder(19, beside)
    inputs = [torch.randn(2, 256, 6, 8), torch.randn(48, 256)]
    if beside is not None:
        inputs.append(torch.randn(2, beside, 12, 16))
    found = both_ways(decoder, inputs, decoder)
    assert found[0]["output"].shape == (2, 19, *((24, 32) if beside is None else (48, 64)))
    assert_same(found)
