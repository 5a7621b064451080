"""OpenVINO: files of ours as ONNX Runtime runs them, or one line that says why not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

openvino = pytest.importorskip("openvino", reason="the engine needs openvino")

from segface_edge import FaceParser, zoo
from segface_edge.engines import open_engine
from segface_edge.engines.openvino import OpenVINOEngine
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.engines.sidecar import Sidecar, fingerprint
from segface_edge.errors import IncompatibleEngineError, ModelFileError, SegFaceEdgeError, UsageError
from segface_edge.evaluation.photos import bundled_faces

Tiny = Callable[..., Path]
SIZE = 32


def frames(count: int) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def xml(tiny_model: Tiny, tmp_path: Path) -> Path:
    """A tiny file of OpenVINO's own, with what it says of itself."""
    onnx = tiny_model(tmp_path / "tiny.onnx", batch=1)
    path = tmp_path / "tiny.xml"
    openvino.save_model(openvino.Core().read_model(onnx), path, compress_to_fp16=False)
    with OrtEngine(onnx) as engine:
        spec = engine.spec
    describe(path, spec)
    return path


def describe(path: Path, spec: Any) -> None:
    files = {suffix: fingerprint(path.with_suffix(suffix)) for suffix in (".xml", ".bin")}
    told = Sidecar(spec=spec, target="openvino", files=files, onnx_sha256="", versions={}, parity=(), segface_edge="0")
    path.with_name("tiny.xml.json").write_text(told.to_json())


def test_the_bundled_model_gives_onnx_runtimes_labels() -> None:
    with OpenVINOEngine(zoo.DEFAULT_MODEL, threads=1) as one, OrtEngine(zoo.DEFAULT_MODEL, threads=1) as other:
        faces = np.stack(bundled_faces(one.spec.size)[::16])
        found = one.infer(faces)
        assert (found.labels == other.infer(faces).labels).mean() >= 0.9999
        assert one.spec == other.spec
        assert one.finite(faces[:1]) is True
        assert one.describe() == {
            "runtime": "openvino",
            "version": openvino.__version__.partition("-")[0],
            "devices": ["CPU"],
            "threads": "1",
            "precision": "f32",
        }


def test_a_parser_runs_an_onnx_file_in_it() -> None:
    with FaceParser(engine="openvino", threads=1, locate="whole") as parser:
        assert {"hair", "skin"} <= set(parser(zoo.PORTRAIT).present())
        assert parser.engine.describe()["runtime"] == "openvino"


@pytest.mark.parametrize("outputs", [("labels",), ("labels", "confidence"), ("logits",)])
@pytest.mark.parametrize("batch", [None, 1, 2])
def test_every_output_and_batch_is_onnx_runtimes(
    tiny_model: Tiny, tmp_path: Path, outputs: tuple[str, ...], batch: int | None
) -> None:
    path = tiny_model(tmp_path / "tiny.onnx", batch=batch, outputs=outputs)
    given = frames(5)
    with OpenVINOEngine(path) as engine, OrtEngine(path) as reference:
        found, wanted = engine.infer(given), reference.infer(given)
        np.testing.assert_array_equal(found.labels, wanted.labels)
        assert found.labels.dtype == np.uint8
        for name in ("confidence", "logits"):
            one, other = getattr(found, name), getattr(wanted, name)
            assert (one is None) == (other is None)
            if one is not None:
                np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-4)


def test_results_are_not_overwritten_by_the_next_run_and_threads_take_turns(tiny_model: Tiny, tmp_path: Path) -> None:
    path = tiny_model(tmp_path / "tiny.onnx")
    given = [frames(1) + np.uint8(index) for index in range(24)]
    with OpenVINOEngine(path) as engine, OrtEngine(path) as reference:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(engine.infer, given))
        for output, one in zip(found, given, strict=True):
            np.testing.assert_array_equal(output.labels, reference.infer(one).labels)


def test_a_file_of_its_own_is_opened_by_its_suffix(xml: Path) -> None:
    given = frames(3)
    with open_engine(xml) as engine, OrtEngine(xml.with_suffix(".onnx")) as reference:
        assert isinstance(engine, OpenVINOEngine)
        np.testing.assert_array_equal(engine.infer(given).labels, reference.infer(given).labels)


def test_logits_that_are_not_finite_are_seen(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="damages a model with onnx")
    model = onnx.load(zoo.DEFAULT_MODEL)
    for weight in model.graph.initializer:
        if weight.name.startswith("head.second_bias"):
            values = onnx.numpy_helper.to_array(weight)
            weight.CopyFrom(onnx.numpy_helper.from_array(np.full_like(values, np.nan), weight.name))
    onnx.save(model, tmp_path / "nan.onnx")
    with OpenVINOEngine(tmp_path / "nan.onnx") as engine:
        assert engine.finite(bundled_faces(engine.spec.size)[0][None]) is False


# ---------------------------------------------------------------------------------------------------------------------
# What is refused
# ---------------------------------------------------------------------------------------------------------------------


def refused(path: Path, error: type[SegFaceEdgeError], words: str, **options: Any) -> None:
    with pytest.raises(error, match=words) as caught:
        OpenVINOEngine(path, **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["", "CPU", "AUTO", "auto", "cuda", "cpu:0", "gpu:x", "npu:0"])
def test_an_unknown_device_is_a_usage_error(device: str) -> None:
    refused(zoo.DEFAULT_MODEL, UsageError, "is unknown to OpenVINO; use cpu, gpu, gpu:N or npu", device=device)


@pytest.mark.skipif("NPU" in openvino.Core().available_devices, reason="this machine has one")
def test_a_device_that_is_not_there_is_said_and_no_other_is_taken() -> None:
    refused(zoo.DEFAULT_MODEL, UsageError, "device 'npu': is not in this machine, which has ", device="npu")


def test_what_a_file_says_of_itself_is_held_against_its_graph(xml: Path) -> None:
    with open_engine(xml) as engine:
        spec = engine.spec
    describe(xml, replace(spec, size=64))
    refused(xml, IncompatibleEngineError, "promises frames 1x64x64x3 uint8, the graph has frames 1x32x32x3 uint8")
    describe(xml, replace(spec, batch=None))
    refused(xml, IncompatibleEngineError, "promises frames Nx32x32x3 uint8")


@pytest.mark.parametrize("suffix", [".xml", ".bin"])
def test_a_file_that_is_damaged_is_refused(xml: Path, suffix: str) -> None:
    damaged = xml.with_suffix(suffix)
    content = damaged.read_bytes()
    damaged.write_bytes(content[:-1])
    refused(xml, IncompatibleEngineError, rf"tiny\{suffix}: is cut off or another file")
    damaged.write_bytes(content[:-1] + b"#")
    refused(xml, IncompatibleEngineError, rf"tiny\{suffix}: is damaged")


def test_a_file_that_says_nothing_of_itself_is_refused(xml: Path) -> None:
    xml.with_name("tiny.xml.json").unlink()
    refused(xml, IncompatibleEngineError, r"tiny\.xml: has no tiny\.xml\.json beside it")


def test_a_file_that_is_openvinos_by_name_only_is_refused(xml: Path) -> None:
    with open_engine(xml) as engine:
        spec = engine.spec
    xml.write_text("<net/>")
    describe(xml, spec)
    refused(xml, ModelFileError, r"tiny\.xml: OpenVINO cannot read it")


def test_a_closed_engine_says_so(xml: Path) -> None:
    engine = OpenVINOEngine(xml)
    engine.close()
    with pytest.raises(UsageError, match="is closed"):
        engine.infer(frames(1))


def test_it_is_named_where_it_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "segface_edge.engines.openvino")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(SegFaceEdgeError, match=r"pip install 'segface-edge\[openvino\]'") as caught:
        open_engine(zoo.DEFAULT_MODEL, engine="openvino")
    assert caught.value.exit_code == 3


FREED_ELSEWHERE = """
import os, signal, threading
from segface_edge import zoo
from segface_edge.engines.openvino import OpenVINOEngine

engines = [OpenVINOEngine(zoo.DEFAULT_MODEL)]
thread = threading.Thread(target=engines.clear)
thread.start()
thread.join()
signal.signal(signal.SIGUSR1, lambda *_: print("heard"))
os.kill(os.getpid(), signal.SIGUSR1)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_signals_are_heard_after_another_thread_freed_an_engine() -> None:
    done = subprocess.run([sys.executable, "-c", FREED_ELSEWHERE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "heard\n"), done.stderr
