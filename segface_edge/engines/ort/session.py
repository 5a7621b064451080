"""Sessions of ONNX Runtime, on the device that was asked for or not at all. Its package is imported here only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import onnxruntime as ort

from segface_edge.errors import IncompatibleEngineError, InputError, ModelFileError, SegFaceEdgeError

from .contract import precision
from .optimisation import allowed
from .providers import (
    CPU,
    REFUSED_CPU,
    built_without,
    check_assignment,
    left_to_cpu,
    not_created,
    not_loaded,
)
from .refusal import refused
from .subnormals import OPTION, SUPPORTED, flushed

VERSION: str = ort.__version__
# ONNX Runtime's log levels "warning", its own default, and "fatal": what matters is raised, and said in our words.
_DEFAULT, _SILENT = 2, 4
# The graph as it runs, in the folder of a profile.
RAN = "ran.onnx"
_NO_CPU = "session.disable_cpu_ep_fallback"


def open_session(
    path: Path,
    device: str,
    index: int | None,
    threads: int | None,
    providers: tuple[str, ...],
    *,
    shown: Callable[[bytes], bytes] = lambda content: content,
    profile_to: Path | None = None,
) -> tuple[ort.InferenceSession, str, dict[str, int] | None]:
    """Opens a file.

    Args:
        path: the ONNX file.
        device: as the user named it, for messages.
        index: the GPU's number, None for the CPU.
        threads: threads per operator; None leaves it to ONNX Runtime.
        providers: that compute, the first one first: `CPU` alone, or those of a GPU.
        shown: what is opened of the file's content.
        profile_to: folder for the graph that runs, `RAN`, and a profile of its runs, whose name `end_profiling` tells.

    Returns:
        The session, how far ONNX Runtime was let optimise its graph, and on a GPU the nodes of each provider, None
        where this version of ONNX Runtime does not say.

    Raises:
        ModelFileError: the file is absent or damaged.
        InputError: it cannot be read.
        IncompatibleEngineError: this ONNX Runtime cannot open it, or the GPU cannot run all of it.
        MissingDependencyError: this ONNX Runtime has no such provider, or it does not load.
        UsageError: there is no such GPU in this machine.
    """
    available = ort.get_available_providers()
    for provider in providers:
        if provider not in available:
            raise built_without(provider, device)
    options = ort.SessionOptions()
    options.log_severity_level = _SILENT
    # Its threads spin while they wait for work, also after a run is done: that takes the cores from whatever comes
    # next (decoding, drawing, another model), and power from the battery. Within a run they still spin.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    if threads is not None:
        options.intra_op_num_threads = threads
    if profile_to is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile_to / "runs")
        options.optimized_model_filepath = str(profile_to / RAN)
    content = content_of(path)
    try:
        content = shown(content)
        kept, made_for = precision(plain_session(content))
        left_out, entries, optimisation = allowed(kept, "cpu" if index is None else "cuda", made_for)
        for key, value in entries.items():
            options.add_session_config_entry(key, value)
        if index is None:
            if SUPPORTED:
                options.add_session_config_entry(OPTION, "1")  # of the session's own threads
            with flushed(), _quiet():  # what it may set in this one is put back
                session = ort.InferenceSession(
                    content, options, providers=list(providers), disabled_optimizers=left_out, enable_fallback=0
                )
            _check_loaded(session, providers, device)
            return session, optimisation, None
    except SegFaceEdgeError:
        raise
    except Exception as error:  # ONNX Runtime's errors have no common base but Exception
        raise refused(path, content, error, VERSION) from error
    with _quiet():
        session, nodes = _open_on_gpu(content, options, left_out, providers, index, device, str(path))
    return session, optimisation, nodes


def _open_on_gpu(
    content: bytes,
    options: ort.SessionOptions,
    left_out: list[str],
    providers: tuple[str, ...],
    index: int,
    device: str,
    source: str,
) -> tuple[ort.InferenceSession, dict[str, int] | None]:
    """A session that computes on the GPU alone, and the nodes of each provider. The model itself is sound."""
    if hasattr(ort, "preload_dlls"):  # from 1.21: finds the CUDA and cuDNN that pip installed
        with redirect_stdout(StringIO()):  # it prints what it does not find, also where the system's serves
            ort.preload_dlls()
    # The providers that it got need not be all that was asked for: ONNX Runtime leaves out what does not load.
    # Forbidding it the CPU is too much: CUDA's provider itself gives the CPU the shapes of an open batch, so every
    # such file would be refused. From 1.24 on it tells which node went where. Before, forbidding is all there is.
    tells = hasattr(ort.InferenceSession, "get_provider_graph_assignment_info")
    options.add_session_config_entry("session.record_ep_graph_assignment_info" if tells else _NO_CPU, "1")

    def start() -> ort.InferenceSession:
        return ort.InferenceSession(
            content,
            options,
            providers=list(providers),
            provider_options=[{"device_id": str(index)}] * len(providers),
            disabled_optimizers=left_out,
            enable_fallback=0,  # else it prints, and tries again on the CPU
        )

    to_cpu = None
    try:
        try:
            session = start()
        except Exception as error:
            if tells or REFUSED_CPU not in str(error):
                raise
            # It refuses a graph that the CPU would compute because its provider did not load, too: which one is it?
            to_cpu = error
            options.add_session_config_entry(_NO_CPU, "0")
            session = start()
    except RuntimeError as error:  # a provider does not start; what a session raises is no RuntimeError
        raise not_created(providers[0], device, str(error)) from error
    except Exception as error:
        raise IncompatibleEngineError(
            source, f"ONNX Runtime cannot open it on the GPU ({error})", "use another engine, or the device cpu"
        ) from error
    _check_loaded(session, providers, device)
    if to_cpu is not None:
        raise left_to_cpu(source, "a part of it would run on the CPU") from to_cpu
    if not tells:
        return session, None
    parts = [
        (part.ep_name, [node.op_type for node in part.get_nodes()])
        for part in session.get_provider_graph_assignment_info()
    ]
    return session, check_assignment(parts, providers, source)


def _check_loaded(session: ort.InferenceSession, providers: Sequence[str], device: str) -> None:
    """Raises MissingDependencyError where the session has not got all that was asked for: of what does not load, and of
    names that there are not, ONNX Runtime warns at most."""
    loaded = session.get_providers()
    for provider in providers:
        if provider not in loaded:
            raise not_loaded(provider, device, Path(ort.__file__).parent / "capi")


def cpu_session(content: bytes, options: ort.SessionOptions) -> ort.InferenceSession:
    """One on the CPU, of an ONNX file's bytes; raises what ONNX Runtime raises."""
    session = ort.InferenceSession(content, options, providers=[CPU])
    _check_loaded(session, (CPU,), "cpu")
    return session


@contextmanager
def _quiet() -> Iterator[None]:
    """A provider that does not load, a tensor that has no room, say so in the log of the whole process; not in here."""
    ort.set_default_logger_severity(_SILENT)
    try:
        yield
    finally:
        ort.set_default_logger_severity(_DEFAULT)


def content_of(path: Path) -> bytes:
    """An ONNX file's bytes: it is complete in itself, and may not name other files to be read.

    Raises:
        ModelFileError: no such file.
        InputError: it cannot be read.
    """
    if not path.is_file():
        raise ModelFileError(path, "no such file", "give an ONNX file, or make one: segface-edge export")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(path, f"cannot be read ({error.strerror})", "check its permissions") from error


def plain_session(content: bytes) -> ort.InferenceSession:
    """One that is only looked at, of an ONNX file's bytes; raises what ONNX Runtime raises."""
    options = ort.SessionOptions()
    options.log_severity_level = _SILENT
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    with _quiet():
        return cpu_session(content, options)


def allocator(index: int) -> Callable[..., Any]:
    """Makes an `onnxruntime.OrtValue` of a shape and a type on GPU `index`."""
    return lambda shape, dtype: ort.OrtValue.ortvalue_from_shape_and_type(shape, dtype, "cuda", index)
