"""Fixtures that several test folders share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.cli import _run
from segface_edge.engines import FakeEngine, Output

from .bench.power.boards import ORIN_NANO, write
from .nvidia.tiny import tiny_model as write_tiny_model
from .nvidia.world import World
from .serving.package import runtime as write_web_runtime

ROOT = Path(__file__).parent.parent


def _let_torchvision_import() -> None:
    """torchvision's packages are built for CUDA's torch: beside a CPU's, two operators that its import asks for are
    missing. No backbone uses them, and with their names declared every row of the table is tested everywhere."""
    try:
        import torch
    except ModuleNotFoundError:
        return
    for schema in ("nms(Tensor a, Tensor b, float c) -> Tensor", "qnms(Tensor a, Tensor b, float c) -> Tensor"):
        if not hasattr(torch.ops.torchvision, schema.partition("(")[0]):
            torch.library.define(f"torchvision::{schema.partition('(')[0]}", schema[schema.index("(") :])


_let_torchvision_import()


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a user has fetched, a detector for example, does not change what is tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("SEGFACE_EDGE_CACHE", raising=False)
        yield


@pytest.fixture(scope="session")
def shared() -> Path:
    """Golden outputs and faces that do not belong to the repository; tests skip where they are absent."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("no ../shared here: golden outputs and CelebAMask-HQ faces do not travel with the repository")
    return folder


@pytest.fixture(scope="session")
def faces(shared: Path) -> Path:
    """100 CelebAMask-HQ photos with labels."""
    return shared / "data" / "celebamask-hq-mini" / "val"


@pytest.fixture
def orin_nano(tmp_path: Path) -> Path:
    """A folder with the power monitor of an idle Orin Nano: 4.7 W."""
    return write(tmp_path / "orin-nano", ORIN_NANO)


@pytest.fixture(scope="session")
def parser() -> FaceParser:
    """The bundled model on the CPU."""
    return FaceParser()


@pytest.fixture(scope="session")
def released_size(parser: FaceParser) -> int:
    """The input side of the bundled model."""
    return parser.engine.spec.size


@pytest.fixture
def portrait() -> Path:
    """The bundled portrait, 512 x 512."""
    return zoo.PORTRAIT


class EchoEngine(FakeEngine):
    """Labels that depend on the frame: red / 16 is the label, green the confidence."""

    def __init__(self, size: int = 32, *, batch: int | None = None) -> None:
        super().__init__(np.zeros((size, size)), batch=batch)
        self.spec = replace(self.spec, outputs=("labels", "confidence"))

    def run(self, frames: np.ndarray) -> Output:
        self.calls.append(len(frames))
        return Output(frames[..., 0] // 16, frames[..., 1].copy())


@pytest.fixture(scope="session")
def echo_engine() -> type[EchoEngine]:
    """The engine whose labels depend on what it sees."""
    return EchoEngine


@pytest.fixture(scope="session")
def constant_engine() -> type[FakeEngine]:
    """The engine that needs no model: a test file cannot import it from here."""
    return FakeEngine


@dataclass
class Result:
    """What a command line run left."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Runs `segface-edge ARGUMENTS…` in this process, as the installed script does."""

    def run(*arguments: object) -> Result:
        capfd.readouterr()
        code = _run([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    monkeypatch.setattr(sys, "argv", ["segface-edge"])
    return run


@pytest.fixture
def script(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Runs `bash -c COMMAND` in the test's folder, where `segface-edge` is the installed script."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])

    def run(command: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
        options = {"capture_output": True, "cwd": tmp_path, "timeout": 300, **options}
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", command], env={**os.environ, "PATH": path}, check=False, **options
        )

    return run


@pytest.fixture(scope="session")
def tiny_model() -> Callable[..., Path]:
    """Writes a tiny ONNX file that keeps the product's contract."""
    return write_tiny_model


@pytest.fixture
def web_runtime() -> Callable[..., Path]:
    """Writes an npm package that looks like onnxruntime-web."""
    return write_web_runtime


@pytest.fixture
def nvidia(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., World]]:
    """Puts a machine with NVIDIA's packages in the place of this one; when the test ends, all of it must be freed."""
    worlds: list[World] = []

    def install(*arguments: Any, **options: Any) -> World:
        worlds.append(World(*arguments, **options).install(monkeypatch))
        return worlds[-1]

    yield install
    for world in worlds:
        world.check()


@pytest.fixture
def labelled(tmp_path: Path, _labelled: Path) -> Path:
    """A labelled folder of two small photos in the order of CelebAMask-HQ; its labels are the bundled model's own."""
    return shutil.copytree(_labelled, tmp_path / "labelled")


@pytest.fixture(scope="session")
def _labelled(tmp_path_factory: pytest.TempPathFactory, parser: FaceParser) -> Path:
    folder = tmp_path_factory.mktemp("labelled")
    for part in ("images", "labels"):
        (folder / part).mkdir(parents=True)
    with Image.open(zoo.PORTRAIT) as picture:
        for name, size in (("0", (256, 256)), ("1", (200, 240))):
            picture.resize(size).save(folder / "images" / f"{name}.png")
            face = parser(folder / "images" / f"{name}.png").remap("celebamask-hq")
            face.save(folder / "labels" / f"{name}.png", "mask")
    return folder
