"""Where few tokens and many pixels meet in training: the products of attention, their gradients by hand.

Autograd would give the image three gradients an attention, of which some lie the other way round, and add them up one
after another: a tenth of a step on a CPU. Here each is added as it is made. What is added to the image before (a
positional term) has no gradient of its own, so that the keys' is the image's.

Shape letters: N batch, H heads, K tokens, R = H * K rows, L image tokens, D width.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


class _TokensToImage(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, queries: Tensor, image: Tensor, keys: Tensor) -> Tensor:
        weights = (queries @ keys.transpose(1, 2)).softmax(dim=-1)
        ctx.save_for_backward(queries, image, keys, weights)
        return weights @ image

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        queries, image, keys, weights = ctx.saved_tensors
        of_weights = gradient @ image.transpose(1, 2)
        of_scores = torch._softmax_backward_data(of_weights, weights, -1, weights.dtype)
        of_image = weights.transpose(1, 2) @ gradient
        return of_scores @ keys, of_image.baddbmm_(of_scores.transpose(1, 2), queries), None


class _ImageToTokens(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, wanted: Tensor, bias: Tensor, given: Tensor, image: Tensor, keys: Tensor, heads: int
    ) -> Tensor:
        n, rows, _ = wanted.shape
        # Pixels last: softmax goes over the few tokens of many pixels at a time.
        scores = torch.baddbmm(bias, wanted, keys.transpose(1, 2)).reshape(n, heads, rows // heads, -1)
        weights = scores.softmax(dim=2)
        ctx.save_for_backward(wanted, given, keys, weights)
        return torch.baddbmm(image, weights.flatten(1, 2).transpose(1, 2), given)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, None, None]:
        wanted, given, keys, weights = ctx.saved_tensors
        of_weights = (given @ gradient.transpose(1, 2)).reshape(weights.shape)
        of_scores = torch._softmax_backward_data(of_weights, weights, 2, weights.dtype).flatten(1, 2)
        return (
            of_scores @ keys,
            of_scores.sum(2, keepdim=True),
            weights.flatten(1, 2) @ gradient,
            torch.baddbmm(gradient, of_scores.transpose(1, 2), wanted),
            None,
            None,
        )


def tokens_to_image(queries: Tensor, image: Tensor, keys: Tensor) -> Tensor:
    """What each query sees of the image: (N, R, D), in the type of the queries.

    Args:
        queries: (N, R, D).
        image, keys: (N, L, D), the keys are the image and a constant.
    """
    image, keys = image.to(queries.dtype), keys.detach().to(queries.dtype)
    return cast(Tensor, _TokensToImage.apply(queries, image, keys))  # type: ignore[no-untyped-call]


def image_to_tokens(wanted: Tensor, bias: Tensor, given: Tensor, image: Tensor, keys: Tensor, heads: int) -> Tensor:
    """The image and, added to it, what each of its pixels takes of the tokens.

    Args:
        wanted: (N, R, D), what scores a pixel for each token and head; R goes over heads, then tokens.
        bias: (N, R, 1), added to the scores.
        given: (N, R, D), what a pixel takes of each.
        image: (N, L, D).
        keys: (N, L, D), the image and a constant.
        heads: H; the weights of a head add up to 1.

    Returns:
        (N, L, D), in the type of `wanted`.
    """
    image, keys = image.to(wanted.dtype), keys.detach().to(wanted.dtype)
    return cast(Tensor, _ImageToTokens.apply(wanted, bias, given, image, keys, heads))  # type: ignore[no-untyped-call]
