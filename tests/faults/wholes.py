"""Whether files are whole: each is opened by what opens files of its kind."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from segface_edge.engines.nvidia.plan import read_plan
from segface_edge.engines.ort.metadata import read_metadata
from segface_edge.sources.video import Video

# Hidden files that are to stay: what says that somebody is at it.
_STAY = re.compile(r"(\.lock|.*\.lock)")


def _json(path: Path) -> None:
    json.loads(path.read_text())


def _lines(path: Path) -> None:
    text = path.read_text()
    assert not text or text.endswith("\n"), "the last line is cut off"
    for line in text.splitlines():
        json.loads(line)


def _picture(path: Path) -> None:
    with Image.open(path) as picture:
        picture.load()


def _video(path: Path) -> None:
    with Video(str(path)) as video:
        assert list(video)


def _onnx(path: Path) -> None:
    if path.name not in ("faces.onnx", "yunet.onnx", "small.onnx"):  # not of this project
        read_metadata(path)


def _plan(path: Path) -> None:
    assert read_plan(path)[1] is not None, "has no document"


def _parquet(path: Path) -> None:
    from pyarrow.parquet import read_table

    assert len(read_table(path))


def _weights(path: Path) -> None:
    from segface_edge.network.checkpoint import read_checkpoint

    read_checkpoint(path)


def _state(path: Path) -> None:
    import torch

    torch.load(path, weights_only=True)


def _text(path: Path) -> None:
    assert path.read_text().rstrip()[-1] in ">|}0123456789.)", "it is cut off"


_KINDS: dict[str, Callable[[Path], None]] = {
    ".json": _json,
    ".jsonl": _lines,
    ".png": _picture,
    ".mp4": _video,
    ".onnx": _onnx,
    ".plan": _plan,
    ".parquet": _parquet,
    ".safetensors": _weights,
    ".pt": _state,
    ".html": _text,
    ".md": lambda path: path.read_text() and None,
    ".csv": lambda path: path.read_text() and None,
}


def broken(folder: Path, inputs: dict[Path, bytes], *, killed: bool, was_killed: bool = False) -> list[str]:
    """What is wrong in a folder after a command: files that are not whole, what is left over, inputs that changed.

    Args:
        folder: of the command.
        inputs: {file: content} that it was given.
        killed: hidden files may be there, and a last line that is cut off.
        was_killed: the run before was: what it left in the system's temporary folder stays there.
    """
    found = [
        f"{path.name} has changed"
        for path, content in inputs.items()
        if not path.exists() or path.read_bytes() != content
    ]
    for path in sorted(folder.rglob("*")):
        below = path.relative_to(folder)
        if path in inputs or below.parts == ("temp",) or (path.is_dir() and below.parts[0] != "temp"):
            if path.name.startswith(".") and not killed:
                found.append(f"{below} is left over")
            continue
        if below.parts[0] == "temp" and path.is_dir() and not any(path.iterdir()):
            continue  # Ctrl-C in Python's own `mkdtemp`
        hidden = any(part.startswith(".") for part in below.parts)
        if below.parts[0] == "temp" or (hidden and not _STAY.fullmatch(path.name)):
            temporary = below.parts[0] == "temp" and (was_killed or "torchinductor" in str(below))
            if not killed and not temporary:
                found.append(f"{below} is left over")
            continue
        if killed and path.suffix == ".jsonl":
            text = path.read_text()
            path_lines = text[: text.rfind("\n") + 1]
            for line in path_lines.splitlines():
                json.loads(line)
            continue
        check = _KINDS.get(path.suffix)
        try:
            if check is not None:
                check(path)
        except Exception as error:
            found.append(f"{below} is not whole: {type(error).__name__} {str(error)[:200]}")
    return found
