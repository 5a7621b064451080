"""Whether a target's file gives the labels of its ONNX file, in the target's own runtime."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from segface_edge.engines import ENGINES, Engine, open_engine
from segface_edge.evaluation.parity import Parity, compare
from segface_edge.evaluation.photos import bundled_faces, own_faces

from .answers import Answers
from .apart import run_apart
from .table import Target


def opened(path: Path, engine: str, *, threads: int | None = None) -> Engine:
    """A file in an engine of `Target.checked_in`."""
    if engine in ENGINES:
        return open_engine(path, engine=engine, threads=threads)
    module, _, name = engine.partition(":")
    found: Callable[..., Engine] = getattr(import_module(module), name)
    return found(path, device="cpu", threads=threads)


def compared(
    onnx: Path, candidate: Path, engine: str, label: str, photos: Path | None, answers: Path | None = None
) -> tuple[Parity, str]:
    """The candidate's labels against the ONNX file's, on the bundled faces and a folder's; the runtime's version."""
    with Answers(onnx, answers) as reference, opened(candidate, engine) as found:
        spec = reference.spec
        frames = bundled_faces(spec.size, random=spec.is_random)
        frames += own_faces(photos, spec.size) if photos else []
        (report,) = compare(reference, {label: found}, frames, name="ONNX Runtime")
        return report, str(found.describe()["version"])


def check(
    onnx: Path, candidate: Path, target: Target, subject: Path, photos: Path | None, answers: Path | None = None
) -> list[tuple[Parity, str]]:
    """A report for each engine that the target is checked in, each in a process of its own.

    Args:
        onnx: the file that the candidate was made of.
        candidate: the target's file.
        target: its row.
        subject: the name that the file is to have, for messages.
        photos: a folder of more faces.
        answers: a folder where the ONNX file's answers are kept; None: they are not.

    Raises:
        ParityError: labels differ by more than the file's precision allows.
        IncompatibleEngineError: it does not run.
    """
    found = []
    for engine in target.checked_in:
        label = engine.rpartition(":")[2]
        report, version = run_apart(
            f"{__name__}:compared",
            onnx,
            candidate,
            engine,
            label,
            photos,
            answers,
            subject=subject,
            doing=f"its check in {label}",
            minutes=target.minutes,
            memory_gib=target.memory_gib,
        )
        report.check(subject)
        found.append((report, version))
    return found
