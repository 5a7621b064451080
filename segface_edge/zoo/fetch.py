"""Models that go before the bundled ones, fetched by name: checked against their sha256, kept in the user's cache."""

from __future__ import annotations

import hashlib
import http.client
import os
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from segface_edge.errors import InputError, UsageError
from segface_edge.files import write_whole

_TIMEOUT_S = 30
_CHUNK = 2**16


@dataclass(frozen=True, kw_only=True)
class Model:
    """A file elsewhere.

    Attributes:
        url: where it is.
        sha256: of its content.
        size: in bytes.
        terms: licence.
    """

    url: str
    sha256: str
    size: int
    terms: str


MODELS = {
    "yunet": Model(
        url="https://github.com/ShiqiYu/libfacedetection.train/raw/"
        "47198234de8c4646961e46159e02af5b06021a78/onnx/yunet_n_640_640.onnx",
        sha256="25a606a145a5b6d7271ae138fbd00eba91dad8b83222ae3f2c7ecd0f4a7b0e31",
        size=317_466,
        terms="Apache-2.0",
    )
}


def place_of(name: str) -> Path:
    """Where a model is kept: `$XDG_CACHE_HOME/segface-edge/models`, by default below `~/.cache`."""
    try:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home, as services are
        root = Path(tempfile.gettempdir())
    return root / "segface-edge" / "models" / f"{name}.onnx"


def fetch(name: str, *, progress: Callable[[int], None] = lambda _: None) -> Path:
    """The model's file, fetched if it is not there.

    Args:
        name: key of `MODELS`.
        progress: told bytes that came.

    Raises:
        UsageError: unknown name.
        InputError: it cannot be fetched, is not what it should be, or cannot be written.
    """
    if name not in MODELS:
        raise UsageError(f"model {name!r}", "is unknown", f"use one of: {', '.join(MODELS)}")
    model, path = MODELS[name], place_of(name)
    if path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() == model.sha256:
        return path
    content = _read(model, progress)
    if hashlib.sha256(content).hexdigest() != model.sha256:
        raise InputError(
            model.url, "is not the file that was expected (sha256 differs)", "fetch it by hand, see --detector"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(path.parent, f"cannot be made ({error.strerror})", "set XDG_CACHE_HOME to a folder") from error
    write_whole(path, content)
    return path


def _read(model: Model, progress: Callable[[int], None]) -> bytes:
    parts, size = [], 0
    try:
        with urllib.request.urlopen(model.url, timeout=_TIMEOUT_S) as answer:
            while part := answer.read(_CHUNK):
                parts.append(part)
                size += len(part)
                progress(len(part))
                if size > model.size:
                    break  # not the file that was expected, and maybe without end
    except (urllib.error.URLError, http.client.HTTPException, OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise InputError(
            model.url, f"cannot be fetched ({reason})", "check the network, or fetch it by hand"
        ) from error
    return b"".join(parts)
