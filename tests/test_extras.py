"""What installs an optional package never brings another OpenCV or ONNX Runtime over the user's own."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest

from segface_edge import extras
from segface_edge.extras import pip_install

ASKED = [
    "numpy>=1.26",
    'starlette>=1.0; extra == "serve"',
    "uvicorn<0.55,>=0.54; extra == 'serve'",
    'tensorrt>=10.3; platform_machine == "x86_64" and extra == "tensorrt"',
]


@pytest.fixture
def own_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a Jetson: `cv2` is there, pip's package is not."""

    def version(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda _: ASKED)
    monkeypatch.setattr(extras, "find_spec", lambda _: object())


def test_an_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda _: "5.0")
    assert pip_install("serve") == "pip install 'segface-edge[serve]'"
    assert pip_install("ncnn", "pnnx") == "pip install 'segface-edge[ncnn,pnnx]'"


@pytest.mark.usefixtures("own_opencv")
def test_beside_another_opencv_its_packages_are_named() -> None:
    assert pip_install("serve") == "pip install 'starlette>=1.0' 'uvicorn<0.55,>=0.54'"
    assert pip_install("tensorrt") == "pip install 'tensorrt>=10.3; platform_machine == \"x86_64\"'"
    assert pip_install("tensorrt", "serve").endswith("' 'starlette>=1.0' 'uvicorn<0.55,>=0.54'")


def test_beside_an_onnxruntime_for_gpus_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(package: str) -> str:
        if package == "onnxruntime":  # onnxruntime-gpu has the same module
            raise metadata.PackageNotFoundError(package)
        return "5.0"

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setattr(metadata, "requires", lambda _: ASKED)
    assert pip_install("serve") == "pip install 'starlette>=1.0' 'uvicorn<0.55,>=0.54'"


@pytest.mark.usefixtures("own_opencv")
def test_without_opencv_the_extra_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    assert pip_install("serve") == "pip install 'segface-edge[serve]'"


@pytest.mark.usefixtures("own_opencv")
def test_sources_that_were_never_installed_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", metadata.version)
    assert pip_install("serve") == "pip install 'segface-edge[serve]'"


def test_every_extra_that_an_error_names_is_one(root: Path) -> None:
    known = set(re.findall(r"^([\w-]+) = \[", (root / "pyproject.toml").read_text(), re.MULTILINE))
    calls = re.compile(r"pip_install\(([^)]*)\)|missing_extra\(.+?, \"([\w-]+)\", ")
    found = set()
    for path in (root / "segface_edge").rglob("*.py"):
        for listed, one in calls.findall(path.read_text()):
            found |= {one} - {""} | set(re.findall(r"[\"']([\w-]+)[\"']", listed))
    assert len(found) >= 12
    assert found <= known
