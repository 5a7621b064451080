"""SegFace in PyTorch: the network, its checkpoints, its deploy graph, and the engine that runs it."""

from .checkpoint import read_checkpoint
from .reference_names import load_reference_state_dict, reference_state_dict
from .segface import BACKBONES, SegFace, build_segface

__all__ = [
    "BACKBONES",
    "SegFace",
    "build_segface",
    "load_reference_state_dict",
    "read_checkpoint",
    "reference_state_dict",
]
