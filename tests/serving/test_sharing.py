"""Many threads share an engine: its calls are few, each gets its own answer, and nobody pays for another's mistake."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from segface_edge.engines import FakeEngine, Output
from segface_edge.errors import UsageError
from segface_edge.serving.sharing import Lanes, SharedEngine

from .running import GatedEngine, until


def frames(*reds: int, side: int = 32) -> np.ndarray:
    found = np.zeros((len(reds), side, side, 3), np.uint8)
    found[..., 0] = np.array(reds, np.uint8)[:, None, None]
    return found


def asked_behind_a_gate(engine: GatedEngine, shared: SharedEngine, batches: list[np.ndarray]) -> list[Output]:
    """The answers to callers of whom the first has the engine until the others wait too."""
    with ThreadPoolExecutor(len(batches)) as pool:
        answers: list[Future[Output]] = [pool.submit(shared.infer, batches[0])]
        engine.wait_begun()
        for place, one in enumerate(batches[1:], 1):
            answers.append(pool.submit(shared.infer, one))
            until(lambda place=place: len(shared._waiting) == place)
        engine.gate.set()
        return [answer.result(20) for answer in answers]


def test_callers_share_calls_and_each_gets_its_own() -> None:
    engine = GatedEngine()
    called: list[int] = []
    with SharedEngine(engine, batch=8, window=0, called=called.append) as shared:
        answers = asked_behind_a_gate(engine, shared, [frames(16 * number) for number in range(9)])
    assert engine.calls == called == [1, 8]
    assert [output.labels.shape for output in answers] == [(1, 32, 32)] * 9
    assert [np.unique(output.labels).tolist() for output in answers] == [[number] for number in range(9)]
    assert engine.closed


def test_a_call_has_no_more_frames_than_the_batch_unless_one_caller_brings_them() -> None:
    engine = GatedEngine()
    with SharedEngine(engine, batch=4, window=0) as shared:
        wanted = [frames(0), frames(16, 32, 48), frames(64, 80), frames(*range(0, 96, 16)), frames(96)]
        answers = asked_behind_a_gate(engine, shared, wanted)
    assert engine.calls == [1, 3, 2, 6, 1]
    assert [output.labels[:, 0, 0].tolist() for output in answers] == [[0], [1, 2, 3], [4, 5], [0, 1, 2, 3, 4, 5], [6]]


def test_where_a_call_takes_one_frame_callers_are_served_in_turn() -> None:
    engine = GatedEngine(batch=1)
    with SharedEngine(engine, batch=8, window=10) as shared:  # the window would be felt
        assert shared.batch == 1
        answers = asked_behind_a_gate(engine, shared, [frames(16 * number) for number in range(4)])
    assert engine.calls == [1, 1, 1, 1]
    assert [int(output.labels[0, 0, 0]) for output in answers] == [0, 1, 2, 3]


def test_a_window_waits_for_the_next_caller() -> None:
    engine = GatedEngine(is_open=True)
    with SharedEngine(engine, batch=2, window=20) as shared, ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(shared.infer, [frames(16), frames(32)]))
    assert engine.calls == [2]  # it does not wait for more than the batch
    assert [int(output.labels[0, 0, 0]) for output in answers] == [1, 2]


class PickyEngine(GatedEngine):
    """Fails on red 255."""

    def run(self, frames: np.ndarray) -> Output:
        output = super().run(frames)
        if frames.max() == 255:
            raise RuntimeError("no such red")
        return output


def test_whose_call_fails_fails_alone() -> None:
    engine = PickyEngine()
    with SharedEngine(engine, window=0) as shared:
        with ThreadPoolExecutor(4) as pool:
            answers = [pool.submit(shared.infer, frames(0))]
            engine.wait_begun()
            answers += [pool.submit(shared.infer, frames(red)) for red in (16, 255, 32)]
            until(lambda: len(shared._waiting) == 3)
            engine.gate.set()
            (failure,) = [answer.exception(20) for answer in answers if answer.exception(20)]
            assert str(failure) == "no such red"
            assert [answer.result(20).labels.max() for answer in answers if not answer.exception()] == [0, 1, 2]
        assert shared.works
        assert engine.calls == [1, 3, 1, 1, 1]


@pytest.mark.parametrize(
    "bad",
    [np.zeros((1, 16, 16, 3), np.uint8), np.zeros((1, 32, 32, 3), np.float32), np.zeros((0, 32, 32, 3), np.uint8)],
    ids=["size", "type", "none"],
)
def test_frames_of_another_shape_never_reach_the_engine(bad: np.ndarray) -> None:
    engine = GatedEngine(is_open=True)
    with SharedEngine(engine) as shared, pytest.raises(UsageError, match=r"are not \(N, 32, 32, 3\) uint8"):
        shared.infer(bad)
    assert engine.calls == []


class OneBufferEngine(FakeEngine):
    """Overwrites its last answer by the next."""

    gives_views = True

    def __init__(self) -> None:
        super().__init__(np.zeros((32, 32)))
        self._answer = np.zeros((8, 32, 32), np.uint8)

    def run(self, frames: np.ndarray) -> Output:
        self._answer[: len(frames)] = frames[..., 0] // 16
        return Output(self._answer[: len(frames)])


def test_an_answer_stays_when_the_engine_goes_on() -> None:
    with SharedEngine(OneBufferEngine(), window=0) as shared:
        first = shared.infer(frames(16))
        shared.infer(frames(32))
    assert np.unique(first.labels).tolist() == [1]


def test_a_closed_one_answers_what_waits_and_nothing_more() -> None:
    engine = GatedEngine()
    shared = SharedEngine(engine, window=0)
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(shared.infer, frames(16))]
        engine.wait_begun()
        answers.append(pool.submit(shared.infer, frames(32)))
        until(lambda: len(shared._waiting) == 1)
        closing = pool.submit(shared.close)
        until(lambda: shared._closed)
        engine.gate.set()
        closing.result(20)
        assert [int(answer.result(20).labels[0, 0, 0]) for answer in answers] == [1, 2]
    assert not shared.works
    with pytest.raises(UsageError, match="is closed"):
        shared.infer(frames(16))


def test_callers_that_meet_run_side_by_side_and_one_alone_has_all_threads() -> None:
    wide, narrow = GatedEngine(batch=1), GatedEngine(batch=1)
    with SharedEngine(wide, window=0, lanes=Lanes(narrow, 2)) as shared, ThreadPoolExecutor(4) as pool:
        first = pool.submit(shared.infer, frames(16))
        wide.wait_begun()
        others = [pool.submit(shared.infer, frames(16 * number)) for number in (2, 3, 4)]
        until(lambda: len(shared._waiting) == 3)
        assert narrow.calls == []  # all threads are taken
        wide.gate.set()
        narrow.wait_begun()
        narrow.wait_begun()
        assert (narrow.calls, len(shared._waiting)) == ([1, 1], 1)
        narrow.gate.set()
        labels = [one.result(20).labels[0, 0, 0] for one in (first, *others)]
        assert (labels, wide.calls, narrow.calls) == ([1, 2, 3, 4], [1], [1, 1, 1])
        time.sleep(0.3)
        for number in range(3):
            assert shared.infer(frames(16 * number)).labels[0, 0, 0] == number
        assert (wide.calls, narrow.calls) == ([1] * 4, [1, 1, 1])
        assert shared.works
    assert wide.closed
    assert narrow.closed


def test_what_fails_in_a_lane_fails_alone() -> None:
    class Breaking(GatedEngine):
        def run(self, frames: np.ndarray) -> Output:
            if frames.max() > 200:
                raise UsageError("a frame", "is white", "give another")
            return super().run(frames)

    wide, narrow = GatedEngine(batch=1), Breaking(is_open=True, batch=1)
    with SharedEngine(wide, window=0, lanes=Lanes(narrow, 2)) as shared, ThreadPoolExecutor(3) as pool:
        first = pool.submit(shared.infer, frames(16))
        wide.wait_begun()
        bad, good = pool.submit(shared.infer, frames(255)), pool.submit(shared.infer, frames(32))
        until(lambda: len(shared._waiting) == 2)
        wide.gate.set()
        assert first.result(20).labels[0, 0, 0] == 1
        with pytest.raises(UsageError, match="white"):
            bad.result(20)
        assert good.result(20).labels[0, 0, 0] == 2
        assert shared.works
