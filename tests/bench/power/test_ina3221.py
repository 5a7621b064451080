"""A Jetson's monitors in sysfs: names, watts, and which of them are the total."""

from __future__ import annotations

from pathlib import Path

import pytest

from segface_edge.bench.power.ina3221 import open_ina3221
from segface_edge.bench.power.reader import Absent

from .boards import AGX_ORIN, I2C, ORIN_NANO, ORIN_NANO_W, THOR, XAVIER_NX, monitor, write


def read(root: Path) -> tuple[dict[str, float | None], set[str]]:
    """Watts by rail, and the names of those that are the total."""
    reader = open_ina3221(root)
    assert reader.whole
    watts = dict(zip([rail.name for rail in reader.rails], reader.sample(), strict=True))
    total = {rail.name for rail in reader.rails if rail.counted}
    reader.close()
    return watts, total


def test_an_orin_nano_s_input_is_its_total(tmp_path: Path) -> None:
    watts, total = read(write(tmp_path, ORIN_NANO))
    assert watts == pytest.approx(ORIN_NANO_W)
    assert total == {"VDD_IN"}


def test_an_agx_orin_s_inputs_are_summed_without_the_rail_behind_one_of_them(tmp_path: Path) -> None:
    watts, total = read(write(tmp_path, AGX_ORIN))
    assert watts == pytest.approx(
        {"VDD_GPU_SOC": 3.04, "VDD_CPU_CV": 1.9, "VIN_SYS_5V0": 4.968 * 0.953, "VDDQ_VDD2_1V8AO": 4.968 * 0.08}
    )
    assert total == {"VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"}


def test_thor_s_carrier_board_measures_the_total(tmp_path: Path) -> None:
    watts, total = read(write(tmp_path, THOR))
    assert watts == pytest.approx({"VDD_GPU": 5.5, "VDD_CPU_SOC_MSS": 7.48, "VIN_SYS_5V0": 6.3, "VIN": 28.548})
    assert total == {"VIN"}


def test_a_thor_module_on_another_board_has_the_sum(tmp_path: Path) -> None:
    files = {name: content for name, content in THOR.items() if "ina238" not in name}
    assert read(write(tmp_path, files))[1] == {"VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"}


def test_the_layout_of_jetpack_4(tmp_path: Path) -> None:
    watts, total = read(write(tmp_path, XAVIER_NX))
    assert watts == pytest.approx({"VDD_IN": 3.902, "VDD_CPU_GPU_CV": 0.816, "VDD_SOC": 0.938})
    assert total == {"VDD_IN"}


def test_the_same_device_under_two_names_is_one(tmp_path: Path) -> None:
    write(tmp_path, XAVIER_NX)
    device = tmp_path / I2C / "ina3221x" / "7-0040"
    (device / "iio_device").symlink_to("iio:device0")
    assert len(read(tmp_path)[0]) == 3


def test_figures_are_read_anew_each_time(tmp_path: Path) -> None:
    reader = open_ina3221(write(tmp_path, ORIN_NANO))
    write(tmp_path, {f"{I2C}/ina3221/1-0040/hwmon/hwmon1/curr1_input": 2000})
    assert reader.sample()[0] == pytest.approx(10)
    write(tmp_path, {f"{I2C}/ina3221/1-0040/hwmon/hwmon1/curr1_input": ""})
    assert reader.sample()[0] is None
    assert reader.sample()[1] == pytest.approx(0.52)
    reader.close()


def test_a_channel_that_is_switched_off_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, {**ORIN_NANO, f"{I2C}/ina3221/1-0040/hwmon/hwmon1/curr2_input": ""})
    assert set(read(tmp_path)[0]) == {"VDD_IN", "VDD_SOC"}


def test_no_monitor_is_said(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="ina3221: no such file: .*sys/bus/i2c/drivers"):
        open_ina3221(tmp_path)


def test_an_unknown_board_s_total_is_not_guessed(tmp_path: Path) -> None:
    write(tmp_path, monitor("1-0040/hwmon/hwmon1", ("CVB_ATX_12V", 12000, 1), ("CVB_ATX_5V", 5000, 1)))
    with pytest.raises(Absent, match="which of the rails CVB_ATX_12V, CVB_ATX_5V are the total is not known"):
        open_ina3221(tmp_path)


@pytest.mark.usefixtures("denied")
def test_files_that_only_root_may_read_are_said(tmp_path: Path) -> None:
    with pytest.raises(Absent, match="permission denied") as caught:
        open_ina3221(write(tmp_path, ORIN_NANO))
    assert caught.value.cure == "run as root"
