"""Models that are fetched: from a server of the test's own."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from segface_edge import zoo
from segface_edge.errors import InputError, UsageError
from segface_edge.zoo import fetch as fetch_module
from segface_edge.zoo.fetch import MODELS, Model, fetch, place_of

CONTENT = b"a model" * 1000


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[bytes, int], list[str]]]:
    """Serves a content with a status as the model `small`; what was asked for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked: list[str] = []
    answer = {"content": CONTENT, "status": 200}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(int(answer["status"]))  # type: ignore[call-overload]
            self.end_headers()
            self.wfile.write(answer["content"])  # type: ignore[arg-type]

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    model = Model(
        url=f"http://127.0.0.1:{server.server_port}/small",
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        size=len(CONTENT),
        terms="none",
    )
    monkeypatch.setitem(MODELS, "small", model)

    def serve(content: bytes = CONTENT, status: int = 200) -> list[str]:
        answer.update(content=content, status=status)
        return asked

    yield serve
    server.shutdown()
    server.server_close()


def test_a_model_is_fetched_once(served: Any, cli: Any) -> None:
    asked = served()
    came: list[int] = []
    path = fetch("small", progress=came.append)
    assert (path, path.read_bytes(), sum(came)) == (place_of("small"), CONTENT, len(CONTENT))
    assert fetch("small") == path
    assert asked == ["/small"]
    path.write_bytes(b"damaged")
    done = cli("fetch", "small")
    assert (done.code, done.out) == (0, f"{path} (none)\n")
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (CONTENT[:-1], 200, "is not the file that was expected"),
        (CONTENT * 3, 200, "is not the file that was expected"),
        (CONTENT, 404, "cannot be fetched"),
    ],
)
def test_what_is_not_the_model_is_not_kept(served: Any, content: bytes, status: int, words: str) -> None:
    served(content, status)
    with pytest.raises(InputError, match=words):
        fetch("small")
    assert not place_of("small").exists()


@pytest.mark.usefixtures("served")
def test_an_answer_that_is_no_http_is_one_line(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def garbage(*_: Any, **__: Any) -> Any:
        raise fetch_module.http.client.BadStatusLine("garbage")

    monkeypatch.setattr(fetch_module.urllib.request, "urlopen", garbage)
    done = cli("fetch", "small")
    assert (done.code, len(done.err.splitlines())) == (1, 1)


@pytest.mark.usefixtures("served")
def test_no_network_is_one_line(cli: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(*_: Any, **__: Any) -> Any:
        raise fetch_module.urllib.error.URLError("Name or service not known")

    monkeypatch.setattr(fetch_module.urllib.request, "urlopen", offline)
    done = cli("fetch", "small")
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "cannot be fetched (Name or service not known); check the network" in done.err
    assert cli("fetch", "resnet").code == 2
    with pytest.raises(UsageError, match="use one of: yunet"):
        fetch("resnet")


def test_the_detector_is_the_file_that_the_tests_use(shared: Path) -> None:
    model = MODELS["yunet"]
    content = (shared / "models" / "yunet" / "yunet_n_640_640.onnx").read_bytes()
    assert (model.sha256, model.size) == (hashlib.sha256(content).hexdigest(), len(content))
    assert model.url.startswith("https://")


def test_the_bundled_detector_is_that_file() -> None:
    """With its licence beside it."""
    content = zoo.DETECTOR.read_bytes()
    assert hashlib.sha256(content).hexdigest() == MODELS["yunet"].sha256
    assert "Apache License" in zoo.DETECTOR.with_name("yunet_LICENSE.txt").read_text()
