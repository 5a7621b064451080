"""Contexts and memory of a simulated GPU, without its queues."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
import numpy.typing as npt

# No address of a process: bits 47 to 63 of a real one are equal.
_FIRST_POINTER = 0x00DE_0000_0000_0000
_ALIGNMENT = 512
_JUNK, _FREED = 0xCD, 0xDD


class FakeCudaError(AssertionError):
    """The code under test does what a GPU does not forgive."""


class OutOfMemory(Exception):
    """For the bindings, each of which says it in its own way."""


@dataclass(eq=False)
class Block:
    """Device memory (`pointer` alone), pinned memory (`address`), or mapped memory (both)."""

    data: npt.NDArray[np.uint8]
    device: int
    pointer: int | None = None
    address: int | None = None
    live: bool = True

    def holds(self, first: int, where: int) -> bool:
        """Whether WHERE is in this block, which begins at FIRST."""
        return first <= where < first + len(self.data)


class Memory(ABC):
    """Who is current where, and what is allocated."""

    def __init__(self, memory: int, out_of_memory_after: int | None) -> None:
        self.memory, self.out_of_memory_after = memory, out_of_memory_after
        self.refusals: list[str] = []
        self.notes: list[str] = []
        self.lock = threading.RLock()
        # The runtime API makes a context current by itself, the driver API does not.
        self.implicit = False
        # Taken beside the allocations, by execution contexts.
        self.reserved = 0
        self._stacks: dict[int, list[tuple[int, object]]] = {}
        self._chosen: dict[int, int] = {}
        self._blocks: list[Block] = []
        self._next_pointer = _FIRST_POINTER

    @abstractmethod
    def _no_capture(self, call: str) -> None:
        """Refuses CALL while a stream is captured."""

    @abstractmethod
    def _is_pending(self, block: Block) -> bool:
        """Whether queued work uses BLOCK."""

    def refuse(self, problem: str, kind: type[AssertionError] = FakeCudaError) -> NoReturn:
        """Ends the call, and is remembered."""
        self.refusals.append(problem)
        raise kind(problem)

    # Contexts ---------------------------------------------------------------------------------------------------------

    def current(self, call: str) -> int:
        """The index of the GPU whose context is current on this thread."""
        stack = self._stacks.get(threading.get_ident())
        if stack:
            return stack[-1][0]
        if self.implicit:
            return self._chosen.get(threading.get_ident(), 0)
        self.refuse(f"{call}: no context is current on this thread (a real one: invalid device context)")

    def choose(self, index: int) -> None:
        """What cudaSetDevice does."""
        self._chosen[threading.get_ident()] = index

    def chosen(self) -> int:
        """What cudaGetDevice says."""
        return self._chosen.get(threading.get_ident(), 0)

    def push(self, index: int, owner: object) -> None:
        """Makes OWNER, a context of GPU INDEX, current on this thread."""
        self._stacks.setdefault(threading.get_ident(), []).append((index, owner))

    def top(self) -> object | None:
        """The context on top of this thread's stack."""
        stack = self._stacks.get(threading.get_ident())
        return stack[-1][1] if stack else None

    def pop(self) -> None:
        """The context below becomes current."""
        stack = self._stacks.get(threading.get_ident())
        if not stack:
            self.refuse("Context.pop: no context is current on this thread")
        stack.pop()

    # Memory -----------------------------------------------------------------------------------------------------------

    def free_memory(self) -> int:
        """Bytes that can still be allocated."""
        limit = self.memory if self.out_of_memory_after is None else self.out_of_memory_after
        used = sum(len(block.data) for block in self._blocks if block.live) + self.reserved
        return max(limit - used, 0)

    def allocate(self, size: int, call: str, *, pinned: bool = False, mapped: bool = False) -> Block:
        """Memory full of junk.

        Raises:
            OutOfMemory: there is not enough.
        """
        device = self.current(call)
        self._no_capture(call)
        if size <= 0:
            self.refuse(f"{call}: {size} bytes")
        with self.lock:
            if size > self.free_memory():
                raise OutOfMemory
            address = None
            if pinned:
                room = np.empty(size + 4096, np.uint8)
                data = room[-room.ctypes.data % 4096 :][:size]
                address = data.ctypes.data
            else:
                data = np.frombuffer(bytearray(size), np.uint8)
            data[:] = _JUNK
            pointer = None
            if mapped or not pinned:
                # A real mapped pointer is often the host's address; this one never is, so that mixing them up shows.
                pointer = self._next_pointer
                self._next_pointer += (size // _ALIGNMENT + 2) * _ALIGNMENT
            block = Block(data, device, pointer, address)
            self._blocks.append(block)
        return block

    def find(self, where: int, size: int, call: str, *, host: bool = False) -> tuple[Block, int] | None:
        """The live block that holds SIZE bytes from WHERE on, and the place in it; None if WHERE is in no block."""
        for block in reversed(self._blocks):
            first = block.address if host else block.pointer
            if first is None or not block.holds(first, where):
                continue
            if not block.live:
                if host:
                    continue
                self.refuse(f"{call}: memory at {where:#x} was freed")
            if where - first + size > len(block.data):
                self.refuse(f"{call}: {size} bytes from {where - first} on, in an allocation of {len(block.data)}")
            return block, where - first
        return None

    def on_device(self, where: int, size: int, call: str) -> tuple[Block, int]:
        """As `find`, for memory that a kernel or a copy reaches."""
        found = self.find(where, size, call)
        if found is None:
            host = self.find(where, 1, call, host=True)
            self.refuse(f"{call}: {where:#x} is {'a host address' if host else 'no memory of this device'}")
        if found[0].device != self.current(call):
            self.refuse(f"{call}: memory of another GPU than this thread's")
        return found

    def free(self, block: Block, call: str) -> None:
        """Gives BLOCK back. Its bytes become junk, its numpy views stay readable."""
        self._no_capture(call)
        if not block.live:
            self.refuse(f"{call}: memory is freed already")
        if block.device != self.current(call):
            self.refuse(f"{call}: memory of another GPU than this thread's")
        if self._is_pending(block):
            self.refuse(f"{call}: work that uses this memory is pending on a stream")
        block.live = False
        block.data[:] = _FREED

    def block_at(self, where: int, call: str, *, host: bool) -> Block:
        """The block that starts at WHERE, to be freed."""
        for block in reversed(self._blocks):
            if (block.address if host else None if block.address else block.pointer) == where:
                return block
        self.refuse(f"{call}: {where:#x} is no allocation")

    def blocks(self) -> Iterator[Block]:
        """Live memory."""
        return (block for block in self._blocks if block.live)
