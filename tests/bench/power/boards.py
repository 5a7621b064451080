"""Power sensors as the kernel shows them, written below a folder.

Names and units are those of the sources beside them; figures are chosen to be told apart."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

I2C = "sys/bus/i2c/drivers"
POWERCAP = "sys/class/powercap"


def write(root: Path, files: Mapping[str, object]) -> Path:
    """Writes {path below root: content}, each with the kernel's line end."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def monitor(folder: str, *rails: tuple[str, int, int]) -> dict[str, object]:
    """An INA3221 in the hwmon layout: (label, mV, mA) of channels 1 to 3, with what else the driver shows.

    Source: docs.kernel.org/hwmon/ina3221.html.
    """
    files: dict[str, object] = {f"{I2C}/ina3221/{folder}/name": "ina3221"}
    for channel, (label, millivolts, milliamperes) in enumerate(rails, 1):
        files |= {
            f"{I2C}/ina3221/{folder}/in{channel}_label": label,
            f"{I2C}/ina3221/{folder}/in{channel}_input": millivolts,
            f"{I2C}/ina3221/{folder}/curr{channel}_input": milliamperes,
            f"{I2C}/ina3221/{folder}/in{channel + 3}_input": 5 * milliamperes,  # the shunt's voltage, in uV
        }
    return files | {
        f"{I2C}/ina3221/{folder}/in7_label": "sum of shunt voltages",
        f"{I2C}/ina3221/{folder}/in7_input": 0,
    }


# Rails of Orin Nano and Orin NX: tegra234-p3767.dtsi, "arm64: tegra: Add power-sensors for Tegra234 boards"
# (linux-tegra@vger.kernel.org, 2023-09-21).
ORIN_NANO = monitor("1-0040/hwmon/hwmon1", ("VDD_IN", 5000, 940), ("VDD_CPU_GPU_CV", 5000, 104), ("VDD_SOC", 4992, 288))
ORIN_NANO_W = {"VDD_IN": 4.7, "VDD_CPU_GPU_CV": 0.52, "VDD_SOC": 1.437696}

# AGX Orin: tegra234-p3701.dtsi of the same patch. JetPack's driver labels channels without a rail NC, the kernel's own
# shows no files of them.
AGX_ORIN = {
    **monitor(
        "1-0040/hwmon/hwmon3", ("VDD_GPU_SOC", 19000, 160), ("VDD_CPU_CV", 19000, 100), ("VIN_SYS_5V0", 4968, 953)
    ),
    **monitor("1-0041/hwmon/hwmon4", ("NC", 0, 0), ("VDDQ_VDD2_1V8AO", 4968, 80), ("NC", 0, 0)),
}

# Thor: an INA3221 and, at the carrier board's input, an INA238: one channel whose power is in uW
# (docs.kernel.org/hwmon/ina238.html; github.com/rbonghi/jetson_stats/pull/900). Rails as its tegrastats prints them.
THOR = {
    **monitor(
        "2-0040/hwmon/hwmon2", ("VDD_GPU", 20000, 275), ("VDD_CPU_SOC_MSS", 20000, 374), ("VIN_SYS_5V0", 5000, 1260)
    ),
    f"{I2C}/ina238/2-0044/hwmon/hwmon3/name": "ina238",
    f"{I2C}/ina238/2-0044/hwmon/hwmon3/label": "VIN",
    f"{I2C}/ina238/2-0044/hwmon/hwmon3/in1_input": 20000,
    f"{I2C}/ina238/2-0044/hwmon/hwmon3/curr1_input": 1427,
    f"{I2C}/ina238/2-0044/hwmon/hwmon3/power1_input": 28548000,
}

_XAVIER = f"{I2C}/ina3221x/7-0040/iio:device0"
# Xavier NX with JetPack 4: "Power Management for Jetson Xavier NX Series and Jetson AGX Xavier Series Devices" of the
# L4T 32 guide, "Software-Based Power Consumption Modeling": milliwatts, one file a rail.
XAVIER_NX: dict[str, object] = {
    f"{_XAVIER}/rail_name_0": "VDD_IN",
    f"{_XAVIER}/in_power0_input": 3902,
    f"{_XAVIER}/in_voltage0_input": 5008,
    f"{_XAVIER}/in_current0_input": 779,
    f"{_XAVIER}/rail_name_1": "VDD_CPU_GPU_CV",
    f"{_XAVIER}/in_power1_input": 816,
    f"{_XAVIER}/rail_name_2": "VDD_SOC",
    f"{_XAVIER}/in_power2_input": 938,
}

# Lines of tegrastats. Orin Nano, JetPack 6: of the tests of github.com/henrygd/beszel.
LINE_ORIN_NANO = (
    "11-15-2024 08:38:09 RAM 6185/7620MB (lfb 8x2MB) SWAP 851/3810MB (cached 1MB) CPU [15%@729,11%@729,14%@729,13%@729,"
    "11%@729,8%@729] EMC_FREQ 43%@2133 GR3D_FREQ 63%@[621] NVDEC off NVJPG off NVJPG1 off VIC off OFA off APE 200 "
    "cpu@53.968C soc2@52.437C soc0@50.75C gpu@53.343C tj@53.968C soc1@51.656C VDD_IN 12479mW/12479mW "
    "VDD_CPU_GPU_CV 4667mW/4667mW VDD_SOC 2817mW/2817mW"
)
# TX2, JetPack 4, without units: github.com/henrygd/beszel/pull/1631.
LINE_TX2 = (
    "RAM 3276/7859MB (lfb 5x4MB) SWAP 1626/12122MB (cached 181MB) CPU [44%@1421,49%@2031,67%@2034,17%@1420,25%@1419,"
    "8%@1420] EMC_FREQ 1%@1866 GR3D_FREQ 0%@114 APE 150 MTS fg 1% bg 1% PLL@42.5C MCPU@42.5C PMIC@50C Tboard@38C "
    "GPU@39.5C BCPU@42.5C thermal@41.3C Tdiode@39.25C VDD_SYS_GPU 182/182 VDD_SYS_SOC 730/730 VDD_4V0_WIFI 0/0 "
    "VDD_IN 5297/5297 VDD_SYS_CPU 1917/1917 VDD_SYS_DDR 1241/1241"
)
# AGX Orin, JetPack 6, shortened; Thor, JetPack 7, which has three figures, two or one, and negative ones of a GPU that
# is switched off: as users of both post them.
LINE_AGX_ORIN = (
    "11-21-2025 08:49:48 RAM 13983/62780MB (lfb 424x4MB) SWAP 126/31390MB (cached 0MB) CPU [90%@2201,100%@2201] "
    "EMC_FREQ 1%@2133 GR3D_FREQ 14%@[407,407] VIC_FREQ 115 NVDLA0_FREQ @1600 APE 174 CV0@73.625C CPU@77.281C "
    "VDD_GPU_SOC 3150mW/2971mW VDD_CPU_CV 14312mW/12415mW VIN_SYS_5V0 4968mW/5048mW VDDQ_VDD2_1V8AO 1091mW/1091mW"
)
LINE_THOR = (
    "07-02-2026 13:45:44 RAM 36529/125749MB (lfb 12x4MB) SWAP 11/4096MB (cached 9MB) CPU [2%@972,1%@972] cpu@60.406C "
    "tj@63.281C VDD_GPU 37528mW/37528mW/37528mW VDD_CPU_SOC_MSS 18961mW/18961mW/18961mW "
    "VIN_SYS_5V0 18331mW/18331mW/18331mW VIN 87426mW/43713mW/87426mW"
)
LINE_THOR_IDLE = (
    "RAM 26063/125772MB VDD_GPU -392mW/-392mW VDD_CPU_SOC_MSS 3924mW VIN_SYS_5V0 5064mW VIN 15004mW/15096mW"
)


def zone(name: str, kind: str, microjoules: int, limit: int | None = 262143328850) -> dict[str, object]:
    """A zone of RAPL, as docs.kernel.org/power/powercap/powercap.html shows them; the limit is that of many Xeons."""
    files: dict[str, object] = {f"{POWERCAP}/{name}/name": kind, f"{POWERCAP}/{name}/energy_uj": microjoules}
    return files if limit is None else {**files, f"{POWERCAP}/{name}/max_energy_range_uj": limit}


# Two sockets of a server; the second way to the first one's counter, which newer kernels have.
SERVER = {
    **zone("intel-rapl:0", "package-0", 24_672_000_000),
    **zone("intel-rapl:0:0", "dram", 1_000_000_000, 65712999613),
    **zone("intel-rapl:1", "package-1", 12_000_000_000),
    **zone("intel-rapl:1:0", "dram", 2_000_000_000, 65712999613),
    **zone("intel-rapl-mmio:0", "package-0", 24_672_000_000),
}
# A laptop: cores and graphics are parts of the socket, psys is the whole platform.
LAPTOP = {
    **zone("intel-rapl:0", "package-0", 6_549_300_000),
    **zone("intel-rapl:0:0", "core", 3_245_536_000),
    **zone("intel-rapl:0:1", "uncore", 44_190_000),
    **zone("intel-rapl:0:2", "dram", 500_000_000),
    **zone("intel-rapl:1", "psys", 9_000_000_000),
}
