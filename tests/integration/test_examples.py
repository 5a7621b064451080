"""The programs in docs/examples do what they say, each in under 30 lines."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.pictures import reading


def run(root: Path, name: str, target: Path, *arguments: str) -> np.ndarray:
    """The picture that an example makes of the portrait."""
    program = root / "docs" / "examples" / f"{name}.py"
    assert len(program.read_text().splitlines()) < 30
    words = [str(target) if word == "TARGET" else word for word in arguments]
    done = subprocess.run(
        [sys.executable, str(program), str(zoo.PORTRAIT), *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    with Image.open(target) as picture:
        return np.asarray(picture).astype(int)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return reading.load(zoo.PORTRAIT).astype(int)


def roughness(picture: np.ndarray, where: np.ndarray) -> float:
    """Mean difference of neighbours."""
    return float(np.abs(np.diff(picture.sum(2), axis=1))[where[:, 1:]].mean())


def test_a_face_is_blurred_and_nothing_else(
    root: Path, tmp_path: Path, portrait: np.ndarray, parser: FaceParser
) -> None:
    made = run(root, "blur_faces", tmp_path / "out.png", "TARGET")
    face = parser(zoo.PORTRAIT)
    eyes = face.mask("eyes")
    assert roughness(made, eyes) < roughness(portrait, eyes) / 4
    hair = face.mask("hair")
    assert np.abs(made - portrait)[hair].mean() < 3
    assert np.abs(made - portrait)[:100, :100].max() == 0


def test_hair_gets_its_colour_and_keeps_its_light(
    root: Path, tmp_path: Path, portrait: np.ndarray, parser: FaceParser
) -> None:
    made = run(root, "hair_colour", tmp_path / "out.png", "TARGET", "150", "40", "160")
    hair = parser(zoo.PORTRAIT).mask("hair")
    red, green, blue = made[hair].mean(0)
    assert red > green + 30
    assert blue > green + 30
    assert abs(made[hair].mean() - portrait[hair].mean()) < 40
    assert np.abs(made - portrait)[400:, 200:300].max() <= 6  # rounding of the way to Lab and back


def test_the_background_is_another(root: Path, tmp_path: Path, portrait: np.ndarray, parser: FaceParser) -> None:
    nose = parser(zoo.PORTRAIT).mask("nose")
    for behind in ("#204060", str(zoo.ASTRONAUT)):
        made = run(root, "background", tmp_path / "out.png", behind, "TARGET")
        assert np.abs(made - portrait)[nose].max() == 0
        wanted = np.array([0x20, 0x40, 0x60]) if behind.startswith("#") else reading.load(zoo.ASTRONAUT)[:40, :40]
        assert np.abs(made[:40, :40] - wanted).max() <= 1
