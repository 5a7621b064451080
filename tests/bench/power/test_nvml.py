"""NVIDIA's GPUs, with a stand-in for the package `pynvml`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from segface_edge.bench.power.nvml import open_nvml
from segface_edge.bench.power.reader import Absent, State

ROOT = Path("/")


class FakeNvml:
    """`pynvml` with GPUs given as what each of its questions answers; a question without an answer is not supported.

    Names and units are those of nvidia-ml-py 13 and docs.nvidia.com/deploy/nvml-api: millijoules since the driver was
    loaded (Volta and later), milliwatts, MHz, degrees, a mask of reasons.
    """

    NVML_CLOCK_SM = 1
    NVML_TEMPERATURE_GPU = 0

    class NVMLError(Exception):
        pass

    def __init__(self, *gpus: dict[str, Any], driver: bool = True) -> None:
        self.gpus, self.driver, self.open = gpus, driver, 0

    def nvmlInit(self) -> None:
        if not self.driver:
            raise self.NVMLError("NVML Shared Library Not Found")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> dict[str, Any]:
        return self.gpus[index]

    def nvmlDeviceGetName(self, gpu: dict[str, Any]) -> Any:
        return gpu["name"]

    def _answer(self, gpu: dict[str, Any], what: str) -> int:
        if what not in gpu:
            raise self.NVMLError("Not Supported")
        return int(gpu[what])

    def nvmlDeviceGetTotalEnergyConsumption(self, gpu: dict[str, Any]) -> int:
        return self._answer(gpu, "mj")

    def nvmlDeviceGetPowerUsage(self, gpu: dict[str, Any]) -> int:
        return self._answer(gpu, "mw")

    def nvmlDeviceGetClockInfo(self, gpu: dict[str, Any], kind: int) -> int:
        assert kind == self.NVML_CLOCK_SM
        return self._answer(gpu, "mhz")

    def nvmlDeviceGetTemperature(self, gpu: dict[str, Any], sensor: int) -> int:
        assert sensor == self.NVML_TEMPERATURE_GPU
        return self._answer(gpu, "c")

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: dict[str, Any]) -> int:
        return self._answer(gpu, "reasons")


def test_energy_is_counted_where_the_gpu_counts_it_and_power_sampled_where_not() -> None:
    new = {"name": "NVIDIA RTX A2000", "mj": 5_000_500, "mw": 30_000}
    old = {"name": b"Quadro P1000", "mw": 12_345}
    nvml = FakeNvml(new, old)
    reader = open_nvml(ROOT, module=nvml)
    assert not reader.whole
    assert [(rail.name, rail.counter, rail.wraps_at, rail.counted) for rail in reader.rails] == [
        ("GPU 0 NVIDIA RTX A2000", True, None, True),
        ("GPU 1 Quadro P1000", False, None, True),
    ]
    assert reader.sample() == pytest.approx([5000.5, 12.345])
    del old["mw"]
    assert reader.sample()[1] is None
    reader.close()
    assert nvml.open == 0


def test_clock_temperature_and_throttling_are_named() -> None:
    reader = open_nvml(
        ROOT, module=FakeNvml({"name": "A", "mj": 1, "mhz": 1410, "c": 61, "reasons": 0x01 | 0x04 | 0x40})
    )
    assert reader.state() == State(
        gpu_mhz=1410, temperature_c=61, throttling=("GPU: power cap", "GPU: too hot (hardware)")
    )
    assert open_nvml(ROOT, module=FakeNvml({"name": "A", "mj": 1})).state() == State()


@pytest.mark.parametrize(
    ("nvml", "reason"),
    [
        (FakeNvml(driver=False), r"no NVIDIA driver \(NVML Shared Library Not Found\)"),
        (FakeNvml(), "no NVIDIA GPU"),
        # What a Jetson Orin's driver answers: github.com/HazyResearch/intelligence-per-watt/issues/40.
        (FakeNvml({"name": "Orin (nvgpu)"}), r"GPU 0 Orin \(nvgpu\) does not tell its power"),
    ],
)
def test_what_cannot_be_measured_is_absent_with_the_reason(nvml: FakeNvml, reason: str) -> None:
    with pytest.raises(Absent, match=reason):
        open_nvml(ROOT, module=nvml)
    assert nvml.open == 0


def test_an_absent_package_is_told_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(Absent, match="'nvidia-ml-py' is not installed") as found:
        open_nvml(ROOT)
    assert found.value.cure == "install it with: pip install 'segface-edge[power]'"


def test_files_elsewhere_have_no_gpu(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="no GPU belongs to"):
        open_nvml(tmp_path)


def test_the_package_s_names_are_those_that_are_called() -> None:
    pynvml = pytest.importorskip("pynvml", reason="needs nvidia-ml-py")
    for name in vars(FakeNvml):
        if name.startswith(("nvml", "NVML")):
            assert hasattr(pynvml, name), name
