"""The fake GPU and its bindings refuse what a GPU does not forgive, and are lazy."""

from __future__ import annotations

import ctypes
import importlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .driving import Ready
from .fake_cuda import FakeCudaError, FakeDevice
from .fake_tensorrt import FakeTensorRTError
from .world import OLD_BINDINGS, Binding, World


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Callable[..., World]:
    """Installs a world."""
    return lambda *arguments, **named: World(*arguments, **named).install(monkeypatch)


# ---------------------------------------------------------------------------------------------------------------------
# pycuda
# ---------------------------------------------------------------------------------------------------------------------


def test_pycuda_copies_when_the_stream_is_waited_for(world: Callable[..., World]) -> None:
    here = world(binding="pycuda")
    import pycuda.driver as drv

    assert not hasattr(drv, "Graph")
    with pytest.raises(FakeCudaError, match="before init"):
        drv.Device(0)
    drv.init()
    gpu = drv.Device(0)
    assert (gpu.name(), gpu.compute_capability(), drv.Device.count()) == ("Orin", (8, 7), 1)
    assert gpu.get_attribute(drv.device_attribute.INTEGRATED) == 0
    assert (drv.get_version(), drv.get_driver_version()) == ((12, 6, 0), 12060)
    with pytest.raises(drv.LogicError, match="invalid device ordinal"):
        drv.Device(1)
    with pytest.raises(FakeCudaError, match="no context is current"):
        drv.mem_alloc(10)
    context = gpu.retain_primary_context()
    context.push()
    memory, stream = drv.mem_alloc(24), drv.Stream()
    up, down = (drv.pagelocked_empty((2, 3), np.int32) for _ in range(2))
    assert isinstance(up.base, drv.HostAllocation)
    assert up.flags.writeable
    up[:] = np.arange(6).reshape(2, 3)
    start, end = drv.Event(), drv.Event()
    start.record(stream)
    drv.memcpy_htod_async(memory, up, stream)
    drv.memcpy_dtoh_async(down, int(memory), stream)
    end.record(stream)
    assert not np.array_equal(down, up)
    with pytest.raises(FakeCudaError, match="has not come"):
        end.time_since(start)
    end.synchronize()
    assert np.array_equal(down, up)
    assert end.time_since(start) == 0.5
    with pytest.raises(FakeCudaError, match="in an allocation of 24"):
        drv.memcpy_htod_async(int(memory) + 4, up, stream)
    with pytest.raises(FakeCudaError, match="is not pinned"):
        drv.memcpy_htod_async(memory, np.zeros(24, np.uint8), stream)
    with pytest.raises(ValueError, match="contiguous"):
        drv.memcpy_htod_async(memory, up[:, ::2], stream)
    drv.memcpy_htod_async(memory, up, stream)
    with pytest.raises(FakeCudaError, match="pending"):
        memory.free()
    drv.Context.synchronize()
    assert here.device.live() == {
        "device memory": 1, "pinned memory": 2, "streams": 1, "events": 2, "retained contexts": 1, "pushed contexts": 1
    }  # fmt: skip
    del up, down, stream, start, end
    here.device.refusals.clear()


def test_pycuda_frees_with_the_last_reference(world: Callable[..., World]) -> None:
    here = world(binding="pycuda")
    import pycuda.driver as drv

    drv.init()
    context = drv.Device(0).retain_primary_context()
    context.push()
    memory, stream, array = drv.mem_alloc(8), drv.Stream(), drv.pagelocked_empty(8, np.uint8)
    event = drv.Event()
    event.record(stream)
    memory.free()
    with pytest.raises(FakeCudaError, match="freed already"):
        memory.free()
    array.base.free()
    with pytest.raises(FakeCudaError, match="freed memory"):
        int(memory)
    here.device.refusals.clear()
    del stream, array, event
    drv.Context.pop()
    context.detach()
    here.check()
    with pytest.raises(FakeCudaError, match="detached"):
        context.push()


def test_pycuda_on_another_thread(world: Callable[..., World]) -> None:
    here = world(binding="pycuda")
    import pycuda.driver as drv

    drv.init()
    context = drv.Device(0).retain_primary_context()
    context.push()
    held = [drv.Stream(), drv.Stream(), drv.Stream()]
    context.pop()
    held.pop()  # the thread that retained the context: pycuda makes it current
    assert here.device.live()["streams"] == 2
    found: list[BaseException] = []

    def other() -> None:
        try:
            drv.mem_alloc(1)
        except FakeCudaError as error:
            found.append(error)
        held.pop()  # leaked: its context is not current here
        context.push()
        held.pop()
        drv.Context.pop()

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert "no context is current" in str(found[0])
    assert here.device.live()["streams"] == 1
    assert "pycuda leaks it" in here.device.notes[0]


def test_pycuda_says_no(world: Callable[..., World]) -> None:
    world(binding="pycuda", gpu=FakeDevice(driver=False))
    with pytest.raises(ImportError, match=r"libcuda\.so\.1: cannot open shared object file"):
        importlib.import_module("pycuda.driver")
    world(binding="pycuda", gpu=FakeDevice(devices=0))
    import pycuda.driver as drv

    with pytest.raises(drv.RuntimeError, match="no CUDA-capable device is detected"):
        drv.init()
    world(binding="pycuda", gpu=FakeDevice(out_of_memory_after=100))
    import pycuda.driver as drv

    drv.init()
    context = drv.Device(0).retain_primary_context()
    context.push()
    kept = drv.mem_alloc(100)
    with pytest.raises(drv.MemoryError, match="cuMemAlloc failed: out of memory"):
        drv.mem_alloc(1)
    assert drv.mem_get_info() == (0, 8 << 30)
    kept.free()
    with pytest.raises(FakeCudaError, match="not asked to be mapped"):
        drv.pagelocked_empty(8, np.uint8).base.get_device_pointer()
    mapped = drv.pagelocked_empty(8, np.uint8, mem_flags=drv.host_alloc_flags.DEVICEMAP)
    assert mapped.base.get_device_pointer() != mapped.ctypes.data
    del mapped


# ---------------------------------------------------------------------------------------------------------------------
# cuda-python
# ---------------------------------------------------------------------------------------------------------------------


def runtime_module(binding: Binding) -> Any:
    """As a product that knows both names imports it."""
    return importlib.import_module("cuda.cudart" if binding == "cuda-python-12.5" else "cuda.bindings.runtime")


def good(answer: tuple[Any, ...]) -> Any:
    assert int(answer[0]) == 0, answer
    return answer[1] if len(answer) == 2 else answer[1:]


@pytest.mark.parametrize("binding", ["cuda-python-12", "cuda-python-13", *OLD_BINDINGS])
def test_cuda_python_answers_tuples(world: Callable[..., World], binding: Binding) -> None:
    here = world(binding=binding)
    rt = runtime_module(binding)
    assert good(rt.cudaGetDeviceCount()) == 1
    good(rt.cudaSetDevice(0))
    assert rt.cudaSetDevice(5) == (rt.cudaError_t.cudaErrorInvalidDevice,)
    properties = good(rt.cudaGetDeviceProperties(0))
    assert (properties.name, properties.major, properties.minor) == (b"Orin", 8, 7)
    stream = good(rt.cudaStreamCreateWithFlags(rt.cudaStreamNonBlocking))
    memory, host = good(rt.cudaMalloc(16)), good(rt.cudaHostAlloc(16, rt.cudaHostAllocDefault))
    array = np.frombuffer((ctypes.c_uint8 * 16).from_address(host), np.uint8)
    array[:] = range(16)
    up, down = rt.cudaMemcpyKind.cudaMemcpyHostToDevice, rt.cudaMemcpyKind.cudaMemcpyDeviceToHost
    good(rt.cudaMemcpyAsync(memory, host, 16, up, stream))
    good(rt.cudaStreamSynchronize(stream))
    array[:] = 0
    good(rt.cudaMemcpyAsync(host, memory, 16, down, int(stream)))
    assert not array.any()
    good(rt.cudaDeviceSynchronize())
    assert list(array) == list(range(16))
    with pytest.raises(TypeError, match=r"cudaMalloc\(\) takes exactly 1 positional argument \(0 given\)"):
        rt.cudaMalloc()
    with pytest.raises(TypeError, match="an integer is required"):
        rt.cudaMalloc("x")
    assert rt.cudaGetErrorName(rt.cudaError_t.cudaErrorMemoryAllocation) == (0, b"cudaErrorMemoryAllocation")
    assert not hasattr(rt, "cudaMallocManaged")
    good(rt.cudaFree(memory))
    with pytest.raises(FakeCudaError, match="freed already"):
        rt.cudaFree(memory)
    with pytest.raises(FakeCudaError, match="was freed"):
        rt.cudaMemcpyAsync(memory, host, 16, up, stream)
    good(rt.cudaFreeHost(host))
    good(rt.cudaStreamDestroy(stream))
    with pytest.raises(FakeCudaError, match="destroyed stream"):
        rt.cudaStreamSynchronize(stream)
    here.device.refusals.clear()
    here.check()


@pytest.mark.parametrize("binding", ["cuda-python-12", "cuda-python-13"])
def test_a_capture_is_recorded_and_launched(world: Callable[..., World], binding: Binding) -> None:
    here = world(binding=binding)
    rt = runtime_module(binding)
    stream = good(rt.cudaStreamCreateWithFlags(1))
    memory, host = good(rt.cudaMalloc(4)), good(rt.cudaHostAlloc(4, 2))
    assert good(rt.cudaHostGetDevicePointer(host, 0)) != host
    array = np.frombuffer((ctypes.c_uint8 * 4).from_address(host), np.uint8)
    mode = rt.cudaStreamCaptureMode.cudaStreamCaptureModeGlobal
    good(rt.cudaStreamBeginCapture(stream, mode))
    good(rt.cudaMemcpyAsync(memory, host, 4, rt.cudaMemcpyKind.cudaMemcpyHostToDevice, stream))
    good(rt.cudaMemcpyAsync(host, memory, 4, rt.cudaMemcpyKind.cudaMemcpyDeviceToHost, stream))
    graph = good(rt.cudaStreamEndCapture(stream))
    assert here.device.pending() == 0
    launchable = good(rt.cudaGraphInstantiate(graph, 0))
    good(rt.cudaGraphDestroy(graph))
    array[:] = 7
    first, last = good(rt.cudaEventCreate()), good(rt.cudaEventCreate())
    good(rt.cudaEventRecord(first, stream))
    good(rt.cudaGraphLaunch(launchable, stream))
    good(rt.cudaEventRecord(last, stream))
    assert rt.cudaEventElapsedTime(first, last) == (rt.cudaError_t(600), None)
    good(rt.cudaEventSynchronize(last))
    assert good(rt.cudaEventElapsedTime(first, last)) == 0.5
    assert next(block for block in here.device.blocks() if block.address is None).data[0] == 7
    for call in (lambda: rt.cudaStreamSynchronize(stream), lambda: rt.cudaMalloc(4), rt.cudaDeviceSynchronize):
        good(rt.cudaStreamBeginCapture(stream, mode))
        with pytest.raises(FakeCudaError, match="cudaErrorStreamCaptureUnsupported"):
            call()
        assert int(rt.cudaStreamEndCapture(stream)[0]) == 901
    good(rt.cudaFree(memory))
    good(rt.cudaGraphLaunch(launchable, stream))
    with pytest.raises(FakeCudaError, match="after its memory was freed"):
        rt.cudaStreamSynchronize(stream)
    good(rt.cudaGraphExecDestroy(launchable))
    with pytest.raises(FakeCudaError, match="destroyed graph"):
        rt.cudaGraphLaunch(launchable, stream)
    assert here.device.live() == {"pinned memory": 1, "streams": 1, "events": 2}


def test_a_kernel_is_captured_after_it_has_run(tmp_path: Path) -> None:
    ready = Ready(tmp_path)
    device = ready.device
    device.begin_capture(ready.stream, 0, "test")
    with pytest.raises(FakeTensorRTError, match="captured before a run with the same shapes"):
        ready.run()
    device.end_capture(ready.stream, "test")
    ready.run()
    device.begin_capture(ready.stream, 0, "test")
    ready.run()
    graph = device.end_capture(ready.stream, "test")
    assert graph is not None
    ready.wait()
    ready.frames.data[:] = 70
    device.launch(device.instantiate(graph), ready.stream)
    ready.wait()
    assert (ready.labels.data == 1).all()
    device.capture_fails = True
    device.begin_capture(ready.stream, 0, "test")
    assert not ready.context.execute_async_v3(ready.stream.handle)
    assert device.end_capture(ready.stream, "test") is None


def test_cuda_python_without_a_driver(world: Callable[..., World]) -> None:
    world(binding="cuda-python-13", gpu=FakeDevice(driver=False))
    rt = runtime_module("cuda-python-13")
    assert rt.cudaGetDeviceCount() == (rt.cudaError_t.cudaErrorInsufficientDriver, None)
    assert rt.cudaMemGetInfo() == (rt.cudaError_t(35), None, None)
    assert rt.cudaSetDevice(0) == (rt.cudaError_t(35),)
    assert rt.cudaRuntimeGetVersion() == (0, 13040)
    assert rt.cudaDriverGetVersion() == (0, 0)
    world(binding="cuda-python-12.6", gpu=FakeDevice(driver=False))
    rt = importlib.import_module("cuda.bindings.runtime")
    with pytest.raises(RuntimeError, match=r"^Failed to dlopen libcuda\.so\.1$"):
        rt.cudaGetDeviceCount()
    with pytest.raises(RuntimeError, match='Function "cuInit" not found'):
        rt.cudaGetDeviceCount()
    assert rt.cudaRuntimeGetVersion() == (0, 12060)
    world(binding="cuda-python-12", gpu=FakeDevice(devices=0))
    rt = runtime_module("cuda-python-12")
    assert int(rt.cudaGetDeviceCount()[0]) == 100
    world(binding="cuda-python-12", gpu=FakeDevice(out_of_memory_after=8))
    rt = runtime_module("cuda-python-12")
    assert rt.cudaMalloc(9) == (rt.cudaError_t.cudaErrorMemoryAllocation, None)


def test_another_gpu_is_another_gpu(world: Callable[..., World]) -> None:
    world(binding="cuda-python-13", gpu=FakeDevice(devices=2))
    rt = runtime_module("cuda-python-13")
    good(rt.cudaSetDevice(1))
    stream = good(rt.cudaStreamCreateWithFlags(0))
    good(rt.cudaSetDevice(0))
    with pytest.raises(FakeCudaError, match="another GPU"):
        rt.cudaStreamSynchronize(stream)
