"""LiteRT: a .tflite file, from PyTorch's graph, whose one signature takes `frames` and gives what the spec names."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

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
    versions = {name: version(name) for name in ("litert-torch", "litert-converter")}
    if job.spec.precision == "fp32":
        model.export(str(job.out))
        return versions
    from .litert_lower import VERSIONS, lower

    plain = Path("plain.tflite")  # in this process's own folder
    model.export(str(plain))
    job.out.write_bytes(lower(job, plain))
    return versions | VERSIONS
