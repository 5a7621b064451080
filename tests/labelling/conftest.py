"""What the tests of labelling share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from segface_edge import zoo

MakePhotos = Callable[..., Path]


@pytest.fixture
def make_photos(tmp_path: Path) -> MakePhotos:
    """Makes a folder of so many small portraits, no two alike, the last ones of them bad in several ways."""

    def make(name: str, count: int, *, bad: int = 0, side: int = 96) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        with Image.open(zoo.PORTRAIT) as picture:
            for index in range(count):
                turned = picture.rotate(index % 7 - 3).resize((side, side + index))
                turned.save(folder / f"{index:04}.jpg", quality=90)
        for index in range(count - bad, count):
            path = folder / f"{index:04}.jpg"
            content = path.read_bytes()
            path.write_bytes([b"", b"no picture", content[: len(content) // 3]][index % 3])
        return folder

    return make


@pytest.fixture
def tiny(tmp_path: Path, tiny_model: Callable[..., Path]) -> Path:
    """A model file that labels a photo in no time."""
    return tiny_model(tmp_path / "tiny.onnx")


@pytest.fixture
def copied() -> Callable[[Path, Path], Path]:
    """Copies a folder."""
    return lambda source, target: Path(shutil.copytree(source, target))
