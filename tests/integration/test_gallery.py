"""The gallery shows what there is, small enough, and its script makes it."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from PIL import Image

LIMIT = 3_000_000


def test_every_picture_is_shown_and_there(root: Path) -> None:
    page = root / "docs" / "gallery.md"
    linked = {(page.parent / name).resolve() for name in re.findall(r"\]\(([^)#:]+)(?:#[\w-]+)?\)", page.read_text())}
    assert [path for path in linked if not path.exists()] == []
    kept = {path.resolve() for path in (root / "docs" / "gallery").iterdir()}
    assert kept <= linked
    assert sum(path.stat().st_size for path in kept) < LIMIT


def test_the_script_makes_what_is_kept(root: Path) -> None:
    pytest.importorskip("matplotlib", reason="one of the photos comes with matplotlib")
    spec = spec_from_file_location("gallery", root / "docs" / "gallery.py")
    assert spec is not None
    assert spec.loader is not None
    gallery = module_from_spec(spec)
    spec.loader.exec_module(gallery)
    assert {path.stem for path in gallery.FOLDER.iterdir()} == set(gallery.PICTURES)
    with Image.open(gallery.FOLDER / "views.jpg") as kept:
        assert gallery.views().size == kept.size
