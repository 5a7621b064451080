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
pytest.importorskip("onnx.version_converter")

from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.errors import ParityError, UsageError
from segface_edge.evaluation import parity, photos
from segface_edge.export import precision, quantize
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import run_export
from segface_edge.export.quantize import QuantizeConfig, Quantized, run_quantize
from segface_edge.export.sensitivity import Candidate, Sensitivity
from segface_edge.spec import PARITY_KEY, PRECISION_KEY

from .conftest import SIZE

pytestmark = pytest.mark.usefixtures("few_faces")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The released weights at a small size, fp32."""
    path: Path = tmp_path_factory.mktemp("source") / "fp32.onnx"
    run_export(ExportConfig(imgsz=SIZE, dynamic=True, simplify=False), path)
    return path


@pytest.fixture(scope="module")
def fp16(source: Path) -> Quantized:
    return run_quantize(source, QuantizeConfig(precision="fp16"), source.with_name("fp16.onnx"))


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


@pytest.fixture(scope="module")
def int8(source: Path) -> Quantized:
    """Every convolution in int8: what that costs in labels is not asked here."""
    folder = source.parent / "photos"
    folder.mkdir()
    for index, frame in enumerate(photos.bundled_faces(SIZE)[:3]):
        Image.fromarray(frame).save(folder / f"{index}.png")

    def harmless(_: object, candidates: list[Candidate], *__: object) -> list[Sensitivity]:
        return [Sensitivity(name=one.name, kind=one.kind, error=1e-9, turned=0.0) for one in candidates]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "sensitivities", harmless)
        patch.setattr(parity.Parity, "check", lambda *_: None)
        config = QuantizeConfig(precision="int8", calib_data=folder)
        return run_quantize(source, config, source.with_name("int8.onnx"))


@pytest.mark.parametrize("kind", ["fp16", pytest.param("int8", marks=pytest.mark.slow)])
def test_an_open_batch_gives_what_its_frames_give_alone(kind: str, request: pytest.FixtureRequest) -> None:
    frames = np.stack(photos.bundled_faces(SIZE)[:3])
    with OrtEngine(request.getfixturevalue(kind).path) as engine:
        assert engine.spec.precision == kind
        alone = np.concatenate([engine.run(frame[None]).labels for frame in frames])
        for count in (1, 2, 3):
            assert np.array_equal(engine.run(frames[:count]).labels, alone[:count])


def test_the_file_says_how_it_was_made(fp16: Quantized) -> None:
    metadata = {entry.key: entry.value for entry in onnx.load(fp16.path).metadata_props}
    (report,) = json.loads(metadata[PARITY_KEY])
    assert report["passed"]
    assert (report["reference"], report["candidate"]) == ("fp32 ONNX", "fp16 ONNX")
    chosen = json.loads(metadata[PRECISION_KEY])
    assert tuple(chosen["islands"]) == fp16.lowered.islands
    assert chosen["macs"] == fp16.lowered.macs


def test_a_file_that_loses_too_much_is_not_written(
    source: Path, fp16: Quantized, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = quantize.compare

    def spoilt(*args: object, **options: object) -> list[parity.Parity]:
        return [replace(report, equal=0.5) for report in real(*args, **options)]

    monkeypatch.setattr(quantize, "lower_file", lambda *_, **__: fp16.lowered)
    monkeypatch.setattr(quantize, "compare", spoilt)
    with pytest.raises(ParityError, match=r"out\.onnx"):
        run_quantize(source, QuantizeConfig(precision="fp16"), tmp_path / "out.onnx")
    assert not list(tmp_path.iterdir())


def test_only_an_fp32_deploy_graph_can_be_lowered(fp16: Quantized, tmp_path: Path) -> None:
    assert fp16.path is not None
    with pytest.raises(UsageError, match="is of fp16"):
        run_quantize(fp16.path, QuantizeConfig(precision="fp16"), tmp_path / "out.onnx")


@pytest.mark.parametrize("opset", [21, 23])
def test_int8_of_a_file_of_a_higher_opset_is_refused(source: Path, tmp_path: Path, opset: int) -> None:
    """ONNX Runtime 1.32 opens such a file in fp32, and refuses what int8 would make of it."""
    model = onnx.version_converter.convert_version(onnx.load(source), opset)
    onnx.save(model, tmp_path / "new.onnx")
    config = QuantizeConfig(precision="int8", calib_data=tmp_path)
    with pytest.raises(UsageError, match=rf"new\.onnx: is of opset {opset}: .*; export it with --opset 20"):
        run_quantize(tmp_path / "new.onnx", config, tmp_path / "out.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["new.onnx"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "fp32"}, "is what the file has"),
        ({"precision": "int8"}, "--calib-data DIR"),
        ({"precision": "fp16", "calib_data": Path("photos")}, "has no use"),
        ({"precision": "fp16", "made_for": "cpu"}, "--for cpu --precision fp16: is for int8"),
    ],
)
def test_options_that_do_not_fit(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        QuantizeConfig(**options)  # type: ignore[arg-type]
