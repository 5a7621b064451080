"""The deploy graph: SegFace as it is exported, from bytes to bytes, computing what the plain network computes.

Normalisation goes in, argmax comes out: (N, S, S, 3) uint8 RGB -> (N, S, S) uint8. Between them, exactly in real
arithmetic: constants are folded (what the first token self-attention sees, biases, the positional term's products), and
the decoder works on rows of pixels (`rows.py`). Step by step with its gain: `docs/deploy-graph.md`.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from segface_edge.pictures.warping import Warp
from segface_edge.spec import IMAGENET_MEAN, IMAGENET_STD, OutputKind

from .backbone import Backbone, Rgb
from .decoder import WIDTH
from .rows import ImageToTokens, RowFusion, RowHead, RowNorm, TokensToImage, enlarge, to_picture
from .segface import SegFace
from .transformer import TwoWayBlock


def normalise(frames: Tensor, mean: Rgb = IMAGENET_MEAN, std: Rgb = IMAGENET_STD) -> Tensor:
    """(N, S, S, 3) uint8 RGB -> (N, 3, S, S) float32 with a mean and standard deviation, of RGB in [0, 1]."""
    # Channels first before the arithmetic: runtimes are slow along a last axis of 3.
    return scaled(frames.float().permute(0, 3, 1, 2), mean, std)


def scaled(pixels: Tensor, mean: Rgb, std: Rgb) -> Tensor:
    """(N, 3, S, S) float32 RGB, 0 to 255 -> the same, normalised."""
    middle, spread = (255 * torch.tensor(values, device=pixels.device)[:, None, None] for values in (mean, std))
    return (pixels - middle) * (1 / spread)


class PositionTables(nn.Module):
    """`FourierPosition` for one grid, from tables of `side` x 128: () -> (side * side, D).

    By sin(a + b) = sin a cos b + cos a sin b: the file holds small tables, and runtimes fold the rest as they load it.
    """

    sin_x: Tensor
    cos_x: Tensor
    sin_y: Tensor
    cos_y: Tensor

    def __init__(self, matrix: Tensor, side: int) -> None:
        super().__init__()
        centres = (torch.arange(side, dtype=torch.float64) + 0.5) / side
        angles = 2 * math.pi * (2 * centres[:, None, None] - 1) * matrix.detach().double()  # (side, 2, 128)
        for axis, name in enumerate("xy"):
            self.register_buffer(f"sin_{name}", angles[:, axis].sin().float())
            self.register_buffer(f"cos_{name}", angles[:, axis].cos().float())

    def forward(self) -> Tensor:
        """sin and cos of the summed angles, row by row."""
        sin_y, cos_y = self.sin_y[:, None], self.cos_y[:, None]
        sines = self.sin_x * cos_y + self.cos_x * sin_y
        cosines = self.cos_x * cos_y - self.sin_x * sin_y
        return torch.cat([sines, cosines], dim=-1).reshape(-1, WIDTH)


class DeployGraph(nn.Module):
    """A trained SegFace as it is exported.

    Args:
        model: the plain network, in eval mode; it is not changed.
        output: `labels`; `confidence`, which is labels and confidence; or `logits`.
    """

    token_pos: Tensor
    tokens: Tensor

    def __init__(self, model: SegFace, output: OutputKind = "labels") -> None:
        super().__init__()
        self.output = output
        self.side = model.image_size // model.stride
        self.halved = model.face_decoder.skip is not None
        self.backbone = model.backbone
        self.divided = model.divided
        self.position = PositionTables(model.pe_layer.positional_encoding_gaussian_matrix, self.side)
        transformer = model.face_decoder.transformer
        blocks = cast(list[TwoWayBlock], list(transformer.layers))
        # What the image's rows hold too much at each block, and after the last: see `ImageToTokens`.
        shifts = [ImageToTokens.shift_of(block.cross_attn_image_to_token) for block in blocks]
        shifts.append(torch.zeros(WIDTH, dtype=torch.float64))
        self.fusion = RowFusion(model.fusion, shifts[0])
        to_image = [block.cross_attn_token_to_image for block in blocks] + [transformer.final_attn_token_to_image]
        self.tokens_to_image = nn.ModuleList(map(TokensToImage, to_image, shifts))
        self.image_to_tokens = nn.ModuleList(
            ImageToTokens(block.cross_attn_image_to_token, shift) for block, shift in zip(blocks, shifts, strict=False)
        )
        self.image_norms = nn.ModuleList(
            RowNorm(block.norm4, shift) for block, shift in zip(blocks, shifts[1:], strict=True)
        )
        self.blocks = transformer.layers
        self.final_norm = transformer.norm_final_attn
        self.head = RowHead(model.face_decoder)
        with torch.no_grad():
            start = model.face_decoder.class_tokens.detach()[None]
            first = blocks[0].attend_selves(start, start)
        self.register_buffer("token_pos", start)
        self.register_buffer("tokens", first)

    def forward(self, frames: Tensor) -> tuple[Tensor, ...]:
        """(N, S, S, 3) uint8 RGB -> labels (N, S, S) uint8 [and confidence (N, S, S) uint8], or logits (N, K, S, S)."""
        logits = self.rows(frames)
        if self.output == "logits":
            return (self._arranged(logits).permute(0, 3, 1, 2),)
        # Bytes last: NVIDIA's parser takes them at the network's edges only.
        labels = self._arranged(logits.argmax(-1)).to(torch.uint8)
        if self.output == "labels":
            return (labels,)
        # The largest softmax is 1 / sum(exp(logit - largest)).
        confidence = 255 / (logits - logits.amax(-1, keepdim=True)).exp().sum(-1)
        return labels, self._arranged(confidence.round()).to(torch.uint8)

    def rows(self, frames: Tensor) -> Tensor:
        """(N, S, S, 3) uint8 RGB -> logits (N, S * S, K), in the order that `_arranged` makes a picture of."""
        backbone = cast(Backbone, self.backbone)
        return self._rows(normalise(frames, backbone.mean, backbone.std))

    def _rows(self, images: Tensor) -> Tensor:
        """The same of images (N, 3, S, S) as the backbone takes them."""
        rows = self._decoded(images)
        if not self.halved:
            return rows
        # Enlarged as logits: there is nothing between two labels. Rows again: of a picture with any N, NVIDIA's builder
        # cannot take the argmax.
        small = to_picture(rows, self.side).permute(0, 3, 1, 2)
        return enlarge(small, 2 * small.shape[-1]).permute(0, 2, 3, 1).flatten(1, 2)

    def _decoded(self, images: Tensor) -> Tensor:
        """The head's rows (N, 16 L, K), of which `to_picture` makes a picture."""
        beside, taps = self.divided(cast(Backbone, self.backbone).features(images))
        image = self.fusion(taps)
        position = self.position()
        tokens, pos = self.tokens, self.token_pos
        for index, block in enumerate(cast(list[TwoWayBlock], list(self.blocks))):
            if index:
                tokens = block.attend_selves(tokens, pos)
            tokens = block.norm2(tokens + self.tokens_to_image[index](tokens + pos, image, position))
            tokens = block.norm3(tokens + block.mlp(tokens))
            attended = self.image_to_tokens[index](image, position, tokens + pos, tokens)
            image = self.image_norms[index](image + attended)
        tokens = self.final_norm(tokens + self.tokens_to_image[-1](tokens + pos, image, position))
        rows: Tensor = self.head(tokens, image, beside)
        return rows

    def _arranged(self, values: Tensor) -> Tensor:
        """What was made of the logits, (N, S * S, ...), as a picture (N, S, S, ...)."""
        if not self.halved:
            return to_picture(values, self.side)
        side = 8 * self.side
        return values.reshape(-1, side, side, *values.shape[2:])


class WarpingGraph(DeployGraph):
    """The same of a network that warps faces, with the warp in the graph: what `SegFace.forward` computes."""

    def forward(self, frames: Tensor, landmarks: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        """Frames as before, landmarks (N, 5, 2) float32 in their pixels -> as before, of the frames' own pixels."""
        backbone = cast(Backbone, self.backbone)
        warp = Warp(landmarks, torch.arange(frames.shape[1], dtype=landmarks.dtype, device=landmarks.device), torch)
        # What lies outside is ImageNet's mean, whatever the backbone's own is.
        middle = 255 * torch.tensor(IMAGENET_MEAN, device=frames.device)[:, None, None]
        pixels = functional.grid_sample(frames.float().permute(0, 3, 1, 2) - middle, warp.grid(), align_corners=False)
        rows = self._rows(scaled(pixels + middle, backbone.mean, backbone.std))
        warped = self._arranged(rows).permute(0, 3, 1, 2)
        logits = functional.grid_sample(warped, warp.inverse(), align_corners=False)
        if self.output == "logits":
            return (logits,)
        labels = logits.argmax(1).to(torch.uint8)
        if self.output == "labels":
            return (labels,)
        confidence = 255 / (logits - logits.amax(1, keepdim=True)).exp().sum(1)
        return labels, confidence.round().to(torch.uint8)
