"""A Jetson's power monitors through sysfs: INA3221, three rails each, and the INA238 of Thor's carrier board.

Two layouts: hwmon (JetPack 5 and later: millivolts and milliamperes, `in1_label`) and iio (JetPack 4: milliwatts,
`rail_name_0`).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from .jetson import counted
from .reader import Absent, NumberFile, Rail, Reader, line

NAME = "ina3221"
FOLDER = "sys/bus/i2c/drivers"
# A channel that nothing is connected to.
_NOT_CONNECTED = ("", "NC")


class _Channel:
    """A rail's name and the files whose product, times `scale`, is its watts."""

    def __init__(self, name: str, paths: list[Path], scale: float) -> None:
        self.name, self._scale = name, scale
        self._files: list[NumberFile] = []
        try:
            for path in paths:
                self._files.append(NumberFile(path))
        except (OSError, ValueError):
            self.close()
            raise

    def watts(self) -> float | None:
        product = self._scale
        for file in self._files:
            number = file.number()
            if number is None:
                return None
            product *= number
        return product

    def close(self) -> None:
        for file in self._files:
            file.close()


class Ina3221(Reader):
    """The rails of all monitors of a Jetson."""

    whole = True

    def __init__(self, channels: list[_Channel]) -> None:
        total = counted(NAME, (channel.name for channel in channels))
        self._channels = channels
        self.rails = [Rail(name=channel.name, sensor=NAME, counted=channel.name in total) for channel in self._channels]

    def sample(self) -> list[float | None]:
        """Watts of each rail."""
        return [channel.watts() for channel in self._channels]

    def close(self) -> None:
        """Closes the files."""
        for channel in self._channels:
            channel.close()


def open_ina3221(root: Path) -> Ina3221:
    """The monitors below `root`.

    Raises:
        Absent: there is none, none can be read, or which rails are the total is not known.
    """
    folder = root / FOLDER
    channels: list[_Channel] = []
    denied: str | None = None
    seen: set[tuple[Path, str]] = set()
    for name, paths, scale in _places(folder):
        if name in _NOT_CONNECTED or (paths[0].resolve(), name) in seen:
            continue
        seen.add((paths[0].resolve(), name))
        try:
            channels.append(_Channel(name, paths, scale))
        except PermissionError as error:
            denied = str(error.filename or paths[0])
        except (OSError, ValueError):
            continue  # a channel that is switched off gives no number
    if not channels:
        if denied is not None:
            raise Absent(NAME, f"{denied}: permission denied", "run as root")
        raise Absent(NAME, f"no such file: {folder}/ina3221*")
    try:
        return Ina3221(channels)
    except Absent:
        for channel in channels:
            channel.close()
        raise


def _places(folder: Path) -> Iterator[tuple[str, list[Path], float]]:
    """(name, files, scale) of every channel that there may be."""
    for monitor in sorted(folder.glob("ina3221*/*/hwmon/hwmon*")):
        # Channels 1 to 3; in4 to in7 are the shunts' voltages, curr4 a sum that most boards cannot make.
        for channel in (1, 2, 3):
            files = [monitor / f"in{channel}_input", monitor / f"curr{channel}_input"]
            yield line(monitor / f"in{channel}_label"), files, 1e-6
    for monitor in sorted(folder.glob("ina238/*/hwmon/hwmon*")):
        # One channel, named as a whole; the chip multiplies itself and gives microwatts.
        yield line(monitor / "label") or line(monitor / "in1_label"), [monitor / "power1_input"], 1e-6
    for monitor in sorted([*folder.glob("ina3221x/*/iio:device*"), *folder.glob("ina3221x/*/iio_device")]):
        for channel in (0, 1, 2):
            yield line(monitor / f"rail_name_{channel}"), [monitor / f"in_power{channel}_input"], 1e-3
