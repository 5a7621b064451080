"""ExecuTorch: a .pte file, from PyTorch's graph, with XNNPACK's part compiled into it."""

from __future__ import annotations

from importlib.metadata import version

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower

from .delegated import delegated
from .job import Job


def convert(job: Job) -> dict[str, str]:
    """Writes the file; versions of what made it."""
    graph, frames = delegated(job)
    program = torch.export.export(graph, (frames,))
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    job.out.write_bytes(lowered.to_executorch().buffer)
    return {"executorch": version("executorch")}
