"""Which rails of a Jetson together are its total. A rail that lies behind another one is not added to it."""

from __future__ import annotations

from collections.abc import Iterable

from .reader import Absent

# The first row whose rails are all there is the total.
TOTALS: tuple[tuple[str, ...], ...] = (
    # Thor's carrier board: an INA238 at the input of module and carrier. NVIDIA's moderator: "total VIN monitoring"
    # (forums.developer.nvidia.com/t/366461).
    ("VIN",),
    # Orin Nano, Orin NX, Xavier NX, TX2: "VDD_IN is the total power of module" (the same forum, t/200883). A TX1's or
    # TX2's carrier board lies beside it (VDD_MUX) and is shown, but no other board could be compared with the sum.
    ("VDD_IN",),
    ("5V_IN",),  # Xavier NX's in NVIDIA's guide
    ("POM_5V_IN",),  # Nano: "the overall 5V input to the board" (t/73608)
    # AGX Orin has no rail of the whole: GPU and CPU have inputs of their own, VIN_SYS_5V0 brings the rest
    # (github.com/rbonghi/jetson_stats/issues/344). VDDQ_VDD2_1V8AO is not added: its monitor
    # shows the same 5 volts, so we take it to hang on them; no document of NVIDIA's that we know says so.
    ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0"),
    # Thor's module without its carrier board's sensor.
    ("VDD_GPU", "VDD_CPU_SOC_MSS", "VIN_SYS_5V0"),
    # AGX Xavier, the same: SYS5V "includes all parts power except DDR, CPU, GPU and CV" (t/75574).
    ("GPU", "CPU", "SOC", "CV", "VDDRQ", "SYS5V"),
)


def counted(sensor: str, names: Iterable[str]) -> frozenset[str]:
    """The names of the rails whose sum is the board's total.

    Raises:
        Absent: a board of which this is not known; its total is not guessed.
    """
    names = list(names)
    for row in TOTALS:
        if set(row) <= set(names):
            return frozenset(row)
    raise Absent(sensor, f"which of the rails {', '.join(names)} are the total is not known of this board")
