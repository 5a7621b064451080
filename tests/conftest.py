"""Fixtures that several test folders share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from segface_edge import FaceParser, zoo
from segface_edge.cli import _run
from segface_edge.engines import Engine, Output
from segface_edge.labels import LabelSet, label_set
from segface_edge.spec import ModelSpec

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


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


@pytest.fixture(scope="session")
def parser() -> FaceParser:
    """The bundled model on the CPU."""
    return FaceParser()


@pytest.fixture
def portrait() -> Path:
    """The bundled portrait, 512 x 512."""
    return zoo.PORTRAIT


class ConstantEngine(Engine):
    """Labels every frame with one fixed map, and counts what it was asked for."""

    def __init__(self, labels: np.ndarray, order: LabelSet | None = None, batch: int | None = None) -> None:
        order = order or label_set("segface")
        self.source, self.device = "constant", "cpu"
        self.spec = ModelSpec(
            backbone="none",
            graph="deploy",
            size=labels.shape[0],
            batch=batch,
            label_order=order.name,
            classes=order.classes,
            outputs=("labels",),
        )
        self.map = labels.astype(np.uint8)
        self.calls: list[int] = []
        self.closed = False

    def run(self, frames: np.ndarray) -> Output:
        self.calls.append(len(frames))
        return Output(np.repeat(self.map[None], len(frames), axis=0))

    def describe(self) -> dict[str, object]:
        return {"runtime": "constant", "version": "1", "threads": 1}

    def close(self) -> None:
        self.closed = True


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
