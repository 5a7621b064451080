"""What is built holds what belongs in it, and runs outside the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

NEEDED = (
    "segface_edge/py.typed",
    "segface_edge/cli/__init__.py",
    "segface_edge/bench/report.schema.json",
    "segface_edge/plots/bench_page.html",
    "segface_edge/plots/bench_page.css",
    "segface_edge/serving/openapi.json",
    "segface_edge/serving/page/index.html",
    "segface_edge/serving/page/page.js",
    "segface_edge/serving/web/engine.js",
    "segface_edge/zoo/segface_efficientnet_lite0_s8_b1_celeb.onnx",
    "segface_edge/zoo/segface_efficientnet_lite0_s8_b1_celeb.safetensors",
    "segface_edge/zoo/segface_mobilenet_celeb.safetensors",
    "segface_edge/zoo/yunet_n_640_640.onnx",
    "segface_edge/zoo/yunet_LICENSE.txt",
    "segface_edge/zoo/portrait.jpg",
    "segface_edge/zoo/astronaut.png",
)
# Three files of weights, 14 MB each.
LIMIT = 44 * 2**20


def run(*arguments: object, cwd: Path) -> str:
    """Runs a program that must succeed; its standard output."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(argument) for argument in arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel and a source distribution, built without network from what git would commit."""
    try:
        setuptools = int(version("setuptools").partition(".")[0])
    except PackageNotFoundError:
        setuptools = 0
    if setuptools < 77:
        pytest.skip("building without network needs setuptools >= 77 in this environment")
    pytest.importorskip("build", reason="building needs the package build")
    if shutil.which("git") is None or not (root / ".git").exists():
        pytest.skip("the tree to build is asked from git, and this is no checkout")
    tree = tmp_path_factory.mktemp("tree")
    listed = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=root)
    for name in filter(None, listed.split("\0")):
        if (root / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, tree / name)
    dist = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--wheel", "--sdist", "--outdir", dist, cwd=tree)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist}


def test_the_wheel_holds_the_package_and_nothing_else(built: dict[str, Path]) -> None:
    assert built["wheel"].name == f"segface_edge-{version('segface-edge')}-py3-none-any.whl"
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = wheel.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        described = wheel.read(metadata).decode()
    assert {name.partition("/")[0] for name in names} == {"segface_edge", metadata.partition("/")[0]}
    assert set(NEEDED) <= set(names)
    assert {Path(name).name for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}
    assert not [name for name in names if name.endswith(".pyc")]
    required = re.findall(r"^Requires-Dist: ([\w.-]+)(?!.*extra)", described, re.MULTILINE)
    assert sorted(required) == sorted(
        ["numpy", "Pillow", "opencv-python-headless", "onnxruntime", "av", "click", "tomli"]
    )
    assert built["wheel"].stat().st_size < LIMIT


def test_the_source_distribution_builds_alone(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {*NEEDED, "LICENSE", "NOTICE", "README.md", "pyproject.toml"} <= names


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def installed(request: pytest.FixtureRequest, built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of a fresh environment with the built package; its dependencies are those of this environment."""
    folder = tmp_path_factory.mktemp("environment") / "env"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip())
    # A path in a .pth file is searched, but .pth files there are not read: this checkout's installation is not seen.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check")
    options = ("--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed")
    run(*pip, *options, built[request.param], cwd=folder)
    return python


def test_an_installation_parses_outside_the_repository(installed: Path, root: Path, tmp_path: Path) -> None:
    program = """
import sys, segface_edge
from segface_edge import FaceParser, zoo
print(segface_edge.__file__)
with FaceParser() as parser:
    face = parser(zoo.PORTRAIT)
assert {"hair", "skin", "nose", "l_eye", "u_lip"} <= set(face.present())
face.save("overlay.png")
print(*[name for name in ("torch", "onnx", "safetensors") if name in sys.modules])
"""
    place, heavy = run(installed, "-c", program, cwd=tmp_path).splitlines()
    assert Path(place).is_relative_to(installed.parent.parent)
    assert not Path(place).is_relative_to(root)
    assert heavy == ""
    assert (tmp_path / "overlay.png").is_file()


def test_the_installed_script_runs(installed: Path, tmp_path: Path) -> None:
    script = installed.parent / "segface-edge"
    portrait = run(installed, "-c", "from segface_edge import zoo; print(zoo.PORTRAIT)", cwd=tmp_path).strip()
    assert "hair" in run(script, "parse", portrait, "-o", "mask.png", "--visualize", "mask", cwd=tmp_path)
    assert (tmp_path / "mask.png").is_file()
    assert "non-commercial" in run(script, "info", cwd=tmp_path)


def test_nothing_but_the_package_is_importable(installed: Path, tmp_path: Path) -> None:
    site = run(installed, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    found = {path.name for path in Path(site).iterdir() if path.suffix not in (".dist-info", ".pth")}
    assert found - {"__pycache__"} == {"segface_edge"}
    program = """
from importlib.util import find_spec
import segface_edge
places = {name: find_spec(name) for name in ("export", "benchmarks", "models", "tests")}
# A namespace package has no origin; a leak of ours would lie beside the package.
print(*[name for name, spec in places.items() if spec is not None])
"""
    assert run(installed, "-c", program, cwd=tmp_path).split() == []
