"""A simulated GPU: contexts, memory, streams, events and graphs, with the rules that a real one keeps silently.

Work on a stream waits until somebody synchronises: who reads a result too early sees stale bytes. Memory starts and
ends as junk. What would be undefined behaviour is a `FakeCudaError`, kept in `refusals` too, for code that swallows it.
"""

from __future__ import annotations

import ctypes
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np

from .fake_memory import Block, FakeCudaError, Memory, OutOfMemory

# Milliseconds of the simulated clock.
COPY_MS, KERNEL_MS = 0.25, 2.0

# What a capture forbids, and to whom: cudaStreamCaptureMode.
GLOBAL, THREAD_LOCAL, RELAXED = 0, 1, 2


@dataclass(eq=False)
class Work:
    """One entry of a stream's queue."""

    run: Callable[[], None]
    blocks: tuple[Block, ...] = ()
    ms: float = 0.0


@dataclass(eq=False)
class Stream:
    """A queue of work. While `capture` is a list, work goes there."""

    handle: int
    device: int
    queue: list[Work] = field(default_factory=list)
    capture: list[Work] | None = None
    broken: bool = False
    live: bool = True


@dataclass(eq=False)
class Event:
    """A moment of the simulated clock: None until the stream's queue has come to it."""

    handle: int
    device: int
    moment: float | None = None
    stream: Stream | None = None
    mark: Work | None = None
    live: bool = True


@dataclass(eq=False)
class Graph:
    """Recorded work: what a capture gives, or what can be launched (`executable`)."""

    handle: int
    works: tuple[Work, ...]
    executable: bool
    live: bool = True


class FakeDevice(Memory):
    """One kind of GPU, `devices` of them, and everything that a process holds on it.

    Args:
        name, sm, memory, integrated: what it says of itself.
        driver: False where there is no libcuda.
        devices: how many the driver finds.
        runtime_version, driver_version: as CUDA counts, 12060 for 12.6.
        out_of_memory_after: bytes that can be allocated, None for all of `memory`.
        pageable: whether an asynchronous copy may name memory that is not pinned. A real one obeys, and waits.
        capture_fails: kernels cannot be captured: a capture with one gives no graph.
    """

    def __init__(
        self,
        name: str = "Orin",
        sm: tuple[int, int] = (8, 7),
        memory: int = 8 << 30,
        integrated: bool = False,
        driver: bool = True,
        runtime_version: int = 12060,
        driver_version: int = 12060,
        *,
        devices: int = 1,
        out_of_memory_after: int | None = None,
        pageable: bool = False,
        capture_fails: bool = False,
    ) -> None:
        super().__init__(memory, out_of_memory_after)
        self.name, self.sm, self.integrated, self.driver = name, sm, integrated, driver
        self.runtime_version, self.driver_version, self.devices = runtime_version, driver_version, devices
        self.pageable, self.capture_fails = pageable, capture_fails
        self.clock = 0.0
        self.retained = 0
        self.registered: Counter[str] = Counter()
        self._next_handle = 0x5EED_0000
        self._streams: dict[int, Stream] = {0: Stream(0, 0)}
        self._events: dict[int, Event] = {}
        self._graphs: dict[int, Graph] = {}
        self._captures: dict[Stream, tuple[int, int]] = {}

    def live(self) -> dict[str, int]:
        """What is not freed yet, by kind; empty where everything is."""
        blocks = [block for block in self._blocks if block.live]
        counts = Counter(
            {
                "device memory": sum(block.address is None for block in blocks),
                "pinned memory": sum(block.address is not None for block in blocks),
                "streams": sum(stream.live for stream in self._streams.values() if stream.handle),
                "events": sum(event.live for event in self._events.values()),
                "graphs": sum(graph.live for graph in self._graphs.values() if not graph.executable),
                "graph execs": sum(graph.live for graph in self._graphs.values() if graph.executable),
                "retained contexts": self.retained,
                "pushed contexts": sum(map(len, self._stacks.values())),
            }
        )
        counts.update(self.registered)
        return {kind: count for kind, count in counts.items() if count}

    # Streams ----------------------------------------------------------------------------------------------------------

    def _handle(self) -> int:
        self._next_handle += 16
        return self._next_handle

    def create_stream(self, call: str) -> Stream:
        """An empty queue."""
        device = self.current(call)
        stream = Stream(self._handle(), device)
        self._streams[stream.handle] = stream
        return stream

    def stream(self, handle: int, call: str) -> Stream:
        """The stream of HANDLE, if this thread may use it."""
        device = self.current(call)
        stream = self._streams.get(handle)
        if stream is None or not stream.live:
            self.refuse(f"{call}: {'a destroyed stream' if stream else f'{handle:#x} is no stream'}")
        if stream.handle and stream.device != device:
            self.refuse(f"{call}: a stream of another GPU than this thread's")
        return stream

    def destroy_stream(self, stream: Stream, call: str) -> None:
        """Work that is queued still runs, as on a real one."""
        if not stream.live:
            self.refuse(f"{call}: the stream is destroyed already")
        if stream.capture is not None:
            self.refuse(f"{call}: the stream is being captured")
        self._drain(stream)
        stream.live = False

    def queue(self, stream: Stream, work: Work) -> None:
        """Work to be done when somebody waits for it, or to be recorded."""
        with self.lock:
            (stream.queue if stream.capture is None else stream.capture).append(work)

    def synchronize(self, stream: Stream, call: str) -> None:
        """Does what is queued."""
        self.current(call)
        if stream.capture is not None:
            self._capture_unsupported(call, stream)
        self._drain(stream)

    def synchronize_all(self, call: str) -> None:
        """Does what is queued on every stream of this thread's GPU."""
        device = self.current(call)
        for stream in self._captures:
            self._capture_unsupported(call, stream)
        for stream in [s for s in self._streams.values() if s.device == device]:
            self._drain(stream)

    def _drain(self, stream: Stream, until: Work | None = None) -> None:
        with self.lock:
            while stream.queue:
                work = stream.queue.pop(0)
                self.clock += work.ms
                work.run()
                if work is until:
                    return

    def copy(self, to: int, source: int, size: int, stream: Stream, call: str, *, up: bool) -> None:
        """Queues a copy: host to device if UP, else device to host."""
        device, place = self.on_device(to if up else source, size, call)
        found = self.find(source if up else to, size, call, host=True)
        if found is None and not self.pageable:
            self.refuse(f"{call}: the host's memory is not pinned, so that the copy is not asynchronous")
        if found is None:
            address = source if up else to
            host = np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)
            blocks: tuple[Block, ...] = (device,)
        else:
            host = found[0].data[found[1] : found[1] + size]
            blocks = (device, found[0])

        def run() -> None:
            if not all(block.live for block in blocks):
                self.refuse(f"{call}: a recorded copy runs after its memory was freed")
            there = device.data[place : place + size]
            if up:
                there[:] = host
            else:
                host[:] = there

        self.queue(stream, Work(run, blocks, COPY_MS))

    # Events -----------------------------------------------------------------------------------------------------------

    def create_event(self, call: str) -> Event:
        """A moment that has not come."""
        event = Event(self._handle(), self.current(call))
        self._events[event.handle] = event
        return event

    def event(self, handle: int, call: str) -> Event:
        """The event of HANDLE."""
        self.current(call)
        event = self._events.get(handle)
        if event is None or not event.live:
            self.refuse(f"{call}: {'a destroyed event' if event else f'{handle:#x} is no event'}")
        return event

    def record(self, event: Event, stream: Stream, call: str) -> None:
        """Queues the moment."""
        if stream.capture is not None:
            self.refuse(f"{call}: the fake does not record events in a capture; teach it")
        event.moment, event.stream = None, stream

        def run() -> None:
            event.moment = self.clock

        event.mark = Work(run)
        self.queue(stream, event.mark)

    def synchronize_event(self, event: Event, call: str) -> None:
        """Does what is queued before the moment."""
        self.current(call)
        if event.stream is not None and event.moment is None:
            if event.stream.capture is not None:
                self._capture_unsupported(call, event.stream)
            self._drain(event.stream, event.mark)

    def destroy_event(self, event: Event, call: str) -> None:
        """Frees it."""
        if not event.live:
            self.refuse(f"{call}: the event is destroyed already")
        event.live = False

    # Graphs -----------------------------------------------------------------------------------------------------------

    def _capture_unsupported(self, call: str, stream: Stream) -> NoReturn:
        stream.broken = True
        self.refuse(f"{call} while a stream is captured (a real one: cudaErrorStreamCaptureUnsupported)")

    def _no_capture(self, call: str) -> None:
        for stream, (thread, mode) in self._captures.items():
            if mode == GLOBAL or (mode == THREAD_LOCAL and thread == threading.get_ident()):
                self._capture_unsupported(call, stream)

    def begin_capture(self, stream: Stream, mode: int, call: str) -> None:
        """From now on work is recorded."""
        if not stream.handle or stream.capture is not None:
            self.refuse(f"{call}: the stream {'is captured already' if stream.handle else 'is the legacy one'}")
        stream.capture, stream.broken = [], False
        self._captures[stream] = (threading.get_ident(), mode)

    def end_capture(self, stream: Stream, call: str) -> Graph | None:
        """What was recorded; None where something broke the capture."""
        if stream.capture is None:
            self.refuse(f"{call}: the stream is not captured")
        thread, mode = self._captures.pop(stream)
        works, stream.capture = tuple(stream.capture), None
        if mode != RELAXED and thread != threading.get_ident():
            self.refuse(f"{call}: another thread began the capture")
        return None if stream.broken else self._add_graph(works, executable=False)

    def _add_graph(self, works: tuple[Work, ...], *, executable: bool) -> Graph:
        graph = Graph(self._handle(), works, executable)
        self._graphs[graph.handle] = graph
        return graph

    def graph(self, handle: int, call: str, *, executable: bool) -> Graph:
        """The graph of HANDLE."""
        self.current(call)
        graph = self._graphs.get(handle)
        if graph is None or graph.executable != executable or not graph.live:
            self.refuse(
                f"{call}: {'a destroyed graph' if graph and not graph.live else f'{handle:#x} is no such graph'}"
            )
        return graph

    def instantiate(self, graph: Graph) -> Graph:
        """A graph that can be launched, and that outlives GRAPH."""
        return self._add_graph(graph.works, executable=True)

    def launch(self, graph: Graph, stream: Stream) -> None:
        """Queues what was recorded."""
        for work in graph.works:
            self.queue(stream, Work(work.run, work.blocks, work.ms))

    def destroy_graph(self, graph: Graph) -> None:
        """Frees it."""
        graph.live, graph.works = False, ()

    def is_capturing(self, stream: Stream) -> bool:
        """Whether work on STREAM is recorded."""
        return stream.capture is not None

    # For tests --------------------------------------------------------------------------------------------------------

    def pending(self) -> int:
        """Entries of all queues."""
        return sum(len(stream.queue) for stream in self._streams.values())

    def _is_pending(self, block: Block) -> bool:
        return any(block in work.blocks for stream in self._streams.values() for work in stream.queue)


def buffer_address(thing: Any, *, writable: bool = False) -> tuple[int, int]:
    """Address and bytes of what has the buffer protocol.

    Raises:
        ValueError: it is not contiguous, or not writable.
    """
    view = memoryview(thing)
    if not view.contiguous:
        raise ValueError("ndarray is not contiguous")
    if writable and view.readonly:
        raise ValueError("buffer source array is read-only")
    flat = np.frombuffer(view.cast("B") if view.c_contiguous else memoryview(np.asarray(thing).T).cast("B"), np.uint8)
    return flat.ctypes.data, flat.nbytes


__all__ = ["Block", "FakeCudaError", "FakeDevice", "OutOfMemory", "Work", "buffer_address"]
