"""A lower bound on the time of a network on a device, from what it must compute and what it must move.

    time >= max(operations / peak of arithmetic, bytes / peak of memory)

The two sides of the roofline (Williams, Waterman, Patterson: "Roofline: an insightful visual performance model for
multicore architectures", CACM 52(4), 2009), taken for the whole graph at once. It is a bound whatever a runtime does,
because each side counts only what no runtime can leave out:

- Operations: multiplications and additions of matrix products and convolutions, of the latter only as many as the
  quickest algorithm needs (`export/work.py`). Everything else is taken to cost nothing. Each precision is held against
  its own peak and the largest of the times is taken, not their sum: units for different types may work side by side.
- Bytes: weights once a call, frames in, results out, all else kept on the chip. A sum over operators of what each reads
  and writes would be no bound: a runtime that fuses two of them moves less. What the device's caches hold together is
  taken off too: between two calls that much may stay in them. Of all that a call touches, this is what caches of that
  size cannot have held from the call before.

And because published peaks are not exceeded: the clock is taken to be the one that they are published for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .devices import Device


@dataclass(frozen=True, kw_only=True)
class Bound:
    """No call can take less than `seconds`; what it does take is for a benchmark to say.

    Attributes:
        arithmetic: seconds that the products take at the peak.
        memory: seconds that the bytes take at the peak.
        stand_ins: {precision: the narrower one whose peak stands in}, where its own is not published.
    """

    arithmetic: float
    memory: float
    stand_ins: Mapping[str, str]

    @property
    def seconds(self) -> float:
        """The bound: the larger of the two."""
        return max(self.arithmetic, self.memory)


def bound(device: Device, operations: Mapping[str, float], traffic: float) -> Bound:
    """The bound of some work on a device.

    Args:
        device: its peaks.
        operations: {precision: multiplications and additions}.
        traffic: bytes of weights, inputs and outputs.

    Raises:
        UsageError: no peak bounds one of the precisions.
    """
    peaks = {precision: device.peak(precision) for precision in operations}
    # Caches of unknown size may hold everything.
    fetched = 0.0 if device.cache is None else max(0.0, traffic - device.cache.value)
    return Bound(
        arithmetic=max((count / peaks[name][1].value for name, count in operations.items()), default=0.0),
        memory=fetched / device.bandwidth.value,
        stand_ins={name: found for name, (found, _) in peaks.items() if found != name},
    )


def unfused(device: Device, passes: Iterable[tuple[str, float, float]]) -> float:
    """Seconds if every operator ran by itself at the device's peaks, its tensors going to memory and back. No bound:
    fused operators take less, and operators that miss the peaks take more.

    Args:
        device: its peaks.
        passes: of each operator the precision, operations and bytes.

    Raises:
        UsageError: no peak bounds one of the precisions.
    """
    return sum(
        max(operations and operations / device.peak(precision)[1].value, traffic / device.bandwidth.value)
        for precision, operations, traffic in passes
    )


def row(device: Device, one: Bound, all_faces: Bound, *, fps: float, loose: float) -> dict[str, Any]:
    """A device's line, JSON-ready (`docs/json.md`).

    Args:
        device: the device.
        one: the bound of one face.
        all_faces: that of every face of a frame.
        fps: frames a second that are wanted.
        loose: what `unfused` gives for one face, seconds.
    """
    best = 1 / all_faces.seconds if all_faces.seconds else float("inf")
    return {
        "device": device.name,
        "title": device.title,
        "bound_ms": 1000 * one.seconds,
        "arithmetic_ms": 1000 * one.arithmetic,
        "memory_ms": 1000 * one.memory,
        "fps_at_best": best,
        "verdict": "may" if best >= fps else "cannot",
        "unfused_ms": 1000 * loose,
        "stand_ins": dict(one.stand_ins),
        "peaks": {
            name: {"operations_per_second": figure.value, "source": figure.source, "halved": figure.halved}
            for name, figure in device.peaks.items()
        },
        "bandwidth": {"bytes_per_second": device.bandwidth.value, "source": device.bandwidth.source},
        "cache": device.cache and {"bytes": device.cache.value, "source": device.cache.source},
        "note": device.note,
    }
