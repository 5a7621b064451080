"""Models that are fetched by name, from a server of the test's own: resumed, checked, kept only where right."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from segface_edge.errors import InputError
from segface_edge.zoo.fetch import fetch
from segface_edge.zoo.models import MODELS, Model

pytest.importorskip("requests", reason="models are fetched with requests")

from segface_edge.zoo import download as download_module

from .served import Serving, serve

Cli = Callable[..., Any]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGFACE_EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    """The models `small`, whose hash is known, and `new`, whose hash is not."""
    monkeypatch.setattr(download_module, "_TIMEOUT_S", 0.3)
    serving = Serving()
    server = serve(serving)
    new = Model(name="new", what="a test's", terms="none", url=f"{serving.url}/new", file=Path("new.bin"))
    known = {"url": f"{serving.url}/small", "sha256": serving.sha256, "size": len(serving.content)}
    monkeypatch.setitem(MODELS, "new", new)
    monkeypatch.setitem(MODELS, "small", replace(new, name="small", file=Path("small.bin"), **known))
    yield serving
    server.shutdown()
    server.server_close()


def left(folder: Path) -> list[str]:
    """Files below a folder, but for locks."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_a_model_is_fetched_once_and_mended_where_it_is_damaged(serving: Serving, cache: Path) -> None:
    fetched = fetch("small")
    assert (fetched.path, fetched.came, fetched.recorded) == (cache / "small.bin", len(serving.content), False)
    assert fetched.path.read_bytes() == serving.content
    assert fetch("small").came == 0
    assert serving.asked == [("GET", None)]
    fetched.path.write_bytes(b"damaged")
    assert fetch("small").path.read_bytes() == serving.content
    assert left(cache) == ["small.bin"]


def test_an_interrupted_fetch_goes_on_at_its_byte(serving: Serving, cache: Path) -> None:
    half = len(serving.content) // 2
    serving.breaks_at = half
    with pytest.raises(
        InputError, match=r"cannot be fetched \(.* bytes are kept, the next try goes on there\)"
    ) as told:
        fetch("small")
    kept = (cache / "small.bin.part").read_bytes()
    assert kept == serving.content[: len(kept)]
    assert half - download_module._CHUNK < len(kept) <= half
    assert f"; {len(kept)} of {len(serving.content)} bytes are kept" in str(told.value)
    # It has gone on by itself as long as something came.
    assert (serving.gets[0], serving.gets[-1]) == (None, f"bytes={len(kept)}-")
    serving.breaks_at = None
    serving.asked.clear()
    fetched = fetch("small")
    assert serving.gets == [f"bytes={len(kept)}-"]
    assert (fetched.resumed_at, fetched.came) == (len(kept), len(serving.content) - len(kept))
    assert fetched.path.read_bytes() == serving.content
    assert left(cache) == ["small.bin"]


def test_ctrl_c_keeps_what_came(serving: Serving, cache: Path) -> None:
    def stopped(*_: Any) -> Any:
        def advance(_: int) -> None:
            if (cache / "small.bin.part").exists():
                raise KeyboardInterrupt

        return nullcontext(advance)

    with pytest.raises(KeyboardInterrupt):
        fetch("small", bar=stopped)
    assert fetch("small").resumed_at == download_module._CHUNK
    assert serving.gets == [None, f"bytes={download_module._CHUNK}-"]


def test_a_server_without_ranges_gives_the_whole_file_again(serving: Serving, cache: Path) -> None:
    serving.ranges = False
    cache.mkdir(parents=True)
    (cache / "small.bin.part").write_bytes(serving.content[:1000])
    assert fetch("small").path.read_bytes() == serving.content


@pytest.mark.parametrize("part", [b"another beginning" * 10, b"x" * 300_000], ids=["another", "too long"])
def test_a_part_of_another_file_spoils_nothing(serving: Serving, cache: Path, part: bytes) -> None:
    cache.mkdir(parents=True)
    (cache / "small.bin.part").write_bytes(part)
    if len(part) < len(serving.content):
        with pytest.raises(InputError, match="is not the file that was expected"):
            fetch("small")
        assert left(cache) == []
    assert fetch("small").path.read_bytes() == serving.content


@pytest.mark.parametrize(
    "content", [b"b model" * 30_000, b"a model" * 30_001, b"a model" * 29_999], ids=["other", "longer", "shorter"]
)
def test_a_wrong_file_leaves_nothing_that_could_be_used(serving: Serving, cache: Path, content: bytes) -> None:
    serving.content = content
    for _ in range(2):
        with pytest.raises(InputError, match="is not the file that was expected|is longer than|cannot be fetched"):
            fetch("small")
    assert "small.bin" not in left(cache)
    if len(content) >= 210_000:
        assert left(cache) == []


def test_a_hash_that_is_not_known_is_the_hub_s_and_is_recorded(serving: Serving, cache: Path, cli: Cli) -> None:
    done = cli("models", "fetch", "new", "--json", "-")
    assert (done.code, done.err) == (0, "")
    told = json.loads(done.out)
    assert (told["sha256"], told["recorded"], told["came"]) == (serving.sha256, True, len(serving.content))
    # As `sha256sum -c` reads it.
    assert (cache / "new.bin.sha256").read_text() == f"{serving.sha256}  new.bin\n"
    assert serving.asked == [("HEAD", None), ("GET", None)]
    # From now on it is known: another file of that name is refused, whatever the hub says of it.
    (cache / "new.bin").unlink()
    serving.content = b"a newer" * 30_000
    with pytest.raises(InputError, match=r"if its publisher has changed it, remove .*new\.bin\.sha256"):
        fetch("new")
    assert left(cache) == ["new.bin.sha256"]


def test_what_is_not_what_the_hub_says_is_refused(
    serving: Serving, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = download_module.Told(len(serving.content), "0" * 64)
    monkeypatch.setattr(download_module, "ask", lambda _: told)
    with pytest.raises(InputError, match="is not the file that was expected"):
        fetch("new")
    assert left(cache) == []


def test_where_nobody_knows_the_hash_the_first_one_is_recorded(serving: Serving, cli: Cli) -> None:
    serving.etag = False
    done = cli("models", "fetch", "new")
    assert f"its sha256 was not known, and is recorded now: {serving.sha256}" in done.out
    assert cli("models", "fetch", "new").out.splitlines()[0].endswith("is here already")


def test_redirects_are_followed_and_resumed(serving: Serving, cache: Path) -> None:
    serving.redirects = 1
    cache.mkdir(parents=True)
    (cache / "small.bin.part").write_bytes(serving.content[:1000])
    assert fetch("small").path.read_bytes() == serving.content
    assert serving.gets == ["bytes=1000-", "bytes=1000-"]


def test_a_server_that_says_nothing_is_not_waited_for(serving: Serving, cache: Path, cli: Cli) -> None:
    serving.silent = 1.0
    done = cli("models", "fetch", "small")
    assert done.code == 1
    assert "cannot be fetched (" in done.err.splitlines()[-1]
    assert "small.bin" not in left(cache)


@pytest.mark.usefixtures("serving")
def test_no_network_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("small", "new"):
        monkeypatch.setitem(MODELS, name, replace(MODELS[name], url="http://127.0.0.1:1/nothing"))
        done = cli("models", "fetch", name)
        (line,) = [line for line in done.err.splitlines() if line.startswith("error: ")]
        assert done.code == 1
        assert "check the network and run it again, or fetch it by hand: --from DIR" in line


@pytest.mark.parametrize("status", [404, 403, 500])
def test_a_refusal_is_said(serving: Serving, status: int) -> None:
    serving.status = status
    for name in ("small", "new"):
        with pytest.raises(InputError, match=rf"cannot be fetched \(HTTP {status}\)"):
            fetch(name)


def test_no_space_is_said_before_and_where_it_ends(
    serving: Serving, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**6, 10**6 - 10, 10))  # type: ignore[attr-defined]
        with pytest.raises(InputError, match=r"has room for 0 MB, and 0 MB are to come; make room, or set SEGFACE"):
            fetch("small")
    assert serving.asked == []

    def full(*_: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(download_module, "_go_on", full)
    with pytest.raises(InputError, match=r"cannot be written \(no space left on device\); make room"):
        fetch("small")
    assert "small.bin" not in left(cache)


@pytest.mark.parametrize("location", ["http://[", "http://[::1", "http://127.0.0.1:x/", "caf\xe9://"])
def test_redirects_to_what_is_no_address_are_one_line(serving: Serving, cache: Path, cli: Cli, location: str) -> None:
    serving.redirects, serving.location = 1, location
    done = cli("models", "fetch", "small")
    assert done.code == 1
    assert "cannot be fetched (" in done.err.splitlines()[-1]
    assert "small.bin" not in left(cache)
