"""The site is built without a warning; nothing in it leads nowhere or is loaded from elsewhere."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import click
import pytest

import segface_edge
from segface_edge.cli import COMMANDS, app

pytest.importorskip("sphinx", reason="the site needs the extra docs")
pytest.importorskip("myst_parser", reason="the site needs the extra docs")
pytest.importorskip("furo", reason="the site needs the extra docs")
pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    options = ["--quiet", "--fail-on-warning", "--keep-going", "-c", f"{ROOT / 'docs' / 'site'}"]
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, "-d", f"{folder / 'trees'}", f"{ROOT}", f"{folder / 'html'}"],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return folder / "html"


class Links(HTMLParser):
    """What a page points to, what it loads, and where in it one may point."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.loaded: list[str] = []
        self.places: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.places.add(value)
            elif value and (name == "src" or (name == "href" and tag == "link")):
                self.loaded.append(value)
            elif value and name == "href":
                self.targets.append(value)


def pages(site: Path) -> Iterator[tuple[Path, Links]]:
    for page in sorted(site.rglob("*.html")):
        yield page, Links(page)


def test_no_link_inside_is_dead(site: Path) -> None:
    found = dict(pages(site))
    assert len(found) > 40
    for page, links in found.items():
        for target in [*links.targets, *links.loaded]:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            there = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            assert there.is_file(), f"{page.relative_to(site)}: {target}"
            if parts.fragment and there in found:
                assert unquote(parts.fragment) in found[there].places, f"{page.relative_to(site)}: {target}"


def test_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    for page, links in pages(site):
        assert not [one for one in links.loaded if re.match(r"(https?:)?//", one)], page
    for style in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(https?:)?//", style.read_text(encoding="utf-8")), style


def test_every_public_name_is_in_the_index_of_names(site: Path) -> None:
    names = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    for name in segface_edge.__all__:
        value = getattr(segface_edge, name)
        if inspect.isclass(value):
            home = f"segface_edge.errors.{name}" if name == "SegFaceEdgeError" else f"segface_edge.{name}"
            assert f"\n{home} py:" in f"\n{names}", home
            for member, found in vars(value).items():
                if not member.startswith("_") and (inspect.isfunction(found) or isinstance(found, property)):
                    assert f"\n{home}.{member} py:" in names, f"{home}.{member}"


def test_every_command_and_option_is_in_the_reference(site: Path) -> None:
    text = (site / "docs" / "commands.html").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f'id="segface-edge-{name}"' in text, name
    context = click.Context(app, **app.context_settings)
    for name in COMMANDS:
        command = app.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) and not parameter.hidden else ():
                assert f">{option}" in text or f" {option}" in text, f"{name} {option}"


def test_every_finding_is_on_its_page(site: Path) -> None:
    text = (site / "docs" / "findings.html").read_text(encoding="utf-8")
    scripts = sorted((ROOT / "findings").glob("*.sh"))
    assert scripts
    for script in scripts:
        assert script.name in text


def test_the_rooms_are_drawn(site: Path) -> None:
    """Every arrow of the layout is one of the picture's, and no Mermaid is left that nothing draws."""
    arrows = re.findall(r"^ +\w+ --> \w+$", (ROOT / "docs" / "layout.md").read_text(encoding="utf-8"), re.MULTILINE)
    text = (site / "docs" / "layout.html").read_text(encoding="utf-8")
    assert text.count('marker-end="url(#tip)"') == len(arrows) > 20
    assert "flowchart BT" not in text


def test_the_answers_are_within_two_clicks(site: Path) -> None:
    """The folder's first page leads to the first page; each answer is one click from there."""
    first = (site / "index.html").read_text(encoding="utf-8")
    assert "url=docs/index.html" in first
    links = Links(site / "docs" / "index.html").targets
    for page in (
        "start",
        "install",
        "photos",
        "faces",
        "choose-device",
        "jetson",
        "choose-precision",
        "results",
        "terms",
    ):
        assert any(target.startswith(f"{page}.html") for target in links), page


def test_pages_are_small(site: Path) -> None:
    for page in site.rglob("*.html"):
        assert page.stat().st_size < 1_000_000, page
