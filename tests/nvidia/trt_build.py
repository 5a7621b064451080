"""The fake builder: ONNX in, plan out."""

# ruff: noqa: ARG002 (signatures are the real ones)
from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from . import onnx_read
from .trt_enums import Member
from .trt_parts import KINDS, NO_CUDA, Header, HostMemory, log, monitored, shape_of, write_plan
from .trt_surface import Impl


class Builder(Impl):
    kind = "Builder"

    def __init__(self, api: Any, logger: Any) -> None:
        self.api, self.logger = api, logger
        if not (api.device.driver and api.device.devices):
            log(api, logger, "ERROR", NO_CUDA)
            raise TypeError("pybind11::init(): factory function returned nullptr")
        api.device.current("Builder")
        api.device.registered["builders"] += 1

    def dropped(self) -> None:
        self.api.device.registered["builders"] -= 1

    def create_network(self, flags: int = 0) -> Network:
        typed = self.api.member("NetworkDefinitionCreationFlag", "STRONGLY_TYPED")
        if int(self.api.version.split(".")[0]) < 11 and not (typed and flags >> typed.value & 1):
            self.api.refuse(
                "create_network without STRONGLY_TYPED: this product builds strongly typed networks only "
                "(from 11 on every network is one)"
            )
        return Network(self.api, self.logger, flags)

    def create_builder_config(self) -> BuilderConfig:
        return BuilderConfig(self.api, self.logger)

    def create_optimization_profile(self) -> OptimizationProfile:
        return OptimizationProfile(self.api)

    def build_serialized_network(self, network: Network, config: BuilderConfig) -> HostMemory | None:
        api = self.api
        api.device.current("build_serialized_network")
        if network.content is None:
            log(api, self.logger, "ERROR", "Network must have at least one output")
            return None
        problem = self._profile_problem(network, config)
        if problem:
            log(api, self.logger, "ERROR", problem)
            return None
        if not self._phases(config):
            # NVIDIA logs nothing that is documented; the fake names what happened.
            log(api, self.logger, "WARNING", "Build was cancelled")
            return None
        session = network.session
        precision = api.found_precision or onnx_read.precision(session)
        header = Header(
            version=api.version,
            sm=list(api.device.sm),
            gpu=api.device.name,
            name=network.name,
            flags=sorted(config.names),
            profiles=[profile.shapes for profile in config.profiles],
            precision=precision,
            verbosity=config.profiling_verbosity.name,
            compatibility=config.hardware_compatibility_level.name,
            nodes=network.num_layers,
            inputs=[[t.name, list(t.shape), t.kind] for t in network.inputs],
            outputs=[[t.name, list(t.shape), t.kind] for t in network.outputs],
        )
        key = hashlib.sha256(network.content).hexdigest()
        hit = config.cache is not None and key in config.cache.entries
        if config.cache is not None:
            config.cache.entries.add(key)
        pools = {member.name: size for member, size in config.limits.items()}
        api.builds.append({"header": header, "pools": pools, "level": config.builder_optimization_level, "hit": hit})
        return HostMemory(write_plan(header, network.content))

    def _profile_problem(self, network: Network, config: BuilderConfig) -> str | None:
        for tensor in network.inputs:
            shape = shape_of(tensor.shape)
            if -1 not in shape:
                continue
            if not config.profiles:
                return "Network has dynamic or shape inputs, but no optimization profile has been defined."
            for i, profile in enumerate(config.profiles):
                given = profile.shapes.get(tensor.name)
                if given is None:
                    return f"{tensor.name}: dynamic input is missing dimensions in profile {i}."
                for at, side in enumerate(shape):
                    if len(given[0]) != len(shape) or (side != -1 and any(dims[at] != side for dims in given)):
                        return (
                            f"{tensor.name}: for dimension number {at} in profile {i} does not match network definition"
                        )
        return None

    def _phases(self, config: BuilderConfig) -> bool:
        """Tells the monitor of two phases, one in the other; False where it wants no more."""
        monitor = config.progress_monitor
        if monitor is None:
            return True
        outer, inner, alive = "Building Engine", "Timing graph nodes", True
        monitored(self.api, monitor, "phase_start", outer, None, 2)
        alive = bool(monitored(self.api, monitor, "step_complete", outer, 0))
        if alive:
            monitored(self.api, monitor, "phase_start", inner, outer, 3)
            for step in range(3):
                alive = alive and bool(monitored(self.api, monitor, "step_complete", inner, step))
            monitored(self.api, monitor, "phase_finish", inner)
        alive = alive and bool(monitored(self.api, monitor, "step_complete", outer, 1))
        monitored(self.api, monitor, "phase_finish", outer)
        return alive


class Network(Impl):
    kind = "INetworkDefinition"
    settable = ("name",)

    def __init__(self, api: Any, logger: Any, flags: int) -> None:
        self.api, self.logger, self.flags = api, logger, flags
        self.name = "Unnamed Network 0"
        self.content: bytes | None = None
        self.session: Any = None
        self.inputs: tuple[onnx_read.Tensor, ...] = ()
        self.outputs: tuple[onnx_read.Tensor, ...] = ()
        self.num_layers = 0

    def get_flag(self, flag: Member) -> bool:
        return bool(self.flags >> flag.value & 1)

    @property
    def num_inputs(self) -> int:
        return len(self.inputs)

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    def get_input(self, index: int) -> NetworkTensor | None:
        return NetworkTensor(self.api, self.inputs[index]) if 0 <= index < len(self.inputs) else None

    def get_output(self, index: int) -> NetworkTensor | None:
        return NetworkTensor(self.api, self.outputs[index]) if 0 <= index < len(self.outputs) else None


class NetworkTensor(Impl):
    kind = "ITensor"

    def __init__(self, api: Any, tensor: onnx_read.Tensor) -> None:
        self.name, self.shape = tensor.name, shape_of(tensor.shape)
        self.dtype = api.member("DataType", api.other_types.get(tensor.name, KINDS[tensor.kind][0]))


class Parser(Impl):
    kind = "OnnxParser"

    def __init__(self, api: Any, network: Network, logger: Any) -> None:
        self.api, self.network, self.logger = api, network, logger
        self.errors: list[ParserError] = []

    @property
    def num_errors(self) -> int:
        return len(self.errors)

    def get_error(self, index: int) -> ParserError:
        return self.errors[index]

    def clear_errors(self) -> None:
        self.errors.clear()

    def parse_from_file(self, model: str) -> bool:
        try:
            content = Path(model).read_bytes()
        except OSError:
            return self._fail(f"Could not open file {model}", "MODEL_DESERIALIZE_FAILED")
        return self.parse(content)

    def parse(self, model: Any, path: str | None = None) -> bool:
        content = bytes(model)
        try:
            session, nodes = onnx_read.open_session(content), onnx_read.nodes(content)
        except Exception:  # ONNX Runtime's errors have no common base but Exception
            return self._fail("Failed to parse the ONNX model.", "MODEL_DESERIALIZE_FAILED")
        if self.api.refuse_operator:
            name, operator = self.api.refuse_operator
            # The wording changed when unknown operators became plugins that were not found.
            words = (
                f"No importer registered for op: {operator}. Attempting to import as plugin."
                if self.api.before(10, 7)
                else 'In function importFallbackPluginImporter:\n[8] Assertion failed: creator && "Plugin not found, '
                'are the plugin name, version, and namespace correct?"'
            )
            return self._fail(words, "UNSUPPORTED_NODE", name, operator)
        network = self.network
        network.content, network.session, network.num_layers = content, session, len(nodes)
        network.inputs = onnx_read.tensors(session.get_inputs())
        network.outputs = onnx_read.tensors(session.get_outputs())
        return True

    def _fail(self, words: str, code: str, node: str = "", operator: str = "") -> bool:
        self.errors.append(ParserError(words, self.api.member("ErrorCode", code), node, operator))
        log(self.api, self.logger, "ERROR", words)
        return False


class ParserError(Impl):
    kind = "ParserError"

    def __init__(self, words: str, code: Any, node: str, operator: str) -> None:
        self._words, self._code, self._node, self._operator = words, code, node, operator

    def desc(self) -> str:
        return self._words

    def code(self) -> Any:
        return self._code

    def node(self) -> int:
        return 0 if self._node else -1

    def node_name(self) -> str:
        return self._node

    def node_operator(self) -> str:
        return self._operator


class BuilderConfig(Impl):
    kind = "IBuilderConfig"
    settable = (
        "builder_optimization_level",
        "profiling_verbosity",
        "progress_monitor",
        "hardware_compatibility_level",
        "max_aux_streams",
    )

    def __init__(self, api: Any, logger: Any) -> None:
        self.api, self.logger = api, logger
        self.limits: dict[Member, int] = {}
        self.builder_optimization_level = 3
        self.profiling_verbosity = api.member("ProfilingVerbosity", "LAYER_NAMES_ONLY")
        self.hardware_compatibility_level = api.member("HardwareCompatibilityLevel", "NONE")
        self.progress_monitor: Any = None
        self.max_aux_streams = -1
        self.names = {"TF32"}
        self.cache: TimingCache | None = None
        self.profiles: list[OptimizationProfile] = []

    @property
    def num_optimization_profiles(self) -> int:
        return len(self.profiles)

    def set_memory_pool_limit(self, pool: Member, pool_size: int) -> None:
        self.limits[pool] = int(pool_size)

    def get_memory_pool_limit(self, pool: Member) -> int:
        return self.limits.get(pool, self.api.device.memory)

    def set_flag(self, flag: Member) -> None:
        self.names.add(flag.name)

    def clear_flag(self, flag: Member) -> None:
        self.names.discard(flag.name)

    def get_flag(self, flag: Member) -> bool:
        return flag.name in self.names

    def create_timing_cache(self, serialized_timing_cache: Any) -> TimingCache | None:
        content = bytes(serialized_timing_cache)
        if not content:
            return TimingCache(self.api, [self.api.version, list(self.api.device.sm)], set())
        try:
            document = json.loads(content)
            return TimingCache(self.api, document["header"], set(document["entries"]))
        except (ValueError, KeyError, TypeError):
            log(self.api, self.logger, "ERROR", "The timing cache is corrupt: header mismatch.")
            return None

    def set_timing_cache(self, cache: TimingCache, ignore_mismatch: bool) -> bool:
        if cache.header != [self.api.version, list(self.api.device.sm)] and not ignore_mismatch:
            log(self.api, self.logger, "ERROR", "The timing cache was made by another TensorRT or on another GPU.")
            return False
        self.cache = cache
        return True

    def get_timing_cache(self) -> TimingCache | None:
        return self.cache

    def add_optimization_profile(self, profile: OptimizationProfile) -> int:
        if not profile.shapes:
            return -1
        self.profiles.append(profile)
        return len(self.profiles) - 1


class TimingCache(Impl):
    kind = "ITimingCache"

    def __init__(self, api: Any, header: list[Any], entries: set[str]) -> None:
        self.api, self.header, self.entries = api, header, entries

    def serialize(self) -> HostMemory:
        return HostMemory(json.dumps({"header": self.header, "entries": sorted(self.entries)}).encode())

    def combine(self, input_cache: TimingCache, ignore_mismatch: bool) -> bool:
        if input_cache.header != self.header and not ignore_mismatch:
            return False
        self.entries |= input_cache.entries
        return True


class OptimizationProfile(Impl):
    kind = "IOptimizationProfile"

    def __init__(self, api: Any) -> None:
        self.api = api
        self.shapes: dict[str, list[list[int]]] = {}

    def set_shape(self, input: str, min: tuple[int, ...], opt: tuple[int, ...], max: tuple[int, ...]) -> None:
        for what, low, high in (("opt", min, opt), ("max", opt, max)):
            if len(low) != len(high) or any(a > b for a, b in zip(low, high, strict=True)):
                raise ValueError(f"Shape provided for {what} is inconsistent with other shapes.")
        self.shapes[input] = [list(min), list(opt), list(max)]

    def get_shape(self, input: str) -> list[tuple[int, ...]]:
        if input not in self.shapes:
            self.api.refuse(f"get_shape: the profile has no shape for {input!r}")
        return [tuple(shape) for shape in self.shapes[input]]
