"""Drives the fakes as the product would, for the fakes' own tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .fake_cuda import FakeDevice
from .fake_tensorrt import make
from .tiny import tiny_model

SIZE = 32
FRAME = SIZE * SIZE * 3


class Log:
    """Makes loggers that keep what they hear."""

    def __init__(self, trt: Any) -> None:
        heard = self.heard = []  # type: ignore[var-annotated]

        class Keep(trt.ILogger):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()

            def log(self, severity: Any, msg: str) -> None:
                heard.append((severity.name, msg))

        self.logger = Keep()

    @property
    def text(self) -> str:
        return "\n".join(message for _, message in self.heard)


def build(trt: Any, log: Log, model: Path, *, largest: int | None = 3, **settings: Any) -> Any:
    """As the product would: a strongly typed network, one profile."""
    flag = trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED
    builder = trt.Builder(log.logger)
    network = builder.create_network(1 << int(flag))
    parser = trt.OnnxParser(network, log.logger)
    if not parser.parse(model.read_bytes()):
        return parser.get_error(0)
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, 1 << 30)
    for name, value in settings.items():
        if name == "flag":
            config.set_flag(value)
        elif name == "cache":
            assert config.set_timing_cache(config.create_timing_cache(value), False)
        else:
            setattr(config, name, value)
    if largest:
        profile = builder.create_optimization_profile()
        profile.set_shape("frames", (1, SIZE, SIZE, 3), (2, SIZE, SIZE, 3), (largest, SIZE, SIZE, 3))
        assert config.add_optimization_profile(profile) == 0
    return builder.build_serialized_network(network, config)


def implicit(**options: Any) -> FakeDevice:
    """A GPU whose context is always current, as the runtime API makes it."""
    device = FakeDevice(**options)
    device.implicit = True
    return device


class Ready:
    """An execution context with everything set."""

    def __init__(self, tmp_path: Path, *, device: FakeDevice | None = None) -> None:
        self.device = device or implicit()
        self.trt = make("10.3.0", self.device)
        self.log = Log(self.trt)
        plan = build(self.trt, self.log, tiny_model(tmp_path / "m.onnx"))
        self.runtime = self.trt.Runtime(self.log.logger)
        self.engine = self.runtime.deserialize_cuda_engine(plan)
        self.context = self.engine.create_execution_context()
        self.context.set_input_shape("frames", (1, SIZE, SIZE, 3))
        self.frames = self.device.allocate(FRAME, "test")
        self.labels = self.device.allocate(SIZE * SIZE, "test")
        self.context.set_tensor_address("frames", self.frames.pointer)
        self.context.set_tensor_address("labels", self.labels.pointer)
        self.stream = self.device.create_stream("test")

    def run(self) -> None:
        self.context.execute_async_v3(self.stream.handle)

    def wait(self) -> None:
        self.device.synchronize(self.stream, "test")
