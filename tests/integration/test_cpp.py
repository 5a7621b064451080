"""The C++ examples, built and run: they print what `segface-edge parse` writes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.pictures import fitting, reading

pytestmark = pytest.mark.slow

Cli = Callable[..., Any]


@dataclass
class Built:
    """The programs that could be built, and what CMake said of the others."""

    folder: Path
    said: str
    environment: dict[str, str] = field(default_factory=dict)

    def run(self, name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
        program = self.folder / name
        if not program.exists():
            pytest.skip(f"{name} cannot be built here: {self.said}")
        return subprocess.run(
            [str(program), *map(str, arguments)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env={**os.environ, **self.environment},
        )


@pytest.fixture(scope="module")
def built(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Headers of ONNX Runtime are looked for in ONNXRUNTIME_INCLUDE too, ncnn in ncnn_DIR; where Debian's ONNX Runtime
    is not installed, its library is the Python package's."""
    for tool in ("cmake", "c++"):
        if shutil.which(tool) is None:
            pytest.skip(f"the C++ examples are not built: there is no {tool}")
    folder = tmp_path_factory.mktemp("cpp")
    package = find_spec("onnxruntime")
    assert package is not None
    assert package.origin is not None
    own = sorted((Path(package.origin).parent / "capi").glob("libonnxruntime.so.*"))
    options = []
    if own:
        # The name under which a program asks for it.
        (folder / "lib").mkdir()
        library = folder / "lib" / "libonnxruntime.so.1"
        library.symlink_to(own[-1])
        options.append(f"-DONNXRUNTIME_LIBRARY={library}")
    for name in ("ONNXRUNTIME_INCLUDE", "ncnn_DIR"):
        if value := os.environ.get(name):
            options.append(f"-D{name}={value}")
    build = folder / "build"
    configured = subprocess.run(
        ["cmake", "-S", str(root / "examples" / "cpp"), "-B", str(build), *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    said = " ".join(configured.stderr.split())
    if configured.returncode:
        assert "STB_INCLUDE" in said, said
        pytest.skip(f"the C++ examples are not built: {said}")
    made = subprocess.run(["cmake", "--build", str(build)], capture_output=True, text=True, check=False, timeout=300)
    assert made.returncode == 0, made.stdout + made.stderr
    assert "warning:" not in made.stderr
    return Built(build, said, {"LD_LIBRARY_PATH": str(folder / "lib")})


def squared(path: Path, size: int) -> Path:
    """The portrait as a picture of the network's own size."""
    Image.fromarray(fitting.fit(reading.load(zoo.PORTRAIT), size).pixels).save(path)
    return path


def test_onnx_runtime_in_cpp_prints_the_areas_of_parse(
    built: Built, cli: Cli, parser: FaceParser, tmp_path: Path
) -> None:
    photo, labels = squared(tmp_path / "photo.png", parser.spec.size), tmp_path / "labels.png"
    done = built.run("segface_onnxruntime", zoo.DEFAULT_MODEL, photo, labels)
    assert (done.returncode, done.stderr) == (0, "")
    parsed = cli("parse", photo, "--locate", "whole", "--visualize", "mask", "-o", tmp_path / "mask.png", "--json", "-")
    areas = json.loads(parsed.out)["photos"][0]["areas"]
    assert done.stdout == json.dumps(areas) + "\n"
    with Image.open(labels) as own, Image.open(tmp_path / "mask.png") as mask:
        np.testing.assert_array_equal(np.asarray(own), np.asarray(mask))


@pytest.mark.parametrize("shape", [(300, 417), (1201, 700)])
def test_of_photos_of_other_sizes_only_edges_differ(built: Built, tmp_path: Path, shape: tuple[int, int]) -> None:
    photo, labels = tmp_path / "photo.png", tmp_path / "labels.png"
    Image.fromarray(reading.load(zoo.PORTRAIT)).resize(shape).save(photo)
    assert built.run("segface_onnxruntime", zoo.DEFAULT_MODEL, photo, labels).returncode == 0
    with FaceParser(locate="whole", threads=1) as whole, Image.open(labels) as own:
        assert (np.asarray(own) == whole(photo).labels).mean() > 0.99


def test_ncnn_in_cpp_prints_the_areas_of_parse(
    built: Built, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not (built.folder / "segface_ncnn").exists():
        pytest.skip(f"segface_ncnn cannot be built here: {built.said}")
    for package in ("torch", "onnx", "ncnn", "pnnx"):
        pytest.importorskip(package, reason="the net is made with torch and pnnx, and parsed with ncnn")
    monkeypatch.chdir(tmp_path)
    model = tmp_path / "model.param"
    exported = cli("export", "--target", "ncnn", "--imgsz", "96", "-o", model)
    assert exported.code == 0, exported.err
    photo = squared(tmp_path / "photo.png", 96)
    done = built.run("segface_ncnn", model, photo, tmp_path / "labels.png")
    assert (done.returncode, done.stderr) == (0, "")
    parsed = cli("parse", photo, "--model", model, "--locate", "whole", "--json", "-")
    areas, printed = json.loads(parsed.out)["photos"][0]["areas"], json.loads(done.stdout)
    assert list(printed) == list(areas)
    # Two builds of ncnn sum in different orders: where two classes are as likely, a pixel may turn.
    assert sum(abs(printed[name] - areas[name]) for name in areas) <= 2 * 96 * 96 // 1000


@pytest.mark.parametrize("name", ["segface_onnxruntime", "segface_ncnn"])
def test_what_is_wrong_is_said_in_a_line(built: Built, name: str, tmp_path: Path) -> None:
    done = built.run(name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("use: ")
    done = built.run(name, tmp_path / "none.param", zoo.PORTRAIT, tmp_path / "labels.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: ")
    done = built.run("segface_onnxruntime", zoo.DEFAULT_MODEL, tmp_path / "none.png", tmp_path / "labels.png")
    assert done.returncode == 1
    assert "none.png: cannot be read" in done.stderr


@pytest.mark.parametrize("name", ["segface_onnxruntime", "segface_ncnn"])
def test_a_program_is_short(root: Path, name: str) -> None:
    lines = [
        len((root / "examples" / "cpp" / file).read_text().splitlines()) for file in (f"{name}.cpp", "picture.hpp")
    ]
    assert lines[0] < 150
    assert lines[1] < 150
