"""Devices and their published peaks, from `devices.toml` beside this file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from segface_edge.documents import toml_of
from segface_edge.errors import InputError, UsageError

# From the widest to the narrowest.
PRECISIONS = ("fp32", "fp16", "int8")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A published figure.

    Attributes:
        value: operations a second, bytes a second, or bytes; dense, whatever was published.
        source: the address of the page or paper that says it.
        halved: whether twice as much was published, for sparse matrices.
    """

    value: float
    source: str
    halved: bool = False


@dataclass(frozen=True, kw_only=True)
class Device:
    """A device's peaks.

    Attributes:
        name: what `--device` takes.
        title: what people call it.
        peaks: {precision: operations a second, a multiplication and an addition being two}; what is not published is
            not in it.
        bandwidth: of its memory, bytes a second.
        cache: bytes of all its caches; None where they are not known.
        note: what else one must know of the figures.
    """

    name: str
    title: str
    peaks: Mapping[str, Figure]
    bandwidth: Figure
    cache: Figure | None = None
    note: str = ""

    def peak(self, precision: str) -> tuple[str, Figure]:
        """The peak that bounds products of a precision, and whose it is: its own, or that of the next narrower type
        with a published one, which is no lower.

        Raises:
            UsageError: neither is published, or there is no such precision.
        """
        known(precision)
        for narrower in PRECISIONS[PRECISIONS.index(precision) :]:
            if narrower in self.peaks:
                return narrower, self.peaks[narrower]
        raise UsageError(
            f"device '{self.name}'",
            f"has no published peak of {precision}, nor of a narrower type",
            f"use --precision {' or '.join(self.peaks)}",
        )


def known(precision: str) -> str:
    """The precision itself.

    Raises:
        UsageError: there is none of that name.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision '{precision}'", "is unknown", f"use one of: {', '.join(PRECISIONS)}")
    return precision


def measured(rates: Mapping[str, float], bandwidth: float, cache: float) -> Device:
    """The machine at hand, as a device of the table.

    Args:
        rates: {precision: operations a second}.
        bandwidth: bytes a second.
        cache: bytes.
    """

    def figure(value: float) -> Figure:
        return Figure(value=value, source="measured here")

    return Device(
        name="here",
        title="this machine",
        peaks={name: figure(rate) for name, rate in rates.items()},
        bandwidth=figure(bandwidth),
        cache=figure(cache),
    )


@cache
def devices() -> Mapping[str, Device]:
    """Every device of the table, by name."""
    text = files("segface_edge.bench").joinpath("devices.toml").read_text(encoding="utf-8")
    return read_devices(text)


def device(name: str) -> Device:
    """The device of that name.

    Raises:
        UsageError: there is none; the message names those that there are.
    """
    found = devices().get(name)
    if found is None:
        raise UsageError(f"device '{name}'", "is unknown", f"use one of: {', '.join(devices())}")
    return found


def read_devices(text: str) -> dict[str, Device]:
    """A table of devices in TOML, as `devices.toml` describes it.

    Raises:
        InputError: a row with an unknown key, without a source, or whose peaks fall from a wide to a narrow type.
    """
    return {name: _device(name, row) for name, row in toml_of(text).items()}


def _device(name: str, row: dict[str, Any]) -> Device:
    unknown = sorted(set(row) - {"title", *PRECISIONS, "bandwidth", "cache", "note"})
    if unknown:
        raise InputError(f"device '{name}'", f"has the unknown key '{unknown[0]}'", "see the head of devices.toml")
    for key in ("title", "bandwidth"):
        if key not in row:
            raise InputError(f"device '{name}'", f"has no '{key}'", "give it")
    peaks = {key: _figure(name, row[key], "tops", 1e12) for key in PRECISIONS if key in row}
    rates = [figure.value for figure in peaks.values()]
    if not rates or rates != sorted(rates):
        raise InputError(
            f"device '{name}'", "has no peak, or a narrow type with a lower one than a wide type", "check its sources"
        )
    return Device(
        name=name,
        title=row["title"],
        peaks=peaks,
        bandwidth=_figure(name, row["bandwidth"], "gb_s", 1e9),
        cache=_figure(name, row["cache"], "mb", 1e6) if "cache" in row else None,
        note=row.get("note", ""),
    )


def _figure(name: str, entry: dict[str, Any], unit: str, scale: float) -> Figure:
    if not set(entry) <= {unit, "sparse", "source"} or unit not in entry or not entry.get("source"):
        raise InputError(f"device '{name}'", f"has a figure without '{unit}' and 'source'", "give both")
    halved = bool(entry.get("sparse", False))
    return Figure(value=entry[unit] * scale / (2 if halved else 1), source=entry["source"], halved=halved)
