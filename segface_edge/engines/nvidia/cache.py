"""Plans of ONNX files, built once and kept: `FaceParser("model.onnx", engine="tensorrt")`."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from segface_edge.cache import cache_folder, lock, make_folder
from segface_edge.engines.base import PLAN_SUFFIXES
from segface_edge.errors import ModelFileError

from .build import Built, build
from .config import BuildConfig
from .cuda import open_cuda
from .plan import sidecar
from .runtimes import load
from .write import write_plan

# Shown on standard error where a program sets up no logging of its own.
_LOG = logging.getLogger(__name__)


# (ONNX file, what was built of it, how, the plan's name to be) -> the same with its parity noted, or ParityError.
Check = Callable[[Path, Built, BuildConfig, Path], Built]


def cached_plan(onnx: Path, config: BuildConfig, check: Check, folder: Path | None = None) -> Path:
    """The plan of an ONNX file for the GPU and the TensorRT that are here; it is built if it is not there.

    Args:
        onnx: a file that `segface-edge export` wrote.
        config: how to build.
        check: what a new plan must pass before it is kept: `evaluation.plan_parity.checked`.
        folder: of the plans; None: `cache_folder()`.

    Raises:
        ModelFileError: there is no such file.
        SegFaceEdgeError: what `build` and `check` raise.
    """
    try:
        sha256 = hashlib.sha256(onnx.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelFileError(onnx, f"cannot be read ({error.strerror})", "give an ONNX file") from error
    version = str(load(config.runtime, onnx).__version__)
    cuda = open_cuda(config.device, config.binding)
    gpu = cuda.gpu
    cuda.close()
    # All that a plan depends on; where the GPU is plugged in and the binding do not count.
    settings = {name: value for name, value in asdict(config).items() if name not in ("device", "binding")}
    parts = [sha256, config.runtime, version, gpu.name, gpu.compute, settings]
    key = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()
    folder = folder or cache_folder()
    plan = folder / f"{onnx.stem[:60]}-{gpu.compute}-{version}-{key[:16]}{PLAN_SUFFIXES[0]}"
    make_folder(folder)
    # Several workers of a server start at once: one builds, the others wait.
    with lock(plan):
        if not (plan.exists() and sidecar(plan).exists()):
            _LOG.warning("building a TensorRT engine of %s for %s, once; this takes minutes", onnx, gpu.name)
            write_plan(plan, check(onnx, build(onnx, config), config, plan))
    return plan
