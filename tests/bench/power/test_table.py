"""Which sensors a machine has, whose rails are counted, and what is said where there are none."""

from __future__ import annotations

from pathlib import Path

import pytest

from segface_edge.bench.power import table
from segface_edge.bench.power.board import Board
from segface_edge.bench.power.nvml import open_nvml
from segface_edge.bench.power.table import Sensors, open_sensors
from segface_edge.errors import InputError

from .boards import LAPTOP, LINE_ORIN_NANO, ORIN_NANO, SERVER, write
from .test_nvml import FakeNvml
from .test_tegrastats import tool


@pytest.mark.usefixtures("denied")
def test_every_absent_sensor_is_named_with_the_reason_and_the_cure(tmp_path: Path) -> None:
    write(tmp_path, SERVER)
    with pytest.raises(InputError) as caught:
        open_sensors(tmp_path)
    message = str(caught.value)
    assert caught.value.exit_code == 1
    assert "\n" not in message
    for part in (
        "--power: no power sensor can be read",
        "ina3221: no such file",
        "tegrastats: no such file",
        "rapl: ",
        "permission denied",
        "nvml: no GPU",
        "sudo chmod a+r",
    ):
        assert part in message


def test_where_nothing_can_be_done_another_machine_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="; measure on a machine that has one of these"):
        open_sensors(tmp_path)


def test_tegrastats_is_asked_only_where_sysfs_shows_no_monitor(tmp_path: Path) -> None:
    tool(tmp_path, f"echo '{LINE_ORIN_NANO}'; exec sleep 30")
    with open_sensors(tmp_path) as sensors:
        assert {rail.sensor for rail in sensors.rails} == {"tegrastats"}
        assert [absent.sensor for absent in sensors.absent] == ["ina3221", "rapl", "nvml"]
    write(tmp_path, ORIN_NANO)
    with open_sensors(tmp_path) as sensors:
        assert {rail.sensor for rail in sensors.rails} == {"ina3221"}
        assert sensors.sample()[0] == pytest.approx(4.7)


@pytest.mark.parametrize(
    ("files", "counted"),
    [(SERVER, {"package-0", "package-0 dram", "package-1", "package-1 dram", "GPU 0 X"}), (LAPTOP, {"psys"})],
    ids=["parts", "whole"],
)
def test_a_gpu_is_added_to_a_cpu_but_not_to_a_whole_machine(
    tmp_path: Path, files: dict[str, object], counted: set[str]
) -> None:
    write(tmp_path, files)
    gpu = open_nvml(Path("/"), module=FakeNvml({"name": "X", "mj": 7000}))
    with Sensors([table.open_rapl(tmp_path), gpu], [], Board(tmp_path)) as sensors:
        assert {rail.name for rail in sensors.rails if rail.counted} == counted
        assert sensors.sample()[-1] == pytest.approx(7)
