"""Every power sensor that there may be, and which of them are here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from segface_edge.errors import InputError

from .board import Board
from .ina3221 import open_ina3221
from .nvml import open_nvml
from .rapl import open_rapl
from .reader import Absent, Rail, Reader
from .tegrastats import open_tegrastats

Open = Callable[[Path, float], Reader]

# In the order in which they are looked for. A row holds sensors of the same rails: the first that can be read is taken.
READERS: tuple[tuple[Open, ...], ...] = (
    (lambda root, _: open_ina3221(root), open_tegrastats),
    (lambda root, _: open_rapl(root),),
    (lambda root, _: open_nvml(root),),
)


class Sensors:
    """The sensors of a machine, opened. Close it, or use it in a `with`.

    Attributes:
        readers: those that can be read.
        rails: of all readers, in their order. Where one reader measures the whole machine, only its rails are counted.
        absent: those that cannot be read.
        board: clocks, temperature, throttling.
    """

    def __init__(self, readers: Sequence[Reader], absent: Sequence[Absent], board: Board) -> None:
        self.readers, self.absent, self.board = list(readers), list(absent), board
        whole = next((reader for reader in self.readers if reader.whole), None)
        self.rails: list[Rail] = [
            rail if whole is None or reader is whole else replace(rail, counted=False)
            for reader in self.readers
            for rail in reader.rails
        ]

    def sample(self) -> list[float | None]:
        """One number for each rail, as `Reader.sample` gives them."""
        return [value for reader in self.readers for value in reader.sample()]

    def close(self) -> None:
        """Closes all readers."""
        with ExitStack() as stack:
            stack.callback(self.board.close)
            for reader in self.readers:
                stack.callback(reader.close)

    def __enter__(self) -> Sensors:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_sensors(root: Path = Path("/"), *, interval_s: float = 0.1) -> Sensors:
    """The power sensors of a machine.

    Args:
        root: where its files are; "/" is this machine.
        interval_s: how often they will be sampled, in seconds.

    Raises:
        InputError: none can be read; it names each and why.
    """
    readers: list[Reader] = []
    absent: list[Absent] = []
    for row in READERS:
        for opener in row:
            try:
                readers.append(opener(root, interval_s))
            except Absent as reason:
                absent.append(reason)
            else:
                break
    if not readers:
        raise InputError(
            "--power",
            f"no power sensor can be read: {', '.join(map(str, absent))}",
            " / ".join(reason.cure for reason in absent if reason.cure) or "measure on a machine that has one of these",
        )
    return Sensors(readers, absent, Board(root))
