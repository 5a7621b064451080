"""What LiteRT's and ExecuTorch's converters are given: PyTorch's graph in the operators of XNNPACK."""

from __future__ import annotations

import torch

from segface_edge.errors import UsageError
from segface_edge.export.pipeline import load_network
from segface_edge.network.delegated import DelegatedGraph

from .job import Job


def delegated(job: Job) -> tuple[DelegatedGraph, dict[str, torch.Tensor]]:
    """The graph in eval mode, and what to trace it with: {"frames": (1, S, S, 3) uint8}.

    Raises:
        UsageError: a batch of more than one frame was asked for.
    """
    if job.spec.batch != 1:
        raise UsageError(f"--batch {job.spec.batch}", f"is not made by --target {job.config.target}", "leave it out")
    model, _ = load_network(job.config, [])
    size = job.spec.size
    graph = DelegatedGraph(model, job.config.output or "labels").eval()
    return graph, {"frames": torch.zeros(1, size, size, 3, dtype=torch.uint8)}
