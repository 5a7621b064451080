"""`segface-edge serve` comes up, says where, answers, ends as it is asked to; what it cannot do is said in a line."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from segface_edge import zoo
from segface_edge.errors import InputError, MissingDependencyError

for _package in ("starlette", "uvicorn", "websockets", "python_multipart", "prometheus_client"):
    pytest.importorskip(_package, reason="serving needs the extra serve")

from segface_edge.serving import server

Cli = Callable[..., Any]
MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import segface_edge.cli as c; c.main()"


@contextmanager
def served(*arguments: str, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process of its own, and where it is."""
    process = subprocess.Popen(
        [sys.executable, "-c", MAIN, "serve", "--port", "0", *arguments],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        found = re.fullmatch(r"serving (\S+) on cpu at (http://127\.0\.0\.1:\d+)\n", line)
        assert found, line + process.communicate(timeout=20)[1]
        assert found[1] == zoo.DEFAULT_MODEL.name
        yield process, found[2]
    finally:
        process.kill()
        process.communicate()


def asked(address: str, body: bytes | None = None, **headers: str) -> bytes:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(address, body, headers), timeout=20) as reply:
        return bytes(reply.read())


@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGTERM, 0, ""), (signal.SIGINT, 130, "stopped")])
def test_it_parses_until_a_signal_ends_it(number: int, code: int, word: str) -> None:
    with served("--locate", "whole") as (process, url):
        assert b'"hair"' in asked(f"{url}/v1/parse", zoo.PORTRAIT.read_bytes())
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err.strip()) == (code, "", word)


def test_a_token_comes_from_the_environment() -> None:
    with served(SEGFACE_EDGE_TOKEN="a-token-of-the-tests") as (_, url):
        with pytest.raises(urllib.request.HTTPError) as caught:
            asked(f"{url}/v2")
        assert caught.value.code == 401
        caught.value.close()
        assert b"segface-edge" in asked(f"{url}/v2", Authorization="Bearer a-token-of-the-tests")


def refused(cli: Cli, *arguments: object, code: int = 1) -> str:
    result = cli("serve", *arguments)
    assert (result.code, result.out) == (code, "")
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    return str(line)


def test_a_port_that_is_taken(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(cli, "--port", port)
    assert f"127.0.0.1:{port}" in line
    assert "already in use" in line
    assert "--port" in line


def test_hosts_that_cannot_be_had(cli: Cli) -> None:
    assert "there is no such host" in refused(cli, "--host", "no.such.host.invalid", "--port", 0)
    assert "give an address of this machine" in refused(cli, "--host", "192.0.2.1", "--port", 0)


def test_a_port_without_the_right_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr("segface_edge.serving.server.socket.socket.bind", denied)
    with pytest.raises(InputError, match=r"127.0.0.1:80: .*permission denied.*from 1024 on"):
        server.bind("127.0.0.1", 80)


@pytest.mark.parametrize("arguments", [("--token", "x y"), ("--name", "a/b")])
def test_options_that_are_none(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert arguments[0] in refused(cli, "--port", 0, *arguments, code=2)


def test_it_warns_where_anyone_may_call(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "serve", lambda *_: 0)
    result = cli("serve", "--host", "0.0.0.0", "--port", 0)
    assert result.code == 0
    (line,) = result.err.splitlines()
    assert line.startswith("warning: http://0.0.0.0:")
    assert "there is no authentication" in line
    assert "SEGFACE_EDGE_TOKEN" in line
    for arguments in (("--host", "0.0.0.0", "--token", "a-token-of-the-tests"), ()):
        result = cli("serve", "--port", 0, *arguments)
        assert (result.code, result.err) == (0, "")


@pytest.mark.parametrize("package", ["starlette", "uvicorn", "websockets", "python_multipart", "prometheus_client"])
def test_a_package_that_is_missing(cli: Cli, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    line = refused(cli, "--port", 0, code=MissingDependencyError.exit_code)
    assert package in line
    assert "pip install 'segface-edge[serve]'" in line
