"""What is built holds what belongs in it, and runs outside the repository."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from segface_edge import __version__

pytestmark = pytest.mark.slow

_SPEC = spec_from_file_location("contents", Path(__file__).parents[2] / "release" / "contents.py")
assert _SPEC is not None
assert _SPEC.loader is not None
contents = module_from_spec(_SPEC)
_SPEC.loader.exec_module(contents)

# As `make release` builds, but without a network.
BUILD = (sys.executable, "-m", "build", "--no-isolation")
EPOCH = "1764374400"


def run(*arguments: object, cwd: Path) -> str:
    """Runs a program that must succeed; its standard output."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    environment["SOURCE_DATE_EPOCH"] = EPOCH
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
    run(*BUILD, "--wheel", "--sdist", "--outdir", dist, cwd=tree)
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    return {"wheel": wheel, "sdist": sdist, "tree": tree}


def tracked(tree: Path) -> list[str]:
    """What would be committed; a build adds to its tree, but nothing of this."""
    made = (tree / "build", tree / "segface_edge.egg-info")
    files = (path for path in tree.rglob("*") if path.is_file())
    return [str(path.relative_to(tree)) for path in files if not any(path.is_relative_to(one) for one in made)]


def test_two_builds_are_the_same_bytes(built: dict[str, Path], tmp_path: Path) -> None:
    """Of the same files at another place, with other times."""
    again = tmp_path / "again"
    shutil.copytree(
        built["tree"], again, ignore=shutil.ignore_patterns("build", "*.egg-info"), copy_function=shutil.copy
    )
    run(*BUILD, "--wheel", "--outdir", tmp_path, cwd=again)
    (wheel,) = tmp_path.glob("*.whl")
    assert wheel.stat().st_mtime_ns != built["wheel"].stat().st_mtime_ns
    assert wheel.read_bytes() == built["wheel"].read_bytes()


def test_the_wheel_holds_the_package_and_nothing_else(built: dict[str, Path]) -> None:
    assert built["wheel"].name == f"segface_edge-{__version__}-py3-none-any.whl"
    assert contents.check_wheel(built["wheel"], tracked(built["tree"])) == []
    with zipfile.ZipFile(built["wheel"]) as wheel:
        names = wheel.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        described = wheel.read(metadata).decode()
    assert {name.partition("/")[0] for name in names} == {"segface_edge", metadata.partition("/")[0]}
    assert {Path(name).name for name in names if "/licenses/" in name} == {"LICENSE", "NOTICE"}
    required = re.findall(r"^Requires-Dist: ([\w.-]+)(?!.*extra)", described, re.MULTILINE)
    assert sorted(required) == sorted(
        ["numpy", "Pillow", "opencv-python-headless", "onnxruntime", "av", "click", "tomli"]
    )


def test_the_source_distribution_holds_what_it_is_built_from(built: dict[str, Path]) -> None:
    assert contents.check_sdist(built["sdist"], tracked(built["tree"])) == []


def test_what_is_missing_or_too_much_is_said(built: dict[str, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.whl"
    with zipfile.ZipFile(built["wheel"]) as wheel, zipfile.ZipFile(other, "w") as changed:
        for name in wheel.namelist():
            if not name.endswith(("/py.typed", "/NOTICE", ".safetensors", ".onnx")):
                changed.writestr(name, wheel.read(name))
        changed.writestr("tests/test_x.py", "")
    found = contents.check_wheel(other, tracked(built["tree"]))
    assert {"lacks segface_edge/py.typed", "holds tests/test_x.py", "lacks licenses/NOTICE"} <= set(found)


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
