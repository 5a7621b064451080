"""What a benchmark ran on, and what happened there while it ran. What cannot be read is `unknown`, never left out and
never guessed."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from segface_edge.engines.base import cores

UNKNOWN = "unknown"
PACKAGES = (
    "numpy", "Pillow", "opencv-python-headless", "opencv-python", "opencv-contrib-python-headless",
    "opencv-contrib-python", "onnxruntime", "onnxruntime-gpu", "torch",
    "tensorrt", "pycuda", "cuda-python",
)  # fmt: skip
_SMI = ("name", "driver_version", "clocks.sm", "clocks.mem", "temperature.gpu", "clocks_throttle_reasons.active",
        "utilization.gpu")  # fmt: skip
_TOOL_TIMEOUT_S = 5


def environment() -> dict[str, Any]:
    """JSON-ready, always with every key:

    `machine`, `cpu`, `cores` (that this process may use), `governor`, `memory_mib`, `os`, `python`, `packages`
    (installed ones), `gpu`, `driver`, `cuda`, `tensorrt`, `l4t`, `jetpack`, `power_mode`.
    """
    gpu = _nvidia_smi()
    return {
        "machine": _read("/proc/device-tree/model") or platform.machine() or UNKNOWN,
        "cpu": _cpu_model(),
        "cores": cores() or UNKNOWN,
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or UNKNOWN,
        "memory_mib": _memory_mib(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := package_version(name))},
        "gpu": gpu.get("name", UNKNOWN),
        "driver": gpu.get("driver_version", UNKNOWN),
        "cuda": _cuda_version(),
        "tensorrt": package_version("tensorrt") or UNKNOWN,
        "l4t": _l4t(_read("/etc/nv_tegra_release")),
        "jetpack": _first_line(["dpkg-query", "--show", "--showformat=${Version}", "nvidia-jetpack"]) or UNKNOWN,
        "power_mode": _power_mode(_tool(["nvpmodel", "-q"])),
    }


class Watch:
    """Reads clocks, temperatures and load before and after a run; both ends are in the report."""

    def __init__(self) -> None:
        self._before = _state()
        self._cpu = _cpu_ticks()
        self._own = _own_seconds()
        self._start = time.perf_counter()

    def stop(self) -> dict[str, Any]:
        """JSON-ready: `before`, `after` {`cpu_mhz`, `gpu_mhz`, `temperature_c`, `throttling`, `load`}, `others` (share
        of this machine's CPU time taken by other processes while it ran), `stolen` (share taken by the hypervisor),
        `seconds`."""
        ticks = _cpu_ticks()
        others: float | str = UNKNOWN
        stolen: float | str = UNKNOWN
        if ticks and self._cpu:
            busy, steal, total = (after - before for after, before in zip(ticks, self._cpu, strict=True))
            own = (_own_seconds() - self._own) * os.sysconf("SC_CLK_TCK")
            if total > 0:
                others = round(max(0.0, busy - own) / total, 4)
                stolen = round(steal / total, 4)
        return {
            "before": self._before,
            "after": _state(),
            "others": others,
            "stolen": stolen,
            "seconds": round(time.perf_counter() - self._start, 3),
        }


def package_version(name: str) -> str | None:
    """The version of an installed distribution, None if it is not installed. Nothing is imported."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def device_name(machine: dict[str, Any]) -> str:
    """A folder name for a machine: `amd-epyc-2-cores`, `nvidia-jetson-orin-nano-…`."""
    name = machine["gpu"] if machine["gpu"] != UNKNOWN else machine["machine"]
    if name in (UNKNOWN, platform.machine()):
        name = f"{machine['cpu']} {machine['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", str(name).lower()).strip("-")


def _state() -> dict[str, Any]:
    gpu = _nvidia_smi()
    temperatures = [int(text) / 1000 for text in _read_all("/sys/class/thermal", "thermal_zone*/temp") if _whole(text)]
    return {
        "cpu_mhz": _cpu_mhz(),
        "gpu_mhz": _number(gpu.get("clocks.sm")),
        "temperature_c": _number(gpu.get("temperature.gpu")) if gpu else (max(temperatures, default=UNKNOWN)),
        "throttling": gpu.get("clocks_throttle_reasons.active", UNKNOWN),
        "load": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else UNKNOWN,
    }


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _read_all(folder: str, pattern: str) -> Iterable[str]:
    return [_read(str(path)) for path in sorted(Path(folder).glob(pattern))]


def _whole(text: str) -> bool:
    return text.lstrip("-").isdecimal()


def _number(text: str | None) -> float | str:
    try:
        return float(text or "")
    except ValueError:
        return UNKNOWN


def _tool(command: list[str]) -> str:
    """What a tool prints, nothing where it is absent, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TOOL_TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _first_line(command: list[str]) -> str:
    return next(iter(_tool(command).splitlines()), "").strip()


def _nvidia_smi() -> dict[str, str]:
    line = _first_line(["nvidia-smi", f"--query-gpu={','.join(_SMI)}", "--format=csv,noheader,nounits"])
    values = [value.strip() for value in line.split(",")]
    return dict(zip(_SMI, values, strict=True)) if len(values) == len(_SMI) else {}


def _cuda_version() -> str:
    found = re.search(r"CUDA Version\s*:?\s*([\d.]+)", _tool(["nvidia-smi"]))
    return found[1] if found else UNKNOWN


def _l4t(release: str) -> str:
    """`# R36 (release), REVISION: 4.3, …` -> `36.4.3`."""
    found = re.search(r"R(\d+).*REVISION:\s*([\d.]+)", release)
    return f"{found[1]}.{found[2]}" if found else UNKNOWN


def _power_mode(text: str) -> str:
    """`NV Power Mode: MAXN_SUPER` -> `MAXN_SUPER`."""
    found = re.search(r"NV Power Mode:\s*(\S+)", text)
    return found[1] if found else UNKNOWN


def _cpu_model() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Hardware"):
            return value.strip()
    return platform.processor() or UNKNOWN


def _cpu_mhz() -> float | str:
    """Mean over the cores: of cpufreq where it is, of /proc/cpuinfo otherwise."""
    kilohertz = [
        int(text) for text in _read_all("/sys/devices/system/cpu", "cpu[0-9]*/cpufreq/scaling_cur_freq") if _whole(text)
    ]
    if kilohertz:
        return round(sum(kilohertz) / len(kilohertz) / 1000, 1)
    values = re.findall(r"cpu MHz\s*:\s*([\d.]+)", _read("/proc/cpuinfo"))
    return round(sum(map(float, values)) / len(values), 1) if values else UNKNOWN


def _memory_mib() -> int | str:
    found = re.search(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))
    return int(found[1]) // 1024 if found else UNKNOWN


def _cpu_ticks() -> tuple[int, int, int] | None:
    """Busy, stolen and all ticks of the machine since it started."""
    fields = _read("/proc/stat").splitlines()[:1]
    if not fields:
        return None
    user, nice, system, idle, iowait, irq, softirq, steal = map(int, fields[0].split()[1:9])
    busy = user + nice + system + irq + softirq
    return busy, steal, busy + idle + iowait + steal


def _own_seconds() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system
