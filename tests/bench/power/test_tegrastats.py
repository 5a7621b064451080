"""tegrastats: its lines, and the tool itself as a script that prints them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from segface_edge.bench.power.reader import Absent
from segface_edge.bench.power.tegrastats import TOOL, Tegrastats, open_tegrastats, parse

from .boards import LINE_AGX_ORIN, LINE_ORIN_NANO, LINE_THOR, LINE_THOR_IDLE, LINE_TX2


@pytest.mark.parametrize(
    ("line", "watts"),
    [
        (LINE_ORIN_NANO, {"VDD_IN": 12.479, "VDD_CPU_GPU_CV": 4.667, "VDD_SOC": 2.817}),
        (LINE_TX2, {"VDD_SYS_GPU": 0.182, "VDD_SYS_SOC": 0.73, "VDD_4V0_WIFI": 0.0, "VDD_IN": 5.297,
                    "VDD_SYS_CPU": 1.917, "VDD_SYS_DDR": 1.241}),
        (LINE_AGX_ORIN, {"VDD_GPU_SOC": 3.15, "VDD_CPU_CV": 14.312, "VIN_SYS_5V0": 4.968, "VDDQ_VDD2_1V8AO": 1.091}),
        (LINE_THOR, {"VDD_GPU": 37.528, "VDD_CPU_SOC_MSS": 18.961, "VIN_SYS_5V0": 18.331, "VIN": 87.426}),
        (LINE_THOR_IDLE, {"VDD_GPU": -0.392, "VDD_CPU_SOC_MSS": 3.924, "VIN_SYS_5V0": 5.064, "VIN": 15.004}),
        ("RAM 2673/7765MB (lfb 118x4MB) CPU [12%@1190] APE 150 GPU@33C", {}),
        ("", {}),
    ],
)  # fmt: skip
def test_a_line_is_its_rails_power_at_that_moment(line: str, watts: dict[str, float]) -> None:
    assert parse(line) == pytest.approx(watts)


def tool(root: Path, script: str) -> Path:
    path = root / TOOL
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def until_new(reader: Tegrastats) -> list[float | None]:
    """The first sample with figures, within five seconds."""
    for _ in range(500):
        found = reader.sample()
        if found[0] is not None:
            return found
        time.sleep(0.01)
    raise AssertionError("no line came")


def test_a_running_tool_is_read_line_by_line(tmp_path: Path) -> None:
    later = LINE_ORIN_NANO.replace("12479mW/", "6000mW/")
    tool(tmp_path, f"echo $1 $2 >{tmp_path}/asked; echo '{LINE_ORIN_NANO}'; sleep 0.2; echo '{later}'; sleep 30")
    reader = open_tegrastats(tmp_path, 0.25)
    assert (tmp_path / "asked").read_text() == "--interval 250\n"
    assert [(rail.name, rail.counted) for rail in reader.rails] == [
        ("VDD_IN", True), ("VDD_CPU_GPU_CV", False), ("VDD_SOC", False),
    ]  # fmt: skip
    assert reader.sample() == [None] * 3  # the first line has been taken
    assert until_new(reader) == pytest.approx([6.0, 4.667, 2.817])
    reader.close()


def test_a_tool_that_has_died_gives_no_more_figures(tmp_path: Path) -> None:
    tool(tmp_path, f"echo '{LINE_ORIN_NANO}'")
    reader = open_tegrastats(tmp_path, 0.1)
    time.sleep(0.1)
    assert reader.sample() == [None] * 3
    reader.close()


@pytest.mark.parametrize(("script", "problem"), [("echo RAM 1/2MB", "prints no power"), ("exit 1", "prints no power")])
def test_a_tool_without_rails_is_absent(tmp_path: Path, script: str, problem: str) -> None:
    tool(tmp_path, script)
    with pytest.raises(Absent, match=problem):
        open_tegrastats(tmp_path, 0.1)


def test_a_tool_that_says_nothing_is_not_waited_for(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="prints no power"):
        Tegrastats(tool(tmp_path, "exec sleep 30"), 0.1, patience_s=0.1)


def test_no_tool_is_said(tmp_path: Path) -> None:
    with pytest.raises(Absent, match=f"tegrastats: no such file: {tmp_path}/usr/bin/tegrastats"):
        open_tegrastats(tmp_path, 0.1)
    tool(tmp_path, "").chmod(0o644)
    with pytest.raises(Absent, match=r"permission denied|exec format error"):
        open_tegrastats(tmp_path, 0.1)
