"""`export --target openvino`: what its files hold instead of an argmax, and in lower precision."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

pytest.importorskip("onnx", reason="export needs onnx")
pytest.importorskip("torch", reason="export needs torch")
openvino = pytest.importorskip("openvino", reason="the conversion needs openvino")
from openvino import opset13 as ops

from segface_edge import zoo
from segface_edge.engines.openvino import OpenVINOEngine
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.evaluation.photos import bundled_faces
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import Export, run_export
from segface_edge.export.targets.openvino import _compare
from segface_edge.export.targets.run import convert_file

from .conftest import SIZE

CLASSES = 19


def argmax(values: npt.NDArray[np.float32], *, axis: int = -1) -> npt.NDArray[np.int64]:
    """By a graph of an ArgMax, as OpenVINO reads it, after `_compare`."""
    given = ops.parameter([-1, *values.shape[1:]], np.float32)
    top = ops.topk(given, ops.constant(np.int64(1)), axis, "max", "value", index_element_type="i64", stable=True)
    model = openvino.Model([ops.squeeze(top.output(1), ops.constant(np.int64([axis])))], [given])
    _compare(top)
    model.validate_nodes_and_infer_types()
    kinds = {node.get_type_name() for node in model.get_ops()}
    assert ("TopK" in kinds) == (axis != -1)
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    found: npt.NDArray[np.int64] = np.array(compiled(values)[0])
    return found


def test_an_argmax_as_comparisons_takes_the_lowest_of_equals() -> None:
    values = np.random.default_rng(0).integers(-2, 3, (2, 500, CLASSES)).astype(np.float32)
    values[0, 0], values[0, 1] = 0, np.finfo(np.float32).min
    found = argmax(values)
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, values.argmax(-1))


def test_of_nan_a_class_that_there_is() -> None:
    assert argmax(np.full((1, 4, CLASSES), np.nan, np.float32)).max() < CLASSES


def test_an_argmax_over_another_axis_stays() -> None:
    values = np.random.default_rng(0).normal(size=(1, CLASSES, 50)).astype(np.float32)
    np.testing.assert_array_equal(argmax(values, axis=1), values.argmax(1))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    path = tmp_path_factory.mktemp("deploy") / "deploy.onnx"
    return run_export(ExportConfig(imgsz=SIZE, simplify=False), path)


@pytest.mark.slow
def test_the_file_gives_the_onnx_files_labels(exported: Export, tmp_path: Path) -> None:
    path = tmp_path / "model.xml"
    done = convert_file(exported, ExportConfig(imgsz=SIZE, target="openvino"), path)
    # The logits are seen, as an ONNX file's are, though there is no TopK.
    assert done.parity[-1].finite is True
    with OpenVINOEngine(path) as engine, OrtEngine(exported.path) as reference:
        faces = np.stack(bundled_faces(SIZE)[::16])
        np.testing.assert_array_equal(engine.infer(faces).labels, reference.infer(faces).labels)


@pytest.mark.slow
def test_fp16_is_half_the_bytes(exported: Export, tmp_path: Path) -> None:
    config = ExportConfig(imgsz=SIZE, target="openvino", precision="fp16")
    done = convert_file(exported, config, tmp_path / "model.xml")
    assert (done.spec.precision, done.parity[-1].precision) == ("fp16", "fp16")
    assert done.files[tmp_path / "model.bin"] < 0.6 * exported.bytes


@pytest.mark.slow
def test_int8_is_of_the_kind_that_cpus_multiply(exported: Export, tmp_path: Path) -> None:
    (photos := tmp_path / "photos").mkdir()
    for photo in (zoo.PORTRAIT, zoo.ASTRONAUT):
        shutil.copy(photo, photos)
    config = ExportConfig(imgsz=SIZE, target="openvino", precision="int8", calib_data=photos, calib_images=2)
    done = convert_file(exported, config, tmp_path / "model.xml")
    assert (done.spec.precision, done.spec.made_for) == ("int8", "cpu")
    report = done.parity[-1]
    assert (report.candidate, report.precision, report.failures()) == ("openvino", "int8", [])
    assert 0.97 <= report.equal < 1.0
    assert done.files[tmp_path / "model.bin"] < 0.7 * exported.bytes
