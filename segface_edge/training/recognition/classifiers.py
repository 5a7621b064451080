"""What classifiers of long-tailed classes minimise: cross-entropy and LDAM, weighted or not; and how they sample.

Shape letters: N samples, K classes, F width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

MARGIN, SCALE, BETA = 0.5, 30.0, 0.9999


def class_balanced_weights(counts: Sequence[int], beta: float = BETA) -> Tensor:
    """(K,) float, (1 - beta) / (1 - beta^n_c), with mean 1 (Cui et al., CVPR 2019, arXiv 1901.05555)."""
    weights = torch.tensor([(1 - beta) / (1 - beta ** max(count, 1)) for count in counts], dtype=torch.float64)
    return (weights / weights.mean()).float()


class CosineClassifier(nn.Module):
    """Cosines with one direction a class: (N, F) -> (N, K), as LDAM needs."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(classes, width)))

    def forward(self, features: Tensor) -> Tensor:
        """(N, F) -> (N, K) in [-1, 1]."""
        return nn.functional.linear(
            nn.functional.normalize(features, dim=1), nn.functional.normalize(self.weight, dim=1)
        )


@torch.no_grad()
def class_means(features: Tensor, labels: Tensor, classes: int) -> CosineClassifier:
    """The nearest class mean decides, by the cosine; nothing is trained.

    Args:
        features: (N, F), of every class one at least.
        labels: (N,) int64 in [0, K).
        classes: K.
    """
    units = nn.functional.normalize(features, dim=1)
    classifier = CosineClassifier(features.shape[1], classes)
    for label in range(classes):
        classifier.weight[label] = units[labels == label].mean(0)
    return classifier


def ldam_loss(cosines: Tensor, labels: Tensor, counts: Sequence[int], weights: Tensor | None = None) -> Tensor:
    """Cross-entropy of 30 (cosine - margin of the truth), margin proportional to n_c^(-1/4), 0.5 for the rarest class
    (LDAM: Cao et al., NeurIPS 2019, arXiv 1906.07413).

    Args:
        cosines: (N, K) of `CosineClassifier`.
        labels: (N,) int64.
        counts: n_c.
        weights: (K,) of the classes, or None.
    """
    margins = torch.tensor([1 / math.sqrt(math.sqrt(max(count, 1))) for count in counts])
    margins = (MARGIN * margins / margins.max()).to(cosines)
    shifted = cosines - margins[labels][:, None] * nn.functional.one_hot(labels, cosines.shape[1])
    return nn.functional.cross_entropy(SCALE * shifted, labels, weights)


def class_aware(labels: Tensor, generator: torch.Generator) -> Tensor:
    """(N,) int64: as many samples as there are, drawn so that every class comes as often (Shen et al., ECCV 2016)."""
    counts = labels.bincount()
    weights = 1 / counts[labels].double()
    return torch.multinomial(weights, len(labels), replacement=True, generator=generator)
