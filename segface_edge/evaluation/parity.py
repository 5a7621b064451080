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
from segface_edge.labels import RARE_PARTS
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.spec import Precision

from .histogram import Histogram
from .limits import LIMITS, RANDOM, SMALL_CLASS, Limits

_ADVICE: dict[Precision, str] = {
    "fp32": "export it again with --no-simplify or another --opset, and report it",
    "fp16": "use fp32, and report it",
    "int8": "calibrate on photos like your own, or use fp16",
}
_NOT_FINITE: dict[Precision, str] = {
    "fp32": "the weights are damaged: check them",
    "fp16": "some values are beyond what half precision holds: use fp32, and report it",
    "int8": "some values are beyond what half precision holds: use fp32, and report it",
}
# Frames a call for a file that takes any number.
OPEN_BATCH = 3


@dataclass(frozen=True, kw_only=True)
class Parity:
    """A model against its predecessor, on the same frames.

    Attributes:
        reference, candidate: what was compared.
        precision: of the candidate; it names the limits, see `LIMITS`.
        frames: how many faces.
        equal: share of pixels with equal labels.
        per_class_f1: {class: F1 of the candidate's labels, the reference's as truth}; None where neither has it.
        pixels: {class: pixels in the reference}.
        turned: {class: pixels whose label is the class in one of the two only}.
        logit_error: largest difference of logits over the largest logit; None where either gives labels only.
        confidence_error: largest difference of confidence (of 255); None likewise.
        confidence_p999: its 99.9 % quantile, which a few turned pixels along borders do not move; None likewise.
        finite: the candidate's logits are finite on all frames; None where it does not let them be seen.
        random: its weights are random ones, which have limits of their own.
    """

    reference: str
    candidate: str
    precision: Precision
    frames: int
    equal: float
    per_class_f1: dict[str, float | None]
    pixels: dict[str, int]
    turned: dict[str, int]
    logit_error: float | None
    confidence_error: int | None
    confidence_p999: int | None
    finite: bool | None = None
    random: bool = False

    def failures(self) -> list[str]:
        """What lies beyond the limits, in words; empty if the candidate passes."""
        limits = self.limits
        found = []
        if not self.equal >= limits.equal:
            found.append(f"{self.equal:.4%} equal labels (limit {limits.equal:.2%})")
        found += [f"{name}: {problem}" for name in self.per_class_f1 if (problem := self.class_failure(name))]
        if _beyond(self.logit_error, limits.logit_error):
            found.append(f"logit error {self.logit_error:.1e} of the largest (limit {limits.logit_error:.0e})")
        if _beyond(self.confidence_error, limits.confidence_error):
            found.append(f"confidence differs by {self.confidence_error} of 255 (limit {limits.confidence_error})")
        if _beyond(self.confidence_p999, limits.confidence_p999):
            within = f"{self.confidence_p999} of 255 at 99.9 % of the pixels"
            found.append(f"confidence differs by {within} (limit {limits.confidence_p999})")
        return found

    @property
    def limits(self) -> Limits:
        """Of the candidate's precision."""
        return (RANDOM if self.random else LIMITS)[self.precision]

    def floor(self, name: str) -> float:
        """The least F1 that a class may have."""
        return self.limits.rare_f1 if name in RARE_PARTS else self.limits.class_f1

    def few(self, name: str) -> int:
        """The most pixels that a class of few may turn."""
        return self.limits.small_rare_turned if name in RARE_PARTS else self.limits.small_turned

    def class_failure(self, name: str) -> str | None:
        """What is wrong with a class, or None."""
        if self.pixels[name] < SMALL_CLASS:
            most = self.few(name)
            return f"{self.turned[name]} turned pixels (limit {most})" if self.turned[name] > most else None
        f1 = self.per_class_f1[name]
        return f"F1 {f1:.4f} (limit {self.floor(name)})" if f1 is not None and not f1 >= self.floor(name) else None

    @property
    def advice(self) -> str:
        """What to do about a candidate that does not pass."""
        return _ADVICE[self.precision]

    def check(self, subject: object) -> None:
        """Raises ParityError, naming `subject`, if anything lies beyond the limits."""
        failures = self.failures()
        if failures:
            raise ParityError(
                subject,
                f"differs from {self.reference} on {self.frames} faces: {', '.join(failures)}",
                f"nothing was written; {self.advice}",
            )

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {**asdict(self), "limits": asdict(self.limits), "passed": not self.failures()}

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


def _beyond(value: float | None, limit: float | None) -> bool:
    return value is not None and limit is not None and not value <= limit


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
        ParityError: logits of either are not finite, also of those that give labels only, as far as they can be seen.
    """
    tallies = {label: _Tally(engine) for label, engine in candidates.items()}
    # Different frames in one call, as many as the files take: a graph that mixes them up, or that was specialised to
    # one frame, must not pass.
    step = max((min(engine.spec.batch or OPEN_BATCH, MAX_BATCH) for engine in candidates.values()), default=1)
    for start in range(0, len(frames), step):
        chunk = np.stack(frames[start : start + step])
        wanted = reference.infer(chunk)
        _check_finite(reference, wanted, chunk, f"the reference {name}")
        for label, tally in tallies.items():
            tally.add(wanted, label, chunk)
        progress(len(chunk))
    return [tally.report(name, label, len(frames)) for label, tally in tallies.items()]


def _check_finite(engine: Engine, found: Output, frames: UInt8Array, who: str) -> bool | None:
    """True, or None where the logits cannot be seen.

    NaN passes every comparison, and an argmax hides it: it wins at class 0 only, and two networks of NaN give equal
    labels.

    Raises:
        ParityError: they are not finite.
    """
    seen = engine.finite(frames) if found.logits is None else bool(np.isfinite(found.logits).all())
    if seen is False:
        raise ParityError(
            who,
            "gives logits that are not finite (NaN or infinite), whatever its labels are",
            _NOT_FINITE[engine.spec.precision],
        )
    return seen


class _Tally:
    """One candidate's differences so far."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.histogram = Histogram(len(engine.spec.classes))
        self.finite: bool | None = None
        self.logit_error: float | None = None
        self.logit_largest = 0.0
        # Pixels by the difference of their confidence.
        self.confidence_counts = np.zeros(256, np.int64)

    def add(self, wanted: Output, label: str, frames: UInt8Array) -> None:
        found = self.engine.infer(frames)
        self.histogram.add(wanted.labels, found.labels)
        self.finite = _check_finite(self.engine, found, frames, label)
        if wanted.logits is not None and found.logits is not None:
            self.logit_error = max(self.logit_error or 0.0, float(np.abs(wanted.logits - found.logits).max()))
            self.logit_largest = max(self.logit_largest, float(np.abs(wanted.logits).max()))
        if wanted.confidence is not None and found.confidence is not None:
            difference = np.abs(wanted.confidence.astype(np.int16) - found.confidence)
            self.confidence_counts += np.bincount(difference.ravel(), minlength=256)

    def report(self, reference: str, label: str, frames: int) -> Parity:
        counts, classes = self.histogram.counts, self.engine.spec.classes
        in_reference = counts.sum(axis=1)
        turned = in_reference + counts.sum(axis=0) - 2 * np.diag(counts)
        f1 = [None if np.isnan(value) else float(value) for value in self.histogram.f1()]
        return Parity(
            reference=reference,
            candidate=label,
            precision=self.engine.spec.precision,
            frames=frames,
            equal=self.histogram.equal(),
            per_class_f1=dict(zip(classes, f1, strict=True)),
            pixels=dict(zip(classes, in_reference.tolist(), strict=True)),
            turned=dict(zip(classes, turned.tolist(), strict=True)),
            logit_error=None if self.logit_error is None else self.logit_error / max(self.logit_largest, 1e-30),
            confidence_error=self._confidence_within(1.0),
            confidence_p999=self._confidence_within(0.999),
            finite=self.finite,
            random=self.engine.spec.is_random,
        )

    def _confidence_within(self, share: float) -> int | None:
        """The least difference that the confidence of so many of the pixels stays within."""
        up_to = self.confidence_counts.cumsum()
        return int(np.searchsorted(up_to, share * up_to[-1])) if up_to[-1] else None
