"""The peaks of the machine at hand, measured: large products in ONNX Runtime, streams through memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

# Rows, sums and columns of products: a large one, and shapes of the networks' own.
PRODUCTS = ((1024, 1024, 1024), (4096, 512, 512), (6400, 256, 256))
# Times the caches: what a stream goes through must not stay in them.
_BEYOND_CACHES = 2
_LEAST_STREAM = 2**28
_CPU = ["CPUExecutionProvider"]
_OPERATIONS = 2


@dataclass(frozen=True, kw_only=True)
class Peaks:
    """What a machine did at its quickest.

    Attributes:
        rates: {precision: operations a second, two a multiplication}.
        bandwidth: of memory, bytes a second.
        cache: bytes of all caches together.
    """

    rates: Mapping[str, float]
    bandwidth: float
    cache: float


def machine_peaks(threads: int, *, seconds: float = 2.0, products: Sequence[tuple[int, int, int]] = PRODUCTS) -> Peaks:
    """Those of the CPUs. ONNX Runtime multiplies fp16 in fp32 on a CPU: that is its peak.

    Args:
        threads: that multiply, and that go through memory.
        seconds: of each kind of measurement: products of fp32, of int8, and streams.
        products: rows, sums and columns of the products; the quickest counts.
    """
    each = seconds / len(products)
    fp32, int8 = (max(_product(kind, shape, threads, each) for shape in products) for kind in ("fp32", "int8"))
    # int8 may be widened and multiplied so.
    rates = {"fp32": fp32, "fp16": fp32, "int8": max(fp32, int8)}
    return Peaks(rates=rates, bandwidth=_bandwidth(threads, seconds), cache=cache_bytes())


def calls(call: Callable[[], object], seconds: float) -> Iterator[float]:
    """Seconds of each call, for so long and five times at least, after two that do not count."""
    for _ in range(2):
        call()
    end, count = perf_counter() + seconds, 0
    while count < 5 or perf_counter() < end:
        start = perf_counter()
        call()
        yield perf_counter() - start
        count += 1


def cache_bytes() -> float:
    """Bytes of this machine's caches together, as Linux tells them; 0 where it does not."""
    total, seen = 0, set()
    for place in sorted(Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cache/index*")):
        try:
            told = {name: (place / name).read_text().strip() for name in ("size", "level", "type", "shared_cpu_list")}
            size = int(told["size"].removesuffix("K")) * 1024
        except (OSError, ValueError):  # some boards tell no sizes
            continue
        one = (told["level"], told["type"], told["shared_cpu_list"])
        if one not in seen and told["type"] != "Instruction":
            seen.add(one)
            total += size
    return float(total)


def _product(kind: str, shape: tuple[int, int, int], threads: int, seconds: float) -> float:
    """Operations a second of the quickest product of (rows, sums) and (sums, columns)."""
    rows, sums, columns = shape
    rng = np.random.default_rng(0)
    if kind == "fp32":
        left, right = (rng.standard_normal(size, np.float32) for size in ((rows, sums), (sums, columns)))
        node, given, result = helper.make_node("MatMul", ["x", "w"], ["y"]), TensorProto.FLOAT, TensorProto.FLOAT
    else:
        left = rng.integers(0, 255, (rows, sums), np.uint8)
        right = rng.integers(-127, 127, (sums, columns)).astype(np.int8)
        node, given, result = helper.make_node("MatMulInteger", ["x", "w"], ["y"]), TensorProto.UINT8, TensorProto.INT32
    graph = helper.make_graph(
        [node],
        "product",
        [helper.make_tensor_value_info("x", given, [rows, sums])],
        [helper.make_tensor_value_info("y", result, [rows, columns])],
        [numpy_helper.from_array(right, "w")],  # a constant, so that the runtime packs it once, as a network's weights
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=10)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    session = ort.InferenceSession(model.SerializeToString(), options, providers=_CPU)
    least = min(calls(lambda: session.run(None, {"x": left}), seconds))
    return _OPERATIONS * rows * sums * columns / least


def _bandwidth(threads: int, seconds: float) -> float:
    """Bytes a second of the quickest of two streams, shared among threads: a copy (read and written) and a read."""
    size = max(_LEAST_STREAM, int(_BEYOND_CACHES * cache_bytes())) // 8
    source, target = np.ones(size, np.uint64), np.zeros(size, np.uint64)
    parts = [slice(start * size // threads, (start + 1) * size // threads) for start in range(threads)]
    with ThreadPoolExecutor(threads) as pool:

        def shared(work: Callable[[slice], object]) -> None:
            list(pool.map(work, parts))

        copied = min(calls(lambda: shared(lambda part: np.copyto(target[part], source[part])), seconds / 2))
        read = min(calls(lambda: shared(lambda part: np.bitwise_or.reduce(source[part])), seconds / 2))
    return max(2 * source.nbytes / copied, source.nbytes / read)
