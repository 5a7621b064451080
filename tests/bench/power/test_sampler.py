"""Phases of a machine whose power is known, on a clock that tests move; and the thread on the machine's own clock."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import pytest

from segface_edge.bench.clock import ManualClock, SystemClock
from segface_edge.bench.power.board import Board
from segface_edge.bench.power.reader import Rail, Reader, State
from segface_edge.bench.power.sampler import Sample, Sampler, Timeline
from segface_edge.bench.power.table import Sensors


class FakeReader(Reader):
    """Rails whose values are functions of the time."""

    def __init__(self, rails: Sequence[Rail], values: Callable[[], list[float | None]]) -> None:
        self.rails, self._values = rails, values
        self.now = State()
        self.asked = 0

    def sample(self) -> list[float | None]:
        return self._values()

    def state(self) -> State:
        self.asked += 1
        return self.now


RAILS = (
    Rail(name="VDD_IN", sensor="fake", counted=True),
    Rail(name="package-0", sensor="fake", counter=True, wraps_at=50_000.0),
)


def sampler_of(reader: Reader, folder: Path, clock: ManualClock, interval_s: float = 0.1) -> Sampler:
    sensors = Sensors([reader], [], Board(folder))
    return Sampler(sensors, clock, interval_s=interval_s, threaded=False)


def ticking(sampler: Sampler, clock: ManualClock, name: str, seconds: float) -> None:
    """A phase of so many seconds, sampled ten times a second."""
    with sampler.phase(name):
        for _ in range(round(10 * seconds) - 1):
            clock.sleep(0.1)
            sampler.tick()
        clock.sleep(0.1)


def test_each_phase_has_the_energy_of_exactly_its_time(tmp_path: Path) -> None:
    clock, watts = ManualClock(), 5.0
    # The counter counts 20 W all the time, also between phases.
    reader = FakeReader(RAILS, lambda: [watts, 49_900 + 20 * clock.now() - 50_000 * (clock.now() >= 5)])
    sampler = sampler_of(reader, tmp_path, clock)
    ticking(sampler, clock, "idle", 2)
    clock.sleep(30)  # an engine is opened and warmed up
    watts = 12.5
    ticking(sampler, clock, "busy", 4)
    clock.sleep(1)
    watts = 7.5
    ticking(sampler, clock, "busy", 1)
    idle, busy = sampler.phases["idle"], sampler.phases["busy"]
    assert idle.seconds == pytest.approx(2)
    assert [energy.joules for energy in idle.energies] == pytest.approx([5 * 2, 20 * 2])
    assert busy.seconds == pytest.approx(5)
    assert [energy.joules for energy in busy.energies] == pytest.approx([12.5 * 4 + 7.5, 20 * 5])
    assert all(energy.gaps == 0 for energy in [*idle.energies, *busy.energies])


def test_the_time_line_tells_phase_and_watts(tmp_path: Path) -> None:
    clock = ManualClock(100.0)
    reader = FakeReader(RAILS, lambda: [6.0, 20 * clock.now()])
    sampler = sampler_of(reader, tmp_path, clock)
    ticking(sampler, clock, "idle", 0.2)
    ticking(sampler, clock, "busy", 0.2)
    samples = sampler.timeline.samples
    assert [(round(sample.seconds, 3), sample.phase) for sample in samples] == [
        (0, "idle"), (0.1, "idle"), (0.2, "idle"), (0.2, "busy"), (0.3, "busy"), (0.4, "busy"),
    ]  # fmt: skip
    assert samples[0].watts == (None, None)
    assert samples[1].watts == pytest.approx((6, 20))


def test_clocks_are_asked_for_once_a_second_and_throttling_is_kept(tmp_path: Path) -> None:
    clock = ManualClock()
    reader = FakeReader(RAILS, lambda: [6.0, 0.0])
    reader.now = State(gpu_mhz=600, temperature_c=50, throttling=("GPU: power cap",))
    sampler = sampler_of(reader, tmp_path, clock)
    ticking(sampler, clock, "idle", 1)
    reader.now = State(gpu_mhz=500, temperature_c=60)
    ticking(sampler, clock, "busy", 2)
    assert 3 <= reader.asked <= 5
    assert sampler.throttling == ["GPU: power cap"]
    last = sampler.timeline.samples[-1].state
    assert (last.cpu_mhz, last.gpu_mhz, last.temperature_c, last.throttling) == (None, 500, 60, ())


def test_the_time_line_is_bounded_and_spread_over_the_whole_run() -> None:
    timeline = Timeline(limit=100)
    for index in range(12_345):
        timeline.add(Sample(seconds=float(index), phase="busy", watts=(), state=State()))
        assert len(timeline.samples) <= 100
    times = [sample.seconds for sample in timeline.samples]
    assert len(times) > 50
    assert {later - earlier for earlier, later in pairwise(times)} == {timeline.step}
    assert times[0] == 0
    assert times[-1] > 12_345 - 2 * timeline.step


def test_a_thread_samples_while_something_else_runs(tmp_path: Path) -> None:
    threads: set[str] = set()

    def values() -> list[float | None]:
        threads.add(threading.current_thread().name)
        return [10.0]

    sampler = Sampler(Sensors([FakeReader(RAILS[:1], values)], [], Board(tmp_path)), SystemClock(), interval_s=0.01)
    with sampler.phase("busy"):
        time.sleep(0.3)
    (energy,) = sampler.phases["busy"].energies
    assert "power" in threads
    assert len(sampler.timeline.samples) > 3
    assert energy.joules + 10 * energy.gap_s == pytest.approx(10 * sampler.phases["busy"].seconds, rel=0.05)
    assert not [thread for thread in threading.enumerate() if thread.name == "power"]


def test_the_thread_ends_with_a_phase_that_fails(tmp_path: Path) -> None:
    sampler = Sampler(Sensors([FakeReader(RAILS[:1], lambda: [1.0])], [], Board(tmp_path)), SystemClock())
    with pytest.raises(RuntimeError, match="engine"), sampler.phase("busy"):
        raise RuntimeError("engine")
    assert not [thread for thread in threading.enumerate() if thread.name == "power"]
