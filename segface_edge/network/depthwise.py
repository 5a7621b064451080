"""A depthwise convolution whose gradients are computed quickly on a CPU.

PyTorch's own (oneDNN's) are quick for kernels of 3 x 3 with stride 1, and 10 to 60 times slower else: the weight's
gradient of 5 x 5 kernels, the input's of stride 2 in bf16. These took half of a training step of a mobile backbone.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

_LAST = torch.channels_last


class Depthwise(nn.Conv2d):
    """`nn.Conv2d` with a kernel a channel, of 3 x 3 or 5 x 5, without bias.

    Args:
        channels, kernel, stride, padding: of the convolution.
    """

    def __init__(self, channels: int, kernel: int, *, stride: int, padding: int) -> None:
        super().__init__(channels, channels, kernel, stride, padding, groups=channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, h, w) -> (N, C, h', w')."""
        if not self.training or x.device.type != "cpu" or not torch.is_grad_enabled():
            return super().forward(x)
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            kind = torch.get_autocast_dtype("cpu")
            x, weight = x.to(kind), weight.to(kind)
        found: Tensor = _Convolution.apply(x, weight, self.stride[0], cast(int, self.padding[0]))  # type: ignore[no-untyped-call]
        return found


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return nn.functional.conv2d(x, weight, None, stride, padding, 1, len(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        x, weight = ctx.saved_tensors
        stride, padding = ctx.stride, ctx.padding
        gradient = gradient.contiguous(memory_format=_LAST)
        # In fp32 where the stride is 2: in bf16 that takes 25 times as long.
        wide = stride > 1 and x.dtype == torch.bfloat16
        g, a, w = (one.float() for one in (gradient, x, weight)) if wide else (gradient, x, weight)
        of_x = _native(g, a, w, stride, padding, of_weight=False).to(x.dtype)
        if weight.shape[-1] == 3:
            return of_x, _native(gradient, x, weight, stride, padding, of_weight=True), None, None
        return of_x, _of_five(gradient, x, weight, stride, padding), None, None


def _of_five(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
    """The weight's gradient of a 5 x 5 kernel (C, 1, 5, 5): four of 3 x 3, which meet in the middle.

    An entry (i, j) is a sum over the gradient times the padded input moved by (i, j): a 3 x 3 part that begins at
    (a, b) is the same of an input that begins there.
    """
    padded = nn.functional.pad(x, (padding,) * 4) if padding else x
    height, width = (stride * (side - 1) + 3 for side in gradient.shape[-2:])
    like = weight[:, :, :3, :3].contiguous()
    found = torch.empty_like(weight)
    for a in (0, 2):
        for b in (0, 2):
            part = padded[:, :, a : a + height, b : b + width].contiguous(memory_format=_LAST)
            found[:, :, a : a + 3, b : b + 3] = _native(gradient, part, like, stride, 0, of_weight=True)
    return found


def _native(gradient: Tensor, x: Tensor, weight: Tensor, stride: int, padding: int, *, of_weight: bool) -> Tensor:
    """PyTorch's gradient of the input, or of the weight."""
    found = torch.ops.aten.convolution_backward(
        gradient,
        x,
        weight,
        None,
        [stride] * 2,
        [padding] * 2,
        [1, 1],
        False,
        [0, 0],
        len(weight),
        [not of_weight, of_weight, False],
    )
    return cast(Tensor, found[1 if of_weight else 0])
