"""The energy counters of x86 CPUs (RAPL) through the kernel's powercap folder: microjoules that wrap.

Zones: `intel-rapl:0` is a socket (`package-0`), `intel-rapl:0:1` a part of it or the memory beside it; `psys` is the
whole platform. AMD's CPUs have the same folder under the same name. `intel-rapl-mmio:0` shows a socket a second time
and is left out. See docs.kernel.org/power/powercap/powercap.html.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .reader import Absent, NumberFile, Rail, Reader, line

NAME = "rapl"
FOLDER = "sys/class/powercap"
# Since Linux 5.10 (commit 949dd0104c49): what a CPU computes could be guessed from its energy (CVE-2020-8694).
_CURE = "run as root, or allow it until the next start: sudo chmod a+r /sys/class/powercap/intel-rapl:*/energy_uj"


class Rapl(Reader):
    """The zones of all sockets."""

    def __init__(self, rails: Sequence[Rail], files: Sequence[NumberFile], *, whole: bool) -> None:
        self.rails, self._files, self.whole = rails, files, whole

    def sample(self) -> list[float | None]:
        """Joules of each zone."""
        numbers = [file.number() for file in self._files]
        return [None if number is None else 1e-6 * number for number in numbers]

    def close(self) -> None:
        """Closes the files."""
        for file in self._files:
            file.close()


def open_rapl(root: Path) -> Rapl:
    """The zones below `root`.

    Raises:
        Absent: there are none, or they cannot be read.
    """
    zones = sorted((root / FOLDER).glob("intel-rapl:*"), key=lambda zone: zone.name)
    if not zones:
        raise Absent(NAME, f"no such file: {root / FOLDER}/intel-rapl:0 (a virtual machine has none)")
    kinds = {zone.name: line(zone / "name") for zone in zones}
    names, files, wraps = [], [], []
    denied: Path | None = None
    for zone in zones:
        try:
            files.append(NumberFile(zone / "energy_uj"))
        except PermissionError:
            denied = zone / "energy_uj"
            continue
        except (OSError, ValueError):
            continue
        names.append(zone.name)
        # The same kernels keep this file for root, too, on some machines: then a wrap cannot be told from a fault.
        limit = line(zone / "max_energy_range_uj")
        wraps.append(1e-6 * int(limit) if limit.isdecimal() else None)
    if denied is not None or not files:
        for file in files:
            file.close()
        if denied is None:
            raise Absent(NAME, f"{zones[0]}/energy_uj: cannot be read")
        raise Absent(NAME, f"{denied}: permission denied (only root may read it since Linux 5.10)", _CURE)
    whole = any(kinds[name] == "psys" for name in names)
    rails = [
        Rail(
            name=_title(name, kinds),
            sensor=NAME,
            counter=True,
            wraps_at=limit,
            counted=kinds[name] == "psys" if whole else _beside_others(name, kinds[name]),
        )
        for name, limit in zip(names, wraps, strict=True)
    ]
    return Rapl(rails, files, whole=whole)


def _title(zone: str, kinds: dict[str, str]) -> str:
    """`package-0 dram` of a zone within another, `package-0` else."""
    parent = kinds.get(zone.rpartition(":")[0], "")
    return f"{parent} {kinds[zone]}".strip() or zone


def _beside_others(zone: str, kind: str) -> bool:
    """Sockets and memory: cores and graphics are within their socket's counter, memory is not."""
    return zone.count(":") == 1 or kind == "dram"
