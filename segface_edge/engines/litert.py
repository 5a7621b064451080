"""The engine litert: LiteRT, which was TensorFlow Lite, for files of `export --target litert`. It needs no torch."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from segface_edge.errors import IncompatibleEngineError, UsageError
from segface_edge.pictures.geometry import UInt8Array

from .base import Engine, Output, cores
from .native_words import native_words
from .ort.subnormals import flushed
from .promise import Tensor, check_promise, given, promised_tensors
from .sidecar import read_sidecar

VERSION = version("ai-edge-litert")
# What stands in the graph for the nodes that a delegate has taken, and the delegate that LiteRT uses on CPUs.
_DELEGATE, _ON_CPU = "DELEGATE", "XNNPACK"
_CURE = "export it again: segface-edge export --target litert"


class LiteRTEngine(Engine):
    """A .tflite file in LiteRT, on the CPU: XNNPACK computes what it takes, LiteRT's own kernels the rest.

    One frame a call. Runs of one engine take turns.

    Args:
        path: a file of `export --target litert`, with its document beside it.
        device: `cpu`. Delegates of GPUs and NPUs are for programs on the device itself (`docs/phones.md`).
        threads: None is one per core.

    Raises:
        ModelFileError: the file is absent.
        IncompatibleEngineError: it has no document, or one that it or its own inputs and outputs belie; or LiteRT
            cannot run it.
        UsageError: another device.
    """

    max_batch = 1

    def __init__(self, path: Path, *, device: str = "cpu", threads: int | None = None) -> None:
        self.source, self.device = str(path), device
        if device != "cpu":
            raise UsageError(f"device {device!r}", "is none that LiteRT is run on here", "use cpu")
        self._threads = threads or cores() or 1
        self.spec = read_sidecar(path).spec
        self._content = path.read_bytes()
        self._turn = Lock()
        self._interpreter: Any = self._opened()
        self._feed, self._found = self._places(self._interpreter)
        self._nodes = _count_nodes(self._interpreter)
        self._seen: tuple[Any, list[int]] | None = None

    def _opened(self, **options: object) -> Any:
        problem: Exception | None = None
        with native_words() as words:
            try:
                interpreter = Interpreter(model_content=self._content, num_threads=self._threads, **options)
                interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                problem = error
        if problem is not None:
            raise IncompatibleEngineError(
                self.source, f"LiteRT {VERSION} cannot run it ({_brief(problem, words)})", _CURE
            ) from problem
        return interpreter

    def _places(self, interpreter: Any) -> tuple[int, list[int]]:
        """Numbers of the input and of the outputs, in the order of `spec.outputs`."""
        signatures = interpreter.get_signature_list()
        if len(signatures) != 1:
            raise IncompatibleEngineError(self.source, f"has {len(signatures)} signatures, not one", _CURE)
        runner = interpreter.get_signature_runner()
        ends = (runner.get_input_details(), runner.get_output_details())
        names = [[name for name, *_ in promised_tensors(self.spec)[part]] for part in (slice(1), slice(1, None))]
        inputs, outputs = (_ordered(end, wanted) for end, wanted in zip(ends, names, strict=True))
        check_promise(self.spec, self.source, _tensors(inputs), _tensors(outputs))
        return inputs[0][1]["index"], [detail["index"] for _, detail in outputs]

    def run(self, frames: UInt8Array) -> Output:
        """Runs (1, S, S, 3) uint8 RGB."""
        with self._turn:
            if self._interpreter is None:
                raise UsageError(self.source, "is closed", "open it again")
            return given(self.spec, self._values(self._interpreter, frames, self._found))

    def _values(self, interpreter: Any, frames: UInt8Array, places: Sequence[int]) -> list[Any]:
        try:
            interpreter.set_tensor(self._feed, np.ascontiguousarray(frames))
            with flushed():
                interpreter.invoke()
            return [interpreter.get_tensor(place) for place in places]
        except (ValueError, RuntimeError) as error:
            raise IncompatibleEngineError(self.source, f"LiteRT failed to run it ({error})", _CURE) from error

    def finite(self, frames: UInt8Array) -> bool | None:
        """Whether all that an ARG_MAX reads is finite, None in a graph without one.

        From a second interpreter of the same file, which keeps what lies between its nodes.
        """
        if self._seen is None:
            read = [node["inputs"][0] for node in self._interpreter._get_ops_details() if node["op_name"] == "ARG_MAX"]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that this is for debugging
                keeping = self._opened(experimental_preserve_all_tensors=True) if read else None
            self._seen = keeping, [int(place) for place in read]
        keeping, read = self._seen
        if keeping is None:
            return None
        found = (self._values(keeping, chunk, read) for chunk, _ in self._in_calls(frames))
        return all(bool(np.isfinite(values).all()) for one in found for values in one)

    def describe(self) -> dict[str, object]:
        """Runtime, version, threads, the delegate or None, and how many nodes of the file it and LiteRT's own kernels
        compute, in how many parts; those that it leaves, by their operator."""
        return {"runtime": "litert", "version": VERSION, "threads": self._threads, **self._nodes}

    def close(self) -> None:
        """Frees the model."""
        with self._turn:
            self._interpreter = self._seen = None
            self._content = b""


def _count_nodes(interpreter: Any) -> dict[str, object]:
    """What the delegate has taken. LiteRT does not tell which nodes: those that lie between what a delegate's node
    reads and what it gives."""
    nodes = interpreter._get_ops_details()
    own = [node for node in nodes if node["op_name"] != _DELEGATE]
    parts = [node for node in nodes if node["op_name"] == _DELEGATE]
    makers = {int(place): node["index"] for node in own for place in node["outputs"]}
    inputs = {node["index"]: [int(place) for place in node["inputs"]] for node in own}
    taken: set[int] = set()
    for part in parts:
        given_to = {int(place) for place in part["inputs"]}
        waiting = [int(place) for place in part["outputs"]]
        while waiting:
            place = waiting.pop()
            maker = makers.get(place)
            if place not in given_to and maker is not None and maker not in taken:
                taken.add(maker)
                waiting += inputs[maker]
    left: dict[str, int] = {}
    for node in own:
        if node["index"] not in taken:
            left[node["op_name"]] = left.get(node["op_name"], 0) + 1
    return {
        "delegate": _ON_CPU if parts else None,
        "delegated": len(taken),
        "parts": len(parts),
        "not_delegated": dict(sorted(left.items())),
    }


def _ordered(details: dict[str, Any], wanted: Sequence[str]) -> list[tuple[str, Any]]:
    """As they are promised, whatever else there is behind: a signature has no order."""
    known = [(name, details[name]) for name in wanted if name in details]
    return known + [(name, detail) for name, detail in sorted(details.items()) if name not in wanted]


def _tensors(ends: Sequence[tuple[str, Any]]) -> list[Tensor]:
    return [(name, detail["dtype"], tuple(int(d) for d in detail["shape"])) for name, detail in ends]


def _brief(error: Exception, words: Sequence[str]) -> str:
    """An error's text, or the last that LiteRT said where it has none."""
    text = " ".join(str(error).split()) or " ".join(words[-1:])
    return text[:300]
