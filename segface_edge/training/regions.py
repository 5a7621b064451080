"""Regions of a face as samples of a contrastive loss: one for each photo and class that it shows.

Shape letters: N photos, K classes, S side, s = S / stride, L = s * s, D width (256), E width of an embedding.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from segface_edge.network import SegFace
from segface_edge.network.decoder import WIDTH

EMBEDDING = 128
Kind = Literal["pixels", "tokens"]


class RegionNetwork(nn.Module):
    """A network that says in passing what its regions look like to it. Nothing of this is left when it is used.

    Args:
        network: what is trained.
        kind: what the two views of a region are. `pixels`: means of the image's features, after the transformer, over
            the cells (4 x 4 pixels, or 8 x 8) of one colour of a chequerboard, under the label, and over those of the
            other. `tokens`: the class token after the transformer, and the mean over all pixels.
    """

    def __init__(self, network: SegFace, kind: Kind) -> None:
        super().__init__()
        self.network, self.kind = network, kind
        self.projection = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, EMBEDDING))

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What a step needs.

        Args:
            images: (N, 3, S, S), as the network takes them.
            labels: (N, S, S) uint8 or int64, 255 where there is no truth.

        Returns:
            The logits (N, K, S, S); embeddings (N, K, 2, E), unit vectors; which regions are there, (N, K) bool. What
            is not there has any embedding.
        """
        network = self.network
        fused, tap = network.fused(images)
        side = fused.shape[-1]
        decoder = network.face_decoder
        tokens, image = decoder.attend(fused, network.pe_layer(side, side))
        weights = pixel_shares(labels, len(network.labels), side)  # (N, K, L)
        if self.kind == "tokens":
            views = torch.stack([tokens, _means(weights, image)], dim=2)
        else:
            place = torch.arange(side, device=weights.device)
            even = ((place[:, None] + place) % 2 == 0).flatten().to(weights)
            # A region of one pixel of the map is in one half only: it stands for both.
            halves = [_means(_or_all(weights * half, weights), image) for half in (even, 1 - even)]
            views = torch.stack(halves, dim=2)
        embeddings = nn.functional.normalize(self.projection(views), dim=-1)
        return decoder.head(tokens, image, side, side, tap), embeddings, weights.sum(-1) > 0


def pixel_shares(labels: Tensor, classes: int, side: int) -> Tensor:
    """(N, S, S) labels -> (N, K, L) float: how many pixels of each class lie in each cell of a map of `side`."""
    n, height, _ = labels.shape
    cells = torch.arange(height, device=labels.device) * side // height
    cell = cells[:, None] * side + cells  # (S, S)
    known = labels < classes
    photo = torch.arange(n, device=labels.device)[:, None, None]
    where = ((photo * classes + labels.long()) * side**2 + cell)[known]
    return torch.bincount(where, minlength=n * classes * side**2).reshape(n, classes, side**2).float()


def _or_all(some: Tensor, weights: Tensor) -> Tensor:
    return torch.where(some.sum(-1, keepdim=True) > 0, some, weights)


def _means(weights: Tensor, image: Tensor) -> Tensor:
    """(N, K, L) weights, (N, L, D) -> (N, K, D) fp32; 0 where there is no weight."""
    shares = weights / weights.sum(-1, keepdim=True).clamp(min=1)
    # Not in half precision: a sum over a whole face overflows it, and shares of one underflow.
    with torch.autocast(image.device.type, enabled=False):
        return shares @ image.float()
