"""The part `power` of a report: figures, doubts, text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from segface_edge.bench.clock import ManualClock
from segface_edge.bench.power.board import Board
from segface_edge.bench.power.reader import Absent, Rail
from segface_edge.bench.power.result import document, lines, warnings
from segface_edge.bench.power.sampler import Sampler
from segface_edge.bench.power.table import Sensors

from .test_sampler import FakeReader, ticking

RAILS = (
    Rail(name="package-0", sensor="rapl", counter=True, counted=True),
    Rail(name="package-0 dram", sensor="rapl", counter=True, counted=True),
    Rail(name="package-0 core", sensor="rapl", counter=True),
)


def measured(folder: Path, rails: tuple[Rail, ...] = RAILS, *, photos: int = 20, busy_s: float = 4) -> dict[str, Any]:
    """Idle at 10 + 2 W for 2 s, then at 30 + 4 W; the cores are in the 10 and 30."""
    clock, joules, powers = ManualClock(), [0.0, 0.0, 0.0], [10.0, 2.0, 4.0]
    last = 0.0

    def values() -> list[float | None]:
        nonlocal last
        for index, watts in enumerate(powers):
            joules[index] += watts * (clock.now() - last)
        last = clock.now()
        return list(joules) if rails is RAILS else [powers[0]]

    sensors = Sensors([FakeReader(rails, values)], [Absent("nvml", "no NVIDIA GPU")], Board(folder))
    sampler = Sampler(sensors, clock, threaded=False)
    ticking(sampler, clock, "idle", 2)
    powers[:] = [30.0, 4.0, 25.0]
    ticking(sampler, clock, "busy", busy_s)
    return document(sampler, photos)


def test_a_total_is_the_sum_of_its_rails_and_no_part_is_counted_twice(tmp_path: Path) -> None:
    power = measured(tmp_path)
    assert power["watts"] == pytest.approx(34)
    assert power["idle_watts"] == pytest.approx(12)
    assert power["watts_above_idle"] == pytest.approx(22)
    assert power["joules"] == pytest.approx(34 * 4)
    assert power["joules_per_photo"] == pytest.approx(34 * 4 / 20)
    assert [(rail["name"], rail["total"], rail["busy"]["watts"]) for rail in power["rails"]] == [
        ("package-0", True, pytest.approx(30)),
        ("package-0 dram", True, pytest.approx(4)),
        ("package-0 core", False, pytest.approx(25)),
    ]
    assert power["absent"] == [{"sensor": "nvml", "reason": "no NVIDIA GPU"}]
    assert warnings(power) == []


def test_the_text_marks_the_total_and_names_the_power_mode(tmp_path: Path) -> None:
    found = lines({"power": measured(tmp_path), "environment": {"power_mode": "MAXN_SUPER"}})
    assert found[0] == "power: 6.800 J a photo, 34.00 W; idle 12.00 W, above it 22.00 W; power mode MAXN_SUPER"
    assert found[1].split() == ["package-0", "30.00", "W", "idle", "10.00", "W", "total"]
    assert found[3].split()[-1] == "W"
    assert found[4] == "  not read: nvml: no NVIDIA GPU"


def test_a_difference_that_rounding_made_is_nothing(tmp_path: Path) -> None:
    power = {**measured(tmp_path), "watts_above_idle": -1e-15}
    assert "above it 0.00 W" in lines({"power": power, "environment": {"power_mode": "15W"}})[0]


def test_joules_a_photo_are_not_said_of_a_time_without_samples(tmp_path: Path) -> None:
    clock = ManualClock()
    rail = Rail(name="VDD_IN", sensor="tegrastats", counted=True)
    # The tool dies 1 s after measuring has begun.
    reader = FakeReader([rail], lambda: [8.0 if clock.now() <= 3 else None])
    sampler = Sampler(Sensors([reader], [], Board(tmp_path)), clock, threaded=False)
    ticking(sampler, clock, "idle", 2)
    ticking(sampler, clock, "busy", 5)
    power = document(sampler, 10)
    assert power["joules_per_photo"] is None
    assert power["watts"] == pytest.approx(8)
    assert power["joules"] == pytest.approx(8, rel=0.11)
    found = warnings(power)
    assert "of 5.0 s have samples, too few to say joules a photo" in found[0]
    assert "VDD_IN has 1 gap(s) of 4" in found[1]
    assert "unknown J a photo" in lines({"power": power, "environment": {"power_mode": "unknown"}})[0]


def test_a_sensor_that_reads_nothing_is_doubted(tmp_path: Path) -> None:
    clock = ManualClock()
    rail = Rail(name="package-0", sensor="rapl", counter=True, counted=True)
    sampler = Sampler(Sensors([FakeReader([rail], lambda: [5.0])], [], Board(tmp_path)), clock, threaded=False)
    ticking(sampler, clock, "idle", 2)
    ticking(sampler, clock, "busy", 2)
    assert warnings(document(sampler, 10)) == ["power: package-0 reads 0 W all the time; its sensor does not work here"]


def test_a_short_run_and_throttling_are_warned_of(tmp_path: Path) -> None:
    power = measured(tmp_path, busy_s=0.5)
    power["throttling"] = ["OC3, instantaneous over-current (2 times)"]
    held, short = warnings(power)
    assert held == "power: clocks were held down: OC3, instantaneous over-current (2 times)"
    assert short.startswith("power: measured for 0.5 s")
