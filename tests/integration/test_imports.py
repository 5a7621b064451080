"""The runtime runs without torch and the other packages that only some uses need."""

from __future__ import annotations

import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import segface_edge
from segface_edge import zoo

HEAVY = ("torch", "onnx", "onnxsim", "onnxscript", "onnx_ir", "onnxconverter_common", "safetensors", "tensorrt")
HEAVY += ("pycuda", "cuda", "torchvision", "requests", "pynvml", "jinja2")
HEAVY += ("starlette", "uvicorn", "h11", "python_multipart", "prometheus_client", "pyarrow", "ray", "tritonclient")
HEAVY += ("openvino", "ai_edge_litert", "litert_torch", "ai_edge_quantizer", "executorch", "torchao", "ncnn", "pnnx")
NEED_HEAVY = ("segface_edge.network", "segface_edge.training", "segface_edge.export")
NEED_HEAVY += ("segface_edge.serving", "segface_edge.labelling")
# Modules that are one heavy package's own home.
HOMES = (
    "segface_edge.zoo.download",
    "segface_edge.engines.openvino",
    "segface_edge.engines.litert",
    "segface_edge.engines.executorch",
    "segface_edge.engines.ncnn",
    "segface_edge.plots.figure",
    "segface_edge.plots.scores",
    "segface_edge.plots.curves",
    "segface_edge.plots.ablation",
    "segface_edge.plots.counts",
    "segface_edge.plots.sensitivity",
    "segface_edge.plots.bound",
    "segface_edge.plots.layers",
    "segface_edge.plots.inline",
    "segface_edge.plots.latency",
    "segface_edge.plots.bench_page",
    "segface_edge.plots.longtail",
    "segface_edge.plots.robustness",
)

RUNTIME = [
    module.name
    for module in pkgutil.walk_packages(segface_edge.__path__, "segface_edge.", onerror=lambda _: None)
    if not module.name.startswith(NEED_HEAVY) and module.name not in HOMES
]

# A meta path finder that comes before all others: what is blocked is as good as not installed.
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Block())
"""


def python(program: str, folder: Path, *, blocked: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    block = f"BLOCKED = {blocked}{BLOCK}" if blocked else ""
    return subprocess.run(
        [sys.executable, "-c", block + program],
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def imported(program: str, folder: Path, names: tuple[str, ...], *, blocked: tuple[str, ...] = ()) -> list[str]:
    """Which of `names` a fresh Python has imported after `program`."""
    done = python(
        f"{program}\nimport sys; print('imported:', *(n for n in {names} if n in sys.modules))", folder, blocked=blocked
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()[-1].split()[1:]


def test_the_list_of_runtime_modules_is_the_runtime() -> None:
    named = ("parsing.parser", "engines.ort.engine", "engines.nvidia.run", "cli.parse", "cli.export", "bench.report")
    assert {f"segface_edge.{name}" for name in named} <= set(RUNTIME)
    assert not [name for name in RUNTIME if "network" in name]


def test_the_package_alone_imports_nothing(tmp_path: Path) -> None:
    light = ("numpy", "cv2", "PIL", "onnxruntime", "click", *HEAVY)
    assert imported("import segface_edge; segface_edge.__version__; dir(segface_edge)", tmp_path, light) == []


def test_every_public_name_is_there_and_imports_no_heavy_package(tmp_path: Path) -> None:
    assert imported("from segface_edge import *; FaceParser, FaceParse, ModelSpec", tmp_path, HEAVY) == []
    assert imported("from segface_edge import FaceParser", tmp_path, ("numpy",)) == ["numpy"]


def test_runtime_modules_import_no_heavy_package(tmp_path: Path) -> None:
    program = "from importlib import import_module\n" + "\n".join(f"import_module({name!r})" for name in RUNTIME)
    assert imported(program, tmp_path, (*HEAVY, *NEED_HEAVY)) == []
    assert imported(program, tmp_path, ("click",), blocked=HEAVY) == ["click"]


def test_parsing_imports_no_heavy_package(tmp_path: Path) -> None:
    program = f"""
from segface_edge import FaceParser
with FaceParser() as parser:
    face = parser({str(zoo.PORTRAIT)!r})
assert "hair" in face.present()
face.save("overlay.png")
"""
    assert imported(program, tmp_path, HEAVY) == []
    assert (tmp_path / "overlay.png").is_file()


def test_a_portrait_is_parsed_where_no_heavy_package_is(tmp_path: Path) -> None:
    arguments = ["parse", str(zoo.PORTRAIT), "-o", "mask.png", "--visualize", "mask"]
    done = python(f"from segface_edge.cli import main; main({arguments})", tmp_path, blocked=HEAVY)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hair" in done.stdout
    assert (tmp_path / "mask.png").is_file()


def test_an_estimate_needs_onnx_alone(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="estimate needs the extra estimate")
    blocked = tuple(name for name in HEAVY if name not in ("onnx", "onnxscript", "onnx_ir"))
    command = ["estimate", "--device", "orin-nano-8gb"]
    done = python(f"from segface_edge.cli import main; main({command})", tmp_path, blocked=blocked)
    assert (done.returncode, done.stderr) == (0, "")
    done = python(f"from segface_edge.cli import main; main({command})", tmp_path, blocked=("onnx",))
    assert done.returncode == 3
    assert done.stderr.endswith("install it with: pip install 'segface-edge[estimate]'\n")


def test_windows_is_told_what_it_lacks(tmp_path: Path) -> None:
    command = ["parse", str(zoo.PORTRAIT), "-o", "mask.png"]
    done = python(f"from segface_edge.cli import main; main({command})", tmp_path, blocked=("fcntl",))
    assert (done.returncode, done.stderr) == (3, "error: segface-edge: does not run on Windows itself; run it in WSL\n")


@pytest.mark.parametrize("command", [["bench", "--duration", "0", "--warmup", "0"], ["info"], ["labels"]])
def test_every_runtime_command_runs_where_no_heavy_package_is(tmp_path: Path, command: list[str]) -> None:
    done = python(f"from segface_edge.cli import main; main({command})", tmp_path, blocked=HEAVY)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


@pytest.mark.parametrize(
    ("command", "subject"),
    [
        (["export"], "segface-edge export"),
        (["export", "--backbone", "vgg", "-o", "x.onnx"], "segface-edge export"),
        (["parse", str(zoo.PORTRAIT), "-o", "x.png", "--model", str(zoo.DEFAULT_CHECKPOINT)], "engine 'torch'"),
        (["info", "model_299.pt"], "engine 'torch'"),
        (["bench", "--engine", str(zoo.DEFAULT_CHECKPOINT)], "engine 'torch'"),
    ],
)
@pytest.mark.parametrize("blocked", [("torch",), HEAVY], ids=["torch", "all"])
def test_a_missing_package_is_answered_with_the_command_that_installs_it(
    tmp_path: Path, command: list[str], subject: str, blocked: tuple[str, ...]
) -> None:
    done = python(f"from segface_edge.cli import main; main({command})", tmp_path, blocked=blocked)
    assert (done.returncode, done.stdout) == (3, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {subject}: the package '")
    assert line.endswith("is not installed; install it with: pip install 'segface-edge[export]'")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("command", "blocked", "said"),
    [
        (
            ["label", "photos", "-o", "out"],
            "pyarrow",
            "segface-edge label: {missing}; {label}",
        ),
        (["label", "p", "-o", "out", "--ray", "local"], "ray", "--ray: {missing}; {ray}"),
        (
            ["export", "--triton", "out", "-o", "x.onnx"],
            "tritonclient",
            "--triton: {missing}; {triton}",
        ),
    ],
)
def test_what_only_one_use_needs_is_asked_for_there(
    tmp_path: Path, command: list[str], blocked: str, said: str
) -> None:
    if blocked == "ray":
        pytest.importorskip("pyarrow", reason="without pyarrow, that is what is missing first")
    if blocked == "tritonclient":
        pytest.importorskip("google.protobuf", reason="without protobuf, that is what is missing first")
    done = python(f"from segface_edge.cli import main; main({command})", tmp_path, blocked=(blocked,))
    missing = f"the package '{blocked}' is not installed"
    cures = {name: f"install it with: pip install 'segface-edge[{name}]'" for name in ("label", "ray", "triton")}
    assert (done.returncode, done.stdout, done.stderr) == (3, "", f"error: {said.format(missing=missing, **cures)}\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("package", ["matplotlib", "jinja2"])
def test_a_page_that_cannot_be_made_is_refused_before_measuring(tmp_path: Path, package: str) -> None:
    for needed in ("matplotlib", "jinja2"):
        pytest.importorskip(needed, reason="one is missing at a time")
    program = """
import segface_edge.bench.run as run
run.bench = None
from segface_edge.cli import main
main(["bench", "--html", "bench.html"])
"""
    done = python(program, tmp_path, blocked=(package,))
    cure = "install it with: pip install 'segface-edge[html]'"
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"error: --html: the package '{package}' is not installed; {cure}\n"
    assert list(tmp_path.iterdir()) == []


def test_safetensors_alone_missing_is_named(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="without torch, that is what is missing first")
    arguments = ["info", str(zoo.DEFAULT_CHECKPOINT)]
    done = python(f"from segface_edge.cli import main; main({arguments})", tmp_path, blocked=("safetensors",))
    assert done.returncode == 3
    assert "the package 'safetensors' is not installed" in done.stderr


@pytest.mark.parametrize(
    ("module", "cure"), [("cv2", "opencv-python-headless"), ("PIL", "Pillow"), ("onnxruntime", "onnxruntime")]
)
def test_a_runtime_package_that_is_missing_is_named_with_its_cure(tmp_path: Path, module: str, cure: str) -> None:
    command = ["parse", str(zoo.PORTRAIT), "-o", "mask.png"]
    done = python(f"from segface_edge.cli import main; main({command})", tmp_path, blocked=(module,))
    assert done.returncode == 3
    assert len(done.stderr.splitlines()) == 1
    assert f"pip install {cure}" in done.stderr
