"""The depthwise convolution's gradients against PyTorch's own, in fp32 and bf16."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the network needs torch")

from segface_edge.network.depthwise import Depthwise


def gradients(layer: torch.nn.Module, x: torch.Tensor, of: torch.Tensor) -> tuple[torch.Tensor, ...]:
    x = x.clone().requires_grad_()
    y = layer(x)
    return y.detach(), *torch.autograd.grad((y.float() * of).sum(), (x, layer.weight))


@pytest.mark.parametrize("padding", ["none", "even"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("sides", [(12, 12), (13, 16), (7, 9)])
@pytest.mark.parametrize("half", [False, True])
def test_gradients_equal_the_plain_convolution_s(
    kernel: int, stride: int, padding: str, sides: tuple[int, int], half: bool
) -> None:
    torch.manual_seed(0)
    pad = kernel // 2 if padding == "even" else 0
    layer = Depthwise(8, kernel, stride=stride, padding=pad).train()
    plain = torch.nn.Conv2d(8, 8, kernel, stride, pad, groups=8, bias=False).double()
    x = torch.randn(3, 8, *sides)
    if half:  # what both start from, rounded alike
        x = x.bfloat16().float()
        layer.weight.data = layer.weight.data.bfloat16().float()
    plain.weight.data = layer.weight.data.double()
    of = torch.randn(plain(x.double()).shape).bfloat16().double()
    wanted = gradients(plain, x.double(), of)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        found = gradients(layer, x.contiguous(memory_format=torch.channels_last), of.float())
    for one, other in zip(found, wanted, strict=True):
        assert one.shape == other.shape
        # bf16 keeps 8 bits; so few values are summed here that no more is lost.
        assert (one.double() - other).abs().max() <= (1e-2 if half else 1e-6) * other.abs().max()


def test_outside_of_training_it_is_a_plain_convolution() -> None:
    layer = Depthwise(4, 5, stride=2, padding=2)
    assert list(layer.state_dict()) == ["weight"]
    assert layer.weight.shape == (4, 1, 5, 5)
    x = torch.randn(1, 4, 8, 8)
    assert type(layer(x).grad_fn).__name__ != type(layer.eval()(x).grad_fn).__name__
    assert torch.equal(layer.train()(x), layer.eval()(x))
