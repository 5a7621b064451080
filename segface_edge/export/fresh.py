"""A network with random weights that computes with numbers like a trained one's: for measuring speed."""

from __future__ import annotations

import torch
from torch import nn

from segface_edge.network import SegFace, build_segface

SEED = 0
# What a residual block of ResNet adds begins at this share of what it adds it to. torchvision's own 1 doubles the
# variance in each of 33 blocks, up to numbers that half precision does not hold: no fp16 file could be made of it.
# 0 (Goyal et al., arXiv 1706.02677, 5.1) would leave most of the network without effect.
BRANCH = 0.2


def fresh_network(name: str, labels: str, size: int) -> SegFace:
    """The same weights each time, drawn by `SEED`, in eval mode."""
    torch.manual_seed(SEED)
    model = build_segface(name, labels, size).eval()
    for block in model.backbone.modules():
        if isinstance(last := getattr(block, "bn3", None), nn.BatchNorm2d):
            nn.init.constant_(last.weight, BRANCH)
    return model
