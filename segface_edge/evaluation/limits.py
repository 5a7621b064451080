"""What a model may differ by from its predecessor, by its precision: a table."""

from __future__ import annotations

from dataclasses import dataclass, replace

from segface_edge.spec import Precision

# A class of a few pixels loses much F1 by one turned pixel: below this many, its turned pixels are counted instead.
SMALL_CLASS = 1000


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a model may differ by from its predecessor.

    Attributes:
        equal: least share of pixels with equal labels.
        class_f1: least F1 of a class against the predecessor's labels.
        rare_f1: the same of rare classes.
        small_turned: most turned pixels of a class that has fewer than `SMALL_CLASS`, no more than one of that many may
            turn by its floor.
        small_rare_turned: the same of rare classes.
        logit_error: largest difference of logits over the largest logit; None: not limited.
        confidence_error: largest difference of confidence, of 255; None: not limited (where a label turns, its
            confidence is another class's).
        confidence_p999: what the differences of 99.9 % of the pixels stay within; None: not limited.
    """

    equal: float
    class_f1: float
    rare_f1: float
    small_turned: int
    small_rare_turned: int
    logit_error: float | None
    confidence_error: int | None
    confidence_p999: int | None


LIMITS: dict[Precision, Limits] = {
    # Against fp32, rounding turns a pixel here and there, never a region.
    "fp32": Limits(
        equal=0.9999,
        class_f1=0.995,
        rare_f1=0.995,
        small_turned=5,
        small_rare_turned=5,
        logit_error=2e-4,
        confidence_error=2,
        confidence_p999=None,
    ),
    # Labels turn where two classes are about as likely, along borders; a third of a point of F1 against the truth is
    # then far away. Thin things are nothing but border, so that their floors are lower.
    "fp16": Limits(
        equal=0.998,
        class_f1=0.98,
        rare_f1=0.96,
        small_turned=40,
        small_rare_turned=80,
        logit_error=5e-2,
        confidence_error=None,
        confidence_p999=16,
    ),
    # The bundled faces wear nothing: what a network calls glasses there it half calls something else, and the least
    # noise turns it. Hence the low floor; on photos that show glasses their F1 is far above.
    "int8": Limits(
        equal=0.97,
        class_f1=0.90,
        rare_f1=0.60,
        small_turned=200,
        small_rare_turned=800,
        logit_error=None,
        confidence_error=None,
        confidence_p999=None,
    ),
}
# Random weights decide nothing: two classes are about as likely in many places, not along borders only, and a class of
# a few thousand pixels may be nothing but such places.
RANDOM: dict[Precision, Limits] = {
    **LIMITS,
    "fp16": replace(
        LIMITS["fp16"],
        equal=0.995,
        class_f1=0.5,
        rare_f1=0.5,
        small_turned=1000,
        small_rare_turned=1000,
        confidence_p999=None,
    ),
}
