"""How to build a plan: what was asked for, checked before anything is built."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from segface_edge.errors import UsageError
from segface_edge.spec import ModelSpec

from .runtimes import RUNTIMES


@dataclass(frozen=True, kw_only=True)
class BuildConfig:
    """How to build.

    Attributes:
        runtime: key of `RUNTIMES`.
        device: the GPU to build on: `cuda`, `cuda:N`.
        targets: compute capabilities to build for without a GPU (TensorRT-RTX only), `8.6`; none: the GPU that is here.
        min_batch, opt_batch, max_batch: frames a call, where the file takes any number; the engine is fastest at
            `opt_batch`.
        workspace_mib: memory for trials; None: half of what is free.
        opt_level: 0 (quick to build) to 5 (tries most).
        timing_cache: file of measured timings, read where it is there and written anew; None: no such file.
        version_compatible: later versions of TensorRT may run the plan.
        binding: key of `cuda.BINDINGS`; None: the first that is installed.
    """

    runtime: str = "tensorrt"
    device: str = "cuda"
    targets: tuple[str, ...] = ()
    min_batch: int | None = None
    opt_batch: int | None = None
    max_batch: int | None = None
    workspace_mib: int | None = None
    opt_level: int = 3
    timing_cache: Path | None = None
    version_compatible: bool = False
    binding: str | None = None

    def __post_init__(self) -> None:
        if self.runtime not in RUNTIMES:
            raise UsageError(f"runtime {self.runtime!r}", "is unknown", f"use one of: {', '.join(RUNTIMES)}")
        if self.targets and self.runtime == "tensorrt":
            raise UsageError(
                "--target", "is for TensorRT-RTX: TensorRT builds for the GPU that it runs on", "leave it out"
            )
        if self.timing_cache and self.runtime == "rtx":
            raise UsageError("--timing-cache", "has no use with TensorRT-RTX, which measures nothing", "leave it out")
        if not 0 <= self.opt_level <= 5:
            raise UsageError(f"--opt-level {self.opt_level}", "is out of range", "use 0 to 5")
        if self.workspace_mib is not None and not 1 <= self.workspace_mib <= 2**20:
            raise UsageError(f"--workspace {self.workspace_mib}", "is out of range", "use 1 to 1048576 MiB")

    def batches(self, spec: ModelSpec) -> tuple[int, int, int]:
        """Fewest, usual and most frames a call.

        Raises:
            UsageError: they contradict each other or the file.
        """
        given = (self.min_batch, self.opt_batch, self.max_batch)
        if spec.batch is not None:
            if any(count not in (None, spec.batch) for count in given):
                raise UsageError(
                    "--min-batch, --opt-batch, --max-batch",
                    f"do not fit: the file takes {spec.batch} a call",
                    "export it with --dynamic",
                )
            return (spec.batch,) * 3
        least = 1 if self.min_batch is None else self.min_batch
        usual = least if self.opt_batch is None else self.opt_batch
        most = max(8, usual) if self.max_batch is None else self.max_batch
        if not 1 <= least <= usual <= most <= 256:
            raise UsageError(
                f"batches {least}, {usual}, {most}", "are not in order", "use 1 <= min <= opt <= max <= 256"
            )
        return least, usual, most


def parse_targets(text: str) -> tuple[str, ...]:
    """`sm86,sm120` -> (`8.6`, `12.0`).

    Raises:
        UsageError: a word that is none.
    """
    found = []
    for word in text.split(","):
        match = re.fullmatch(r"(?:sm_?)?(\d{1,2})\.?(\d)", word.strip().lower())
        if not match:
            raise UsageError(f"--target {text}", f"'{word}' is no compute capability", "write sm86,sm89,sm120")
        found.append(f"{match[1]}.{match[2]}")
    return tuple(dict.fromkeys(found))
