"""Clocks, temperature and what throttled a machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from segface_edge.bench.power.board import Board
from segface_edge.bench.power.reader import State

from .boards import write

CPU = "sys/devices/system/cpu"
# NVIDIA's guide for Orin, "Power and Performance": a devfreq folder in Hz, soctherm's counters; thermal zones in
# thousandths, of which one that is switched off reads -256000.
ORIN = {
    f"{CPU}/cpu0/cpufreq/scaling_cur_freq": 1_510_400,
    f"{CPU}/cpu1/cpufreq/scaling_cur_freq": 729_600,
    "sys/class/devfreq/17000000.gpu/cur_freq": 624_750_000,
    "sys/class/thermal/thermal_zone0/temp": 53_968,
    "sys/class/thermal/thermal_zone1/temp": 54_343,
    "sys/class/thermal/thermal_zone2/temp": -256_000,
    "sys/class/hwmon/hwmon3/oc1_event_cnt": 0,
    "sys/class/hwmon/hwmon3/oc3_event_cnt": 37,
}


def test_clocks_are_megahertz_and_the_hottest_place_counts(tmp_path: Path) -> None:
    board = Board(write(tmp_path, ORIN))
    assert board.state() == State(cpu_mhz=1120.0, gpu_mhz=624.75, temperature_c=54.343)
    write(tmp_path, {"sys/class/thermal/thermal_zone1/temp": 60_000})
    assert board.state().temperature_c == 60
    board.close()


def test_a_machine_without_these_files_says_nothing(tmp_path: Path) -> None:
    board = Board(tmp_path)
    assert (board.state(), board.events()) == (State(), [])
    board.close()


@pytest.mark.parametrize(
    ("path", "count", "event"),
    [
        ("sys/class/hwmon/hwmon3/oc3_event_cnt", 49, "OC3, instantaneous over-current (12 times)"),
        ("sys/class/hwmon/hwmon3/oc1_event_cnt", 1, "OC1, under-voltage (1 times)"),
        (f"{CPU}/cpu0/thermal_throttle/package_throttle_count", 8, "CPU: too hot (3 times)"),
    ],
)
def test_events_since_the_start_are_named(tmp_path: Path, path: str, count: int, event: str) -> None:
    board = Board(write(tmp_path, {**ORIN, f"{CPU}/cpu0/thermal_throttle/package_throttle_count": 5}))
    assert board.events() == []
    write(tmp_path, {path: count})
    assert board.events() == [event]
    board.close()
