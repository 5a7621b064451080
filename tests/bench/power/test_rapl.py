"""RAPL: which counters there are, and which of them make the total."""

from __future__ import annotations

from pathlib import Path

import pytest

from segface_edge.bench.power.rapl import open_rapl
from segface_edge.bench.power.reader import Absent

from .boards import LAPTOP, POWERCAP, SERVER, write, zone


def test_sockets_and_memory_of_a_server_are_counted_once(tmp_path: Path) -> None:
    reader = open_rapl(write(tmp_path, SERVER))
    assert not reader.whole
    assert [(rail.name, rail.counted) for rail in reader.rails] == [
        ("package-0", True), ("package-0 dram", True), ("package-1", True), ("package-1 dram", True),
    ]  # fmt: skip
    assert reader.sample() == pytest.approx([24672.0, 1000.0, 12000.0, 2000.0])
    assert all(rail.counter for rail in reader.rails)
    assert [rail.wraps_at for rail in reader.rails[:2]] == pytest.approx([262143.32885, 65712.999613])
    reader.close()


def test_a_laptop_s_platform_is_the_total_and_all_else_a_part_of_it(tmp_path: Path) -> None:
    reader = open_rapl(write(tmp_path, LAPTOP))
    assert reader.whole
    assert {rail.name for rail in reader.rails if rail.counted} == {"psys"}
    assert len(reader.rails) == 5
    reader.close()


def test_without_the_platform_cores_and_graphics_are_parts_of_the_socket(tmp_path: Path) -> None:
    files = {name: content for name, content in LAPTOP.items() if "intel-rapl:1" not in name}
    reader = open_rapl(write(tmp_path, files))
    assert {rail.name for rail in reader.rails if rail.counted} == {"package-0", "package-0 dram"}
    reader.close()


def test_a_limit_that_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    reader = open_rapl(write(tmp_path, zone("intel-rapl:0", "package-0", 5, None)))
    assert reader.rails[0].wraps_at is None
    reader.close()


@pytest.mark.usefixtures("denied")
def test_a_counter_for_root_alone_is_said_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(
        Absent, match=r"energy_uj: permission denied \(only root may read it since Linux 5\.10\)"
    ) as found:
        open_rapl(write(tmp_path, SERVER))
    assert "sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj" in found.value.cure


def test_no_counters_are_said(tmp_path: Path) -> None:
    with pytest.raises(Absent, match=r"rapl: no such file: .*sys/class/powercap/intel-rapl:0"):
        open_rapl(tmp_path)
    write(tmp_path, {f"{POWERCAP}/intel-rapl:0/name": "package-0"})
    with pytest.raises(Absent, match="energy_uj: cannot be read"):
        open_rapl(tmp_path)
