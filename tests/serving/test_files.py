"""The page's files: as what they come, and with what a browser is told to keep to."""

from __future__ import annotations

from pathlib import Path

import pytest

from segface_edge import zoo

from .running import running


def test_files_of_the_page_are_open_and_shut_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"index.html": "<p>é</p>", "page.js": "let a;", "page.css": "p {}", "logo.svg": "<svg/>", "notes.txt": "x"}
    for name, content in files.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    monkeypatch.setattr("segface_edge.serving.page.FOLDER", tmp_path)
    with running(token="a-token-of-the-tests") as server:
        for path, kind in (
            ("/", "text/html; charset=utf-8"),
            ("/page.js", "text/javascript; charset=utf-8"),
            ("/page.css", "text/css; charset=utf-8"),
            ("/logo.svg", "image/svg+xml"),
        ):
            reply = server.client.get(path, headers={"Authorization": ""})
            assert (reply.status_code, reply.headers["content-type"]) == (200, kind)
            assert reply.text == files[path[1:] or "index.html"]
            assert reply.headers["cache-control"] == "no-store"
            assert reply.headers["content-security-policy"].startswith("default-src 'self'; ")
            assert reply.headers["x-content-type-options"] == "nosniff"
        assert server.client.get("/sample.jpg").content == zoo.PORTRAIT.read_bytes()
        for path in ("/notes.txt", "/index.html", "/../settings.py", "/%2e%2e/settings.py", "/page/index.html"):
            assert server.client.get(path).status_code == 404


def test_a_package_without_a_page_serves_all_the_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segface_edge.serving.page.FOLDER", tmp_path / "absent")
    with running() as server:
        assert server.client.get("/").status_code == 404
        assert server.client.get("/healthz").status_code == 200
