"""Who may import whom: the arrows between the parts of the package, and the homes of the heavy packages."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from itertools import chain, combinations
from pathlib import Path

import pytest

_SPEC = spec_from_file_location("rooms", Path(__file__).parents[2] / "docs" / "rooms.py")
assert _SPEC is not None
assert _SPEC.loader is not None
rooms = module_from_spec(_SPEC)
_SPEC.loader.exec_module(rooms)

PACKAGE = rooms.PACKAGE
# Room -> the rooms that it may import besides itself, from the layout document's table.
ARROWS: dict[str, set[str]] = rooms.table(rooms.LAYOUT.read_text(encoding="utf-8"))
# All that runs on a device; torch is nowhere in it.
RUNTIME = set(ARROWS) - {"network", "training", "export", "cli"}

# Heavy package -> the modules, or folders of modules, that may import it. Nobody else may, in functions neither.
HOMES: dict[str, tuple[str, ...]] = {
    # ExecuTorch's bindings take PyTorch's tensors.
    "torch": ("network", "training", "export", "engines.executorch"),
    "safetensors": ("network", "training", "export"),
    "onnx": ("export",),
    "onnx_ir": ("export",),
    "onnxscript": ("export",),
    "onnxsim": ("export",),
    "onnxconverter_common": ("export",),
    "onnxruntime": ("engines.ort.session", "export"),
    "openvino": ("engines.openvino", "export.targets.openvino"),
    "ai_edge_litert": ("engines.litert",),
    "litert_torch": ("export.targets.litert",),
    "ai_edge_quantizer": ("export.targets.litert_lower",),
    "executorch": ("engines.executorch", "export.targets.executorch"),
    "torchao": ("export.targets.pt2e",),
    "ncnn": ("engines.ncnn",),
    "pnnx": ("export.targets.ncnn",),
    "tensorrt": ("engines.nvidia",),
    "pycuda": ("engines.nvidia",),
    "cuda": ("engines.nvidia",),
    "matplotlib": ("plots",),
    "jinja2": ("plots.bench_page",),
    "markupsafe": ("plots.bench_page",),
    "sklearn": ("training.recognition",),
    "dacite": ("training",),
    "click": ("cli",),
    "requests": ("zoo.download",),
    "pynvml": ("bench.power.nvml",),
    "starlette": ("serving",),
    "uvicorn": ("serving",),
    "h11": ("serving",),
    "python_multipart": ("serving",),
    "prometheus_client": ("serving",),
    "pyarrow": ("labelling",),
    "ray": ("labelling.ray_pool",),
    "tritonclient": ("export.triton",),
}


def imports(source: str, module: str, *, is_package: bool) -> list[str]:
    found: list[str] = rooms.imports(source, module, is_package=is_package, rooms=frozenset(ARROWS))
    return found


def wrong_arrows(module: str, source: str, *, is_package: bool = False) -> list[str]:
    own = rooms.room(module)
    return [
        f"{module} ({own}) imports {name} ({rooms.room(name)})"
        for name in imports(source, module, is_package=is_package)
        if name.partition(".")[0] == PACKAGE and rooms.room(name) != own and rooms.room(name) not in ARROWS[own]
    ]


def wrong_homes(module: str, source: str, *, is_package: bool = False) -> list[str]:
    inside = module.removeprefix(PACKAGE).removeprefix(".")
    return [
        f"{module} imports {name}"
        for name in imports(source, module, is_package=is_package)
        if (homes := HOMES.get(name.partition(".")[0])) is not None
        and not any(inside == home or inside.startswith(f"{home}.") for home in homes)
    ]


def test_every_file_belongs_to_a_room(root: Path) -> None:
    found = {rooms.room(module) for module, _, _ in rooms.sources(root)}
    assert found == ARROWS.keys(), "a new room needs its arrows here and in the layout document"


def test_imports_follow_the_arrows(root: Path) -> None:
    found = [wrong_arrows(module, text, is_package=is_package) for module, text, is_package in rooms.sources(root)]
    assert list(chain(*found)) == []


def test_heavy_packages_are_imported_in_their_homes_only(root: Path) -> None:
    found = [wrong_homes(module, text, is_package=is_package) for module, text, is_package in rooms.sources(root)]
    assert list(chain(*found)) == []


def test_there_are_no_circles() -> None:
    """The rooms stand in the table in the order in which they build on each other."""
    rooms = list(ARROWS)
    assert len(rooms) >= 15
    for position, room in enumerate(rooms):
        assert ARROWS[room] <= set(rooms[:position]), f"{room} imports what stands below it in the table"
    assert all(not ARROWS[name] & {"network", "training", "export", "cli"} for name in RUNTIME)


def test_the_table_promises_no_arrow_that_is_not_there() -> None:
    found = rooms.arrows(frozenset(ARROWS))
    assert {room: ARROWS[room] - found[room] for room in ARROWS if ARROWS[room] - found[room]} == {}


def test_the_diagram_is_what_the_imports_draw() -> None:
    layout = rooms.LAYOUT.read_text(encoding="utf-8")
    assert layout == rooms.drawn_anew(layout), "draw it anew: python docs/rooms.py"
    assert layout.count("-->") > len(ARROWS)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("parsing.parser", "from segface_edge.network import SegFace"),
        ("parsing.parser", "import segface_edge.evaluation.parity"),
        ("parsing.parser", "from ..export import config"),
        ("engines.ort.engine", "from ...parsing.parser import FaceParser"),
        ("engines.ort.engine", "def f():\n    from segface_edge import parsing"),
        ("pictures.fitting", "from segface_edge.engines import Engine"),
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


def _one_letter_apart(one: str, other: str) -> bool:
    """Whether one becomes the other by changing, adding or dropping a letter."""
    short, long = sorted((one, other), key=len)
    if len(long) - len(short) > 1:
        return False
    dropped = {long[:at] + long[at + 1 :] for at in range(len(long))}
    return short in dropped if len(short) < len(long) else sum(a != b for a, b in zip(one, other, strict=True)) == 1


def test_no_two_modules_of_a_folder_are_told_apart_by_a_letter(root: Path) -> None:
    assert _one_letter_apart("parse", "parser")
    assert _one_letter_apart("half", "halt")
    assert not _one_letter_apart("start", "state")
    folders: dict[Path, list[str]] = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        if path.name != "__init__.py":
            folders.setdefault(path.parent, [path.parent.name]).append(path.stem)
    assert [pair for names in folders.values() for pair in combinations(names, 2) if _one_letter_apart(*pair)] == []


def test_one_idea_a_file_is_at_most_300_lines(root: Path) -> None:
    lengths = {str(path.relative_to(root)): path.read_text().count("\n") for path in (root / PACKAGE).rglob("*.py")}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def test_every_file_that_the_layout_names_is_there(root: Path) -> None:
    walks = rooms.LAYOUT.read_text(encoding="utf-8").partition("## Four walks")[2]
    named = set(re.findall(r"`([a-z_]+(?:/[a-z_]+)*/[a-z_]+\.(?:py|toml))`", walks))
    assert len(named) >= 30
    assert [name for name in sorted(named) if not any((root / top / name).exists() for top in (PACKAGE, "."))] == []
