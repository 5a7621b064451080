"""What a benchmark ran on. What cannot be read is `unknown`, never left out and never guessed."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

UNKNOWN = "unknown"
PACKAGES = ("numpy", "Pillow", "opencv-python-headless", "opencv-python", "onnxruntime", "onnxruntime-gpu", "torch")


def environment() -> dict[str, Any]:
    """JSON-ready: `machine`, `cpu`, `cores` (that this process may use), `governor`, `load` (1, 5, 15 minutes),
    `memory_mib`, `os`, `python`, `packages` (installed ones)."""
    return {
        "machine": _read("/proc/device-tree/model") or platform.machine() or UNKNOWN,
        "cpu": _cpu_model(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or UNKNOWN),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor") or UNKNOWN,
        "load": [round(value, 2) for value in os.getloadavg()] if hasattr(os, "getloadavg") else UNKNOWN,
        "memory_mib": _memory_mib(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: found for name in PACKAGES if (found := package_version(name))},
    }


def package_version(name: str) -> str | None:
    """The version of an installed distribution, None if it is not installed. Nothing is imported."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""


def _cpu_model() -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Hardware"):
            return value.strip()
    return platform.processor() or UNKNOWN


def _memory_mib() -> int | str:
    for line in _read("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) // 1024
    return UNKNOWN
