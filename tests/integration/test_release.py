"""What is said about a release, of the package and of what it asks for, is so: versions, promises, bounds, licences."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import chain
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from segface_edge import __version__, zoo

# What `make test-lowest` pins beside our lower bounds: the suite, and what those versions want older.
SUITE = {"pytest", "pytest-xdist", "hypothesis", "pyparsing"}
# Extras whose lowest versions were tested, and why others' were not.
LOWEST = {"fetch", "html", "label", "plot", "serve"}
NOT_LOWEST = {
    "export train longtail backbones executorch litert-export pnnx": "not tried: a second PyTorch, 2.8",
    "estimate": "packages of export's",
    "heif": "raises Pillow's own lower bound",
    "imagenet rtx": "one version each",
    "tensorrt cuda-python pycuda power": "need a GPU or its toolkit; fakes stand for their versions",
    "ray triton tensorboard openvino litert ncnn": "not tried: large, and not all have wheels for Python 3.10",
    "dev docs notebook release": "the pinned versions are what is used",
}
# What parsing a photo may not do. The hook sees connections that are made through Python.
NO_NETWORK = """
import os, sys
def refuse(event, _):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname"):
        os._exit(99)
sys.addaudithook(refuse)
"""


def module(path: Path) -> ModuleType:
    """A script of the folder `release`."""
    spec = spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    found = module_from_spec(spec)
    spec.loader.exec_module(found)
    return found


@pytest.fixture(scope="module")
def project(root: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib as toml
    else:
        import tomli as toml
    found: dict[str, Any] = toml.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def test_every_file_says_this_version(root: Path) -> None:
    assert re.search(r"^version: (\S+)$", (root / "CITATION.cff").read_text(), re.MULTILINE)[1] == __version__  # type: ignore[index]
    newest = re.search(r"^## \[(\S+)\] - (\S+)$", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__
    dated = re.search(r"^date-released: (\S+)$", (root / "CITATION.cff").read_text(), re.MULTILINE)
    assert dated is not None
    assert dated[1] == newest[2]


@pytest.mark.parametrize("connects", [False, True])
def test_parsing_opens_no_connection(connects: bool, tmp_path: Path) -> None:
    source = "http://127.0.0.1:9/photo.jpg" if connects else str(zoo.PORTRAIT)
    program = f"{NO_NETWORK}\nfrom segface_edge.cli import main\nmain()"
    done = subprocess.run(
        [sys.executable, "-c", program, "parse", source, "-o", str(tmp_path / "overlay.png")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (99 if connects else 0), done.stderr
    assert (tmp_path / "overlay.png").exists() != connects


def lowest(lines: list[str]) -> dict[str, str]:
    """Package -> its lower bound, of lines of requirements."""
    found = {}
    for line in lines:
        name = re.match(r"[\w.-]+", line)
        bound = re.search(r">=\s*([\w.]+)", line)
        assert name is not None
        if bound is not None:
            found[name[0].lower()] = bound[1]
    return found


def same(version: str, bound: str) -> bool:
    """1.26.0 is 1.26; of OpenCV's wheels the fourth number counts builds, and there is none without it."""
    numbers, wanted = ([*map(int, text.split(".")), 0, 0][:3] for text in (version, bound))
    return numbers == wanted


def test_the_lowest_versions_are_those_that_are_tested(root: Path, project: dict[str, Any]) -> None:
    """constraints-lowest.txt has every lower bound of the runtime, and of the extras that its suite is run with."""
    optional = project["optional-dependencies"]
    assert optional.keys() - LOWEST - set(" ".join(NOT_LOWEST).split()) == set(), "tested, or why not"
    bounds = lowest(list(chain(project["dependencies"], *(optional[extra] for extra in LOWEST))))
    lines = (root / "constraints-lowest.txt").read_text().splitlines()
    pinned = dict(line.lower().split("==") for line in lines if "==" in line and not line.startswith("#"))
    assert pinned.keys() - SUITE == bounds.keys()
    assert {name: pinned[name] for name, bound in bounds.items() if not same(pinned[name], bound)} == {}


def test_every_package_that_is_asked_for_has_its_licence_told(root: Path, project: dict[str, Any]) -> None:
    told = dict(re.findall(r"^\| ([\w.-]+) \| (.+?) \|", (root / "docs" / "licences.md").read_text(), re.MULTILINE))
    for line in chain(project["dependencies"], *project["optional-dependencies"].values()):
        name = re.match(r"[\w.-]+", line)
        assert name is not None
        licence = told.get(re.sub(r"[-_.]+", "-", name[0]).lower())
        assert licence not in (None, "not installed here", "says nothing"), f"{name[0]}: python release/licences.py"


def test_what_travels_in_the_wheel_has_terms_in_the_bill_of_materials(root: Path) -> None:
    terms = module(root / "release" / "bill.py").TERMS
    for path in Path(zoo.__file__).parent.iterdir():
        if path.suffix in (".onnx", ".safetensors", ".png", ".jpg"):
            assert len([begin for begin in terms if path.name.startswith(begin)]) == 1, path.name


def test_what_the_page_for_contributors_names_is_there(root: Path) -> None:
    text, makefile = (root / "CONTRIBUTING.md").read_text(), (root / "Makefile").read_text()
    rooms = "segface_edge|tests|docs|release|benchmarks|findings|models|export"
    places = re.findall(rf"(?<![\w/.-])((?:{rooms})/[\w./-]+)", text)
    assert len(places) > 15
    assert [place for place in places if not (root / place.rstrip(".")).exists()] == []
    targets = set(re.findall(r"\bmake (?:\S+=\S+ )*([a-z-]+)", text)) - {"anew"}
    assert {"demo", "test", "test-lowest", "release", "release-model", "results"} <= targets
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []
