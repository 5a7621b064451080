"""ExecuTorch: a .pte file, from PyTorch's graph, with XNNPACK's part compiled into it."""

from __future__ import annotations

from importlib.metadata import version

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower
from torch import nn

from .delegated import delegated
from .job import Job


def convert(job: Job) -> dict[str, str]:
    """Writes the file; versions of what made it."""
    graph: nn.Module
    graph, frames = delegated(job)
    if job.spec.precision == "int8":
        from .pt2e import in_int8

        graph = in_int8(job, graph, frames)
    program = torch.export.export(graph, (), frames)
    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    job.out.write_bytes(lowered.to_executorch().buffer)
    return {"executorch": version("executorch")}
