"""How near each layer of a profile is to what its device could do at best.

    share = max(operations / peak of arithmetic, bytes / peak of memory) / time

The roofline (Williams, Waterman, Patterson, CACM 52(4), 2009), layer by layer: operations are those that the graph
writes down, two a multiplication; bytes are what the layer reads of others and writes for them, what lies between
operators that run as one not counted. A layer above 1 had its bytes from caches, or multiplied fewer times than the
graph says (Winograd); the bound of a whole graph, which nothing exceeds, is in `bound.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from .devices import Device

_OPERATIONS = 2


class NodeWork(Protocol):
    """What a node of the file asks for, as `export.cost.NodeCost` counts it."""

    @property
    def macs(self) -> int:
        """Multiplications with accumulation."""

    @property
    def reads(self) -> Mapping[str, int]:
        """{tensor: its bytes}."""

    @property
    def writes(self) -> Mapping[str, int]:
        """{tensor: its bytes}."""

    @property
    def precision(self) -> str:
        """What it multiplies in: `fp32`, `fp16`, `int8`."""


class LayerWork:
    """What the layers of a profile ask for.

    Args:
        work: of the file's nodes by name; None where it was not counted.
        device: whose peaks they are held against; None where no peaks are known.
    """

    def __init__(self, work: Mapping[str, NodeWork] | None, device: Device | None) -> None:
        self._work, self._device = work, device
        self._readers: dict[str, set[str]] = defaultdict(set)
        for node, one in (work or {}).items():
            for name in one.reads:
                self._readers[name].add(node)

    def of(self, covers: Sequence[str]) -> dict[str, Any]:
        """`macs`, `bytes` and `roof_ms` of a layer that computes these nodes; None for what is not known."""
        if self._work is None:
            return {"macs": None, "bytes": None, "roof_ms": None}
        asked = [(name, self._work[name]) for name in covers if name in self._work]
        macs: dict[str, int] = defaultdict(int)
        for _, one in asked:
            macs[one.precision] += one.macs
        moved = self._moved(asked)
        return {"macs": sum(macs.values()), "bytes": moved, "roof_ms": self._roof_ms(macs, moved)}

    def _moved(self, asked: Iterable[tuple[str, NodeWork]]) -> int:
        asked = list(asked)
        own = {name for name, _ in asked}
        made = {name: size for _, one in asked for name, size in one.writes.items()}
        read = {name: size for _, one in asked for name, size in one.reads.items() if name not in made}
        # What nobody reads is a result of the graph.
        left = [size for name, size in made.items() if not self._readers[name] or self._readers[name] - own]
        return sum(read.values()) + sum(left)

    def _roof_ms(self, macs: Mapping[str, int], moved: int) -> float | None:
        if self._device is None:
            return None
        device = self._device
        products = [_OPERATIONS * count / device.peak(name)[1].value for name, count in macs.items() if count]
        return 1000 * max([*products, moved / device.bandwidth.value])


def roofline_document(device: Device) -> dict[str, Any]:
    """The peaks, JSON-ready."""
    return {
        "device": device.name,
        "title": device.title,
        "operations_per_second": {name: figure.value for name, figure in device.peaks.items()},
        "bytes_per_second": device.bandwidth.value,
    }
