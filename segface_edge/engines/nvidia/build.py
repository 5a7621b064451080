"""ONNX -> plan, with TensorRT 10.3 and later or TensorRT-RTX.

Networks are strongly typed: precision is what the ONNX file says, no flag changes it. What the engine then computes in
is read back from it.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from segface_edge import __version__
from segface_edge.engines.base import PLAN_SUFFIXES
from segface_edge.engines.ort.metadata import read_metadata
from segface_edge.errors import IncompatibleEngineError, InputError, MissingDependencyError, ParityError, UsageError
from segface_edge.files import check_place, whole_file, write_whole
from segface_edge.spec import ModelSpec

from .cuda import MIB, open_cuda
from .inspector import LayerTypes, found_fault, layer_types, log_types
from .log import Record, listening, plain, start
from .plan import PlanInfo, sidecar
from .runtimes import RUNTIMES, load
from .watch import Progress, monitor, stoppable

# Of the memory that is free, for the builder's trials: a Jetson's is the CPU's, too.
WORKSPACE_SHARE = 0.5


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
    content = onnx.read_bytes()
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
            plan, cache = _Work(trt, log, record, onnx, config).build(
                content, about.spec, batches, workspace, progress, stop
            )
            types = log_types(record.layers) if config.runtime == "rtx" else layer_types(trt, plan, onnx)
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


def check_plan_place(path: Path) -> None:
    """Raises where a plan could not be written to `path`, before it is built."""
    if path.suffix.lower() not in PLAN_SUFFIXES:
        raise UsageError(path, "is no plan's name", f"name the output FILE{PLAN_SUFFIXES[0]}")
    check_place(path)
    check_place(sidecar(path))


def write_plan(path: Path, built: Built, config: BuildConfig | None = None) -> None:
    """Writes the plan and what it says of itself beside it, both or neither, and the timing cache.

    Raises:
        InputError: a file cannot be written.
    """
    # Both are on the disk before either takes its place. Whoever reads between the two sees that they do not match.
    with whole_file(path) as plan, whole_file(sidecar(path)) as document:
        plan.write_bytes(built.plan)
        document.write_text(built.info.to_json(), encoding="utf-8")
    if config and config.timing_cache and built.timing_cache:
        write_whole(config.timing_cache, built.timing_cache)


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


@dataclass(frozen=True)
class _Made:
    """What the builder made."""

    plan: bytes
    cache: bytes | None
    workspace: int | None
    types: LayerTypes
    warnings: tuple[str, ...]


class _Work:
    """One build."""

    def __init__(self, trt: ModuleType, log: Any, record: Record, onnx: Path, config: BuildConfig) -> None:
        self.trt, self.log, self.record, self.onnx, self.config = trt, log, record, onnx, config

    def build(
        self,
        content: bytes,
        spec: ModelSpec,
        batches: tuple[int, int, int],
        workspace: int | None,
        progress: Progress,
        stop: threading.Event,
    ) -> tuple[bytes, bytes | None]:
        """The plan, and the timing cache."""
        trt, config = self.trt, self.config
        builder = start(trt.Builder, self.log, self.record, f"a plan of {self.onnx.name}")
        # Its place among the flags changed with version 11, where all networks are strongly typed.
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, self.log)
        if not parser.parse(content):
            raise self._refused(parser)
        options = builder.create_builder_config()
        if workspace is not None:
            options.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, workspace * MIB)
        options.builder_optimization_level = config.opt_level
        # Else the engine does not say what its layers compute in.
        options.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if config.version_compatible:
            options.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
        self._set_targets(options)
        if spec.batch is None:
            self._set_profile(builder, options, network, batches)
        cache = self._timing_cache(options) if config.timing_cache else None
        options.progress_monitor = monitor(trt, progress, stop)
        plan = builder.build_serialized_network(network, options)
        if stop.is_set():
            raise KeyboardInterrupt
        if plan is None:
            raise self._failed()
        progress("done", 1.0)
        return bytes(plan), None if cache is None else bytes(options.get_timing_cache().serialize())

    def _refused(self, parser: Any) -> IncompatibleEngineError:
        """What the parser said, with the node's name."""
        errors = [parser.get_error(index) for index in range(parser.num_errors)]
        if not errors:
            return self._failed()
        # Some versions go on after the first; those that name a node say the most.
        first = next((error for error in errors if error.node_name()), errors[0])
        node = f"node '{first.node_name()}' ({first.node_operator()}): " if first.node_name() else ""
        more = f", and {len(errors) - 1} more" if len(errors) > 1 else ""
        title = RUNTIMES[self.config.runtime].title
        return IncompatibleEngineError(
            self.onnx, f"{node}{title} refuses it ({_brief(first.desc())}{more})", _EXPORT_AGAIN
        )

    def _failed(self) -> IncompatibleEngineError:
        said = self.record.last_error()
        title = RUNTIMES[self.config.runtime].title
        if re.search(r"out of memory|OutOfMemory|insufficient memory", said, re.IGNORECASE):
            return IncompatibleEngineError(
                self.onnx, f"{title} has too little memory ({_brief(said)})", "end other programs, or lower --max-batch"
            )
        if "could not find any implementation" in said.lower():
            return IncompatibleEngineError(
                self.onnx, f"{title} finds no way to compute a layer ({_brief(said)})", "raise --workspace"
            )
        return IncompatibleEngineError(self.onnx, f"{title} cannot build it ({_brief(said)})", _EXPORT_AGAIN)

    def _set_targets(self, options: Any) -> None:
        if not self.config.targets:
            return
        known = self.trt.ComputeCapability
        names = [f"SM{target.replace('.', '')}" for target in self.config.targets]
        wrong = [name for name in names if not hasattr(known, name)]
        if wrong:
            raise UsageError(
                f"--target {','.join(wrong).lower()}",
                "is not for TensorRT-RTX",
                f"use {', '.join(sorted(name.lower() for name in dir(known) if re.fullmatch('SM[0-9]+', name)))}",
            )
        options.num_compute_capabilities = len(names)
        for index, name in enumerate(names):
            options.set_compute_capability(getattr(known, name), index)

    def _set_profile(self, builder: Any, options: Any, network: Any, batches: Sequence[int]) -> None:
        profile = builder.create_optimization_profile()
        for index in range(network.num_inputs):
            source = network.get_input(index)
            frame = tuple(source.shape)[1:]
            profile.set_shape(source.name, *((count, *frame) for count in batches))
        options.add_optimization_profile(profile)

    def _timing_cache(self, options: Any) -> Any:
        path = self.config.timing_cache
        assert path is not None
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            content = b""
        except OSError as error:
            raise InputError(path, f"cannot be read ({error.strerror})", "check its permissions") from error
        cache = options.create_timing_cache(content)
        # Of another GPU or version it is refused, and would only mislead.
        if cache is None or not options.set_timing_cache(cache, False):
            raise IncompatibleEngineError(
                path, "is a timing cache of another GPU or version of TensorRT", "delete it, or name another"
            )
        return cache


def brief_report(report: dict[str, Any]) -> dict[str, Any]:
    """What a plan's document keeps of a parity report."""
    names = ("reference", "candidate", "precision", "frames", "equal", "per_class_f1", "passed")
    return {name: report.get(name) for name in names}


_EXPORT_AGAIN = "export it again: segface-edge export"


def _has_gpu(config: BuildConfig) -> bool:
    try:
        open_cuda(config.device, config.binding).close()
    except MissingDependencyError:
        return False
    return True


def _brief(words: str, most: int = 300) -> str:
    """One line without where in NVIDIA's source it arose."""
    line = plain(words)
    line = re.sub(r"In (?:node|function) \S+ .*?\(\w+\): ", "", line)
    return line if len(line) <= most else line[: most - 1] + "…"
