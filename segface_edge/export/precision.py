"""An fp32 deploy graph in lower precision: which nodes, by what one node at a time does to the logits."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import onnx

from segface_edge.pictures.geometry import UInt8Array
from segface_edge.spec import MadeFor, Precision

from .config import CalibrationMethod
from .constants import fold_batch_norm, plain_weights
from .cost import macs_by_type, node_costs
from .half import half_candidates, to_half
from .int8 import int8_candidates, quantise
from .int8_cpu import cpu_candidates, quantise_chains, tensors_to_range
from .ranges import calibrate, calibration_steps, inputs
from .sensitivity import Candidate, Sensitivity, sensitivities

Bar = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]


def no_bar(length: int, label: str) -> AbstractContextManager[Callable[[int], None]]:  # noqa: ARG001
    """For callers without a terminal."""
    return nullcontext(lambda _: None)


# Errors of single nodes add up as independent ones do, by their squares. What is above these limits, in shares of the
# logits' size, stays in the next higher precision.
HALF_BUDGET = 1e-3
INT8_BUDGET = 1e-2
# Of a graph of more nodes than this (Swin's), neighbours are tried together: one at a time would take half an hour.
MANY = 400
GROUPS = 64
# Islands may hold this share of the multiplications at most; layers that leave int8, that share of the backbone's.
MAX_ISLAND_MACS = 0.05
MAX_LEFT_MACS = 0.28


@dataclass(frozen=True, kw_only=True)
class Lowered:
    """A graph in lower precision.

    Attributes:
        model: the graph.
        half: what each node does in fp16, in order of the graph; of a graph of more than `MANY`, each group of them,
            by the name of its first.
        int8: what each convolution does in int8, likewise.
        islands: nodes that stay in fp32.
        int8_layers: convolutions in int8.
        together: every node in fp16 but the islands, every result rounded. ONNX Runtime keeps some of them in fp32 on a
            CPU, which has no kernels for half of all operators; a GPU does not. None where nothing is fp16.
        macs: multiplications of a call by type.
        calibration_sha256: of the frames that int8 was calibrated on.
    """

    model: onnx.ModelProto
    half: tuple[Sensitivity, ...]
    int8: tuple[Sensitivity, ...]
    islands: tuple[str, ...]
    int8_layers: tuple[str, ...]
    together: Sensitivity | None
    macs: Mapping[str, int]
    calibration_sha256: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready, without the graph."""
        return {
            "half": [asdict(found) for found in self.half],
            "int8": [asdict(found) for found in self.int8],
            "islands": list(self.islands),
            "int8_layers": list(self.int8_layers),
            "together": self.together and asdict(self.together),
            "macs": dict(self.macs),
            "calibration_sha256": self.calibration_sha256,
        }

    def summary(self) -> list[str]:
        """A line or two for people."""
        total = sum(self.macs.values())
        shares = ", ".join(f"{kind.lower()} {count / total:.1%}" for kind, count in sorted(self.macs.items()))
        if self.together is None:
            return [f"multiplications: {total / 1e9:.2f} G, {shares}"]
        return [
            f"multiplications: {total / 1e9:.2f} G, {shares}; {len(self.islands)} nodes stay in fp32",
            f"every fp16 result rounded, as on a GPU: {self.together.turned:.3%} of the labels turn",
        ]


def lower(
    model: onnx.ModelProto,
    precision: Precision,
    frames: Sequence[UInt8Array],
    *,
    made_for: MadeFor = "gpu",
    calibration: Sequence[UInt8Array] = (),
    method: CalibrationMethod = "percentile",
    bar: Bar = no_bar,
) -> Lowered:
    """`model` in fp16 with islands of fp32, or with convolutions in int8 and the rest in that fp16 (for a CPU in fp32).

    Args:
        model: a deploy graph in fp32; it is not changed.
        precision: `fp16` or `int8`.
        frames: (S, S, 3) uint8 RGB each, for the sensitivities: a few.
        made_for: whose kernels int8 is for.
        calibration: likewise, for the ranges of int8: many.
        method: of the calibration.
        bar: makes a progress bar for a length and a label.
    """
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    plain_weights(plain)
    fold_batch_norm(plain)
    macs = {cost.name: cost.macs for cost in node_costs(plain)}

    int8: list[Sensitivity] = []
    chosen: tuple[str, ...] = ()
    ranges: dict[str, float] = {}
    if precision == "int8":
        tensors = tensors_to_range(plain) if made_for == "cpu" else inputs(plain)
        steps = calibration_steps(len(tensors), len(calibration), method)
        with bar(steps, f"calibrating on {len(calibration)} photos") as advance:
            ranges = calibrate(plain, calibration, method, advance, tensors=tensors)
        candidates = cpu_candidates(plain, ranges) if made_for == "cpu" else int8_candidates(plain, ranges)
        with bar((len(candidates) + 1) * len(frames), "each convolution in int8") as advance:
            int8 = sensitivities(plain, candidates, frames, advance)
        chosen = choose_layers(int8, macs)
    if made_for == "cpu":
        lowered = quantise_chains(plain, chosen, ranges)
        return Lowered(
            model=lowered,
            half=(),
            int8=tuple(int8),
            islands=(),
            int8_layers=chosen,
            together=None,
            macs=macs_by_type(lowered),
            calibration_sha256=_sha256(calibration),
        )
    candidates = half_candidates(plain)
    groups = grouped(candidates, macs)
    with bar((len(groups) + 1) * len(frames), "each node in fp16") as advance:
        half = sensitivities(plain, [_together(group) for group in groups], frames, advance)
    members = {group[0].name: [one.name for one in group] for group in groups}
    kept = choose_islands(half, {first: sum(macs.get(name, 0) for name in names) for first, names in members.items()})
    islands = tuple(name for first in kept for name in members[first])
    roundings = [r for candidate in candidates if candidate.name not in islands for r in candidate.roundings]
    (together,) = sensitivities(plain, [Candidate(name="all", kind="graph", roundings=roundings)], frames)
    lowered = to_half(quantise(plain, chosen, ranges) if chosen else plain, islands)
    return Lowered(
        model=lowered,
        half=tuple(half),
        int8=tuple(int8),
        islands=islands,
        int8_layers=chosen,
        together=together,
        macs=macs_by_type(lowered),
        calibration_sha256=_sha256(calibration) if calibration else None,
    )


def _sha256(frames: Sequence[UInt8Array]) -> str:
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(bytes(frame))
    return digest.hexdigest()


def grouped(candidates: Sequence[Candidate], macs: Mapping[str, int]) -> list[list[Candidate]]:
    """Each alone; of more than `MANY`, `GROUPS` of neighbours at most: those that multiply, which are too dear to stay
    in fp32, apart from those that do not."""
    if len(candidates) <= MANY:
        return [[one] for one in candidates]
    kinds = [[one for one in candidates if (macs.get(one.name, 0) > 0) is multiplies] for multiplies in (False, True)]
    groups = []
    for kind in kinds:
        length = -(-len(kind) // (GROUPS // 2))
        groups += [kind[start : start + length] for start in range(0, len(kind), max(length, 1))]
    return groups


def _together(group: Sequence[Candidate]) -> Candidate:
    roundings = [rounding for one in group for rounding in one.roundings]
    kind = group[0].kind if len(group) == 1 else f"{len(group)} nodes"
    return Candidate(name=group[0].name, kind=kind, roundings=roundings)


def choose_islands(
    found: Sequence[Sensitivity], macs: Mapping[str, int], *, budget: float = HALF_BUDGET
) -> tuple[str, ...]:
    """The nodes that stay in fp32: the most sensitive ones, until the rest is within the budget; where those that are
    too dear to stay go beyond it alone, until the squares of the rest are twice theirs."""
    allowed = MAX_ISLAND_MACS * sum(macs.values())

    def islands(budget: float) -> tuple[str, ...]:
        return _most_sensitive(found, lambda one: macs.get(one.name, 0), allowed, budget, lambda one: one.error)

    cheap = set(islands(0.0))
    floor = sum(one.error**2 for one in found if one.name not in cheap)
    if budget**2 < floor < float("inf"):
        budget = (2 * floor) ** 0.5
    return islands(budget)


def choose_layers(
    found: Sequence[Sensitivity], macs: Mapping[str, int], *, budget: float = INT8_BUDGET
) -> tuple[str, ...]:
    """The convolutions in int8: all but those that cost the most for what they save, until the rest is within the
    budget."""
    allowed = MAX_LEFT_MACS * sum(macs[one.name] for one in found)
    left = _most_sensitive(
        found, lambda one: macs[one.name], allowed, budget, lambda one: one.error**2 / max(macs[one.name], 1)
    )
    return tuple(one.name for one in found if one.name not in left)


def _most_sensitive(
    found: Sequence[Sensitivity],
    macs: Callable[[Sensitivity], int],
    allowed: float,
    budget: float,
    order: Callable[[Sensitivity], float],
) -> tuple[str, ...]:
    """Names, first in `order` first, until the squares of all other errors sum up to the budget's; never more than
    `allowed` multiplications."""
    rest = {one.name: one.error**2 for one in found}
    taken: list[str] = []
    for one in sorted(found, key=order, reverse=True):
        if sum(rest.values()) <= budget**2:
            break
        if macs(one) > allowed:
            continue
        allowed -= macs(one)
        taken.append(one.name)
        del rest[one.name]
    return tuple(taken)
