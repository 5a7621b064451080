"""Pictures at addresses, from a server on this machine."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.cli import main
from segface_edge.engines import FakeEngine
from segface_edge.errors import ImageError
from segface_edge.pictures import address, reading
from segface_edge.sources.kinds import is_live, is_video
from segface_edge.sources.photos import find

PORTRAIT = zoo.PORTRAIT.read_bytes()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        getattr(self, f"_{path.strip('/').replace('.', '_').replace('%20', '_')}", self._absent)()

    def log_message(self, *_: object) -> None:
        pass

    def _absent(self) -> None:
        self.send_error(404)

    def _send(self, content: bytes, kind: str | None, length: int | None = None) -> None:
        self.send_response(200)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content) if length is None else length))
        self.end_headers()
        with contextlib.suppress(OSError):  # who only asked what it is has gone
            self.wfile.write(content)

    def _to(self, place: str) -> None:
        self.send_response(302)
        self.send_header("Location", place)
        self.end_headers()

    def _photo_png(self) -> None:
        self._send(PORTRAIT, "image/png")

    def _my_photo_png(self) -> None:
        self._send(PORTRAIT, None)

    def _avatar(self) -> None:
        self._send(PORTRAIT, "image/png")

    def _moved(self) -> None:
        self._to("/avatar")

    def _around(self) -> None:
        self._to("/around")

    def _to_file(self) -> None:
        self._to("file:///etc/hostname")

    def _page_jpg(self) -> None:
        self._send(b"<html>", "text/html; charset=utf-8")

    def _page(self) -> None:
        self._send(b"<html>", "text/html")

    def _text_png(self) -> None:
        self._send(b"I am not a picture", "image/png")

    def _cut_png(self) -> None:
        self._send(PORTRAIT[:1000], "image/png", len(PORTRAIT))

    def _camera(self) -> None:
        self._send(b"--frame", "multipart/x-mixed-replace; boundary=frame")

    def _slow_png(self) -> None:
        """A byte now and then, for longer than anyone waits."""
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(40):
                self.wfile.write(b"x")
                time.sleep(0.1)
        except OSError:
            pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as running:
        running.daemon_threads = True
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.mark.parametrize("name", ["photo.png", "photo.png?size=2", "avatar", "moved", "my photo.png"])
def test_a_picture_at_an_address_is_read(server: str, name: str) -> None:
    wanted = reading.load(PORTRAIT)
    assert np.array_equal(reading.load(f"{server}/{name}"), wanted)
    assert np.array_equal(reading.load(f"HTTP{server[4:]}/{name}"), wanted)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("absent.jpg", r"cannot be fetched \(HTTP 404 Not Found\)"),
        ("page.jpg", "is no picture but text/html"),
        ("camera", "is no picture but multipart/x-mixed-replace"),
        ("text.png", "is not a picture that can be read"),
        ("cut.png", "breaks off after 1000 of"),
        ("around", r"cannot be fetched \(HTTP 302"),
        ("to_file", r"cannot be fetched \("),
    ],
)
def test_what_is_no_picture_is_refused_in_one_line(server: str, name: str, problem: str) -> None:
    with pytest.raises(ImageError, match=problem) as caught:
        reading.load(f"{server}/{name}")
    assert str(caught.value).startswith(f"{server}/{name}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("place", ["http://127.0.0.1:1/a.jpg", "http://", "http://[::1/a.jpg", "https://no host/a.jpg"])
def test_an_address_that_leads_nowhere_is_refused(place: str) -> None:
    with pytest.raises(ImageError, match="cannot be fetched"):
        reading.load(place)


def test_a_server_without_end_is_left(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "_PATIENCE_S", 0.4)
    began = time.perf_counter()
    with pytest.raises(ImageError, match=r"takes over 0\.4 s"):
        reading.load(f"{server}/slow.png")
    assert time.perf_counter() - began < 3


def test_too_many_bytes_are_refused(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "_MOST_BYTES", 1000)
    with pytest.raises(ImageError, match="has over 0 MiB"):
        reading.load(f"{server}/photo.png")


def test_only_text_is_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match="no such file"):
        reading.load(Path("http://127.0.0.1:1/a.jpg"))
    assert not address.is_address("httpd/photo.jpg")
    assert not address.is_address("ftp://example.com/a.jpg")


@pytest.mark.parametrize(
    ("name", "video"),
    [("photo.png", False), ("avatar", False), ("my%20photo.png", False), ("page", False), ("page.jpg", False),
     ("camera", True), ("absent.jpg", False), ("absent.mp4", True), ("absent", True)],
)  # fmt: skip
def test_pictures_are_told_from_streams(server: str, name: str, video: bool) -> None:
    assert is_video(f"{server}/{name}") is video


def test_long_addresses_are_no_files() -> None:
    """A file's name may have 255 bytes, what is signed has more."""
    long = f"http://127.0.0.1:1/a.jpg?{'signature' * 60}"
    assert is_live(long)
    assert not is_video(long)
    assert find(long)[0].photo == long


def test_a_list_may_name_addresses(server: str, tmp_path: Path) -> None:
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "list.txt").write_text(f"a.png\n{server}/absent.jpg\n{server}/avatar\n")
    with FaceParser(FakeEngine(), locate="whole") as parser:
        done = list(parser.stream(tmp_path / "list.txt"))
        (single,) = parser.stream(f"{server}/photo.png")
    assert [one.name for one in done] == [str(tmp_path / "a.png"), f"{server}/absent.jpg", f"{server}/avatar"]
    assert [one.face is not None for one in done] == [True, False, True]
    assert single.face is not None
    assert single.face.labels.shape == (512, 512)


def test_the_command_line_takes_an_address(
    server: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> object:
        with pytest.raises(SystemExit) as end:
            main(list(arguments))
        return end.value.code

    assert run("parse", f"{server}/photo.png?size=2", "-o", "out/") == 0
    with Image.open(tmp_path / "out" / "photo.png") as picture:
        assert picture.size == (512, 512)
    assert run("parse", f"{server}/absent.jpg", "-o", "one.png") == 1
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"error: {server}/absent.jpg: cannot be fetched (HTTP 404 Not Found); check the address and the network"
    )
    assert not (tmp_path / "one.png").exists()


def test_the_bytes_that_come_are_those_that_are_there(server: str) -> None:
    assert address.fetch(f"{server}/photo.png") == PORTRAIT
    assert Image.open(io.BytesIO(address.fetch(f"{server}/avatar"))).size == (512, 512)
    assert address.name_of("https://example.com/a/my%20photo.jpg?x=1") == "my photo.jpg"
    assert address.name_of("https://example.com/") == "picture"
