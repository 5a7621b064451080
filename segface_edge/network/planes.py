"""The deploy graph for runtimes of few words: no batch, no bytes, no more than four axes. Float planes in, logits out.

What it computes is what `DeployGraph` computes; the argmax is left to the host. Where that makes pictures of rows and
rows of pictures by turning six or seven axes, here pixels are shuffled, which such runtimes have a word for.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

from .deploy import DeployGraph, scaled
from .rows import RowHead, enlarge
from .segface import SegFace


class _PlaneHead(RowHead):
    """`RowHead` of one photo."""

    @staticmethod
    def by_parent(tap: Tensor) -> Tensor:
        """(1, C, 2 s, 2 s) -> (1, 4 L, C)."""
        channels, side = tap.shape[1], tap.shape[-1]
        four = functional.pixel_unshuffle(tap, 2)  # (1, 4 C, s, s): a channel's four children side by side
        return four.reshape(channels, 4, -1).permute(2, 1, 0).reshape(1, side * side, channels)


class PlaneGraph(DeployGraph):
    """A trained SegFace from planes to logits.

    Args:
        model: the plain network, in eval mode; it is not changed.
    """

    def __init__(self, model: SegFace) -> None:
        super().__init__(model, "logits")
        self.head = _PlaneHead(model.face_decoder)

    def forward(self, images: Tensor) -> Tensor:  # type: ignore[override]
        """(1, 3, S, S) float32 RGB, 0 to 255 -> logits (1, K, S, S) float32."""
        rows = self._decoded(scaled(images, self.backbone.mean, self.backbone.std))  # type: ignore[arg-type]
        planes = _planes(rows, self.side)
        return enlarge(planes, 2 * planes.shape[-1]) if self.halved else planes


def _planes(rows: Tensor, side: int) -> Tensor:
    """Rows (1, 16 L, K) of the head -> (1, K, 4 s, 4 s): `to_picture` by two shuffles, of children, then of theirs."""
    classes = rows.shape[-1]
    # A pixel's children first, theirs second; the shuffle that comes first takes the channels that stand last.
    channels = rows.reshape(side * side, 4, 4, classes).permute(3, 2, 1, 0).reshape(1, 16 * classes, side, side)
    return functional.pixel_shuffle(functional.pixel_shuffle(channels, 2), 2)
