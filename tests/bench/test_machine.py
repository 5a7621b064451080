"""What a benchmark ran on: every key, whatever can be read."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segface_edge.bench import machine

KEYS = {
    "machine", "cpu", "cores", "governor", "memory_mib", "os", "python", "packages", "gpu", "driver", "cuda",
    "tensorrt", "l4t", "jetpack", "power_mode",
}  # fmt: skip
SMI = "NVIDIA GeForce RTX 4090, 570.86, 2520, 10501, 61, 0x0000000000000004, 97\n"
SMI_HEAD = "| NVIDIA-SMI 570.86    Driver Version: 570.86    CUDA Version: 12.8 |\n"


@pytest.fixture
def tools(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the machine's tools print, by their first words; nothing where a tool is absent."""
    printed: dict[str, str] = {}
    monkeypatch.setattr(
        machine, "_tool", lambda command: next((v for k, v in printed.items() if " ".join(command).startswith(k)), "")
    )
    return printed


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The machine's files; nothing else can be read."""
    files: dict[str, str] = {}

    def read_text(path: Path, **_: Any) -> str:
        try:
            return files[str(path)]
        except KeyError:
            raise FileNotFoundError(2, "No such file") from None

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr(machine, "package_version", lambda _: None)  # read from files, too
    return files


def test_every_key_is_there_and_ready_for_json() -> None:
    found = machine.environment()
    assert set(found) == KEYS
    assert found["packages"]["numpy"] == np.__version__
    assert json.loads(json.dumps(found)) == found


@pytest.mark.usefixtures("tools", "board")
def test_what_cannot_be_read_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "")
    monkeypatch.setattr(platform, "processor", lambda: "")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.delattr(os, "getloadavg", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    monkeypatch.setattr(machine, "package_version", lambda _: None)
    found = machine.environment()
    assert {key for key, value in found.items() if value == "unknown"} == KEYS - {"os", "python", "packages"}
    watched = machine.Watch().stop()
    assert watched["others"] == watched["stolen"] == "unknown"
    assert set(watched["before"].values()) == set(watched["after"].values()) == {"unknown"}


def test_a_jetson_is_named_with_its_release_and_power_mode(tools: dict[str, str], board: dict[str, str]) -> None:
    board |= {
        "/proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super\0",
        "/proc/meminfo": "MemTotal:        7990272 kB\nMemFree: 1 kB\n",
        "/etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64",
        "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "schedutil\n",
    }
    tools |= {"nvpmodel -q": "NV Power Mode: MAXN_SUPER\n2\n", "dpkg-query": "6.2+b77"}
    found = machine.environment()
    assert found["machine"].startswith("NVIDIA Jetson Orin Nano")
    assert (found["l4t"], found["jetpack"], found["power_mode"]) == ("36.4.3", "6.2+b77", "MAXN_SUPER")
    assert (found["memory_mib"], found["governor"]) == (7803, "schedutil")
    assert machine.device_name(found).startswith("nvidia-jetson-orin-nano")


def test_a_gpu_is_named_with_driver_clock_and_throttling(tools: dict[str, str]) -> None:
    tools |= {"nvidia-smi --query": SMI, "nvidia-smi": SMI_HEAD}
    found = machine.environment()
    assert (found["gpu"], found["driver"], found["cuda"]) == ("NVIDIA GeForce RTX 4090", "570.86", "12.8")
    state = machine.Watch().stop()["after"]
    assert (state["gpu_mhz"], state["temperature_c"]) == (2520.0, 61.0)
    assert state["throttling"] == "0x0000000000000004"
    assert machine.device_name(found) == "nvidia-geforce-rtx-4090"


def test_a_tool_s_odd_answer_is_unknown(tools: dict[str, str]) -> None:
    tools |= {"nvidia-smi": "No devices were found\n", "nvpmodel -q": "permission denied\n"}
    found = machine.environment()
    assert found["gpu"] == found["cuda"] == found["power_mode"] == "unknown"


def test_a_tool_that_hangs_or_is_absent_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "_TOOL_TIMEOUT_S", 0.05)
    assert machine._tool(["sleep", "5"]) == ""
    assert machine._tool(["no-such-tool-anywhere"]) == ""
    assert machine._tool(["false"]) == ""


def test_the_share_of_others_is_busy_time_that_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    # busy, stolen, all: of 1000 ticks 600 are busy, 50 stolen; ours are 2 s of 100 ticks.
    ticks = iter([(1000, 10, 5000), (1600, 60, 6000)])
    own = iter([7.0, 9.0])
    monkeypatch.setattr(machine, "_cpu_ticks", lambda: next(ticks))
    monkeypatch.setattr(machine, "_own_seconds", lambda: next(own))
    monkeypatch.setattr(os, "sysconf", lambda _: 100)
    watched = machine.Watch().stop()
    assert (watched["others"], watched["stolen"]) == (0.4, 0.05)


def test_a_device_without_a_name_is_named_by_its_processor() -> None:
    found = {"gpu": "unknown", "machine": platform.machine(), "cpu": "AMD EPYC 7B12", "cores": 2}
    assert machine.device_name(found) == "amd-epyc-7b12-2-cores"
