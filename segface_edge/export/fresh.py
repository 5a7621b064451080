"""A network with random weights that computes with numbers like a trained one's: for measuring speed."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import nn

from segface_edge.evaluation.photos import bundled_faces
from segface_edge.network import SegFace, build_segface
from segface_edge.network.backbone import Backbone
from segface_edge.network.deploy import normalise

SEED = 0
# Photos that BatchNorm's statistics are of.
_PHOTOS = 4


def fresh_network(name: str, labels: str, size: int) -> SegFace:
    """The same weights each time, drawn by `SEED`.

    BatchNorm's statistics are those of some of the bundled photos. As it begins, it divides by 1, and behind a hundred
    layers of ResNet the numbers are beyond what half precision holds: no fp16 or int8 file could be made of it.
    """
    torch.manual_seed(SEED)
    model = build_segface(name, labels, size).eval()
    norms = [module for module in model.backbone.modules() if isinstance(module, nn.BatchNorm2d)]
    if not norms:
        return model
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = None  # the mean over all that it sees
        norm.train().reset_running_stats()
    backbone = cast(Backbone, model.backbone)
    frames = torch.from_numpy(np.stack(bundled_faces(size)[:_PHOTOS]))
    with torch.no_grad():
        backbone.features(normalise(frames, backbone.mean, backbone.std))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        norm.eval()
    return model
