"""What an engine says of the time inside a run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

# Runs before those of a profile.
WARMUP = 3


@dataclass(frozen=True, kw_only=True)
class Layer:
    """An operator as the runtime computes it, which may be several of the file's in one.

    Attributes:
        name: the runtime's.
        kind: the runtime's word for it, `Conv`.
        covers: names of the file's nodes that are computed in it, in order; none for what the runtime added.
        ms: milliseconds of it, one a run.
    """

    name: str
    kind: str
    covers: tuple[str, ...]
    ms: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Profile:
    """A file's runs, layer by layer.

    Attributes:
        layers: in the order in which they run.
        ms: milliseconds of each whole run, as the runtime measured it.
        graph: the ONNX file whose nodes the layers cover; None where it is not here: then they cover none.
    """

    layers: tuple[Layer, ...]
    ms: tuple[float, ...]
    graph: Path | None
