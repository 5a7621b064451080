"""Files in lower precision: made of an fp32 file, checked against it, saying what they are."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="an export needs torch")
onnx = pytest.importorskip("onnx", reason="export needs onnx")

from segface_edge import zoo
from segface_edge.engines.ort import OrtEngine
from segface_edge.errors import ParityError, UsageError
from segface_edge.evaluation import parity, photos
from segface_edge.export import pipeline, quantize
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import run_export
from segface_edge.export.quantize import QuantizeConfig, Quantized, run_quantize
from segface_edge.spec import PARITY_KEY, PRECISION_KEY

SIZE = 128


@pytest.fixture(scope="module", autouse=True)
def few_faces() -> object:
    patch = pytest.MonkeyPatch()
    for module in (pipeline, quantize):
        patch.setattr(module, "bundled_faces", lambda size: photos.bundled_faces(size)[::8])
    yield
    patch.undo()


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released weights at a small size, fp32."""
    path: Path = tmp_path_factory.mktemp("source") / "fp32.onnx"
    run_export(ExportConfig(imgsz=SIZE, simplify=False), path)
    return path


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for index, frame in enumerate(photos.bundled_faces(SIZE)[:6]):
        Image.fromarray(frame).save(folder / f"{index}.png")
    return folder


@pytest.fixture(scope="module")
def fp16(source: Path) -> Quantized:
    return run_quantize(source, QuantizeConfig(precision="fp16"), source.with_name("fp16.onnx"))


@pytest.fixture(scope="module")
def int8(source: Path, calibration: Path) -> Quantized:
    config = QuantizeConfig(precision="int8", calib_data=calibration)
    return run_quantize(source, config, source.with_name("int8.onnx"))


def test_a_file_of_half_precision(fp16: Quantized, source: Path) -> None:
    assert fp16.path is not None
    with OrtEngine(fp16.path) as engine, OrtEngine(source) as wide:
        assert engine.spec == fp16.spec
        assert engine.spec.precision == "fp16"
        assert engine.describe()["optimisation"] == "all but NchwcTransformer"
        frames = np.stack(photos.bundled_faces(SIZE)[:2])
        assert (engine.infer(frames).labels == wide.infer(frames).labels).mean() > 0.998
    assert fp16.lowered.macs["FLOAT16"] / sum(fp16.lowered.macs.values()) >= 0.9
    assert fp16.bytes[0] == fp16.path.stat().st_size < 0.6 * source.stat().st_size


@pytest.mark.slow
def test_a_file_of_int8(int8: Quantized, source: Path) -> None:
    assert int8.path is not None
    with OrtEngine(int8.path) as engine:
        assert engine.spec.precision == "int8"
    macs = int8.lowered.macs
    backbone = sum(macs.values()) - sum(macs.get(kind, 0) for kind in ("FLOAT", "FLOAT16"))
    assert backbone == macs["INT8"] > 0
    assert len(int8.lowered.int8) >= len(int8.lowered.int8_layers) > 20
    opsets = {entry.domain: entry.version for entry in onnx.load(int8.path).opset_import}
    assert opsets[""] >= 19
    assert int8.bytes[0] < 0.6 * source.stat().st_size


@pytest.mark.slow
def test_the_file_says_how_it_was_made(fp16: Quantized, int8: Quantized) -> None:
    for made in (fp16, int8):
        metadata = {entry.key: entry.value for entry in onnx.load(made.path).metadata_props}
        (report,) = json.loads(metadata[PARITY_KEY])
        assert report["passed"]
        assert (report["reference"], report["candidate"]) == ("fp32 ONNX", f"{made.spec.precision} ONNX")
        chosen = json.loads(metadata[PRECISION_KEY])
        assert tuple(chosen["islands"]) == made.lowered.islands
        assert tuple(chosen["int8_layers"]) == made.lowered.int8_layers
        assert chosen["macs"] == made.lowered.macs


@pytest.mark.slow
def test_sensitivities_alone_write_nothing(source: Path, fp16: Quantized) -> None:
    before = sorted(source.parent.iterdir())
    result = run_quantize(source, QuantizeConfig(precision="fp16"), None)
    assert sorted(source.parent.iterdir()) == before
    assert (result.path, result.parity) == (None, None)
    # One and the same twice.
    assert result.lowered.half == fp16.lowered.half
    assert result.lowered.islands == fp16.lowered.islands


def test_a_file_that_loses_too_much_is_not_written(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = quantize.compare

    def spoilt(*args: object, **options: object) -> list[parity.Parity]:
        return [replace(report, equal=0.5) for report in real(*args, **options)]

    monkeypatch.setattr(quantize, "compare", spoilt)
    with pytest.raises(ParityError, match=r"out\.onnx"):
        run_quantize(source, QuantizeConfig(precision="fp16"), tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())


def test_only_an_fp32_deploy_graph_can_be_lowered(fp16: Quantized, tmp_path: Path) -> None:
    assert fp16.path is not None
    with pytest.raises(UsageError, match="is of fp16"):
        run_quantize(fp16.path, QuantizeConfig(precision="fp16"), tmp_path / "out.onnx")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "fp32"}, "is what the file has"),
        ({"precision": "int8"}, "--calib-data DIR"),
        ({"precision": "fp16", "calib_data": Path("photos")}, "has no use"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        QuantizeConfig(**options)  # type: ignore[arg-type]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_an_export_in_lower_precision_at_the_released_size(precision: str, shared: Path, tmp_path: Path) -> None:
    train = shared / "data" / "celebamask-hq-mini" / "train"
    config = ExportConfig(
        precision=precision,
        calib_data=train if precision == "int8" else None,
        calib_images=24,  # type: ignore[arg-type]
    )
    result = run_export(config, tmp_path / "model.onnx")
    assert [report.candidate for report in result.parity] == ["ONNX", "simplified ONNX", f"{precision} ONNX"]
    assert result.lowered is not None
    macs = result.lowered.macs
    if precision == "fp16":
        assert macs["FLOAT16"] / sum(macs.values()) >= 0.9
        assert result.parity[-1].equal >= 0.998
    assert result.bytes < 0.6 * 2 * zoo.DEFAULT_MODEL.stat().st_size
