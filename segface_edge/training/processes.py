"""One process or several (`torchrun`): who am I, and what do we agree on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass

import torch
import torch.distributed as dist

from segface_edge.errors import MissingDependencyError, UsageError

from .cpu import keep_memory, subnormals_flushed


@dataclass(frozen=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank, world: its number, and how many they are.
        device: what it trains on.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this one writes the files and talks."""
        return self.rank == 0

    def any(self, *flags: bool) -> tuple[bool, ...]:
        """Each flag: whether it is raised in any of the processes."""
        if self.world == 1:
            return flags
        raised = torch.tensor(flags, dtype=torch.int32, device=self.device)
        dist.all_reduce(raised, op=dist.ReduceOp.MAX)
        return tuple(bool(value) for value in raised.tolist())

    def wait(self) -> None:
        """Until all of them are here."""
        if self.world > 1:
            dist.barrier()


def several() -> bool:
    """Whether this process is one of several that train together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


@contextmanager
def together(device: str, *, threads: int | None = None) -> Iterator[Processes]:
    """The processes that `torchrun` started, or this one alone: NCCL on GPUs, gloo on CPUs, which are set up (`cpu`).

    Args:
        device: `cpu`, `cuda` or `cuda:N`; of several processes each takes the GPU of its local rank.
        threads: PyTorch's CPU threads in each; None leaves them as they are.

    Raises:
        UsageError: an unknown device.
        MissingDependencyError: CUDA was asked for and PyTorch has none.
    """
    kind = device.partition(":")[0]
    unknown = UsageError(f"device {device!r}", "is unknown to PyTorch", "use cpu, cuda or cuda:N")
    if kind not in ("cpu", "cuda"):
        raise unknown
    try:
        asked = torch.device(device)
    except RuntimeError as error:
        raise unknown from error
    if kind == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError(
            f"device {device!r}", "this PyTorch finds no CUDA device", "install its CUDA build and the driver"
        )
    if threads is not None:
        torch.set_num_threads(threads)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        if kind == "cuda" and (asked.index or 0) >= torch.cuda.device_count():
            raise UsageError(f"device {device!r}", f"is not among {torch.cuda.device_count()}", "use cuda:0")
        with _set_up(kind):
            yield Processes(0, 1, asked)
        return
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    place = torch.device("cuda", local) if kind == "cuda" else torch.device("cpu")
    if kind == "cuda":
        torch.cuda.set_device(place)
    dist.init_process_group("nccl" if kind == "cuda" else "gloo")
    try:
        with _set_up(kind):
            yield Processes(rank, world, place)
    finally:
        dist.destroy_process_group()


def _set_up(kind: str) -> AbstractContextManager[None]:
    if kind != "cpu":
        return nullcontext()
    keep_memory()
    return subnormals_flushed()
