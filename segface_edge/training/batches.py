"""Batches of samples in a given order, prepared ahead by worker processes."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from segface_edge.errors import SegFaceEdgeError

from .face_source import FaceSource
from .sampling import Key


@dataclass(frozen=True)
class Batch:
    """What `augment` takes: images (N, H, H, 3), labels (N, L, L), backgrounds (N, b, b, 3) uint8; draws (N, 32). And
    landmarks (N, 5, 2), from -1 to 1 over the image, where faces are warped."""

    images: Tensor
    labels: Tensor
    backgrounds: Tensor
    draws: Tensor
    landmarks: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return self._each(lambda part: part.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        """The same in page-locked memory."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        parts = (self.images, self.labels, self.backgrounds, self.draws, self.landmarks)
        return Batch(*(change(part) for part in parts if part is not None))


def collate(samples: Sequence[dict[str, npt.NDArray[Any]] | SegFaceEdgeError]) -> Batch | SegFaceEdgeError:
    """Samples of one size as a batch; the first error where one is among them."""
    for sample in samples:
        if isinstance(sample, SegFaceEdgeError):
            return sample
    found = cast(Sequence[dict[str, npt.NDArray[Any]]], samples)
    images, labels, backgrounds, draws, *landmarks = (
        torch.from_numpy(np.stack([sample[name] for sample in found]))
        for name in ("image", "labels", "background", "draws", "landmarks")
        if name in found[0]
    )
    return Batch(images, labels, backgrounds, draws, *landmarks)


def batches(source: FaceSource, keys: Iterator[list[Key]], *, workers: int, pin: bool) -> Iterator[Batch]:
    """Batches in the order of `keys`, prepared ahead by `workers` processes. Raises what is wrong with a photo."""
    loader = torch.utils.data.DataLoader(
        source,
        batch_sampler=_Sampler(keys),
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_leave_ctrl_c_alone,
    )
    for batch in loader:
        if isinstance(batch, SegFaceEdgeError):
            raise batch
        yield batch


def _leave_ctrl_c_alone(_: int) -> None:
    """A terminal's Ctrl-C reaches the workers too; the loop decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Sampler(torch.utils.data.Sampler[list[Key]]):
    def __init__(self, keys: Iterator[list[Key]]) -> None:
        self._keys = keys

    def __iter__(self) -> Iterator[list[Key]]:
        return self._keys
