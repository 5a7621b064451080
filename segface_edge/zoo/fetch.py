"""Models by name, into the cache: resumed where they broke off, checked, and kept only where they are right."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from segface_edge.cache import lock, make_folder
from segface_edge.errors import InputError, missing_extra
from segface_edge.files import sha256_of, whole_file, write_whole

from .models import Model, find

# For a length in bytes and a label: what is told bytes that came.
Bar = Callable[[int, str], AbstractContextManager[Callable[[int], None]]]


def _no_bar(*_: object) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda _: None)


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A model's file that is here.

    Attributes:
        model: which.
        path: where it is.
        sha256: of the file.
        came: bytes that came now; 0 where it was here already.
        resumed_at: the byte at which this fetch went on.
        recorded: its hash was known from nowhere, and is recorded beside it now.
        origin: where it is from, as far as anyone knows.
    """

    model: Model
    path: Path
    sha256: str
    came: int = 0
    resumed_at: int = 0
    recorded: bool = False
    origin: str = "the package"


def fetch(name: str, *, folder: Path | None = None, bar: Bar = _no_bar) -> Fetched:
    """The file of a model, fetched if it is not here.

    Args:
        name: of the model, see `models.find`.
        folder: take it from there, without a network: the file, or its folder as the authors call it.
        bar: makes a progress bar.

    Raises:
        UsageError: unknown name.
        InputError: it cannot be fetched, is not what it should be, or cannot be written. What came stays only where it
            is the beginning of the file.
        MissingDependencyError: there is nothing to fetch it with.
    """
    model = find(name)
    path = model.place
    if model.url is None:
        return Fetched(model=model, path=path, sha256=sha256_of(path))
    make_folder(path.parent)
    with lock(path):
        known = model.sha256 or _recorded(path)
        if path.is_file() and (digest := sha256_of(path)) == known:
            return Fetched(model=model, path=path, sha256=digest, origin=_told_of(model, "the cache"))
        came = _copy(model, folder, known) if folder is not None else _download(model, model.url, known, bar)
        if known is None:
            write_whole(_record(path), f"{came.sha256}  {path.name}\n".encode())
        return came


def forget(model: Model) -> None:
    """Removes what `fetch` left but for the hash: the file has been made into another one."""
    with lock(model.place):
        model.place.unlink(missing_ok=True)


def _copy(model: Model, folder: Path, known: str | None) -> Fetched:
    source = _in_folder(model, folder)
    path = model.place
    with whole_file(path) as temporary:
        shutil.copyfile(source, temporary)
        digest = sha256_of(temporary)
        _check(source, digest, known, path)
    return Fetched(
        model=model,
        path=path,
        sha256=digest,
        came=path.stat().st_size,
        recorded=known is None,
        origin=_told_of(model, "a folder"),
    )


def _told_of(model: Model, where: str) -> str:
    """Where a file that did not come from its address now is from: without a hash in the table, nobody here knows."""
    return f"{model.url}" if model.sha256 else f"{where}, as {model.url}"


def _in_folder(model: Model, folder: Path) -> Path:
    """Its file below a folder of the user's, laid out as the hub's or as its own name."""
    if not folder.is_dir():
        raise InputError(folder, "no such folder", "give the folder that holds the file")
    names = [Path(*model.file.parts[-2:])] if model.published else [Path((model.url or "").rpartition("/")[2])]
    if folder.absolute().name == model.file.parent.name:
        names.append(Path(model.file.name))
    names += [model.file, Path(f"{model.name}{model.file.suffix}")]
    for name in names:
        if (folder / name).is_file():
            return folder / name
    raise InputError(folder, f"holds no {names[0]}", "put the file there, under that name")


def _download(model: Model, url: str, known: str | None, bar: Bar) -> Fetched:
    try:
        from .download import Told, ask, download
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "fetch", "segface-edge models fetch") from error
    path = model.place
    part = path.with_name(f"{path.name}.part")
    told = Told(model.size, model.sha256) if model.sha256 else ask(url)
    had = part.stat().st_size if part.exists() else 0
    with bar(told.size or 1, f"fetching {model.name}") as advance:
        advance(had)
        download(url, part, size=told.size, advance=advance)
    digest = sha256_of(part)
    try:
        # What the hub says now does not excuse a file that is another than the first one.
        _check(url, digest, known or told.sha256, path)
    except InputError:
        part.unlink()
        raise
    part.replace(path)
    size = path.stat().st_size
    resumed_at = had if had < size else 0
    return Fetched(
        model=model,
        path=path,
        sha256=digest,
        came=size - resumed_at,
        resumed_at=resumed_at,
        recorded=known is None,
        origin=url,
    )


def _check(source: object, digest: str, known: str | None, path: Path) -> None:
    if known is None or digest == known:
        return
    record = _record(path)
    cure = "fetch it again, or by hand: --from DIR"
    if record.is_file():
        cure = f"fetch it again; or, if its publisher has changed it, remove {record}, which holds the first one's hash"
    raise InputError(source, f"is not the file that was expected (sha256 {digest[:12]}…, not {known[:12]}…)", cure)


def _record(path: Path) -> Path:
    """Beside the file, as `sha256sum -c` reads it."""
    return path.with_name(f"{path.name}.sha256")


def _recorded(path: Path) -> str | None:
    record = _record(path)
    if not record.is_file():
        return None
    first = record.read_text(encoding="utf-8", errors="replace").partition(" ")[0]
    if not re.fullmatch("[0-9a-f]{64}", first):
        raise InputError(record, "holds no sha256", "remove it: the next fetch records it again")
    return first
