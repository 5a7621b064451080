"""The two-way transformer of SegFace: class tokens and image tokens attend to each other (as in Segment Anything,
arXiv 2304.02643, section A).

Shape letters: N batch, K class tokens, L image tokens (h * w), D width (256), H heads, E inner width of an attention.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from .meeting import image_to_tokens, tokens_to_image


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
        queries, keys, values = self._split(self.q_proj(q)), self._split(self.k_proj(k)), self._split(self.v_proj(v))
        scores = queries @ keys.transpose(-1, -2) / math.sqrt(queries.shape[-1])  # (N, H, Q, M)
        mixed = scores.softmax(dim=-1) @ values  # (N, H, Q, E / H)
        n, heads, length, width = mixed.shape
        out: Tensor = self.out_proj(mixed.transpose(1, 2).reshape(n, length, heads * width))
        return out

    # The same products in another order, for training: the image's projections are folded into the few tokens. Nothing
    # of (L, E) is made, kept for the backward pass or turned, and the image meets two products, as in the deploy graph
    # (`rows.py`).

    def of_image(self, q: Tensor, image: Tensor, keys: Tensor) -> Tensor:
        """`forward(q, keys, image)` of few queries, in training.

        Args:
            q: (N, Q, D).
            image, keys: (N, L, D), the keys are the image and a constant.
        """
        n, count, width = q.shape
        queries = self._split(self.q_proj(q)) * self._scale
        # The keys' bias would add the same to all scores of a query, which softmax takes out again.
        wanted = (queries @ self._heads(self.k_proj.weight)).flatten(1, 2)  # (N, H Q, D)
        seen = tokens_to_image(wanted, image, keys).reshape(n, self.heads, count, width)
        mixed = (seen @ self._heads(self.v_proj.weight).transpose(-1, -2)).transpose(1, 2).reshape(n, count, -1)
        # Each query's weights add up to 1: the values' bias comes out as it is.
        out: Tensor = self.out_proj(mixed + self.v_proj.bias + 0 * self.k_proj.bias)
        return out

    def into_image(self, image: Tensor, queries: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """`image + forward(queries, k, v)` of few keys, in training.

        Args:
            image, queries: (N, L, D), the queries are the image and a constant.
            k, v: (N, K, D).
        """
        keys = self._split(self.k_proj(k)) * self._scale
        wanted = (keys @ self._heads(self.q_proj.weight)).flatten(1, 2)  # (N, H K, D)
        bias = (keys @ self._heads(self.q_proj.bias[:, None])).flatten(1, 2)  # (N, H K, 1)
        values = self._split(self.v_proj(v)) @ self._heads(self.out_proj.weight.T)  # (N, H, K, D)
        # Each head's weights add up to 1: a share of the bias in every value.
        given = values.flatten(1, 2) + (self.out_proj.bias / self.heads).to(values.dtype)
        return image_to_tokens(wanted, bias, given, image, queries, self.heads)

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
        if self.training:
            tokens = self.norm2(tokens + self.cross_attn_token_to_image.of_image(tokens + token_pos, image, keys))
            tokens = self.norm3(tokens + self.mlp(tokens))
            image = self.cross_attn_image_to_token.into_image(image, keys, tokens + token_pos, tokens)
            return tokens, self.norm4(image)
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
        attention = self.final_attn_token_to_image
        meet = attention.of_image if self.training else lambda q, image, keys: attention(q, keys, image)
        attended = meet(tokens + token_pos, image, image + image_pos)
        normalised: Tensor = self.norm_final_attn(tokens + attended)
        return normalised

    def forward(self, tokens: Tensor, image: Tensor, image_pos: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (N, K, D), also their own positional term; image and image_pos (N, L, D) -> tokens, image."""
        token_pos = tokens
        for layer in self.layers:
            tokens, image = layer(tokens, image, token_pos, image_pos)
        return self.finish(tokens, image, token_pos, image_pos), image
