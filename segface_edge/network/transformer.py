"""The two-way transformer of SegFace: class tokens and image tokens attend to each other (as in Segment Anything,
arXiv 2304.02643, section A).

Shape letters: N batch, K class tokens, L image tokens (h * w), D width (256), H heads, E inner width of an attention.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than the model's.

    Args:
        width: D, of queries, keys, values and the output.
        heads: H.
        inner: E, width of all heads together.
    """

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.heads = heads
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def _split(self, x: Tensor) -> Tensor:
        n, length, inner = x.shape
        return x.reshape(n, length, self.heads, inner // self.heads).transpose(1, 2)  # (N, H, length, E / H)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """q (N, Q, D), k and v (N, M, D) -> (N, Q, D)."""
        if self.training and q.shape[1] != k.shape[1]:
            return self._of_few_queries(q, k, v) if q.shape[1] < k.shape[1] else self._of_few_keys(q, k, v)
        queries, keys, values = self._split(self.q_proj(q)), self._split(self.k_proj(k)), self._split(self.v_proj(v))
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])  # (N, H, Q, M)
        mixed = scores.softmax(dim=-1) @ values  # (N, H, Q, E / H)
        n, heads, length, width = mixed.shape
        out: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(n, length, heads * width))
        return out

    # The same products in another order, for training: where one side is a few class tokens and the other the image,
    # the image's projections are folded into the tokens. Nothing of (L, E) is made, kept for the backward pass or
    # turned, and the image meets two products, as in the deploy graph (`rows.py`).

    def _of_few_queries(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n, count, width = q.shape
        queries = self._split(self.q_proj(q)) * self._scale
        # The keys' bias would add the same to all scores of a query, which softmax takes out again.
        scores = (queries @ self._heads(self.k_proj.weight)).flatten(1, 2) @ k.transpose(1, 2)  # (N, H Q, M)
        seen = (scores.softmax(dim=-1) @ v).reshape(n, self.heads, count, width)
        mixed = (seen @ self._heads(self.v_proj.weight).transpose(-1, -2)).transpose(1, 2).reshape(n, count, -1)
        # Each query's weights add up to 1: the values' bias comes out as it is.
        out: Tensor = self.out_proj(mixed + self.v_proj.bias + 0 * self.k_proj.bias)
        return out

    def _of_few_keys(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n, count, _ = k.shape
        keys = self._split(self.k_proj(k)) * self._scale
        wanted = (keys @ self._heads(self.q_proj.weight)).flatten(1, 2)  # (N, H M, D)
        bias = (keys @ self._heads(self.q_proj.bias[:, None])).flatten(1, 2)  # (N, H M, 1)
        # Queries last: softmax goes over the few keys of many queries at a time.
        scores = torch.baddbmm(bias, wanted, q.transpose(1, 2)).reshape(n, self.heads, count, -1)
        values = self._split(self.v_proj(v)) @ self._heads(self.out_proj.weight.T)  # (N, H, M, D)
        # Each head's weights add up to 1: a share of the bias in every value.
        given = values.flatten(1, 2) + self.out_proj.bias / self.heads
        return scores.softmax(dim=2).flatten(1, 2).transpose(1, 2) @ given

    @property
    def _scale(self) -> float:
        return math.sqrt(self.heads / self.q_proj.out_features)

    def _heads(self, weight: Tensor) -> Tensor:
        """(E, D) -> (H, E / H, D)."""
        return weight.reshape(self.heads, -1, weight.shape[-1])


class TokenMlp(nn.Module):
    """Two linear layers with ReLU between them, on the class tokens."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.lin1 = nn.Linear(width, hidden)
        self.lin2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(N, K, D) -> (N, K, D)."""
        out: Tensor = self.lin2(nn.functional.relu(self.lin1(x)))
        return out


class TwoWayBlock(nn.Module):
    """Token self-attention, tokens to image, MLP, image to tokens; each with a residual and a LayerNorm.

    Args:
        first: the first block, whose self-attention has neither positional term nor residual.
    """

    def __init__(self, width: int, heads: int, hidden: int, inner: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = Attention(width, heads, width)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = Attention(width, heads, inner)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = TokenMlp(width, hidden)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = Attention(width, heads, inner)

    def attend_selves(self, tokens: Tensor, token_pos: Tensor) -> Tensor:
        """Token self-attention and its norm: (N, K, D) -> (N, K, D)."""
        if self.first:
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            q = tokens + token_pos
            tokens = tokens + self.self_attn(q, q, tokens)
        normalised: Tensor = self.norm1(tokens)
        return normalised

    def attend_each_other(
        self, tokens: Tensor, image: Tensor, token_pos: Tensor, image_pos: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The rest of the block: tokens to image, MLP, image to tokens."""
        keys = image + image_pos
        tokens = self.norm2(tokens + self.cross_attn_token_to_image(tokens + token_pos, keys, image))
        tokens = self.norm3(tokens + self.mlp(tokens))
        image = self.norm4(image + self.cross_attn_image_to_token(keys, tokens + token_pos, tokens))
        return tokens, image

    def forward(self, tokens: Tensor, image: Tensor, token_pos: Tensor, image_pos: Tensor) -> tuple[Tensor, Tensor]:
        """tokens and token_pos (N, K, D), image and image_pos (N, L, D) -> new tokens, new image."""
        return self.attend_each_other(self.attend_selves(tokens, token_pos), image, token_pos, image_pos)


class TwoWayTransformer(nn.Module):
    """`depth` two-way blocks, then tokens to image once more."""

    def __init__(self, *, depth: int, width: int, heads: int, hidden: int, inner: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayBlock(width, heads, hidden, inner, first=index == 0) for index in range(depth)
        )
        self.final_attn_token_to_image = Attention(width, heads, inner)
        self.norm_final_attn = nn.LayerNorm(width)

    def finish(self, tokens: Tensor, image: Tensor, token_pos: Tensor, image_pos: Tensor) -> Tensor:
        """The last tokens-to-image attention: (N, K, D)."""
        attended = self.final_attn_token_to_image(tokens + token_pos, image + image_pos, image)
        normalised: Tensor = self.norm_final_attn(tokens + attended)
        return normalised

    def forward(self, tokens: Tensor, image: Tensor, image_pos: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (N, K, D), also their own positional term; image and image_pos (N, L, D) -> tokens, image."""
        token_pos = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pos, image_pos)
        return self.finish(tokens, image, token_pos, image_pos), image
