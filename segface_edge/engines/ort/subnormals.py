"""Numbers below 1.2e-38 taken for zero while a graph runs: a CPU computes with them tens of times slower.

A trained network makes them: where a softmax is sure, its smallest results are (all scores that lie more than 87 below
the largest). ONNX Runtime's own option for it sets a session's own threads; the thread that calls it is set by the
process's first session only, and for good, whatever else it does later. So the calling thread's mode is set here,
around each run, and put back.
"""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

OPTION = "session.set_denormal_as_zero"
# fenv_t of glibc on x86-64: 32 bytes, the last four of them the control register MXCSR.
_SIZE, _REGISTER = 32, 28
# Flush to zero (results), denormals are zero (operands).
_FLAGS = 0x8040


def _library() -> ctypes.CDLL | None:
    if sys.platform != "linux" or platform.machine() != "x86_64" or ctypes.sizeof(ctypes.c_void_p) != 8:
        return None
    try:
        return ctypes.CDLL("libm.so.6")
    except OSError:  # another C library than glibc
        return None


_LIBRARY = _library()
# Elsewhere a thread's mode cannot be put back, and stays as it is; ARM's cores lose little by such numbers.
SUPPORTED = _LIBRARY is not None


@contextmanager
def flushed() -> Iterator[None]:
    """The calling thread takes subnormal numbers for zero, and afterwards does with them what it did before.

    Nothing where it is not `SUPPORTED`.
    """
    if _LIBRARY is None:
        yield
        return
    before = ctypes.create_string_buffer(_SIZE)
    _LIBRARY.fegetenv(before)
    inside = ctypes.create_string_buffer(before.raw, _SIZE)
    register = ctypes.c_uint32.from_buffer(inside, _REGISTER)
    register.value |= _FLAGS
    _LIBRARY.fesetenv(inside)
    try:
        yield
    finally:
        _LIBRARY.fesetenv(before)
