"""Models by name without a network: from a folder, from the package; what cannot be had is said."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segface_edge import zoo
from segface_edge.errors import InputError, UsageError
from segface_edge.zoo.fetch import fetch
from segface_edge.zoo.models import MODELS

Cli = Callable[..., Any]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SEGFACE_EDGE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


def left(folder: Path) -> list[str]:
    """Files below a folder, but for locks."""
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.suffix != ".lock")


def test_a_cache_that_cannot_be_written_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGFACE_EDGE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(InputError, match="cannot be made .*; set SEGFACE_EDGE_CACHE to a folder"):
        fetch("yunet")


def test_a_folder_will_do_without_a_network(cache: Path, shared: Path, tmp_path: Path, cli: Cli) -> None:
    source = shared / "models" / "yunet"
    done = cli("models", "fetch", "yunet", "--from", source)
    assert (done.code, done.err) == (0, "")
    assert (cache / "yunet.onnx").read_bytes() == (source / "yunet_n_640_640.onnx").read_bytes()
    assert left(cache) == ["yunet.onnx"]
    empty = tmp_path / "empty"
    empty.mkdir()
    (cache / "yunet.onnx").unlink()
    done = cli("models", "fetch", "yunet", "--from", empty)
    assert done.err == f"error: {empty}: holds no yunet_n_640_640.onnx; put the file there, under that name\n"
    (empty / "yunet_n_640_640.onnx").write_bytes(b"another")
    assert "is not the file that was expected" in cli("models", "fetch", "yunet", "--from", empty).err
    assert left(cache) == []


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.setitem(sys.modules, "segface_edge.zoo.download", None)
    monkeypatch.setitem(sys.modules, "requests", None)
    monkeypatch.delattr("segface_edge.zoo.download", raising=False)
    done = cli("models", "fetch", "yunet")
    assert (done.code, done.out) == (3, "")
    assert done.err.endswith("is not installed; install it with: pip install 'segface-edge[fetch]'\n")


def test_a_name_that_is_none() -> None:
    with pytest.raises(UsageError, match="see what there is: segface-edge models list"):
        fetch("resnet")


def test_the_detector_is_the_file_that_the_tests_use(shared: Path) -> None:
    model = MODELS["yunet"]
    content = (shared / "models" / "yunet" / "yunet_n_640_640.onnx").read_bytes()
    assert (model.sha256, model.size) == (hashlib.sha256(content).hexdigest(), len(content))


def test_the_bundled_detector_is_that_file() -> None:
    """With its licence beside it."""
    content = zoo.DETECTOR.read_bytes()
    assert hashlib.sha256(content).hexdigest() == MODELS["yunet"].sha256
    assert "Apache License" in zoo.DETECTOR.with_name("yunet_LICENSE.txt").read_text()


def test_the_list_has_every_model_once_and_says_what_is_here(cli: Cli, shared: Path) -> None:
    rows = {row["name"]: row for row in json.loads(cli("models", "list", "--json", "-").out)}
    assert list(rows) == list(MODELS)
    assert [rows[name]["state"] for name in (*zoo.RELEASED, "yunet")] == ["bundled"] * len(zoo.RELEASED) + ["-"]
    assert cli("models", "fetch", "yunet", "--from", shared / "models" / "yunet").code == 0
    text = cli("models", "list").out
    assert [line.split()[1] for line in text.splitlines() if line.startswith("yunet")] == ["here"]
    assert len(text.splitlines()) == len(MODELS)
    done = cli("models", "fetch", zoo.DEFAULT_BACKBONE)
    assert (done.code, done.out.splitlines()[0]) == (0, f"{zoo.DEFAULT_CHECKPOINT} is bundled")
    assert "fetch it: segface-edge models fetch" in cli("models", "info", "segface/mobilenet_celeba_512").out
