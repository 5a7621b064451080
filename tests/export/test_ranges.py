"""The ranges of int8: what they hold, whatever the order of the photos, and that nothing is kept of these."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import StringIO
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="an export needs torch")
onnx = pytest.importorskip("onnx", reason="an export needs onnx")

from onnxruntime.quantization.calibrate import HistogramCollector

from segface_edge.errors import ParityError
from segface_edge.export.config import CalibrationMethod
from segface_edge.export.int8 import int8_candidates
from segface_edge.export.ranges import BINS, binned, calibrate, calibration_steps, entropy, percentile
from segface_edge.export.sensitivity import sensitivities

from .small import SIZE, photos, two_convolutions

METHODS: tuple[CalibrationMethod, ...] = get_args(CalibrationMethod)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("seed", range(2))
def test_the_order_of_the_photos_changes_nothing(method: CalibrationMethod, seed: int) -> None:
    frames = photos(7)
    shuffled = [frames[index] for index in np.random.default_rng(seed).permutation(7)]
    assert calibrate(two_convolutions(), shuffled, method) == calibrate(two_convolutions(), frames, method)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_values_may_come_in_any_order_and_any_pieces(data: st.DataObject) -> None:
    values = np.array(data.draw(st.lists(st.floats(-8, 8, width=32), min_size=1, max_size=300)), np.float32)
    end = float(np.abs(values).max())
    whole = binned(values, end)
    assert whole.sum() == values.size
    shuffled = values[data.draw(st.permutations(range(values.size)))]
    cuts = sorted(data.draw(st.lists(st.integers(0, values.size), max_size=5)))
    pieces = sum((binned(piece, end) for piece in np.split(shuffled, cuts)), np.zeros(2 * BINS, np.int64))
    assert np.array_equal(pieces, whole)
    assert 0 <= percentile(pieces, end) <= end * (1 + 1e-6)


def in_the_middle_of_bins(values: np.ndarray) -> np.ndarray:
    """Values that no rounding brings into another bin."""
    end = np.abs(values).max()
    return ((np.floor(values / end * (BINS / 2 - 0.5)) + 0.5) * (end / (BINS / 2))).astype(np.float32)


DISTRIBUTIONS = {
    "normal": lambda rng: rng.standard_normal(60_007),
    "relu": lambda rng: np.maximum(rng.standard_normal(60_007), 0),
    "laplace": lambda rng: rng.laplace(size=60_007),
    "one outlier": lambda rng: np.append(rng.standard_normal(60_007), 8),
    "never positive": lambda rng: -rng.exponential(size=60_007),
    "few values": lambda rng: rng.standard_normal(300),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
@pytest.mark.parametrize("method", ["percentile", "entropy"])
def test_of_one_batch_they_are_what_onnx_runtime_finds(method: str, name: str) -> None:
    values = in_the_middle_of_bins(DISTRIBUTIONS[name](np.random.default_rng(5)))
    end = float(np.abs(values).max())
    collector = HistogramCollector(method, True, BINS, 128, 99.99, "same")
    with redirect_stdout(StringIO()):
        collector.collect({"x": [values]})
        low, high, *_ = collector.compute_collection_result()["x"]
    theirs = max(-float(low), float(high))
    counts = binned(values, end)
    if method == "entropy":
        # Their ends are edges, ours too; where values end before, theirs is the value.
        assert entropy(counts, end) == pytest.approx(theirs, abs=1.01 * end / BINS)
    else:
        # Theirs is the lower edge of the bin, in floats that may miss it.
        inner = np.sort(np.abs(values))[: int(np.ceil(0.9999 * values.size))].max()
        assert inner <= percentile(counts, end) * (1 + 1e-6)
        assert percentile(counts, end) == pytest.approx(max(theirs, inner), abs=1.5 * end / BINS)


def test_percentile_counts_what_lies_below_the_first_photos_smallest_value() -> None:
    """10 of 100,001 magnitudes are large: the range ends right above the others, though no small one came first."""
    large, small = np.full(11, 9.0, np.float32), np.linspace(-1, 1, 100_000, dtype=np.float32)
    counts = binned(large, 9.0) + binned(small, 9.0)
    assert percentile(counts, 9.0) == pytest.approx(9.0)
    counts = binned(large[:10], 9.0) + binned(small, 9.0)
    assert percentile(counts, 9.0) == pytest.approx(1.0, abs=9 / BINS)


@pytest.mark.parametrize("method", METHODS)
def test_ranges_by_method(method: CalibrationMethod) -> None:
    frames, seen = photos(5), []
    model = two_convolutions()
    before = model.SerializeToString()
    found = calibrate(model, frames, method, seen.append)
    assert model.SerializeToString() == before
    assert set(found) == {"x", "b"}
    # A bar that is full when all is done, and never before.
    assert sum(seen) == calibration_steps(len(found), 5, method) == (5 if method == "minmax" else 12)
    assert set(seen) == {1}
    largest = float(np.abs(np.stack(frames) / 127.5 - 1).max())
    assert found["x"] == pytest.approx(largest, rel=1e-5 if method == "minmax" else 0.3)
    assert 0 < found["x"] <= largest * (1 + 1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_file_of_a_fixed_batch_has_the_ranges_of_one_that_takes_any(method: CalibrationMethod) -> None:
    found = calibrate(two_convolutions(batch=4), photos(3), method)
    assert found == pytest.approx(calibrate(two_convolutions(batch="N"), photos(3), method), rel=1e-5)


def test_the_sensitivities_of_a_file_of_a_fixed_batch() -> None:
    found = []
    for batch in (4, "N"):
        model = two_convolutions(batch=batch)
        candidates = int8_candidates(model, calibrate(model, photos(2), "minmax"))
        found.append([one.error for one in sensitivities(model, candidates, photos(2)[1:])])
    assert found[0] == pytest.approx(found[1], rel=1e-3)
    assert min(found[0]) > 0


@pytest.mark.parametrize("method", METHODS)
def test_one_photo_at_a_time_is_in_memory(method: CalibrationMethod) -> None:
    class Read(Sequence[Any]):
        """Makes a photo when it is looked at, and counts those that are still there."""

        alive = most = 0

        def __len__(self) -> int:
            return 20

        def __getitem__(self, place: Any) -> Any:
            if place >= 20:
                raise IndexError
            frame = np.full((SIZE, SIZE, 3), 10 * place, np.uint8)
            type(self).alive += 1
            type(self).most = max(self.most, self.alive)
            weakref.finalize(frame, self.gone)
            return frame

        @classmethod
        def gone(cls) -> None:
            cls.alive -= 1

    frames = Read()
    calibrate(two_convolutions(), frames, method)
    assert frames.most <= 2  # the next one is read before the last one's name is given up


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [np.nan, np.inf])
def test_values_that_are_not_finite_are_named(method: CalibrationMethod, factor: float) -> None:
    with pytest.raises(ParityError, match="b: is not finite on a calibration photo"):
        calibrate(two_convolutions(factor=factor), photos(2), method)


def test_a_tensor_of_zeros_has_no_range() -> None:
    for method in METHODS:
        assert calibrate(two_convolutions(factor=0.0), photos(2), method)["b"] == 0.0
