"""Joules of traces whose energy is known by another formula."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from segface_edge.bench.power.energy import GAP_INTERVALS, MOST_WATTS, Energy
from segface_edge.bench.power.reader import Rail

INTERVAL = 0.1
POWER = Rail(name="VDD_IN", sensor="ina3221")
SOCKET = Rail(name="package-0", sensor="rapl", counter=True, wraps_at=65.536)
GPU = Rail(name="GPU 0", sensor="nvml", counter=True)


def traced(rail: Rail, value: Callable[[float], float | None], times: list[float]) -> Energy:
    energy = Energy(rail, INTERVAL)
    for time in times:
        energy.add(time, value(time))
    return energy


def every(seconds: float, until: float) -> list[float]:
    return [seconds * index for index in range(round(until / seconds) + 1)]


def test_constant_power_is_power_times_time() -> None:
    energy = traced(POWER, lambda _: 7.5, every(INTERVAL, 20))
    assert energy.joules == pytest.approx(7.5 * 20)
    assert energy.watts == pytest.approx(7.5)
    assert (energy.gaps, energy.gap_s) == (0, 0)


def test_steps_of_power_are_known_to_1_percent() -> None:
    # 5 W, then 15 W from 3.05 s to 8.05 s, 10 s in all.
    energy = traced(POWER, lambda time: 15.0 if 3.05 <= time < 8.05 else 5.0, every(INTERVAL, 10))
    assert energy.joules == pytest.approx(5 * 5 + 15 * 5, rel=0.01)


def test_a_ripple_is_known_to_1_percent_where_samples_come_unevenly() -> None:
    # Integral of 10 + 4 sin(2 pi t / 3) over 10 s, in closed form.
    times = sorted({round(0.1 * index + 0.04 * math.sin(index), 6) for index in range(101)} | {0.0, 10.0})
    times = [time for time in times if 0 <= time <= 10]
    energy = traced(POWER, lambda time: 10 + 4 * math.sin(2 * math.pi * time / 3), times)
    known = 10 * 10 + 4 * 3 / (2 * math.pi) * (1 - math.cos(2 * math.pi * 10 / 3))
    assert energy.joules == pytest.approx(known, rel=0.01)


def test_nothing_is_made_up_over_a_gap() -> None:
    times = [time for time in every(INTERVAL, 10) if not 4 < time < 6]
    energy = traced(POWER, lambda _: 20.0, times)
    assert energy.gaps == 1
    assert energy.gap_s == pytest.approx(2, abs=0.11)
    assert energy.joules == pytest.approx(20 * (10 - energy.gap_s))
    assert energy.watts == pytest.approx(20)


def test_samples_that_are_missing_for_less_than_a_gap_are_bridged() -> None:
    few = [index for index in range(101) if index % 50 > GAP_INTERVALS - 2]
    energy = traced(POWER, lambda _: 3.0, [0.0, *(INTERVAL * index for index in few), 10.0])
    assert (energy.gaps, energy.seconds) == (0, pytest.approx(10))
    unread = traced(POWER, lambda time: None if round(10 * time) % 3 else 3.0, every(INTERVAL, 9))
    assert (unread.gaps, unread.joules) == (0, pytest.approx(27))


def test_a_counter_that_wraps_many_times_is_known_to_1_percent() -> None:
    limit = SOCKET.wraps_at
    assert limit is not None
    # 90 W for 30 s are 2700 J: 41 times round.
    times = every(0.05, 30)
    energy = traced(SOCKET, lambda time: (60.0 + 90 * time) % limit, times)
    assert energy.joules == pytest.approx(90 * 30, rel=0.01)
    assert energy.gaps == 0


def test_a_counter_runs_on_over_a_gap_as_long_as_it_cannot_have_gone_round() -> None:
    limit = 262_143.3
    rail = Rail(name="package-0", sensor="rapl", counter=True, wraps_at=limit)
    start = limit - 300  # it wraps within the gap
    energy = traced(rail, lambda time: (start + 50 * time) % limit, [0, 0.1, 20, 20.1])
    assert (energy.gaps, energy.joules) == (0, pytest.approx(50 * 20.1))
    too_long = 2 * limit / MOST_WATTS
    energy = traced(rail, lambda time: (start + 50 * time) % limit, [0, 1, 1 + too_long, 2 + too_long])
    assert (energy.gaps, energy.gap_s) == (1, pytest.approx(too_long))
    assert energy.joules == pytest.approx(50 * 2)


def test_a_counter_without_a_limit_that_goes_back_began_anew() -> None:
    values = iter([1000.0, 1010.0, 2.0, 12.0])
    energy = traced(GPU, lambda _: next(values), [0, 1, 2, 3])
    assert (energy.joules, energy.gaps, energy.gap_s) == (pytest.approx(20), 1, 1)


def test_what_lies_between_two_stretches_is_not_measured() -> None:
    energy = Energy(POWER, INTERVAL)
    for start in (0.0, 0.3):  # near enough for no gap between them
        for time in every(INTERVAL, 0.1):
            energy.add(start + time, 8.0)
        energy.cut(start + 0.1)
    assert (energy.joules, energy.seconds, energy.gaps) == (pytest.approx(1.6), pytest.approx(0.2), 0)


def test_a_sensor_that_stops_leaves_a_gap_up_to_the_end() -> None:
    energy = traced(POWER, lambda _: 8.0, every(INTERVAL, 1))
    energy.cut(5.0)
    assert (energy.seconds, energy.gaps, energy.gap_s) == (pytest.approx(1), 1, pytest.approx(4))


def test_one_sample_is_no_energy() -> None:
    energy = traced(POWER, lambda _: 8.0, [1.0])
    assert (energy.joules, energy.watts) == (0, None)
    assert energy.add(1.0, 9.0) is None  # no time has passed
