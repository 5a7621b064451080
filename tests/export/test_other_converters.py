"""Converters that are no targets take the exported file as it is: MNN's and onnx2tf. Skipped where they are absent.

onnx2tf 2 wants Python 3.12, and may be in an environment of its own: its program is looked for on PATH.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="export needs torch")
pytest.importorskip("onnx", reason="export needs onnx")

from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.evaluation.photos import bundled_faces
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import run_export

from .conftest import SIZE

pytestmark = pytest.mark.slow

Run = Callable[[np.ndarray], Any]


@pytest.fixture(scope="module", params=["efficientnet_lite0_s8_b1", "mobilenet"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    return run_export(ExportConfig(backbone=request.param, imgsz=SIZE), path).path


def equal(exported: Path, run: Run) -> float:
    """Share of labels that are ONNX Runtime's, on six of the bundled faces."""
    found = []
    with OrtEngine(exported, threads=1) as reference:
        for frame in bundled_faces(SIZE)[::8]:
            wanted = reference.infer(frame[None]).labels
            labels = np.asarray(run(frame[None]))
            assert labels.size == wanted.size
            found.append((labels.reshape(wanted.shape) == wanted).mean())
    return float(np.mean(found))


def in_a_process(folder: Path, *command: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_mnn(exported: Path, tmp_path: Path) -> None:
    mnn = pytest.importorskip("MNN", reason="no target: its converter is checked where it is installed")
    nn, expressions = pytest.importorskip("MNN.nn"), pytest.importorskip("MNN.expr")
    code = "import sys; from MNN.tools import mnnconvert; mnnconvert.main()"
    # Without the option, it takes the frames' last axis but one for channels.
    options = ["-f", "ONNX", "--modelFile", str(exported), "--MNNModel", "model.mnn", "--bizCode", "x"]
    in_a_process(tmp_path, sys.executable, "-c", code, *options, "--keepInputFormat=1")
    runtime = mnn.nn.create_runtime_manager(({"backend": "CPU", "numThread": 1, "precision": "high"},))
    net = nn.load_module_from_file(str(tmp_path / "model.mnn"), ["frames"], ["labels"], runtime_manager=runtime)

    def run(frames: np.ndarray) -> Any:
        given = expressions.const(frames, list(frames.shape), expressions.NCHW, expressions.uint8)
        return net.onForward([given])[0].read()

    assert equal(exported, run) >= 0.999


def test_onnx2tf(exported: Path, tmp_path: Path) -> None:
    program = shutil.which("onnx2tf")
    if program is None:
        pytest.skip("no target: onnx2tf is checked where it is installed")
    litert = pytest.importorskip("ai_edge_litert.interpreter", reason="what onnx2tf makes is run by LiteRT")
    # Without the last option, it takes the frames' last axis but one for channels, and turns them.
    in_a_process(tmp_path, program, "-i", str(exported), "-o", str(tmp_path), "-n", "-kat", "frames")
    (path,) = tmp_path.glob("*_float32.tflite")
    # LiteRT's own kernels: XNNPACK does not take the seven axes of the default model's labels.
    plain = litert.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    net = litert.Interpreter(str(path), num_threads=1, experimental_op_resolver_type=plain)
    net.allocate_tensors()

    def run(frames: np.ndarray) -> Any:
        (given,), (labels,) = net.get_input_details(), net.get_output_details()
        assert tuple(given["shape"]) == frames.shape
        net.set_tensor(given["index"], frames)
        net.invoke()
        return net.get_tensor(labels["index"])

    # onnx2tf 2.6.9 transposes the default model's eight axes wrongly (findings/onnx2tf_eight_axes.sh).
    assert equal(exported, run) >= (0.999 if "mobilenet" in str(exported.parent) else 0.95)
