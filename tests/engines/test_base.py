"""The engine seam: calls of the model's size, and checks of what goes in and comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from segface_edge.engines import Engine, FakeEngine, Output
from segface_edge.engines.base import MAX_BATCH
from segface_edge.errors import IncompatibleEngineError, UsageError

MakeEngine = Callable[..., Any]
Array = npt.NDArray[np.uint8]


def frames(count: int, size: int = 32) -> Array:
    """Each frame of its own label (below 16) and confidence."""
    stack = np.zeros((count, size, size, 3), np.uint8)
    stack[..., 0] = (np.arange(count) % 16 * 16)[:, None, None]
    stack[..., 1] = np.arange(count)[:, None, None]
    return stack


@pytest.mark.parametrize(
    ("batch", "count", "calls"),
    [
        (1, 1, [1]),
        (1, 3, [1, 1, 1]),
        (4, 4, [4]),
        (4, 1, [4]),
        (4, 9, [4, 4, 4]),
        (16, 20, [16, 16]),
        (None, 1, [1]),
        (None, MAX_BATCH, [MAX_BATCH]),
        (None, MAX_BATCH + 1, [MAX_BATCH, 1]),
        (None, 2 * MAX_BATCH + 3, [MAX_BATCH, MAX_BATCH, 3]),
    ],
)
def test_frames_go_in_calls_of_the_models_batch_and_come_back_in_order(
    echo_engine: MakeEngine, batch: int | None, count: int, calls: list[int]
) -> None:
    engine = echo_engine(batch=batch)
    given = frames(count)
    output = engine.infer(given)
    assert engine.calls == calls
    assert np.array_equal(output.labels, given[..., 0] // 16)
    assert np.array_equal(output.confidence, given[..., 1])
    assert output.logits is None


def test_a_short_call_is_filled_up_with_real_frames(echo_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = echo_engine(batch=4)
    seen: list[Array] = []
    run = engine.run
    monkeypatch.setattr(engine, "run", lambda chunk: (seen.append(chunk), run(chunk))[1])
    engine.infer(frames(6))
    assert [chunk.shape for chunk in seen] == [(4, 32, 32, 3)] * 2
    assert np.array_equal(seen[1], frames(6)[[4, 5, 5, 5]])


def test_logits_are_joined_as_labels_are(echo_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = echo_engine(batch=2)

    def run(chunk: Array) -> Output:
        logits = np.repeat(chunk[:, None, :, :, 1].astype(np.float32), 19, axis=1)
        return Output(chunk[..., 0] // 16, None, logits)

    monkeypatch.setattr(engine, "run", run)
    output = engine.infer(frames(5))
    assert output.confidence is None
    assert output.logits is not None
    assert output.logits.shape == (5, 19, 32, 32)
    assert output.logits[:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((0, 32, 32, 3), np.uint8),
        np.zeros((32, 32, 3), np.uint8),
        np.zeros((1, 3, 32, 32), np.uint8),
        np.zeros((1, 32, 32, 4), np.uint8),
        np.zeros((1, 64, 64, 3), np.uint8),
        np.zeros((1, 32, 31, 3), np.uint8),
        np.zeros((1, 32, 32, 3), np.float32),
        np.zeros((1, 32, 32, 3), np.int8),
    ],
    ids=lambda array: f"{array.shape} {array.dtype}",
)
def test_frames_of_another_shape_or_type_are_refused_before_anything_runs(
    echo_engine: MakeEngine, wrong: npt.NDArray[Any]
) -> None:
    engine = echo_engine()
    with pytest.raises(UsageError, match=r"are not \(N, 32, 32, 3\) uint8"):
        engine.infer(wrong)
    assert engine.calls == []


def test_a_label_beyond_the_metadatas_classes_is_refused(constant_engine: MakeEngine) -> None:
    last = constant_engine(np.full((32, 32), 18))
    assert last.infer(frames(1)).labels.max() == 18
    labels = np.zeros((32, 32))
    labels[3, 4] = 19
    with pytest.raises(
        IncompatibleEngineError, match="fake: gives the label 19, its metadata names 19 classes"
    ) as caught:
        constant_engine(labels).infer(frames(1))
    assert caught.value.exit_code == 5


def test_a_label_beyond_the_classes_is_refused_in_any_frame(echo_engine: MakeEngine) -> None:
    engine = echo_engine(batch=1)
    engine.spec = replace(engine.spec, classes=engine.spec.classes[:3])
    assert engine.infer(frames(3)).labels.max() == 2
    with pytest.raises(IncompatibleEngineError, match="gives the label 3, its metadata names 3 classes"):
        engine.infer(frames(4))


def test_an_engine_closes_with_its_block(constant_engine: MakeEngine) -> None:
    with constant_engine(np.zeros((32, 32))) as engine:
        assert not engine.closed
    assert engine.closed


def test_an_engine_must_run_and_describe_itself() -> None:
    with pytest.raises(TypeError, match="abstract"):
        Engine()  # type: ignore[abstract]


@pytest.mark.parametrize(("batch", "count"), [(1, 3), (4, 9), (None, MAX_BATCH + 1), (None, 2 * MAX_BATCH + 3)])
def test_landmarks_go_with_their_frames(echo_engine: MakeEngine, batch: int | None, count: int) -> None:
    engine = echo_engine(batch=batch)
    given = frames(count)
    points = np.arange(count, dtype=np.float32)[:, None, None] + np.zeros((1, 5, 2), np.float32)

    def run_warped(chunk: Array, landmarks: npt.NDArray[np.float32]) -> Output:
        assert landmarks.shape == (len(chunk), 5, 2)
        assert np.array_equal(landmarks[:, 0, 0], chunk[:, 0, 0, 1])
        return engine.run(chunk)

    engine.run_warped = run_warped
    assert np.array_equal(engine.infer(given, points).confidence, given[..., 1])


def test_an_engine_that_runs_no_warp_says_so(echo_engine: MakeEngine) -> None:
    with pytest.raises(UsageError, match=r"warps faces itself, .*export it with the warp outside"):
        echo_engine().infer(frames(1), np.zeros((1, 5, 2), np.float32))


def test_labels_of_another_shape_than_the_metadata_promise_are_refused() -> None:
    engine = FakeEngine(np.zeros((32, 32)))
    engine.run = lambda frames: Output(np.zeros((len(frames), 32), np.uint8))  # type: ignore[method-assign]
    with pytest.raises(IncompatibleEngineError, match=r"gives labels of \(32,\), its metadata promises 32 x 32"):
        engine.infer(np.zeros((2, 32, 32, 3), np.uint8))
