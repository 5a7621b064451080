"""How a training process uses its CPU."""

from __future__ import annotations

import subprocess
import sys

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")

from segface_edge.training.cpu import keep_memory, subnormals_flushed
from segface_edge.training.processes import together

# In a process of its own: threads that another test started keep what they had.
PRODUCT = """
import torch
from segface_edge.training.processes import together

with together("cpu", threads=2):
    small = torch.full((4096, 512), 1e-20)
    print(int(((small @ small[:512]) != 0).sum()))
"""


def flushes() -> bool:
    return bool((torch.tensor([1e-39]) * 1).eq(0))


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this CPU cannot")
def test_subnormals_count_as_nothing_while_it_trains() -> None:
    assert not flushes()
    with together("cpu"):
        assert flushes()
        with subnormals_flushed():
            pass
        assert flushes()
    assert not flushes()


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this CPU cannot")
def test_so_they_do_in_every_thread() -> None:
    done = subprocess.run([sys.executable, "-c", PRODUCT], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's")
def test_memory_is_kept() -> None:
    # In a process of its own: it is for good. Once the heap has grown, no page is asked for again.
    program = """
import resource
import torch
from segface_edge.training.cpu import keep_memory

kept = keep_memory()
for number in range(20):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(20_000_000)
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    kept, faults = done.stdout.split()
    if kept == "False":
        pytest.skip("the C library is not glibc")
    assert int(faults) < 1000


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not keep_memory()
