"""What several commands are given."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from segface_edge import zoo


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """The bundled portrait, small."""
    path = tmp_path / "photo.png"
    with Image.open(zoo.PORTRAIT) as picture:
        picture.resize((120, 160)).save(path)
    return path
