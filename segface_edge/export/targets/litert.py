"""LiteRT: a .tflite file, from PyTorch's graph, whose one signature takes `frames` and gives what the spec names."""

from __future__ import annotations

from importlib.metadata import version

import litert_torch
from torch import Tensor, nn

from .delegated import delegated
from .job import Job


class _Named(nn.Module):
    """The graph with names for what it gives: they become those of the signature."""

    def __init__(self, graph: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        # Not called `graph`: torch.fx has that name for itself.
        self.named, self.names = graph, names

    def forward(self, frames: Tensor) -> dict[str, Tensor]:
        return dict(zip(self.names, self.named(frames), strict=True))


def convert(job: Job) -> dict[str, str]:
    """Writes the file; versions of what made it."""
    graph, frames = delegated(job)
    named = _Named(graph, job.spec.outputs).eval()
    model = litert_torch.convert(named, sample_kwargs=frames)
    model.export(str(job.out))
    return {name: version(name) for name in ("litert-torch", "litert-converter")}
