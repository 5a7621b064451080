"""The fake runtime: a plan in, labels out, computed by ONNX Runtime when the stream comes to it."""

# ruff: noqa: ARG002 (signatures are the real ones)
from __future__ import annotations

import itertools
import json
import threading
import weakref
from typing import Any

import numpy as np

from . import onnx_read
from .fake_cuda import KERNEL_MS, Work
from .trt_enums import Member
from .trt_parts import CUDA_FAILS, KINDS, NO_CUDA, Header, HostMemory, log, read_plan, shape_of, timed, write_plan
from .trt_surface import Impl

# What an execution context takes of the GPU.
ACTIVATIONS = 1 << 20
_ALIGNMENT = 256
_JSON = ("LayerInformationFormat", "JSON")
# Convolutions and matrix products compute in the file's precision, the rest in fp32.
_COMPUTES = ("Conv", "ConvTranspose", "MatMul", "Gemm")
_LONG = {
    "Float": "Row major linear FP32",
    "Half": "Channel major FP16 format where channel % 8 == 0",
    "Int8": "Thirty-two wide channel vectorized row major Int8 format",
    "UInt8": "Row major linear UInt8 format",
}


class Runtime(Impl):
    kind = "Runtime"
    settable = ("engine_host_code_allowed",)

    def __init__(self, api: Any, logger: Any) -> None:
        self.api, self.logger = api, logger
        self.engine_host_code_allowed = False
        if not (api.device.driver and api.device.devices):
            log(api, logger, "ERROR", NO_CUDA)
            raise TypeError("pybind11::init(): factory function returned nullptr")
        api.device.current("Runtime")
        api.device.registered["runtimes"] += 1

    def dropped(self) -> None:
        self.api.device.registered["runtimes"] -= 1

    def deserialize_cuda_engine(self, serialized_engine: Any) -> Engine | None:
        api = self.api
        api.device.current("deserialize_cuda_engine")
        read = read_plan(bytes(serialized_engine))
        problem = self._problem(None if read is None else read[0])
        if api.cuda_fails:
            # Both are said of what is no plan.
            log(api, self.logger, "ERROR", CUDA_FAILS)
            problem = problem or CUDA_FAILS
        if problem:
            log(api, self.logger, "ERROR", problem)
            return None
        assert read is not None
        if read[0].gpu != api.device.name:
            log(
                api,
                self.logger,
                "WARNING",
                "Using an engine plan file across different models of devices is not recommended and is likely to "
                "affect performance or even cause errors.",
            )
        return Engine(self, *read)

    def _problem(self, header: Header | None) -> str | None:
        """NVIDIA's own words, None where the plan can be used."""
        api, allowed = self.api, self.engine_host_code_allowed
        if header is None:
            return (
                "IRuntime::deserializeCudaEngine: Error Code 1: Serialization (Serialization assertion "
                "magicTagRead == kMAGIC_TAG failed.Magic tag does not match)"
            )
        compatible = "VERSION_COMPATIBLE" in header.flags
        same_major = header.version.split(".")[0] == api.version.split(".")[0]
        if compatible and not allowed:
            # Such a plan carries a runtime: host code, which the user must have said that he trusts.
            return (
                "IRuntime::deserializeCudaEngine: Error Code 3: API Usage Error (The engine contains host code, "
                "deserialization of which is not allowed: engineHostCodeAllowed)"
            )
        if header.version != api.version and not (compatible and same_major):
            # From 10.4 on it prints the plan's version as the bytes that it is stored as.
            later = tuple(map(int, api.version.split(".")[:2])) >= (10, 4)
            got = "\n\x07\x00..      " if later else header.version
            return (
                "IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (The engine plan file is not "
                f"compatible with this version of TensorRT, expecting library version {api.version} got {got}, "
                "please rebuild.)"
            )
        ampere = header.compatibility == "AMPERE_PLUS" and api.device.sm >= (8, 0)
        if tuple(header.sm) != api.device.sm and not ampere:
            expected, got = (".".join(map(str, sm)) for sm in (api.device.sm, header.sm))
            return (
                "IRuntime::deserializeCudaEngine: Error Code 6: API Usage Error (The engine plan file is generated on "
                f"an incompatible device, expecting compute {expected} got compute {got}, please rebuild.)"
            )
        return None


class Engine(Impl):
    kind = "ICudaEngine"
    refittable = False

    def __init__(self, runtime: Runtime, header: Header, content: bytes) -> None:
        self.api, self.logger, self.header, self.content = runtime.api, runtime.logger, header, content
        self.keeps = runtime.wrapper()
        self.session = onnx_read.open_session(content)
        self.tensors = {t[0]: t for t in (*header.inputs, *header.outputs)}
        self.inputs = [t[0] for t in header.inputs]
        self.alive = True
        self.gpu = self.api.device.current("deserialize_cuda_engine")
        self.name, self.num_layers, self.num_io_tensors = header.name, header.nodes, len(self.tensors)
        self.num_optimization_profiles = max(len(header.profiles), 1)
        self.device_memory_size_v2 = ACTIVATIONS
        self.hardware_compatibility_level = self.api.member("HardwareCompatibilityLevel", header.compatibility)
        self.profiling_verbosity = self.api.member("ProfilingVerbosity", header.verbosity)
        self.api.device.registered["engines"] += 1

    def dropped(self) -> None:
        self.alive = False
        self.api.device.registered["engines"] -= 1

    def known(self, name: str, call: str) -> Any:
        if name not in self.tensors:
            self.api.refuse(f"{call}: the engine has no tensor {name!r}, only {', '.join(self.tensors)}")
        return self.tensors[name]

    def get_tensor_name(self, index: int) -> str:
        return list(self.tensors)[index]

    def get_tensor_mode(self, name: str) -> Member:
        self.known(name, "get_tensor_mode")
        return self.api.member("TensorIOMode", "INPUT" if name in self.inputs else "OUTPUT")

    def get_tensor_dtype(self, name: str) -> Member:
        return self.api.member("DataType", KINDS[self.known(name, "get_tensor_dtype")[2]][0])

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return shape_of(self.known(name, "get_tensor_shape")[1])

    def get_tensor_location(self, name: str) -> Member:
        self.known(name, "get_tensor_location")
        return self.api.member("TensorLocation", "DEVICE")

    def get_tensor_format(self, name: str, profile_index: int = 0) -> Member:
        self.known(name, "get_tensor_format")
        return self.api.member("TensorFormat", "LINEAR")

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[tuple[int, ...]]:
        if name not in self.inputs:
            self.api.refuse(f"get_tensor_profile_shape: {name!r} is no input")
        return [tuple(shape) for shape in self.profile(name, profile_index)]

    def profile(self, name: str, index: int) -> list[list[int]]:
        """Smallest, usual and largest shape of an input."""
        if not 0 <= index < self.num_optimization_profiles:
            self.api.refuse(f"profile {index}: the engine has {self.num_optimization_profiles}")
        shapes = self.header.profiles[index] if self.header.profiles else {}
        return shapes.get(name) or [list(shape_of(self.tensors[name][1]))] * 3

    def create_execution_context(self, strategy: Any = None) -> ExecutionContext | None:
        device = self.api.device
        device.current("create_execution_context")
        if device.free_memory() < ACTIVATIONS:
            log(
                self.api,
                self.logger,
                "ERROR",
                "IExecutionContext::IExecutionContext: Error Code 2: OutOfMemory "
                f"(Requested size was {ACTIVATIONS} bytes.)",
            )
            return None
        return ExecutionContext(self)

    def create_engine_inspector(self) -> Inspector:
        return Inspector(self)

    def serialize(self) -> HostMemory:
        return HostMemory(write_plan(self.header, self.content))


class Inspector(Impl):
    kind = "EngineInspector"

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def get_engine_information(self, format: Member) -> str:
        header = self.engine.header
        layers = [self._layer(i, node) for i, node in enumerate(onnx_read.nodes(self.engine.content))]
        detailed = header.verbosity == "DETAILED"
        if header.verbosity == "NONE":
            return "" if format.name == "ONELINE" else json.dumps({"Layers": [], "Bindings": []})
        if format.name == "ONELINE":
            return "\n".join(json.dumps(layer) if detailed else layer["Name"] for layer in layers)
        shown = layers if detailed else [layer["Name"] for layer in layers]
        return json.dumps({"Layers": shown, "Bindings": list(self.engine.tensors)})

    def _layer(self, index: int, node: onnx_read.Node) -> dict[str, Any]:
        kind = "Float"
        if node.operator in _COMPUTES:
            precision = self.engine.header.precision
            # Int8 engines keep a few layers in fp16: matrix products here.
            kind = {"fp16": "Half", "int8": "Int8" if node.operator.startswith("Conv") else "Half"}.get(
                precision, "Float"
            )

        def side(names: tuple[str, ...]) -> list[dict[str, Any]]:
            # Every tensor of a layer has the layer's type, but those of the engine have their own.
            return [
                {
                    "Name": name,
                    "Location": "Device",
                    "Dimensions": list(self._shape(name)),
                    "Format/Datatype": self._words("UInt8" if self._is_uint8(name) else kind),
                }
                for name in names
            ]

        kinds = {"Conv": "CaskConvolution", "ConvTranspose": "CaskDeconvolutionV2", "MatMul": "gemm", "Gemm": "gemm"}
        return {
            "Name": node.name or f"{node.operator}_{index}",
            "LayerType": kinds.get(node.operator, "Reformat" if node.operator == "Cast" else "kgen"),
            "Inputs": side(node.inputs[:1]),
            "Outputs": side(node.outputs),
            "Metadata": f"[ONNX Layer: {node.name}]",
        }

    def _is_uint8(self, name: str) -> bool:
        return name in self.engine.tensors and self.engine.tensors[name][2] == "tensor(uint8)"

    def _shape(self, name: str) -> tuple[int, ...]:
        return shape_of(self.engine.tensors[name][1]) if name in self.engine.tensors else (1,)

    def _words(self, kind: str) -> str:
        return _LONG[kind] if self.engine.api.before(10, 7) else kind


class ExecutionContext(Impl):
    kind = "IExecutionContext"
    settable = ("name", "profiler", "enqueue_emits_profile")

    def __init__(self, engine: Engine) -> None:
        self.api, self._engine, self.name = engine.api, engine, ""
        self.profiler, self.enqueue_emits_profile = None, True
        self._unreported = False
        self.active_optimization_profile = 0
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._addresses: dict[str, int] = {}
        self._warm: tuple[Any, ...] | None = None
        self._thread: int | None = None
        self._inside = threading.Lock()
        self._alive = True
        self.api.device.registered["execution contexts"] += 1
        self.api.device.reserved += ACTIVATIONS

    def dropped(self) -> None:
        self._alive = False
        self.api.device.registered["execution contexts"] -= 1
        self.api.device.reserved -= ACTIVATIONS

    @property
    def engine(self) -> Engine:
        self._use("engine")
        return self._engine

    def _use(self, call: str, *, changes: bool = False) -> None:
        """Refuses a call out of order."""
        if not self._engine.alive:
            self.api.refuse(f"IExecutionContext.{call}: the context outlives its engine")
        if changes:
            self._thread = self._thread or threading.get_ident()
            if self.api.one_thread_per_context and self._thread != threading.get_ident():
                self.api.refuse(f"IExecutionContext.{call}: another thread than the context's first")
            device = self.api.device.current(f"IExecutionContext.{call}")
            if device != self._engine.gpu:
                self.api.refuse(f"IExecutionContext.{call}: the engine is on another GPU than this thread")

    def _say(self, message: str) -> None:
        log(self.api, self._engine.logger, "ERROR", message)

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        self._use("set_optimization_profile_async", changes=True)
        self.api.device.stream(int(stream_handle), "set_optimization_profile_async")
        if not 0 <= profile_index < self._engine.num_optimization_profiles:
            self._say(f"IExecutionContext::setOptimizationProfileAsync: profile index {profile_index} is out of range")
            return False
        self.active_optimization_profile = profile_index
        self._shapes.clear()
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._use("set_input_shape", changes=True)
        engine = self._engine
        if name not in engine.inputs:
            self._say(f"IExecutionContext::setInputShape: Error Code 3: API Usage Error ({name} is no input)")
            return False
        low, _, high = engine.profile(name, self.active_optimization_profile)
        if len(shape) != len(low) or not all(a <= s <= b for a, s, b in zip(low, shape, high, strict=True)):
            self._say(
                "IExecutionContext::setInputShape: Error Code 3: API Usage Error (Parameter check failed, condition: "
                f"satisfyProfile. Set dimension {list(shape)} for tensor {name} does not satisfy any optimization "
                f"profiles. Valid range for profile {self.active_optimization_profile}: {low}..{high}.)"
            )
            return False
        self._shapes[name] = shape
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        self._use("get_tensor_shape")
        shape = self._engine.known(name, "get_tensor_shape")[1]
        known: dict[str, int] = {}
        for given, sides in self._shapes.items():
            known.update(
                {k: s for k, s in zip(self._engine.tensors[given][1], sides, strict=True) if isinstance(k, str)}
            )
        return tuple(side if isinstance(side, int) else known.get(side, -1) for side in shape)

    @property
    def all_binding_shapes_specified(self) -> bool:
        return all(-1 not in self.get_tensor_shape(name) for name in self._engine.inputs)

    def infer_shapes(self) -> list[str]:
        self._use("infer_shapes")
        return [name for name in self._engine.inputs if -1 in self.get_tensor_shape(name)]

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._use("set_tensor_address", changes=True)
        if name not in self._engine.tensors:
            self._say(f"IExecutionContext::setTensorAddress: Error Code 3: API Usage Error (no tensor {name})")
            return False
        if int(memory) % _ALIGNMENT:
            self.api.refuse(f"set_tensor_address: {int(memory):#x} is not a multiple of {_ALIGNMENT}")
        self._addresses[name] = int(memory)
        return True

    def get_tensor_address(self, name: str) -> int:
        self._use("get_tensor_address")
        self._engine.known(name, "get_tensor_address")
        return self._addresses.get(name, 0)

    def execute_async_v3(self, stream_handle: int) -> bool:
        self._use("execute_async_v3", changes=True)
        if not self._inside.acquire(blocking=False):
            self.api.refuse("execute_async_v3: two threads are inside one context")
        try:
            return self._enqueue(int(stream_handle))
        finally:
            self._inside.release()

    def report_to_profiler(self) -> bool:
        self._use("report_to_profiler")
        if self.profiler is None or self.enqueue_emits_profile or not self._unreported:
            self._say("IExecutionContext::reportToProfiler: Error Code 3: API Usage Error (nothing to report)")
            return False
        self._unreported = False
        layers = json.loads(Inspector(self._engine).get_engine_information(self.api.member(*_JSON)))["Layers"]
        for layer in layers:
            timed(self.api, self.profiler, layer["Name"], KERNEL_MS / len(layers))
        return True

    def _enqueue(self, handle: int) -> bool:
        if self.profiler is not None and self.enqueue_emits_profile:
            self.api.refuse("execute_async_v3: the fake reports when it is asked to; teach it")
        call, engine, device = "execute_async_v3", self._engine, self.api.device
        if missing := self.infer_shapes():
            self.api.refuse(f"{call}: the shape of {', '.join(missing)} is not set")
        if missing := [name for name in engine.tensors if not self._addresses.get(name)]:
            self.api.refuse(f"{call}: the address of {', '.join(missing)} is not set")
        stream = device.stream(handle, call)
        places = {}
        for name, (_, _, kind) in engine.tensors.items():
            shape, dtype = self.get_tensor_shape(name), np.dtype(KINDS[kind][1])
            size = int(np.prod(shape)) * dtype.itemsize
            block, at = device.on_device(self._addresses[name], size, f"{call}: {name}")
            places[name] = (block, at, size, shape, dtype)
        spans = sorted((id(b), at, at + size) for b, at, size, _, _ in places.values())
        if any(a[0] == b[0] and b[1] < a[2] for a, b in itertools.pairwise(spans)):
            self.api.refuse(f"{call}: two tensors share memory")
        now = (self.active_optimization_profile, tuple(sorted(self._shapes.items())))
        if device.is_capturing(stream):
            if self._warm != now:
                self.api.refuse(f"{call}: captured before a run with the same shapes (TensorRT allocates in the first)")
            if device.capture_fails:
                stream.broken = True
                self._say(
                    "IExecutionContext::enqueueV3: Error Code 1: Cuda Runtime "
                    "(operation not permitted when stream is capturing)"
                )
                return False
        else:
            self._warm = now
        api, alive = self.api, weakref.ref(self)

        def run() -> None:
            # The queue keeps neither context nor engine alive.
            context = alive()
            if context is None or not context._alive or not context._engine.alive:
                api.refuse("a kernel runs after its execution context or engine was freed")
            for name, (block, _, _, _, _) in places.items():
                if not block.live:
                    api.refuse(f"a kernel runs after the memory of {name} was freed")
            feed, engine = {}, context._engine
            for name in engine.inputs:
                block, at, size, shape, dtype = places[name]
                feed[name] = block.data[at : at + size].view(dtype).reshape(shape).copy()
            names = [name for name in engine.tensors if name not in engine.inputs]
            for name, value in zip(names, engine.session.run(names, feed), strict=True):
                block, at, size, _, _ = places[name]
                block.data[at : at + size] = np.ascontiguousarray(value).view(np.uint8).reshape(-1)
            context._unreported = True

        device.queue(stream, Work(run, tuple(place[0] for place in places.values()), KERNEL_MS))
        return True
