"""The deploy graph in operators that XNNPACK takes: for LiteRT and ExecuTorch, one frame a call.

It computes what `DeployGraph` computes, exactly in real arithmetic. What is written otherwise is what their converters
leave to slow kernels, or take apart: `erf`, products with a constant on the left or broadcast over a batch, arrays of
more than six axes, which XNNPACK does not have. What each costs: `docs/phones.md`.

Shape letters as in `rows.py`; N is 1.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from segface_edge.spec import OutputKind

from .backbone import Backbone
from .decoder import WIDTH
from .deploy import DeployGraph
from .rows import ImageToTokens, RowHead, TokensToImage, enlarge
from .segface import SegFace
from .transformer import TwoWayBlock


def _fixed(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone().contiguous(), requires_grad=False)


class FoldedTokensToImage(nn.Module):
    """`TokensToImage` with the image's projections folded into the few tokens: the image meets two products as it
    lies, and nothing of its size is projected, split into heads or turned.

    Args:
        plain: of the deploy graph.
    """

    def __init__(self, plain: TokensToImage) -> None:
        super().__init__()
        self.heads = heads = plain.heads
        self.query_weight, self.query_bias = _fixed(plain.query_weight.T), _fixed(plain.query_bias)
        self.key_weight = _fixed(plain.key_weight.reshape(heads, -1, WIDTH).transpose(1, 2))  # (H, D, E / H)
        self.value_weight = _fixed(plain.value_weight.reshape(heads, -1, WIDTH).transpose(1, 2))
        self.out_weight, self.out_bias = _fixed(plain.out_weight.T), _fixed(plain.out_bias)

    def forward(self, tokens: Tensor, image: Tensor, placed: Tensor) -> Tensor:
        """tokens (1, K, D), image (1, L, D), the same with its positions -> (1, K, D)."""
        count = tokens.shape[1]
        queries = _heads(functional.linear(tokens, self.query_weight, self.query_bias), self.heads)
        scores = torch.bmm(placed, _side_by_side(torch.bmm(self.key_weight, queries)))  # (1, L, H K)
        # Turned here: a sixth of the image's size.
        seen = torch.bmm(scores.transpose(1, 2).softmax(-1), image).reshape(self.heads, count, WIDTH)
        mixed = torch.bmm(seen, self.value_weight).transpose(0, 1).reshape(1, count, -1)
        return functional.linear(mixed, self.out_weight, self.out_bias)


class FoldedImageToTokens(nn.Module):
    """`ImageToTokens` likewise: queries and output are folded into the tokens.

    Args:
        plain: of the deploy graph.
    """

    def __init__(self, plain: ImageToTokens) -> None:
        super().__init__()
        self.heads = heads = plain.heads
        self.query_weight = _fixed(plain.query_weight.reshape(heads, -1, WIDTH).transpose(1, 2))  # (H, D, E / H)
        self.query_bias = _fixed(plain.query_bias.reshape(heads, 1, -1))
        self.key_weight, self.key_bias = _fixed(plain.key_weight.T), _fixed(plain.key_bias)
        self.value_weight, self.value_bias = _fixed(plain.value_weight.T), _fixed(plain.value_bias)
        self.out_weight = _fixed(plain.out_weight.reshape(heads, -1, WIDTH))  # (H, E / H, D)

    def forward(self, placed: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """The image with its positions (1, L, D), keys and values (1, K, D) -> (1, L, D)."""
        length, count = placed.shape[1], keys.shape[1]
        told = _heads(functional.linear(keys, self.key_weight, self.key_bias), self.heads)
        given = _heads(functional.linear(values, self.value_weight, self.value_bias), self.heads)
        scores = torch.bmm(placed, _side_by_side(torch.bmm(self.query_weight, told)))  # (1, L, H K)
        scores = scores + _side_by_side(torch.bmm(self.query_bias, told))
        weights = scores.reshape(1, length, self.heads, count).softmax(-1).reshape(1, length, -1)
        mixed = torch.bmm(given.transpose(1, 2), self.out_weight).reshape(1, -1, WIDTH)
        return torch.bmm(weights, mixed)


def _heads(tokens: Tensor, heads: int) -> Tensor:
    """(1, K, E) -> (H, E / H, K)."""
    return tokens.reshape(tokens.shape[1], heads, -1).permute(1, 2, 0)


def _side_by_side(folded: Tensor) -> Tensor:
    """(H, D, K) -> (1, D, H K). Not made by turning a matrix: of a product with one that was turned, LiteRT's converter
    makes a layer with weights, and XNNPACK takes none whose weights are computed."""
    return folded.transpose(0, 1).reshape(1, folded.shape[1], -1)


class PicturedHead(nn.Module):
    """`RowHead` whose pixels are brought into their places after each enlargement, four axes at a time.

    Args:
        plain: of the deploy graph.
    """

    def __init__(self, plain: RowHead) -> None:
        super().__init__()
        self.first_weight, self.first_bias = _fixed(plain.first_weight.T), _fixed(plain.first_bias)
        self.second_weight, self.second_bias = _fixed(plain.second_weight.T), _fixed(plain.second_bias)
        self.norm_weight, self.norm_bias, self.eps = _fixed(plain.norm_weight), _fixed(plain.norm_bias), plain.eps
        self.token_weights = nn.ParameterList(_fixed(weight.T) for weight in plain.token_weights)
        self.token_biases = nn.ParameterList(map(_fixed, plain.token_biases))
        self.filter_weight, self.filter_bias = _fixed(plain.filter_weight), _fixed(plain.filter_bias)
        self.skip = None if plain.skip is None else _fixed(plain.skip.T)

    def forward(self, tokens: Tensor, image: Tensor, side: int, tap: Tensor | None) -> Tensor:
        """tokens (1, K, D), image (1, s * s, D), the tap beside (1, C, 2 s, 2 s) -> logits (1, 16 s s, K): rows of the
        picture of 2 s x 2 s, the four children of each pixel one after another."""
        for weight, bias in zip(self.token_weights, self.token_biases, strict=True):
            tokens = functional.relu(functional.linear(tokens, weight, bias))
        filters = self.filter_weight @ tokens.transpose(1, 2) + self.filter_bias  # (1, 32, K)
        children = in_place(functional.linear(image, self.first_weight, self.first_bias), side)
        if self.skip is not None and tap is not None:
            pixels = tap.permute(0, 2, 3, 1).reshape(1, children.shape[1], -1)
            children = children + functional.linear(pixels, self.skip)
        children = functional.layer_norm(children, self.norm_weight.shape, self.norm_weight, self.norm_bias, self.eps)
        children = functional.gelu(children)
        children = functional.gelu(functional.linear(children, self.second_weight, self.second_bias))
        rows = children.reshape(1, 16 * side * side, -1)
        return torch.bmm(rows, filters)


def in_place(rows: Tensor, side: int) -> Tensor:
    """Four children side by side in each of `side` x `side` pixels (1, side * side, 4 C), or as many rows of C ->
    (1, 4 side * side, C), row by row of the picture of twice the side."""
    pairs = rows.reshape(side, side, 2, -1)
    return pairs.transpose(1, 2).reshape(1, 4 * side * side, -1)


class DelegatedGraph(DeployGraph):
    """A trained SegFace for XNNPACK: (1, S, S, 3) uint8 RGB -> what `DeployGraph` gives.

    Args:
        model: the plain network, in eval mode; it is not changed.
        output: as for `DeployGraph`.
    """

    places: Tensor
    middle: Tensor
    scale: Tensor

    def __init__(self, model: SegFace, output: OutputKind = "labels") -> None:
        super().__init__(model, output)
        with torch.no_grad():
            self.register_buffer("places", self.position()[None].contiguous())  # (1, L, D)
        del self.position
        seeing = cast(list[TokensToImage], list(self.tokens_to_image))
        seen = cast(list[ImageToTokens], list(self.image_to_tokens))
        self.tokens_to_image = nn.ModuleList(map(FoldedTokensToImage, seeing))
        self.image_to_tokens = nn.ModuleList(map(FoldedImageToTokens, seen))
        self.pictured = PicturedHead(self.head)
        del self.head
        backbone = cast(Backbone, self.backbone)
        for name, values in (("middle", backbone.mean), ("scale", backbone.std)):
            self.register_buffer(name, 255 * torch.tensor(values)[:, None, None])
        self.scale = 1 / self.scale

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """As `DeployGraph.forward`, of one frame."""
        images = (frames.float().permute(0, 3, 1, 2) - self.middle) * self.scale
        logits = self._pixels(images)
        if self.output == "logits":
            return (self._picture(logits).permute(0, 3, 1, 2),)
        labels = self._picture(logits.argmax(-1, keepdim=True))[..., 0].to(torch.uint8)
        if self.output == "labels":
            return (labels,)
        confidence = 255 / (logits - logits.amax(-1, keepdim=True)).exp().sum(-1, keepdim=True)
        return labels, self._picture(confidence.round())[..., 0].to(torch.uint8)

    def _pixels(self, images: Tensor) -> Tensor:
        """(1, 3, S, S) as the backbone takes them -> logits (1, S * S, K), in the order of `_picture`."""
        beside, taps = self.divided(cast(Backbone, self.backbone).features(images))
        image = self.fusion(taps)
        placed = image + self.places
        tokens, pos = self.tokens, self.token_pos
        for index, block in enumerate(cast(list[TwoWayBlock], list(self.blocks))):
            if index:
                tokens = block.attend_selves(tokens, pos)
            tokens = block.norm2(tokens + self.tokens_to_image[index](tokens + pos, image, placed))
            tokens = block.norm3(tokens + block.mlp(tokens))
            attended = self.image_to_tokens[index](placed, tokens + pos, tokens)
            image = self.image_norms[index](image + attended)
            placed = image + self.places
        tokens = self.final_norm(tokens + self.tokens_to_image[-1](tokens + pos, image, placed))
        rows: Tensor = self.pictured(tokens, image, self.side, beside)
        if not self.halved:
            return rows
        small = in_place(rows, 2 * self.side).reshape(1, 4 * self.side, 4 * self.side, -1)
        # Enlarged as logits: there is nothing between two labels.
        large = enlarge(small.permute(0, 3, 1, 2), 8 * self.side).permute(0, 2, 3, 1)
        return large.reshape(1, 64 * self.side * self.side, -1)

    def _picture(self, values: Tensor) -> Tensor:
        """What was made of the logits, (1, S * S, C), as a picture (1, S, S, C)."""
        side = (8 if self.halved else 4) * self.side
        ordered = values if self.halved else in_place(values, 2 * self.side)
        return ordered.reshape(1, side, side, -1)
