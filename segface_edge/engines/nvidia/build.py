"""ONNX -> plan, with TensorRT 10.3 and later or TensorRT-RTX.

Networks are strongly typed: precision is what the ONNX file says, no flag changes it. What the engine then computes in
is read back from it.
"""

from __future__ import annotations

import hashlib
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from segface_edge import __version__
from segface_edge.engines.base import WARP_OUTSIDE
from segface_edge.engines.ort.metadata import read_metadata
from segface_edge.errors import IncompatibleEngineError, MissingDependencyError, ParityError, UsageError

from .compiler import Compiler
from .config import BuildConfig
from .cuda import MIB, open_cuda
from .inspector import LayerTypes, found_fault, layer_types, log_types
from .log import listening
from .plan import PlanInfo, brief_report
from .quantizers import check_quantizers
from .runtimes import load
from .watch import Progress, stoppable

# Of the memory that is free, for the builder's trials: a Jetson's is the CPU's, too.
WORKSPACE_SHARE = 0.5


@dataclass(frozen=True, kw_only=True)
class Built:
    """A plan.

    Attributes:
        plan: NVIDIA's bytes, nothing added.
        info: what goes beside it.
        timing_cache: what was measured, or None.
        warnings: NVIDIA's, each once.
    """

    plan: bytes
    info: PlanInfo
    timing_cache: bytes | None
    warnings: tuple[str, ...]


def build(onnx: Path, config: BuildConfig, *, progress: Progress = lambda *_: None) -> Built:
    """Builds a plan of a file that `segface-edge export` wrote. Ctrl-C ends it at the builder's next step.

    Args:
        onnx: the file.
        config: how.
        progress: told the builder's phase and the share that is done, 0 to 1.

    Raises:
        UsageError: options that do not fit each other, the file or the runtime.
        ModelFileError, IncompatibleEngineError: the file is none, or NVIDIA's code refuses it; or the GPU fails.
        MissingDependencyError: TensorRT, a CUDA binding, the driver or a GPU is missing.
        ParityError: the engine computes in another precision than the file asks for.
        KeyboardInterrupt: it was stopped.
    """
    about = read_metadata(onnx)  # says what is wrong with the file, if anything is
    if about.spec.warp == "inside":
        raise IncompatibleEngineError(onnx, "warps faces itself, which plans do not here yet", WARP_OUTSIDE)
    content = onnx.read_bytes()
    check_quantizers(content, onnx)
    batches = config.batches(about.spec)
    trt = load(config.runtime, f"a plan of {onnx.name}")
    cuda = None
    if not config.targets:
        if config.runtime == "rtx" and not _has_gpu(config):
            raise UsageError("TensorRT-RTX", "has no GPU here to build for", "name some: --target sm86,sm89,sm120")
        cuda = open_cuda(config.device, config.binding)
    stop = threading.Event()

    def work() -> _Made:
        with ExitStack() as stack:
            workspace = config.workspace_mib
            if cuda is not None:
                stack.enter_context(cuda.current())
                workspace = workspace or max(1, int(WORKSPACE_SHARE * cuda.free_bytes()) // MIB)
            log, record = stack.enter_context(listening(trt))
            plan, cache = Compiler(trt, log, record, onnx, config).build(
                content, about.spec, batches, workspace, progress, stop
            )
            types = log_types(record.layers) if config.runtime == "rtx" else layer_types(trt, plan, about.spec, onnx)
            return _Made(plan, cache, workspace, types, tuple(record.warnings))

    made = stoppable(work, stop)
    problem = found_fault(about.spec.precision, made.types)
    if problem:
        raise ParityError(onnx, problem, "nothing was written; report it with the version of TensorRT")
    warnings = made.warnings
    if not made.types.known:
        warnings += (
            f"{onnx}: the engine does not say what its layers compute in; that it is "
            f"{about.spec.precision} was not checked",
        )
    gpu = cuda.gpu if cuda else None
    info = PlanInfo(
        spec=about.spec,
        runtime=config.runtime,
        runtime_version=str(trt.__version__),
        cuda=cuda.runtime if cuda else None,
        gpu=gpu.name if gpu else None,
        compute=(gpu.compute,) if gpu else config.targets,
        batches=batches,
        flags={
            "opt_level": config.opt_level,
            "workspace_mib": made.workspace,
            "workspace_given": config.workspace_mib is not None,
            "version_compatible": config.version_compatible,
        },
        precision=dict(made.types.layers),
        onnx=str(onnx),
        onnx_sha256=hashlib.sha256(content).hexdigest(),
        plan_sha256=hashlib.sha256(made.plan).hexdigest(),
        plan_bytes=len(made.plan),
        calibration_sha256=about.calibration_sha256,
        parity={"onnx": [brief_report(report) for report in about.parity], "plan": None},
        segface_edge=__version__,
    )
    return Built(plan=made.plan, info=info, timing_cache=made.cache, warnings=warnings)


@dataclass(frozen=True)
class _Made:
    """What the builder made."""

    plan: bytes
    cache: bytes | None
    workspace: int | None
    types: LayerTypes
    warnings: tuple[str, ...]


def _has_gpu(config: BuildConfig) -> bool:
    try:
        open_cuda(config.device, config.binding).close()
    except MissingDependencyError:
        return False
    return True
