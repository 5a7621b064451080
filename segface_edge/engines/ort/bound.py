"""A session whose memory on an NVIDIA GPU is bound once. Unverified until run on one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from threading import Lock
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from segface_edge.engines.base import MAX_BATCH
from segface_edge.engines.promise import Tensor
from segface_edge.errors import UsageError

Array = npt.NDArray[Any]


class BoundSession:
    """A session whose inputs and outputs live on the device, allocated once per batch size.

    Threads take turns: the memory is one. What is handed out is a copy of it.

    Args:
        session: an `onnxruntime.InferenceSession`.
        source: the model's name, for messages.
        allocate: makes an `onnxruntime.OrtValue` of a shape and a type on the device.
        feed: the input.
        outputs: the outputs, all with the batch as their first axis.
    """

    def __init__(
        self,
        session: Any,
        source: str,
        allocate: Callable[[Sequence[int], Any], Any],
        feed: Tensor,
        outputs: Sequence[Tensor],
    ) -> None:
        self._session, self._source, self._allocate = session, source, allocate
        self._feed, self._outputs = feed, tuple(outputs)
        self._bindings: dict[int, tuple[Any, Any]] = {}
        self._lock = Lock()

    def run(self, feed: Array, now: Callable[[], float] = perf_counter) -> tuple[dict[str, Array], float, float]:
        """Runs one batch.

        Args:
            feed: (N, ...) of the input's type.
            now: seconds, monotonic.

        Returns:
            The outputs by name, the seconds of the copy to the device, and those of the copies back.

        Raises:
            UsageError: it is closed.
        """
        with self._lock:
            if self._session is None:
                raise UsageError(self._source, "is closed", "open it again")
            binding, value = self._bound(len(feed))
            start = now()
            value.update_inplace(np.ascontiguousarray(feed))
            binding.synchronize_inputs()
            there = now()
            self._session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            done = now()
            copies = binding.copy_outputs_to_cpu()
            back = now()
        names = [name for name, _, _ in self._outputs]
        return dict(zip(names, copies, strict=True)), there - start, back - done

    def close(self) -> None:
        """Frees the memory, after the run that is under way."""
        with self._lock:
            self._bindings.clear()
            self._session = None

    def _bound(self, count: int) -> tuple[Any, Any]:
        """The binding for a batch of `count`, and its input."""
        if count not in self._bindings:
            if len(self._bindings) == MAX_BATCH:  # a caller that takes ever other sizes does not fill the device
                del self._bindings[next(iter(self._bindings))]
            binding = self._session.io_binding()
            name, dtype, dims = self._feed
            value = self._allocate(_shape(dims, count), dtype)
            binding.bind_ortvalue_input(name, value)
            for name, dtype, dims in self._outputs:
                binding.bind_ortvalue_output(name, self._allocate(_shape(dims, count), dtype))
            self._bindings[count] = binding, value
        return self._bindings[count]


def _shape(dims: tuple[int | None, ...], count: int) -> list[int]:
    return [count if d is None else d for d in dims]
