"""`model.onnx@engine=openvino,threads=1`: a model file, and how it is opened, in one word of a command line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from segface_edge import zoo
from segface_edge.engines import ENGINES, MAX_THREADS, engine_name
from segface_edge.errors import UsageError
from segface_edge.files import count_in

from .pretrained import file_of

_KEYS = ("threads", "device", "engine", "spec")


@dataclass(frozen=True)
class Choice:
    """A model file and what was said of how to open it.

    Attributes:
        name: as the user wrote it.
        file: the model file.
        said: of `threads`, `device`, `engine`, `spec`, as `open_engine` takes them, those that were said.
    """

    name: str
    file: Path
    said: Mapping[str, str | int | Path] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """For reports: the file's name, and what was said."""
        said = ",".join(f"{key}={value}" for key, value in self.said.items())
        return f"{self.file.name}@{said}" if said else self.file.name

    @property
    def engine(self) -> str:
        """The key of `ENGINES` that runs it. Errors as of `engine_name`."""
        return engine_name(self.file, str(self.said["engine"]) if "engine" in self.said else None)

    @property
    def of_checkpoint(self) -> bool:
        """Whether PyTorch runs it, at any size. Errors likewise."""
        return self.engine.startswith("torch")

    def options(self, **defaults: Any) -> dict[str, Any]:
        """What was said, and of the rest what a command's own options say, but for those that are None."""
        return {name: value for name, value in defaults.items() if value is not None} | dict(self.said)


BUNDLED = Choice(zoo.DEFAULT_MODEL.name, zoo.DEFAULT_MODEL)


def parse_choice(text: str) -> Choice:
    """Reads `FILE` or `FILE@key=value,…`; FILE may be the name of a model.

    Raises:
        UsageError: an unknown key or engine, or a value that is none.
        SegFaceEdgeError: of a model's name, what `model_file` raises.
    """
    file, at, tail = text.rpartition("@")
    # A path may hold an @ itself.
    if not at or Path(text).exists() or "/" in tail.partition("=")[0]:
        file, tail = text, ""
    said: dict[str, str | int | Path] = {}
    for part in filter(None, tail.split(",")):
        key, equals, value = part.partition("=")
        if key not in _KEYS or not equals or not value:
            raise UsageError(text, f"has the unknown option '{part}'", f"use {', '.join(_KEYS)} as key=value")
        if key == "threads" and not 1 <= (count_in(value) or 0) <= MAX_THREADS:
            raise UsageError(text, f"threads is '{value}'", f"give a whole number, 1 to {MAX_THREADS}")
        if key == "engine" and value not in ENGINES:
            raise UsageError(text, f"names the unknown engine '{value}'", f"use one of: {', '.join(ENGINES)}")
        said[key] = {"threads": int, "spec": Path}.get(key, str)(value)
    return Choice(text, file_of(file), said)
