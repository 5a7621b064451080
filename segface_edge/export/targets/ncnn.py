"""Network -> ncnn's files, model.param and model.bin, by pnnx."""

from __future__ import annotations

import re
import subprocess
import warnings
from importlib.metadata import version
from pathlib import Path

import pnnx
import torch

from segface_edge.errors import IncompatibleEngineError, UsageError
from segface_edge.export.pipeline import load_network
from segface_edge.network.planes import PlaneGraph

from .job import Job

_LAST_WORDS = 200


def convert(job: Job) -> dict[str, str]:
    """From PyTorch, not from the ONNX file: ncnn has no bytes, no argmax and no more than four axes.

    Raises:
        UsageError: several frames a call.
        IncompatibleEngineError: pnnx could not.
    """
    if job.spec.batch != 1:
        raise UsageError("--target ncnn", f"takes one frame a call, not {job.spec.batch}", "leave --batch out")
    model, _ = load_network(job.config, [])
    size = job.spec.size
    place = Path("traced.pt")  # beside it pnnx leaves files of its own
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that sizes become constants, as they are to
        example = torch.zeros(1, 3, size, size)
        traced = torch.jit.trace(PlaneGraph(model).eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.freeze(traced).save(place)
    half = f"fp16={int(job.spec.precision == 'fp16')}"
    places = [f"ncnnparam={job.out}", f"ncnnbin={job.companion('.bin')}"]
    command = [pnnx.EXEC_PATH, place, f"inputshape=[1,3,{size},{size}]", half, *places]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace")
    problem = _problem(job.out, done)
    if problem:
        raise IncompatibleEngineError(job.out.name, f"pnnx {problem}", "nothing was written; report it")
    return {"pnnx": version("pnnx")}


def _problem(param: Path, done: subprocess.CompletedProcess[str]) -> str | None:
    """What went wrong, in a line. pnnx may end with 0 after it failed, and leaves what it could not convert as
    operators of its own (`pnnx.Expression`, `torch.…`, `aten::…`) among ncnn's."""
    said = " ".join((done.stdout + done.stderr).split())[-_LAST_WORDS:] or "without a word"
    if done.returncode:
        return f"ended with {done.returncode}: {said}"
    if not param.is_file():
        return f"wrote no net: {said}"
    kinds = {line.split()[0] for line in param.read_text().splitlines()[2:] if line.strip()}
    foreign = sorted(kind for kind in kinds if not re.fullmatch(r"[A-Z][A-Za-z0-9]*", kind))
    return f"left what ncnn has not: {', '.join(foreign)}" if foreign else None
