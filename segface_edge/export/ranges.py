"""What int8 is to hold: the largest magnitude of every convolution's input, from photos, one after another.

A first pass over the photos finds the largest values; a second one counts all values in bins that follow from them. Of
the photos nothing else is kept: memory does not grow with their number, and their order changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper
from onnx.utils import Extractor

from segface_edge.engines.ort.session import cpu_session
from segface_edge.errors import ParityError
from segface_edge.pictures.geometry import UInt8Array

from .config import CalibrationMethod
from .constants import Array
from .sensitivity import as_batch

Counts = npt.NDArray[np.int64]
# Bins of magnitudes. ONNX Runtime's number, and below its half the steps of int8.
BINS, _STEPS = 2048, 128
# In ten thousands. ONNX Runtime's default, 99.999 %, is still an outlier: there are some million values.
PERCENTILE = 9999
# What an empty bin counts, so that a divergence is a number.
_LEAST = 1e-4
# Values that are counted at once: they stay in a CPU's cache.
_BLOCK = 65536


def layers(model: onnx.ModelProto) -> list[onnx.NodeProto]:
    """What can become int8: the convolutions; in a deploy graph those are the backbone's."""
    return [node for node in model.graph.node if node.op_type == "Conv"]


def calibration_steps(tensors: int, photos: int, method: CalibrationMethod) -> int:
    """How many steps `calibrate` takes: each pass over a photo is one, and each tensor whose range is searched for."""
    return photos if method == "minmax" else 2 * photos + tensors


def calibrate(
    model: onnx.ModelProto,
    frames: Sequence[UInt8Array],
    method: CalibrationMethod,
    progress: Callable[[int], None] = lambda _: None,
    *,
    tensors: Sequence[str] | None = None,
) -> dict[str, float]:
    """The largest magnitude that each tensor shall hold: {tensor: magnitude}.

    Args:
        model: a deploy graph in fp32.
        frames: (S, S, 3) uint8 RGB each, of the kind that the model will see; looked at twice, one at a time.
        method: `minmax`: the largest seen; `percentile`, `entropy`: see the functions of these names.
        progress: called with the number of steps since the last call; there are `calibration_steps`.
        tensors: which; None: the inputs of all convolutions.

    Raises:
        ParityError: a value is not finite.
    """
    tensors = inputs(model) if tensors is None else tensors
    run = _probe(model, tensors)
    largest = dict.fromkeys(tensors, 0.0)
    for frame in frames:
        for name, values in run(frame):
            largest[name] = max(largest[name], _largest(name, values))
        progress(1)
    if method == "minmax":
        return largest
    counts = {name: np.zeros(2 * BINS, np.int64) for name in largest}
    for frame in frames:
        for name, values in run(frame):
            counts[name] += binned(values, largest[name])
        progress(1)
    found = {}
    for name, end in largest.items():
        found[name] = {"percentile": percentile, "entropy": entropy}[method](counts[name], end)
        progress(1)
    return found


def binned(values: Array, end: float) -> Counts:
    """How many of the values lie in each of 2 x `BINS` equal bins from -`end` to `end`, none of them beyond."""
    counts = np.zeros(2 * BINS + 1, np.int64)
    flat = values.reshape(-1)
    scale = np.float32(BINS / max(end, 1e-30))
    for start in range(0, flat.size, _BLOCK):
        places = flat[start : start + _BLOCK] * scale
        places += BINS
        counts += np.bincount(places.astype(np.intp), minlength=counts.size)
    counts[-2] += counts[-1]  # the end itself
    return counts[:-1]


def percentile(counts: Counts, end: float) -> float:
    """The least edge of a bin that 99.99 % of all magnitudes lie within.

    Args:
        counts: of `binned`.
        end: likewise.
    """
    magnitudes = counts[BINS:] + counts[:BINS][::-1]
    within = magnitudes.cumsum()
    # In whole numbers: of 99.99 % of 100,000 values, rounding would make 99,991.
    place = int(np.searchsorted(within, -(-PERCENTILE * within[-1] // 10_000)))
    return end * (place + 1) / BINS


def entropy(counts: Counts, end: float) -> float:
    """The range whose 128 steps keep the most of how the values are distributed: by the Kullback-Leibler divergence
    between the values, those beyond the range at its ends, and their quantised selves.

    Szymon Migacz, "8-bit inference with TensorRT" (2017), as ONNX Runtime's `get_entropy_threshold` has it, on half as
    many bins. Arguments as for `percentile`.
    """
    pairs = counts.reshape(-1, 2).sum(axis=1)
    middle = len(pairs) // 2
    sums = np.concatenate([[0], pairs.cumsum()])
    halves = range(_STEPS // 2, middle + 1)
    divergences = [_divergence(pairs, sums, middle - half, min(middle + half + 1, len(pairs))) for half in halves]
    half = halves[int(np.argmin(divergences))]
    # To the right it is one bin more.
    reach = {True: min(half + 1, middle), False: half}
    lowest, highest = np.flatnonzero(counts)[[0, -1]]
    # No further than there are values: of what was never negative, the right end counts, and the other way round.
    left, right = (BINS - lowest) / BINS, (highest + 1 - BINS) / BINS
    return end * float(max(min(reach[False] / middle, left), min(reach[True] / middle, right)))


def _divergence(counts: Counts, sums: Counts, start: int, stop: int) -> float:
    """Of the bins from `start` to `stop` as steps of int8.

    Args:
        counts: (bins,), all of them.
        sums: (bins + 1,), how many there are before each.
    """
    inner = counts[start:stop].astype(np.float64)
    exact = inner.copy()
    exact[0] += sums[start]
    exact[-1] += sums[-1] - sums[stop]
    width = inner.size // _STEPS
    whole = width * _STEPS
    steps = inner[:whole].reshape(_STEPS, width).sum(axis=1)
    steps[-1] += inner[whole:].sum()
    filled = np.count_nonzero(exact[:whole].reshape(_STEPS, width), axis=1)
    quantised = np.zeros_like(exact)
    quantised[:whole] = np.repeat(np.where(filled > 0, np.floor(steps / np.maximum(filled, 1)), 0), width)
    if not exact.any() or not quantised.any():
        return np.inf
    p, q = _smooth(exact), _smooth(quantised)
    return float((p * np.log(p / q)).sum())


def _smooth(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """As shares of one, none of them 0: what the empty bins get, the others give."""
    empty = counts == 0
    zeros = np.count_nonzero(empty)
    shares = counts + np.where(empty, _LEAST, -_LEAST * zeros / (counts.size - zeros))
    return np.asarray(shares / shares.sum())


def inputs(model: onnx.ModelProto) -> list[str]:
    """Of the convolutions, each once."""
    return sorted({node.input[0] for node in layers(model)})


def _largest(name: str, values: Array) -> float:
    low, high = float(values.min()), float(values.max())
    # A NaN is the least and the largest of what holds one.
    if not np.isfinite([low, high]).all():
        raise ParityError(name, "is not finite on a calibration photo", "the weights are damaged: check them")
    return max(-low, high)


def _probe(model: onnx.ModelProto, tensors: Sequence[str]) -> Callable[[UInt8Array], Iterator[tuple[str, Array]]]:
    """What runs a frame and gives these tensors. The rest of the graph is left out."""
    source = model.graph.input[0]
    probed = onnx.ModelProto()
    probed.CopyFrom(model)
    del probed.graph.value_info[:]
    probed.graph.value_info.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in tensors)
    backbone = Extractor(probed).extract_model([source.name], list(tensors))
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = cpu_session(backbone.SerializeToString(), options)

    def run(frame: UInt8Array) -> Iterator[tuple[str, Array]]:
        found = session.run(tensors, {source.name: as_batch(model, frame)})
        return ((name, values[:1]) for name, values in zip(tensors, found, strict=True))

    return run
