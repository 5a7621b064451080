"""Whether a model computes what its predecessor computes: the gate after every step of an export."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from segface_edge.engines import Engine, Output
from segface_edge.engines.base import MAX_BATCH
from segface_edge.errors import ParityError
from segface_edge.imaging import UInt8Array

from .histogram import Histogram

# fp32 against fp32: rounding may turn a pixel here and there, never a region.
MIN_EQUAL = 0.9999
MIN_CLASS_F1 = 0.995
MAX_LOGIT_ERROR = 2e-4
MAX_CONFIDENCE_ERROR = 2  # of 255
# A class of a few pixels loses much F1 by one turned pixel: below this many, its turned pixels are counted instead.
SMALL_CLASS = 1000
MAX_SMALL_TURNED = 5
# Frames a call for a file that takes any number.
OPEN_BATCH = 3


@dataclass(frozen=True, kw_only=True)
class Parity:
    """A model against its predecessor, on the same frames.

    Attributes:
        reference, candidate: what was compared.
        frames: how many faces.
        equal: share of pixels with equal labels.
        per_class_f1: {class: F1 of the candidate's labels, the reference's as truth}; None where neither has it.
        pixels: {class: pixels in the reference}.
        turned: {class: pixels whose label is the class in one of the two only}.
        logit_error: largest difference of logits over the largest logit; None where either gives labels only.
        confidence_error: largest difference of confidence (of 255); None likewise.
    """

    reference: str
    candidate: str
    frames: int
    equal: float
    per_class_f1: dict[str, float | None]
    pixels: dict[str, int]
    turned: dict[str, int]
    logit_error: float | None
    confidence_error: int | None

    def failures(self) -> list[str]:
        """What lies beyond the limits, in words; empty if the candidate passes."""
        found = []
        if not self.equal >= MIN_EQUAL:
            found.append(f"{self.equal:.4%} equal labels (limit {MIN_EQUAL:.2%})")
        for name, f1 in self.per_class_f1.items():
            small = self.pixels[name] < SMALL_CLASS
            if small and self.turned[name] > MAX_SMALL_TURNED:
                found.append(f"{name}: {self.turned[name]} turned pixels (limit {MAX_SMALL_TURNED})")
            elif not small and f1 is not None and not f1 >= MIN_CLASS_F1:
                found.append(f"{name}: F1 {f1:.4f} (limit {MIN_CLASS_F1})")
        if self.logit_error is not None and not self.logit_error <= MAX_LOGIT_ERROR:
            found.append(f"logit error {self.logit_error:.1e} of the largest (limit {MAX_LOGIT_ERROR:.0e})")
        if self.confidence_error is not None and self.confidence_error > MAX_CONFIDENCE_ERROR:
            found.append(f"confidence differs by {self.confidence_error} of 255 (limit {MAX_CONFIDENCE_ERROR})")
        return found

    def check(self, subject: object) -> None:
        """Raises ParityError, naming `subject`, if anything lies beyond the limits."""
        failures = self.failures()
        if failures:
            raise ParityError(
                subject,
                f"differs from {self.reference} on {self.frames} faces: {', '.join(failures)}",
                "nothing was written; try --no-simplify or another --opset, and report it",
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "passed": not self.failures()}

    def to_json(self) -> str:
        """One line, keys sorted."""
        return json.dumps(self.to_dict(), sort_keys=True)

    def summary(self) -> str:
        """One line for people."""
        logits = "" if self.logit_error is None else f", logits within {self.logit_error:.1e}"
        worst = min((f1 for f1 in self.per_class_f1.values() if f1 is not None), default=float("nan"))
        return (
            f"{self.reference} -> {self.candidate}: {self.equal:.4%} equal labels on {self.frames} faces, "
            f"worst class F1 {worst:.4f}{logits}"
        )


def compare(
    reference: Engine,
    candidates: Mapping[str, Engine],
    frames: Sequence[UInt8Array],
    *,
    name: str,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Parity]:
    """Runs all engines on the frames, several a call where they take several; a report per candidate.

    Args:
        reference: the predecessor.
        candidates: {name in the report: the model in question}; same size and classes as the reference.
        frames: (S, S, 3) uint8 each.
        name: what the reports call the reference.
        progress: called with the number of frames since the last call.

    Raises:
        ParityError: logits of either are not finite.
    """
    tallies = {label: _Tally(engine) for label, engine in candidates.items()}
    # Different frames in one call, as many as the files take: a graph that mixes them up, or that was specialised to
    # one frame, must not pass.
    step = max((min(engine.spec.batch or OPEN_BATCH, MAX_BATCH) for engine in candidates.values()), default=1)
    for start in range(0, len(frames), step):
        chunk = np.stack(frames[start : start + step])
        wanted = reference.infer(chunk)
        for label, tally in tallies.items():
            tally.add(wanted, label, chunk)
        progress(len(chunk))
    return [tally.report(name, label, len(frames)) for label, tally in tallies.items()]


class _Tally:
    """One candidate's differences so far."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.histogram = Histogram(len(engine.spec.classes))
        self.logit_error: float | None = None
        self.logit_largest = 0.0
        self.confidence_error: int | None = None

    def add(self, wanted: Output, label: str, frames: UInt8Array) -> None:
        found = self.engine.infer(frames)
        self.histogram.add(wanted.labels, found.labels)
        for who, logits in ((label, found.logits), (f"the reference of {label}", wanted.logits)):
            # NaN would pass every comparison below, and two networks of NaN give equal labels.
            if logits is not None and not np.isfinite(logits).all():
                raise ParityError(who, "gives logits that are not finite", "the weights are damaged: check them")
        if wanted.logits is not None and found.logits is not None:
            self.logit_error = max(self.logit_error or 0.0, float(np.abs(wanted.logits - found.logits).max()))
            self.logit_largest = max(self.logit_largest, float(np.abs(wanted.logits).max()))
        if wanted.confidence is not None and found.confidence is not None:
            difference = wanted.confidence.astype(np.int16) - found.confidence
            self.confidence_error = max(self.confidence_error or 0, int(np.abs(difference).max()))

    def report(self, reference: str, label: str, frames: int) -> Parity:
        counts, classes = self.histogram.counts, self.engine.spec.classes
        in_reference = counts.sum(axis=1)
        turned = in_reference + counts.sum(axis=0) - 2 * np.diag(counts)
        f1 = [None if np.isnan(value) else float(value) for value in self.histogram.f1()]
        return Parity(
            reference=reference,
            candidate=label,
            frames=frames,
            equal=self.histogram.equal(),
            per_class_f1=dict(zip(classes, f1, strict=True)),
            pixels=dict(zip(classes, in_reference.tolist(), strict=True)),
            turned=dict(zip(classes, turned.tolist(), strict=True)),
            logit_error=None if self.logit_error is None else self.logit_error / max(self.logit_largest, 1e-30),
            confidence_error=self.confidence_error,
        )
