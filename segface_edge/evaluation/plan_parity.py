"""Whether a plan computes what its ONNX file computes, before it is kept. Torch-free."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from segface_edge.engines import PLAN_SUFFIXES
from segface_edge.engines.nvidia.build import Built
from segface_edge.engines.nvidia.config import BuildConfig
from segface_edge.engines.nvidia.plan import brief_report
from segface_edge.engines.nvidia.run import TensorRTEngine
from segface_edge.engines.nvidia.write import write_plan
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.errors import SegFaceEdgeError

from .parity import compare
from .photos import bundled_faces


@contextmanager
def _named(subject: Path, candidate: Path) -> Iterator[None]:
    """Errors about the candidate's file name the plan that it is to be."""
    try:
        yield
    except SegFaceEdgeError as error:
        if error.subject != str(candidate):
            raise
        raise type(error)(subject, error.problem, "nothing was written; report it") from error


def checked(onnx: Path, built: Built, config: BuildConfig, subject: Path) -> Built:
    """The same with its parity noted, on the GPU that it was built on.

    Args:
        onnx: the file that it was built from, run with ONNX Runtime on the CPU.
        built: the plan.
        config: what it was built with.
        subject: the plan's name to be, for the message.

    Raises:
        ParityError: labels differ by more than the file's precision allows.
    """
    with tempfile.TemporaryDirectory() as folder:
        plan = Path(folder) / f"candidate{PLAN_SUFFIXES[0]}"
        write_plan(plan, built)
        with (
            _named(subject, plan),
            OrtEngine(onnx) as reference,
            TensorRTEngine(plan, device=config.device, binding=config.binding) as candidate,
        ):
            frames = bundled_faces(reference.spec.size)
            (report,) = compare(reference, {"plan": candidate}, frames, name=onnx.name)
    report.check(subject)
    return replace(built, info=replace(built.info, parity=built.info.parity | {"plan": brief_report(report.to_dict())}))
