"""Who may import whom: the arrows between the parts of the package, and the homes of the heavy packages."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

PACKAGE = "segface_edge"

CORE = ("errors", "files", "labels", "spec")
# Where modules that stand above are named, to be imported when they are asked for.
NAMED = {"segface_edge.engines": "ENGINES"}


def arrows(layout: str) -> dict[str, set[str]]:
    """Room -> the rooms that it may import besides itself, from the layout document's table."""
    table = layout.partition("| room | what it is | imports |\n|---|---|---|\n")[2].partition("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return {room.strip("`"): set(imported.split()) for room, _, imported in rows}


ARROWS = arrows((Path(__file__).parents[2] / "docs" / "layout.md").read_text(encoding="utf-8"))
# All that runs on a device; torch is nowhere in it.
RUNTIME = set(ARROWS) - {"network", "training", "export", "cli"}

# Heavy package -> the modules, or folders of modules, that may import it. Nobody else may, in functions neither.
HOMES: dict[str, tuple[str, ...]] = {
    "torch": ("network", "training", "export"),
    "safetensors": ("network", "training", "export"),
    "onnx": ("export",),
    "onnx_ir": ("export",),
    "onnxscript": ("export",),
    "onnxsim": ("export",),
    "onnxconverter_common": ("export",),
    "onnxruntime": ("engines.ort.session", "export"),
    "tensorrt": ("engines.nvidia",),
    "pycuda": ("engines.nvidia",),
    "cuda": ("engines.nvidia",),
    "matplotlib": ("plots",),
    "sklearn": ("training.recognition",),
    "dacite": ("training",),
    "click": ("cli",),
}


def part(module: str) -> str:
    """The room that a module of the package belongs to: `segface_edge.cli.parse` -> cli."""
    name = [*module.split("."), ""][1]
    return "core" if name in (*CORE, "", "__version__") else name


def imports(source: str, module: str, *, is_package: bool) -> Iterator[str]:
    """Absolute names of everything that a source imports, in functions too; not what is for type checkers only."""

    class Visitor(ast.NodeVisitor):
        def __init__(self) -> None:
            self.found: list[str] = []

        def visit_If(self, node: ast.If) -> None:
            if not (isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"):
                self.generic_visit(node)

        def visit_Assign(self, node: ast.Assign) -> None:
            if [target.id for target in node.targets if isinstance(target, ast.Name)] != [NAMED.get(module)]:
                self.generic_visit(node)

        def visit_Constant(self, node: ast.Constant) -> None:
            """A module that is named, for `import_module`, is imported too."""
            named = isinstance(node.value, str) and re.fullmatch(
                PACKAGE + r"\.([a-z_]+)(\.[a-z_]+)*(:\w+)?", node.value
            )
            if named and named[1] in ARROWS:
                self.found.append(node.value.partition(":")[0])

        def visit_Import(self, node: ast.Import) -> None:
            self.found += [alias.name for alias in node.names]

        def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
            base = module.split(".") if is_package else module.split(".")[:-1]
            base = base[: len(base) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            # `from segface_edge import zoo` imports the module segface_edge.zoo.
            self.found += [f"{origin}.{alias.name}" if origin == PACKAGE else origin for alias in node.names]

    visitor = Visitor()
    visitor.visit(ast.parse(source))
    yield from visitor.found


def sources(root: Path) -> Iterator[tuple[str, str, bool]]:
    """(module, source, whether it is a package) of every file of the package."""
    for path in sorted((root / PACKAGE).rglob("*.py")):
        names = path.relative_to(root).with_suffix("").parts
        is_package = names[-1] == "__init__"
        yield ".".join(names[:-1] if is_package else names), path.read_text(encoding="utf-8"), is_package


def wrong_arrows(module: str, source: str, *, is_package: bool = False) -> list[str]:
    own = part(module)
    return [
        f"{module} ({own}) imports {name} ({part(name)})"
        for name in imports(source, module, is_package=is_package)
        if name.partition(".")[0] == PACKAGE and part(name) != own and part(name) not in ARROWS[own]
    ]


def wrong_homes(module: str, source: str, *, is_package: bool = False) -> list[str]:
    inside = module.removeprefix(PACKAGE).removeprefix(".")
    return [
        f"{module} imports {name}"
        for name in imports(source, module, is_package=is_package)
        if (homes := HOMES.get(name.partition(".")[0])) is not None
        and not any(inside == home or inside.startswith(f"{home}.") for home in homes)
    ]


def test_every_file_belongs_to_a_part(root: Path) -> None:
    found = {part(module) for module, _, _ in sources(root)}
    assert found == ARROWS.keys(), "a new room needs its arrows here and in the layout document"


def test_imports_follow_the_arrows(root: Path) -> None:
    found = [wrong_arrows(module, text, is_package=is_package) for module, text, is_package in sources(root)]
    assert list(chain(*found)) == []


def test_heavy_packages_are_imported_in_their_homes_only(root: Path) -> None:
    found = [wrong_homes(module, text, is_package=is_package) for module, text, is_package in sources(root)]
    assert list(chain(*found)) == []


def test_there_are_no_circles() -> None:
    """The rooms stand in the table in the order in which they build on each other."""
    rooms = list(ARROWS)
    assert len(rooms) >= 15
    for position, room in enumerate(rooms):
        assert ARROWS[room] <= set(rooms[:position]), f"{room} imports what stands below it in the table"
    assert all(not ARROWS[name] & {"network", "training", "export", "cli"} for name in RUNTIME)


def test_the_table_promises_no_arrow_that_is_not_there(root: Path) -> None:
    found: dict[str, set[str]] = {room: set() for room in ARROWS}
    for module, text, is_package in sources(root):
        names = imports(text, module, is_package=is_package)
        found[part(module)] |= {part(name) for name in names if name.partition(".")[0] == PACKAGE}
    assert {room: ARROWS[room] - found[room] for room in ARROWS if ARROWS[room] - found[room]} == {}


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("parsing.parser", "from segface_edge.network import SegFace"),
        ("parsing.parser", "import segface_edge.evaluation.parity"),
        ("parsing.parser", "from ..export import config"),
        ("engines.ort.engine", "from ...parsing.parser import FaceParser"),
        ("engines.ort.engine", "def f():\n    from segface_edge import parsing"),
        ("pictures.imaging", "from segface_edge.engines import Engine"),
        (
            "evaluation.parity",
            "class A:\n    def f(self):\n        from segface_edge.network.engine import TorchEngine",
        ),
        ("bench.report", "from segface_edge.cli import main"),
        ("network.engine", "if True:\n    from segface_edge.export import pipeline"),
        ("network.engine", "import torch\nfrom segface_edge.parsing.parser import FaceParser"),
        ("export.config", "from segface_edge import cli"),
        ("datasets.samples", "from segface_edge.evaluation.histogram import Histogram"),
        ("evaluation.evaluate", "from segface_edge.datasets.samples import Sample"),
        ("engines.nvidia.cache", 'import_module("segface_edge.evaluation.plan_parity")'),
        ("engines.ort.engine", 'ENGINES = {"torch": "segface_edge.network.engine:TorchEngine"}'),
    ],
)
def test_a_wrong_arrow_is_found(module: str, source: str) -> None:
    assert len(wrong_arrows(f"{PACKAGE}.{module}", source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("parsing.parser", "def f():\n    import torch"),
        ("engines.ort.engine", "import onnxruntime"),
        ("engines.ort.session", "import tensorrt as trt"),
        ("evaluation.photos", "from onnxruntime import InferenceSession"),
        ("network.engine", "from onnx import helper"),
        ("cli.export", "import onnx.checker"),
        ("files", "import click"),
    ],
)
def test_a_heavy_package_abroad_is_found(module: str, source: str) -> None:
    assert len(wrong_homes(f"{PACKAGE}.{module}", source)) == 1


def test_right_arrows_are_not_found_wrong() -> None:
    source = "import numpy\nfrom .base import Engine\nfrom segface_edge import __version__, spec\n"
    typing = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from segface_edge.cli import main\n"
    assert wrong_arrows(f"{PACKAGE}.engines.fake", source + typing) == []
    assert wrong_arrows(f"{PACKAGE}.engines", "from .base import Engine", is_package=True) == []
    assert wrong_homes(f"{PACKAGE}.engines.ort.session", "import onnxruntime as ort") == []


def test_only_the_package_can_become_importable(root: Path) -> None:
    for folder in ("export", "benchmarks", "models", "tests"):
        assert (root / folder).is_dir()
        assert not (root / folder / "__init__.py").exists(), f"{folder}/ would be importable after an installation"
