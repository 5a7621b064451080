"""One thread's way through a TensorRT engine: context, buffers, stream and graph for a fixed number of frames."""

from __future__ import annotations

import math
import threading
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt

from segface_edge.errors import IncompatibleEngineError

from .contract import Tensor
from .cuda import Cuda, Graph, HostMemory, Mark, Memory
from .log import Record

Array = npt.NDArray[Any]


class Lane:
    """The GPU's context is current in every call. One thread at a time, and always the same.

    Args:
        cuda: the device.
        engine: TensorRT's.
        tensors: its inputs and outputs, the one input first.
        batch: frames a call.
        record: what TensorRT says meanwhile.
        source: the plan, for messages.

    Attributes:
        lock: held while it runs.
        graph: `yes`, `not in pycuda`, or why there is none.
    """

    def __init__(
        self, cuda: Cuda, engine: Any, tensors: tuple[Tensor, ...], batch: int, record: Record, source: str
    ) -> None:
        self.lock = threading.Lock()
        self._cuda, self._source = cuda, source
        self._graph: Graph | None = None
        self.graph = "not yet" if cuda.has_graphs else f"not in {cuda.binding}"
        with ExitStack() as stack:
            self._stream = cuda.stream()
            stack.callback(self._stream.free)
            try:
                self._context = engine.create_execution_context()
                if self._context is None:
                    raise self._failed("makes no execution context", record)
                self._input, *self._outputs = [self._buffer(tensor, batch, record, stack) for tensor in tensors]
            except BaseException:
                self._context = None  # before its buffers; the error's trace would keep it
                raise
            self._free = stack.pop_all()

    def run(
        self, frames: Array, record: Record, *, copy: bool, stages: dict[str, float] | None = None
    ) -> dict[str, Array]:
        """The outputs by name.

        Args:
            frames: of the input's shape and type.
            record: what TensorRT says meanwhile.
            copy: whether the outputs are the caller's own.
            stages: takes the seconds of the copies, `host_to_device` and `device_to_host`.
        """
        np.copyto(self._input.array, frames)
        marks: list[Mark] = []
        try:
            self._queue(record, marks if stages is not None else None)
        finally:
            # Also where something failed: what was queued uses the buffers.
            self._stream.synchronize()
        if stages is not None:
            stages["host_to_device"] += marks[1].seconds_since(marks[0])
            stages["device_to_host"] += marks[3].seconds_since(marks[2])
        for mark in marks:
            mark.free()
        if self.graph == "not yet":
            self._record_graph(record)  # TensorRT sets itself up in the first run, which may not be recorded
        return {one.name: one.array.copy() if copy else one.array for one in self._outputs}

    def _queue(self, record: Record, marks: list[Mark] | None) -> None:
        """Copies in, the engine, copies out, and marks around each."""

        def mark() -> None:
            if marks is not None:
                marks.append(self._stream.mark())

        mark()
        self._input.copy_in(self._stream)
        mark()
        if self._graph is not None:
            self._graph.launch(self._stream)
        else:
            self._enqueue(record)
        mark()
        for output in self._outputs:
            output.copy_out(self._stream)
        mark()

    def profile(
        self, frames: Array, record: Record, timer: Any, runs: int
    ) -> tuple[list[list[tuple[str, float]]], list[float]]:
        """What TensorRT reports of each run, and the seconds of each as the device measures them, without its copies. A
        recorded graph would not report, so the lane must not have run before, and is good for nothing else.

        Args:
            frames: of the input's shape and type.
            record: what TensorRT says meanwhile.
            timer: of `profile.make_timer`.
            runs: how many.
        """
        np.copyto(self._input.array, frames)
        self._input.copy_in(self._stream)
        self._context.profiler = timer
        # Asked for after the run: nothing of ours waits between the marks.
        self._context.enqueue_emits_profile = False
        reported, seconds = [], []
        for _ in range(runs):
            timer.layers.clear()
            marks = [self._stream.mark()]
            try:
                self._enqueue(record)
                marks.append(self._stream.mark())
            finally:
                self._stream.synchronize()
            if not self._context.report_to_profiler():
                raise self._failed("tells no times of layers", record)
            reported.append(list(timer.layers))
            seconds.append(marks[1].seconds_since(marks[0]))
            for mark in marks:
                mark.free()
        return reported, seconds

    def free(self) -> None:
        """Gives everything back."""
        with self.lock:
            if self._graph is not None:
                self._graph.free()
                self._graph = None
            self._context = None  # TensorRT frees it with its last name
            self._free.close()

    def _buffer(self, tensor: Tensor, batch: int, record: Record, stack: ExitStack) -> _Buffer:
        shape = tuple(batch if size == -1 else size for size in tensor.shape)
        if tensor.is_input and not self._context.set_input_shape(tensor.name, shape):
            raise self._failed(f"takes no {' x '.join(map(str, shape))} as {tensor.name}", record)
        real = tuple(self._context.get_tensor_shape(tensor.name))
        if real != shape:
            raise self._failed(f"gives {tensor.name} as {real}, not {shape}", record)
        buffer = _Buffer(self._cuda, tensor, shape, stack)
        if not self._context.set_tensor_address(tensor.name, buffer.address):
            raise self._failed(f"takes no address for {tensor.name}", record)
        return buffer

    def _enqueue(self, record: Record) -> None:
        if not self._context.execute_async_v3(self._stream.handle):
            raise self._failed("failed to run it", record)

    def _record_graph(self, record: Record) -> None:
        try:
            self._graph = self._cuda.record(self._stream, lambda: self._enqueue(record))
            self.graph = "yes"
        except IncompatibleEngineError as error:
            # Not every engine can be recorded. It runs all the same, and says so.
            self.graph = f"no ({error.problem})"

    def _failed(self, what: str, record: Record) -> IncompatibleEngineError:
        return IncompatibleEngineError(
            self._source, f"TensorRT {what} ({record.last_error()})", "lower the batch, or build the plan again"
        )


class _Buffer:
    """A tensor's memory: pinned on the host, and on the device, which is the same where they share it."""

    def __init__(self, cuda: Cuda, tensor: Tensor, shape: tuple[int, ...], stack: ExitStack) -> None:
        self.name = tensor.name
        self._size = math.prod(shape) * np.dtype(tensor.dtype).itemsize
        shared = cuda.gpu.integrated
        self._host: HostMemory = cuda.allocate_host(self._size, mapped=shared)
        stack.callback(self._host.free)
        self._device: Memory | None = None if shared else cuda.allocate(self._size)
        if self._device is not None:
            stack.callback(self._device.free)
        self.address = (self._device or self._host).address
        self.array: Array = self._host.array.view(tensor.dtype).reshape(shape)

    def copy_in(self, stream: Any) -> None:
        if self._device is not None:
            stream.copy_in(self._host, self._device, self._size)

    def copy_out(self, stream: Any) -> None:
        if self._device is not None:
            stream.copy_out(self._device, self._host, self._size)
