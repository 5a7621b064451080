"""Clocks, temperature and throttling of a machine, from the kernel's files."""

from __future__ import annotations

from pathlib import Path

from .reader import NumberFile, State

# A core's clock is asked for on that core, which wakes it up: a few tell enough.
MAX_CORES = 16
_CLOCKS = "sys/devices/system/cpu/cpu[0-9]*/cpufreq/scaling_cur_freq"
_TEMPERATURES = "sys/class/thermal/thermal_zone*/temp"
# A Jetson's GPU: `17000000.gpu`, `17000000.gv11b`… by chip; Thor has one clock for each of its clusters.
_GPUS = ("*.gpu", "*.gp10b", "*.gv11b", "*.ga10b", "gpu-gpc-*")
# NVIDIA's guide, "Over-current throttling events": counters since the start.
_OVER_CURRENT = {
    "oc1": "OC1, under-voltage",
    "oc2": "OC2, average over-current",
    "oc3": "OC3, instantaneous over-current",
}
# Intel's: how often a socket was too hot.
_TOO_HOT = "sys/devices/system/cpu/cpu[0-9]*/thermal_throttle/package_throttle_count"


class Board:
    """The files of a machine below `root`; those that are not there are left out."""

    def __init__(self, root: Path) -> None:
        self._clocks = _opened(sorted(root.glob(_CLOCKS))[:MAX_CORES])
        self._temperatures = _opened(sorted(root.glob(_TEMPERATURES)))
        self._gpus = _opened(_gpu_clocks(root))
        self._events = {
            _OVER_CURRENT.get(path.name[:3], path.name[:3]): path
            for path in root.glob("sys/class/hwmon/*/oc*_event_cnt")
        }
        for path in sorted(root.glob(_TOO_HOT))[:1]:  # each core of a socket has the same count
            self._events["CPU: too hot"] = path
        self._before = {name: _count(path) for name, path in self._events.items()}

    def state(self) -> State:
        """Clocks and temperature at this moment."""
        kilohertz = [value for file in self._clocks if (value := file.number()) is not None]
        hertz = [value for file in self._gpus if (value := file.number()) is not None]
        # A zone that is switched off reads far below nothing.
        thousandths = [value for file in self._temperatures if (value := file.number()) is not None and value > 0]
        return State(
            cpu_mhz=sum(kilohertz) / len(kilohertz) / 1e3 if kilohertz else None,
            gpu_mhz=max(hertz) / 1e6 if hertz else None,
            temperature_c=max(thousandths) / 1e3 if thousandths else None,
        )

    def events(self) -> list[str]:
        """What throttled the machine since this object was made: `OC3, instantaneous over-current (12 times)`."""
        found = []
        for name, path in self._events.items():
            times = _count(path) - self._before[name]
            if times > 0:
                found.append(f"{name} ({times} times)")
        return found

    def close(self) -> None:
        """Closes the files."""
        for file in [*self._clocks, *self._temperatures, *self._gpus]:
            file.close()


def _opened(paths: list[Path]) -> list[NumberFile]:
    files = []
    for path in paths:
        try:
            files.append(NumberFile(path))
        except (OSError, ValueError):
            continue
    return files


def _gpu_clocks(root: Path) -> list[Path]:
    return sorted(path for name in _GPUS for path in root.glob(f"sys/class/devfreq/{name}/cur_freq"))


def _count(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
