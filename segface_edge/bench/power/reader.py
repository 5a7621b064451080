"""The seam of all power sensors: a reader has rails, and a sample is one number for each of them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class Absent(Exception):
    """A sensor that is not there or cannot be read.

    Args:
        sensor: its name in the table of readers.
        reason: why it cannot be read.
        cure: what would make it readable; empty where nothing would.
    """

    def __init__(self, sensor: str, reason: str, cure: str = "") -> None:
        self.sensor, self.reason, self.cure = sensor, reason, cure
        super().__init__(f"{sensor}: {reason}")


@dataclass(frozen=True, kw_only=True)
class Rail:
    """One thing whose power is measured.

    Attributes:
        name: as the sensor calls it.
        sensor: who reads it.
        counter: its values are joules since some moment, not watts.
        wraps_at: joules at which a counter starts again at 0; None where that is not known.
        counted: it is a part of the reader's total; other rails are contained in those that are, or lie beside them.
    """

    name: str
    sensor: str
    counter: bool = False
    wraps_at: float | None = None
    counted: bool = False


@dataclass(frozen=True, kw_only=True)
class State:
    """What a machine does besides taking power; None where it cannot be read.

    Attributes:
        cpu_mhz: mean clock of the CPU's cores.
        gpu_mhz: the GPU's clock.
        temperature_c: of the hottest place.
        throttling: why clocks are held down at this moment, in words.
    """

    cpu_mhz: float | None = None
    gpu_mhz: float | None = None
    temperature_c: float | None = None
    throttling: tuple[str, ...] = ()


class Reader(ABC):
    """An opened sensor.

    Attributes:
        rails: what it measures, always in this order.
        whole: its counted rails are the whole machine, so that no other reader's may be added to them.
    """

    rails: Sequence[Rail]
    whole: bool = False

    @abstractmethod
    def sample(self) -> list[float | None]:
        """Watts of each rail, joules of a counter; None where it cannot be read at this moment."""

    def state(self) -> State:
        """What the sensor says besides."""
        return State()

    def close(self) -> None:
        """Gives back what it holds; it cannot be sampled any more."""
        return


class NumberFile:
    """A file of the kernel with a whole number, held open: reading it again is one system call.

    Raises:
        OSError: it cannot be opened or read.
        ValueError: it has no number.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY)
        try:
            self.read()
        except (OSError, ValueError):
            self.close()
            raise

    def read(self) -> int:
        """The number at this moment."""
        return int(os.pread(self._file, 64, 0))

    def number(self) -> int | None:
        """The number, None where it cannot be read at this moment."""
        try:
            return self.read()
        except (OSError, ValueError):
            return None

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)


def line(path: Path) -> str:
    """The text of a small file without its line end, empty where it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0 \n")
    except OSError:
        return ""
