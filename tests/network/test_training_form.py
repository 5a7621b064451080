"""What training computes in another order is what the plain network computes, gradients included."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

from torch import Tensor, nn

from segface_edge.network.decoder import FaceDecoder
from segface_edge.network.depthwise import DepthwiseConv2d
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


def test_the_decoder() -> None:
    torch.manual_seed(0)
    decoder = FaceDecoder(19)
    inputs = [torch.randn(2, 256, 6, 8), torch.randn(48, 256)]
    found = both_ways(decoder, inputs, decoder)
    assert found[0]["output"].shape == (2, 19, 24, 32)
    assert_same(found)


@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2)])
def test_a_depthwise_convolution_in_bf16(kernel: int, stride: int) -> None:
    """Within bf16's own rounding of what goes in and comes out."""
    torch.manual_seed(0)
    layer = DepthwiseConv2d(24, kernel, stride)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        layer.zero_grad()
        x = torch.randn(2, 24, 16, 16, generator=torch.Generator().manual_seed(1)).bfloat16().to(dtype).requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype is torch.bfloat16):
            y = layer(x)
        assert y.dtype is dtype
        assert y.shape == (2, 24, 16 // stride, 16 // stride)
        g = torch.randn(y.shape, generator=torch.Generator().manual_seed(2)).bfloat16().to(dtype)
        y.backward(g)
        found.append((y.detach().float(), x.grad.float(), layer.weight.grad.clone()))
    for exact, half in zip(*found, strict=True):
        assert (exact - half).abs().max() < 2**-8 * exact.abs().max()
    # Weights' gradients are sums of exact products: not rounded at all.
    torch.testing.assert_close(found[0][2], found[1][2])


def test_a_depthwise_convolution_is_one() -> None:
    layer = DepthwiseConv2d(8, 5, 2)
    plain = nn.Conv2d(8, 8, 5, 2, 2, groups=8, bias=False)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(1, 8, 9, 9)
    torch.testing.assert_close(layer(x), plain(x), rtol=0, atol=0)
