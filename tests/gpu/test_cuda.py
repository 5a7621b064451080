"""The CUDA seam on a real device, with each binding that is installed."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest

from segface_edge.engines.nvidia.cuda import BINDINGS, MIB, Cuda, open_cuda
from segface_edge.errors import IncompatibleEngineError


@pytest.fixture(params=BINDINGS)
def cuda(request: pytest.FixtureRequest) -> Iterator[Cuda]:
    """A device, current on the test's thread."""
    if not any(find_spec(module.partition(".")[0]) for module in BINDINGS[request.param].modules):
        pytest.skip(f"{request.param} is not installed")
    opened = open_cuda("cuda", request.param)
    with opened.current():
        yield opened
    opened.close()


def test_the_device_says_what_it_is(cuda: Cuda) -> None:
    major, minor = map(int, cuda.gpu.compute.split("."))
    assert (major, minor) >= (5, 0)
    assert cuda.gpu.name
    assert cuda.gpu.memory_mib > 500
    assert 0 < cuda.free_bytes() <= cuda.gpu.memory_mib * MIB + MIB


def test_bytes_go_there_and_back(cuda: Cuda) -> None:
    size = 3 * 384 * 384
    there, back = cuda.allocate_host(size, mapped=False), cuda.allocate_host(size, mapped=False)
    memory, stream = cuda.allocate(size), cuda.stream()
    there.array[:] = np.random.default_rng(0).integers(0, 256, size, np.uint8)
    back.array[:] = 0
    marks = [stream.mark()]
    stream.copy_in(there, memory, size)
    stream.copy_out(memory, back, size)
    marks.append(stream.mark())
    stream.synchronize()
    assert np.array_equal(there.array, back.array)
    assert 0 < marks[1].seconds_since(marks[0]) < 1
    for one in (*marks, stream, memory, there, back):
        one.free()


def test_mapped_memory_has_an_address_on_the_device(cuda: Cuda) -> None:
    memory = cuda.allocate_host(4096, mapped=True)
    assert memory.address
    memory.array[:] = 7
    back, stream = cuda.allocate_host(4096, mapped=False), cuda.stream()
    stream.copy_out(memory, back, 4096)
    stream.synchronize()
    assert (back.array == 7).all()
    for one in (stream, memory, back):
        one.free()


def test_a_graph_does_again_what_was_recorded(cuda: Cuda) -> None:
    if not cuda.has_graphs:
        pytest.skip(f"{cuda.binding} has no graphs")
    source, target = cuda.allocate_host(4096, mapped=False), cuda.allocate_host(4096, mapped=False)
    memory, stream = cuda.allocate(4096), cuda.stream()

    def work() -> None:
        stream.copy_in(source, memory, 4096)
        stream.copy_out(memory, target, 4096)

    target.array[:] = 0
    graph = cuda.record(stream, work)
    stream.synchronize()
    assert not target.array.any()  # it was recorded, not done
    for value in (1, 2):
        source.array[:] = value
        graph.launch(stream)
        stream.synchronize()
        assert (target.array == value).all()
    for one in (graph, stream, memory, source, target):
        one.free()


def test_too_much_memory_is_one_line(cuda: Cuda) -> None:
    with pytest.raises(IncompatibleEngineError, match="MiB left; lower the batch"):
        cuda.allocate(1 << 50)


def test_cycles_give_all_memory_back(cuda: Cuda) -> None:
    before = cuda.free_bytes()
    for _ in range(50):
        blocks = [cuda.allocate(8 * MIB), cuda.allocate_host(MIB, mapped=False), cuda.stream()]
        for block in blocks:
            block.free()
    assert before - cuda.free_bytes() < 64 * MIB


def test_other_threads_make_it_current_for_themselves(cuda: Cuda) -> None:
    found: list[bool] = []

    def work() -> None:
        with cuda.current():
            memory = cuda.allocate(1024)
            memory.free()
            found.append(True)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
