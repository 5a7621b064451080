"""NVIDIA's GPUs through NVML, its management library: a counter of energy since Volta, power samples before.

The package `nvidia-ml-py` is optional (`pip install 'segface-edge[power]'`) and imported when it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from segface_edge.extras import pip_install

from .reader import Absent, Rail, Reader, State

NAME = "nvml"

# nvml.h: nvmlClocksEventReason…; the others hold clocks down on purpose, not for want of power or cooling.
REASONS = {
    0x04: "GPU: power cap",
    0x08: "GPU: hardware slowdown",
    0x20: "GPU: too hot (software)",
    0x40: "GPU: too hot (hardware)",
    0x80: "GPU: power brake",
}


class Nvml(Reader):
    """All NVIDIA GPUs of a machine.

    Args:
        nvml: the module `pynvml`, initialised.
        gpus: (name, handle) of those that can be measured.
        counters: whether each has a counter of energy.
    """

    def __init__(self, nvml: Any, gpus: Sequence[tuple[str, Any]], counters: Sequence[bool]) -> None:
        self._nvml, self._gpus = nvml, gpus
        self.rails = [
            Rail(name=name, sensor=NAME, counter=counter, counted=True)
            for (name, _), counter in zip(gpus, counters, strict=True)
        ]

    def sample(self) -> list[float | None]:
        """Joules of GPUs with a counter, watts of the others."""
        found: list[float | None] = []
        for (_, handle), rail in zip(self._gpus, self.rails, strict=True):
            number = self._ask(_energy if rail.counter else _power, handle)
            found.append(None if number is None else 1e-3 * number)
        return found

    def state(self) -> State:
        """The highest clock and temperature of the GPUs, and why any of them is held down."""
        clocks, temperatures, reasons = [], [], 0
        for _, handle in self._gpus:
            clocks.append(self._ask(_clock, handle))
            temperatures.append(self._ask(_temperature, handle))
            reasons |= self._ask(_reasons, handle) or 0
        return State(
            gpu_mhz=max((value for value in clocks if value is not None), default=None),
            temperature_c=max((value for value in temperatures if value is not None), default=None),
            throttling=tuple(text for bit, text in REASONS.items() if reasons & bit),
        )

    def close(self) -> None:
        """Gives the library back."""
        self._nvml.nvmlShutdown()

    def _ask(self, question: Callable[[Any, Any], int], handle: Any) -> int | None:
        try:
            return question(self._nvml, handle)
        except self._nvml.NVMLError:
            return None


def open_nvml(root: Path, *, module: Any = None) -> Nvml:
    """The GPUs of this machine.

    Args:
        root: "/"; files elsewhere have no GPUs.
        module: what stands for `pynvml`.

    Raises:
        Absent: the package, the driver or a GPU is not there, or no GPU tells its power.
    """
    if root != Path("/") and module is None:
        raise Absent(NAME, f"no GPU belongs to {root}")
    try:
        nvml = module or import_module("pynvml")
    except ModuleNotFoundError as error:
        raise Absent(
            NAME, "the package 'nvidia-ml-py' is not installed", f"install it with: {pip_install('power')}"
        ) from error
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        raise Absent(NAME, f"no NVIDIA driver ({error})") from error
    gpus, counters, refused = [], [], "no NVIDIA GPU"
    try:
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            title = nvml.nvmlDeviceGetName(handle)
            name = f"GPU {index} {title.decode() if isinstance(title, bytes) else title}"
            counter = _answers(nvml, _energy, handle)
            # A Jetson's driver names its GPU and refuses the rest.
            if counter or _answers(nvml, _power, handle):
                gpus.append((name, handle))
                counters.append(counter)
            else:
                refused = f"{name} does not tell its power"
    except nvml.NVMLError as error:
        refused = str(error)
    if not gpus:
        nvml.nvmlShutdown()
        raise Absent(NAME, refused)
    return Nvml(nvml, gpus, counters)


def _answers(nvml: Any, question: Callable[[Any, Any], int], handle: Any) -> bool:
    try:
        question(nvml, handle)
    except nvml.NVMLError:
        return False
    return True


def _energy(nvml: Any, handle: Any) -> int:
    """Millijoules since the driver was loaded."""
    return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle))


def _power(nvml: Any, handle: Any) -> int:
    """Milliwatts."""
    return int(nvml.nvmlDeviceGetPowerUsage(handle))


def _clock(nvml: Any, handle: Any) -> int:
    return int(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))


def _temperature(nvml: Any, handle: Any) -> int:
    return int(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))


def _reasons(nvml: Any, handle: Any) -> int:
    # The older name of the same call is in every version.
    return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle))
