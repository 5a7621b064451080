"""NVIDIA's builder: a network of an ONNX file's content, the builder's options, and its errors in our words."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from segface_edge.errors import IncompatibleEngineError, InputError, UsageError
from segface_edge.spec import ModelSpec

from .config import BuildConfig
from .contract import check_contract, network_tensors
from .cuda import MIB
from .log import Record, plain, start
from .runtimes import RUNTIMES
from .watch import Progress, monitor

_EXPORT_AGAIN = "export it again: segface-edge export"


class Compiler:
    """One build; the GPU's context is current, where there is one.

    Args:
        trt: the runtime's module.
        log: NVIDIA's.
        record: what is said to it meanwhile.
        onnx: the file, for messages.
        config: how to build.
    """

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
        """Builds.

        Args:
            content: the ONNX file's.
            spec: its contract.
            batches: fewest, usual and most frames a call.
            workspace: memory for trials in MiB; None: the builder's own limit.
            progress: told the builder's phase and the share that is done, 0 to 1.
            stop: set where the build is to end at its next step.

        Returns:
            The plan, and the timing cache where the configuration names a file of it.

        Raises:
            UsageError: a target that the runtime does not have.
            MissingDependencyError: the builder cannot start CUDA.
            InputError: the timing cache cannot be read.
            IncompatibleEngineError: NVIDIA's code refuses the network or fails; the timing cache is not of this GPU.
            KeyboardInterrupt: it was stopped.
        """
        trt, config = self.trt, self.config
        builder = start(trt.Builder, self.log, self.record, f"a plan of {self.onnx.name}")
        # Its place among the flags changed with version 11, where all networks are strongly typed.
        network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
        parser = trt.OnnxParser(network, self.log)
        if not parser.parse(content):
            raise self._refused(parser)
        # Types that NVIDIA's code lacks become others without a word (float64: float32), and a profile of a name that
        # is no input is passed over: the network must be what the file promises, to the last name.
        title = RUNTIMES[config.runtime].title
        check_contract(
            network_tensors(trt, network), spec, self.onnx, has=f"{title}'s network of it has", cure=_EXPORT_AGAIN
        )
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
        if options.add_optimization_profile(profile) < 0:
            raise self._failed()

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


def _brief(words: str, most: int = 300) -> str:
    """One line without where in NVIDIA's source it arose."""
    line = plain(words)
    line = re.sub(r"In (?:node|function) \S+ .*?\(\w+\): ", "", line)
    return line if len(line) <= most else line[: most - 1] + "…"
