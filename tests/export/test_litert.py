"""`export --target litert` in lower precision. Its converter is not in CI: it brings 0.8 GB."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="export needs onnx")
pytest.importorskip("torch", reason="export needs torch")
pytest.importorskip("litert_torch", reason="the conversion needs the extra 'litert-export'")
interpreters = pytest.importorskip("ai_edge_litert.interpreter", reason="its files are run by LiteRT")

from segface_edge import zoo
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.evaluation.photos import bundled_faces
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import run_export
from segface_edge.export.targets.apart import run_apart
from segface_edge.export.targets.job import Job

from .conftest import SIZE

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    """What is asked for in fp32, done."""
    folder = tmp_path_factory.mktemp("litert")
    exported = run_export(ExportConfig(imgsz=SIZE, simplify=False), folder / "deploy.onnx")
    config = ExportConfig(imgsz=SIZE, target="litert")
    job = Job(onnx=exported.path, spec=exported.spec, config=config, out=folder / "model.tflite")
    assert set(apart("litert:convert", job)) == {"litert-torch", "litert-converter"}
    return job


def apart(function: str, *arguments: object) -> Any:
    """As an export calls it: in a process of its own, where the converter's own warnings are no errors."""
    return run_apart(f"segface_edge.export.targets.{function}", *arguments, subject="model.tflite", doing="it")


def labels(content: bytes, frames: list[Any]) -> np.ndarray:
    """What the file's signature gives."""
    run = interpreters.Interpreter(model_content=content, num_threads=1).get_signature_runner()
    return np.concatenate([run(frames=frame[None])["labels"] for frame in frames])


@pytest.mark.parametrize(("precision", "share", "equal"), [("fp16", 0.6, 0.999), ("int8", 0.65, 0.97)])
def test_a_file_in_lower_precision_is_smaller_and_gives_the_labels(
    job: Job, tmp_path: Path, precision: str, share: float, equal: float
) -> None:
    (photos := tmp_path / "photos").mkdir()
    for photo in (zoo.PORTRAIT, zoo.ASTRONAUT):
        shutil.copy(photo, photos)
    config = replace(job.config, precision=precision, calib_data=photos if precision == "int8" else None)
    content = apart(
        "litert_lower:lower", replace(job, config=config, spec=replace(job.spec, precision=precision)), job.out
    )
    assert len(content) < share * job.out.stat().st_size
    frames = bundled_faces(SIZE)[::8]
    with OrtEngine(job.onnx) as reference:
        assert (labels(content, frames) == reference.infer(np.stack(frames)).labels).mean() >= equal
