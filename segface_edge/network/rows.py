"""SegFace's decoder on rows of pixels: the parts of the deploy graph.

The image stays (N, L, D) from the backbone's taps to the label ids, one row a pixel: LayerNorm and argmax act on the
last axis, every product is a plain matrix product, and nothing of that size is transposed. Each part computes what its
counterpart in `decoder.py` or `transformer.py` computes, exactly in real arithmetic; weights are folded in double.

Shape letters: N batch, K class tokens, s = S / stride side of the fused map, L = s * s, D width (256), H heads, E inner
width of an attention.
"""

from __future__ import annotations

import math
from copy import deepcopy
from typing import cast

import torch
from torch import Tensor, nn

from .decoder import HEAD_CHANNELS, WIDTH, ChannelNorm, FaceDecoder, Fusion
from .transformer import Attention

# Channels of a tap that is enlarged before its product, not after.
NARROW = WIDTH // 4


def _fixed(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().float().contiguous(), requires_grad=False)


def _double(linear: nn.Linear) -> tuple[Tensor, Tensor]:
    """Weight (out, in) and bias (out,) in double."""
    return linear.weight.detach().double(), linear.bias.detach().double()


class RowFusion(nn.Module):
    """`Fusion` with each tap's linear layer folded into its slice of the 1x1 convolution, which commutes with the
    bilinear enlargement: the widest product runs on the taps' own few pixels.

    A second tap of fewer than `NARROW` channels (MobileNetV3's has 40) is enlarged as it is and stands beside the first
    in one product: more multiplications, but a sixth of the values to enlarge and one pass over the image less.

    Args:
        fusion: the plain network's.
        shift: (D,) double, added to every row: a bias that is due later, see `ImageToTokens`.
    """

    def __init__(self, fusion: Fusion, shift: Tensor) -> None:
        super().__init__()
        layers = deepcopy(fusion).double().folded_layers()
        weights = [weight.T for weight, _ in layers]  # (C, D)
        self.beside = len(weights[1]) < NARROW
        if self.beside:
            weights[:2] = [torch.cat(weights[:2])]
        self.weights = nn.ParameterList(map(_fixed, weights))
        # A constant passes through the enlargement unchanged: one bias, on the smallest tap.
        self.bias = _fixed(shift + sum(bias for _, bias in layers))

    def forward(self, taps: list[Tensor]) -> Tensor:
        """Taps (N, C, h, w), shallow first -> (N, L, D)."""
        full, *smaller = taps
        n, _, side, _ = full.shape
        if self.beside:
            full = torch.cat([full, enlarge(smaller.pop(0), side)], dim=1)
        weights = list(self.weights)
        rows: Tensor = _rows(full) @ weights[0]
        for tap, weight in zip(smaller, weights[1:], strict=True):
            small = _rows(tap) @ weight
            if tap is taps[-1]:
                small = small + self.bias
            large = enlarge(small.reshape(n, *tap.shape[-2:], WIDTH).permute(0, 3, 1, 2), side)
            rows = rows + large.permute(0, 2, 3, 1).reshape(n, -1, WIDTH)
        return rows


def enlarge(picture: Tensor, side: int) -> Tensor:
    """(N, C, h, h) -> (N, C, side, side), bilinear. By a factor, not to a size: in a graph of any N a size would be
    computed."""
    factor = float(side // picture.shape[-1])
    return nn.functional.interpolate(picture, scale_factor=factor, mode="bilinear", align_corners=False)


def _rows(tap: Tensor) -> Tensor:
    """(N, C, h, w) -> (N, h * w, C)."""
    return tap.flatten(2).transpose(1, 2)


class TokensToImage(nn.Module):
    """`Attention` of the tokens (queries) over the image's pixels.

    Keys and values are computed with pixels last, as the heads need them. The positional term's keys are constants. A
    bias of the keys adds the same to all pixels' scores of a token and drops out of the softmax; that of the values,
    whose weights sum to 1, goes into the output's bias.

    Args:
        plain: the plain network's.
        shift: (D,) double, what the image's rows hold too much.
    """

    def __init__(self, plain: Attention, shift: Tensor) -> None:
        super().__init__()
        (wq, bq), (wk, _), (wv, bv), (wo, bo) = map(_double, (plain.q_proj, plain.k_proj, plain.v_proj, plain.out_proj))
        scale = 1 / math.sqrt(len(wk) // plain.heads)
        self.heads = plain.heads
        self.query_weight, self.query_bias = _fixed(scale * wq.T), _fixed(scale * bq)
        self.key_weight, self.value_weight = _fixed(wk), _fixed(wv)
        self.out_weight, self.out_bias = _fixed(wo.T), _fixed(bo + wo @ (bv - wv @ shift))

    def forward(self, tokens: Tensor, image: Tensor, position: Tensor) -> Tensor:
        """tokens (N or 1, K, D), image (N, L, D), position (L, D) -> (N, K, D)."""
        n, length, _ = image.shape
        pixels = image.transpose(1, 2)  # (N, D, L)
        keys = self.key_weight @ pixels + self.key_weight @ position.transpose(0, 1)
        values = self.value_weight @ pixels
        keys, values = (x.reshape(n, self.heads, -1, length) for x in (keys, values))  # (N, H, E / H, L)
        queries = tokens @ self.query_weight + self.query_bias
        queries = queries.reshape(*tokens.shape[:2], self.heads, -1).transpose(1, 2)  # (N, H, K, E / H)
        mixed = (queries @ keys).softmax(-1) @ values.transpose(-1, -2)
        return mixed.transpose(1, 2).reshape(n, tokens.shape[1], -1) @ self.out_weight + self.out_bias


class ImageToTokens(nn.Module):
    """`Attention` of the image's pixels (queries) over the tokens, without the output's bias.

    That bias rides on the rows from where they are made: it is the `shift` of the row-maker before, and subtracted in
    whatever else reads these rows. So no pass over the whole image is spent on it.

    Args:
        plain: the plain network's.
        shift: (D,) double, what the image's rows hold too much; this attention's own `shift_of`.
    """

    def __init__(self, plain: Attention, shift: Tensor) -> None:
        super().__init__()
        (wq, bq), (wk, bk), (wv, bv), (wo, _) = map(_double, (plain.q_proj, plain.k_proj, plain.v_proj, plain.out_proj))
        scale = 1 / math.sqrt(len(wk) // plain.heads)
        self.heads = plain.heads
        self.query_weight, self.query_bias = _fixed(wq), _fixed((bq - wq @ shift)[:, None])
        self.key_weight, self.key_bias = _fixed(scale * wk.T), _fixed(scale * bk)
        self.value_weight, self.value_bias = _fixed(wv.T), _fixed(bv)
        self.out_weight = _fixed(wo.T)

    @staticmethod
    def shift_of(plain: Attention) -> Tensor:
        """(D,) double, the bias that this attention leaves out."""
        return _double(plain.out_proj)[1]

    def forward(self, image: Tensor, position: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """image (N, L, D), position (L, D), keys and values (N, K, D) -> (N, L, D)."""
        n, length, _ = image.shape
        constant = self.query_weight @ position.transpose(0, 1) + self.query_bias  # (E, L)
        queries = (self.query_weight @ image.transpose(1, 2) + constant).reshape(n, self.heads, -1, length)
        keys, values = (
            (tokens @ weight + bias).reshape(n, tokens.shape[1], self.heads, -1).transpose(1, 2)  # (N, H, K, E / H)
            for tokens, weight, bias in (
                (keys, self.key_weight, self.key_bias),
                (values, self.value_weight, self.value_bias),
            )
        )
        weights = (queries.transpose(-1, -2) @ keys.transpose(-1, -2)).softmax(-1)  # (N, H, L, K)
        # Arranged as rows here, 8 MB at 512: the product that follows is a third slower on pixels last.
        mixed = (weights @ values).transpose(1, 2).reshape(n, length, -1)  # (N, L, E)
        return mixed @ self.out_weight


class RowNorm(nn.Module):
    """A LayerNorm whose rows hold `shift` (D,) too much."""

    def __init__(self, plain: nn.LayerNorm, shift: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = _fixed(plain.weight), _fixed(plain.bias.detach().double() + shift)
        self.eps = plain.eps

    def forward(self, rows: Tensor) -> Tensor:
        """(N, L, D) -> (N, L, D)."""
        return nn.functional.layer_norm(rows, self.weight.shape, self.weight, self.bias, self.eps)


class RowHead(nn.Module):
    """The decoder's head. A 2x2 transposed convolution with stride 2 is a matrix product that gives each pixel's four
    children side by side; they become a picture only once they are label ids (`to_picture`).
    """

    def __init__(self, plain: FaceDecoder) -> None:
        super().__init__()
        first, norm, _, second, _ = plain.output_upscaling
        for name, convolution in (("first", first), ("second", second)):
            weight = cast(nn.ConvTranspose2d, convolution).weight.detach()  # (in, out, 2, 2)
            setattr(self, f"{name}_weight", _fixed(weight.permute(0, 2, 3, 1).flatten(1)))
            setattr(self, f"{name}_bias", _fixed(cast(Tensor, convolution.bias).repeat(4)))
        norm = cast(ChannelNorm, norm)
        self.norm_weight, self.norm_bias, self.eps = _fixed(norm.weight), _fixed(norm.bias), norm.eps
        layers = [_double(cast(nn.Linear, layer)) for layer in plain.output_hypernetwork_mlps.layers]
        self.token_weights = nn.ParameterList(_fixed(weight.T) for weight, _ in layers[:2])
        self.token_biases = nn.ParameterList(_fixed(bias) for _, bias in layers[:2])
        self.filter_weight, self.filter_bias = _fixed(layers[2][0]), _fixed(layers[2][1][:, None])
        self.skip = None if plain.skip is None else _fixed(plain.skip.weight[:, :, 0, 0].T)  # (C, 64)

    first_weight: Tensor
    first_bias: Tensor
    second_weight: Tensor
    second_bias: Tensor

    def forward(self, tokens: Tensor, image: Tensor, tap: Tensor | None = None) -> Tensor:
        """tokens (N, K, D), image (N, L, D), the tap beside (N, C, 2 s, 2 s) -> logits (N, 16 L, K), a row a pixel of
        4 s x 4 s, ordered for `to_picture`."""
        n, length, _ = image.shape
        middle, last = HEAD_CHANNELS
        for weight, bias in zip(self.token_weights, self.token_biases, strict=True):
            tokens = nn.functional.relu(tokens @ weight + bias)
        filters = self.filter_weight @ tokens.transpose(1, 2) + self.filter_bias  # (N, 32, K)
        # All rows of all photos as one matrix: with its bias one operator (Gemm).
        children = torch.addmm(self.first_bias, image.reshape(-1, WIDTH), self.first_weight)
        children = children.reshape(n, 4 * length, middle)
        if self.skip is not None and tap is not None:
            children = children + self.by_parent(tap) @ self.skip
        children = nn.functional.layer_norm(children, (middle,), self.norm_weight, self.norm_bias, self.eps)
        children = _gelu(children) @ self.second_weight + self.second_bias
        return _gelu(children).reshape(n, 16 * length, last) @ filters

    @staticmethod
    def by_parent(tap: Tensor) -> Tensor:
        """(N, C, 2 s, 2 s) -> (N, 4 L, C): the four children of each pixel of s x s in a row, as the head has them."""
        n, channels, side, _ = tap.shape
        pixels = tap.reshape(n, channels, side // 2, 2, side // 2, 2)
        return pixels.permute(0, 2, 4, 3, 5, 1).reshape(n, side * side, channels)


def _gelu(x: Tensor) -> Tensor:
    """x Phi(x), written as ONNX Runtime recognises it for its one fused operator (the exporter's own order is not)."""
    return x * ((x / math.sqrt(2)).erf() + 1) * 0.5


def to_picture(rows: Tensor, side: int) -> Tensor:
    """Rows (N, 16 L, ...) of the head -> (N, 4 s, 4 s, ...): pixel, its child, that one's child, each in y and x."""
    n, _, *rest = rows.shape
    pixels = rows.reshape(n, side, side, 2, 2, 2, 2, *rest)
    order = (0, 1, 3, 5, 2, 4, 6, *range(7, pixels.ndim))
    return pixels.permute(order).reshape(n, 4 * side, 4 * side, *rest)
