"""Exported files: what they hold, and that they compute what PyTorch computes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="export needs onnx")
torch = pytest.importorskip("torch", reason="export needs torch")

from segface_edge import FaceParser, zoo
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.errors import ParityError, UsageError
from segface_edge.evaluation import parity, photos
from segface_edge.export import pipeline, simplify
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import Export, default_path, run_export
from segface_edge.export.to_onnx import to_onnx
from segface_edge.network.engine import TorchEngine
from segface_edge.pictures import fitting, reading
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.spec import PARITY_KEY

from .conftest import SIZE

pytestmark = pytest.mark.usefixtures("few_faces")


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """The deploy graph, any batch, at a small size."""
    folder = tmp_path_factory.mktemp("export")
    return run_export(ExportConfig(imgsz=SIZE, dynamic=True), folder / "deploy.onnx")


@pytest.fixture(scope="module")
def frames() -> UInt8Array:
    return np.stack(photos.bundled_faces(SIZE)[:3])


def test_the_file_is_one_file_with_its_contract(exported: Export, released_size: int) -> None:
    assert [path.name for path in exported.path.parent.iterdir()] == ["deploy.onnx"]
    assert exported.bytes == exported.path.stat().st_size
    with OrtEngine(exported.path) as engine:
        assert engine.spec == exported.spec
        assert engine.spec.size == SIZE
        assert engine.spec.trained_size == released_size
        assert engine.spec.batch is None
        assert "non-commercial" in engine.spec.terms
        assert len(engine.spec.provenance["weights_sha256"]) == 64


def test_the_parity_report_is_stored_in_the_file(exported: Export) -> None:
    metadata = {entry.key: entry.value for entry in onnx.load(exported.path).metadata_props}
    stored = json.loads(metadata[PARITY_KEY])
    assert [report["candidate"] for report in stored] == ["ONNX", "simplified ONNX"]
    assert all(report["passed"] and report["frames"] == 6 for report in stored)


def test_bytes_go_in_and_come_out(exported: Export) -> None:
    graph = onnx.load(exported.path).graph
    uint8 = onnx.TensorProto.UINT8
    assert [(value.name, value.type.tensor_type.elem_type) for value in graph.input] == [("frames", uint8)]
    assert [(value.name, value.type.tensor_type.elem_type) for value in graph.output] == [("labels", uint8)]


def test_no_constant_is_as_large_as_the_positional_term(exported: Export) -> None:
    weights = onnx.load(exported.path).graph.initializer
    largest = max(int(np.prod(weight.dims)) for weight in weights)
    # The two MLPs of the decoder; the positional term alone would be (SIZE / 4)^2 x 256, four times that at 512.
    assert largest == 256 * 2048
    assert not any(list(weight.dims) == [(SIZE // 4) ** 2, 256] for weight in weights)


def test_a_size_other_than_the_trained_one_warns(exported: Export, released_size: int) -> None:
    assert any(f"trained at {released_size}" in warning for warning in exported.warnings)


def test_an_open_batch_gives_what_its_frames_give_alone(exported: Export, frames: UInt8Array) -> None:
    with OrtEngine(exported.path) as engine:
        alone = np.concatenate([engine.infer(frame[None]).labels for frame in frames])
        for count in (1, 2, 3):
            assert (engine.run(frames[:count]).labels == alone[:count]).mean() >= 0.9999


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"output": "confidence", "batch": 2, "opset": 20}, marks=pytest.mark.slow),
        {"output": "logits", "opset": 19, "simplify": False},
        pytest.param({"graph": "reference", "dynamic": True}, marks=pytest.mark.slow),
        {"compact": True, "simplify": False},
    ],
    ids=lambda options: "-".join(f"{key}={value}" for key, value in options.items()),
)
def test_every_kind_of_file_equals_pytorch(tmp_path: Path, options: dict[str, object], frames: UInt8Array) -> None:
    config = ExportConfig(imgsz=SIZE, **options)  # type: ignore[arg-type]
    result = run_export(config, tmp_path / "model.onnx")
    opsets = {entry.domain: entry.version for entry in onnx.load(result.path).opset_import}
    assert opsets[""] == config.onnx_opset
    model, _ = pipeline.load_network(config, [])
    with OrtEngine(result.path) as engine, TorchEngine.of(model) as reference:
        found, wanted = engine.infer(frames), reference.infer(frames)
    assert (found.labels == wanted.labels).mean() >= 0.9999
    if "confidence" in config.output_kinds:
        assert found.confidence is not None
        assert wanted.confidence is not None
        assert np.abs(found.confidence.astype(int) - wanted.confidence).max() <= 1
    if config.output_kinds == ("logits",):
        assert found.logits is not None
        assert wanted.logits is not None
        assert np.abs(found.logits - wanted.logits).max() <= 3e-5 * np.abs(wanted.logits).max()


@pytest.mark.slow
@pytest.mark.slow
def test_compact_files_lose_nothing(tmp_path: Path, frames: UInt8Array) -> None:
    plain = run_export(ExportConfig(imgsz=SIZE, output="logits", opset=19), tmp_path / "plain.onnx")
    compact = run_export(ExportConfig(imgsz=SIZE, output="logits", opset=19, compact=True), tmp_path / "compact.onnx")
    assert compact.bytes < 0.6 * plain.bytes
    with OrtEngine(plain.path) as one, OrtEngine(compact.path) as other:
        assert np.array_equal(one.infer(frames[:1]).logits, other.infer(frames[:1]).logits)


@pytest.mark.slow
def test_an_export_is_repeatable(tmp_path: Path, exported: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "to_onnx", to_onnx)  # not the one with a memory
    again = run_export(ExportConfig(imgsz=SIZE, dynamic=True), tmp_path / "again.onnx")
    assert again.sha256 == exported.sha256


def test_a_model_beyond_the_limits_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(pipeline.TorchEngine):
        def run(self, frames: UInt8Array) -> object:
            output = super().run(frames)
            nose = output.labels == self.spec.labels.index("nose")
            return replace(output, labels=np.where(nose, np.uint8(0), output.labels))

    monkeypatch.setattr(pipeline, "TorchEngine", Wrong)
    target = tmp_path / "model.onnx"
    with pytest.raises(ParityError, match="nose") as caught:
        run_export(ExportConfig(imgsz=SIZE, simplify=False), target)
    assert caught.value.exit_code == 4
    assert list(tmp_path.iterdir()) == []


def test_a_simplifier_that_fails_leaves_the_model_unsimplified_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simplify, "_PROGRAM", "import os; os.abort()")
    result = run_export(ExportConfig(imgsz=SIZE), tmp_path / "model.onnx")
    assert any("onnxsim failed" in warning and "not simplified" in warning for warning in result.warnings)
    assert [report.candidate for report in result.parity] == ["ONNX"]
    with FaceParser(result.path) as parser:
        assert "hair" in parser(zoo.PORTRAIT).present()


@pytest.mark.slow
def test_random_weights_are_used_only_when_asked_for_and_say_so(tmp_path: Path) -> None:
    result = run_export(ExportConfig(imgsz=64, random_weights=True), tmp_path / "model.onnx")
    assert "random" in result.spec.terms
    assert result.spec.provenance["weights_sha256"] == "random"
    assert any("noise" in warning for warning in result.warnings)


def test_own_photos_join_the_comparison(tmp_path: Path, portrait: Path) -> None:
    photos_folder = tmp_path / "photos"
    photos_folder.mkdir()
    (photos_folder / "one.jpg").write_bytes(portrait.read_bytes())
    config = ExportConfig(imgsz=SIZE, simplify=False, parity_data=photos_folder)
    result = run_export(config, tmp_path / "model.onnx")
    assert result.parity[0].frames == 7


def test_the_output_must_be_an_onnx_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model\.plan"):
        run_export(ExportConfig(imgsz=64), tmp_path / "model.plan")


def test_the_default_name_tells_what_is_inside() -> None:
    assert default_path(ExportConfig(), "mobilenet", 256) == Path("segface_mobilenet_256.onnx")
    assert default_path(ExportConfig(output="confidence"), "mobilenet", 512) == Path(
        "segface_mobilenet_512_confidence.onnx"
    )
    assert default_path(ExportConfig(graph="reference"), "mobilenet", 512) == Path(
        "segface_mobilenet_512_reference.onnx"
    )


def test_the_trtexec_line_names_shapes_where_the_batch_is_open(exported: Export) -> None:
    assert f"--maxShapes=frames:8x{SIZE}x{SIZE}x3" in exported.trtexec
    assert exported.trtexec.startswith("trtexec --onnx=")


# In shares of the largest logit: what two orders of summation may differ by, and what the two likeliest classes of a
# pixel may lie apart by where its label turns.
LOGIT_ERROR = 3e-5
MARGIN = 1e-4


@pytest.mark.slow
def test_released_labels_equal_pytorch_s_but_for_ties(faces: Path, released_size: int) -> None:
    frames = some_faces(faces, released_size, 50)
    turned = 0
    with OrtEngine(zoo.DEFAULT_MODEL) as engine, TorchEngine(zoo.DEFAULT_CHECKPOINT) as reference:
        for frame in frames:
            wanted, found = reference.infer(frame[None]), engine.infer(frame[None])
            assert wanted.logits is not None
            likeliest = np.sort(wanted.logits, axis=1)[:, -2:]
            differs = found.labels != wanted.labels
            turned += np.count_nonzero(differs)
            assert ((likeliest[:, 1] - likeliest[:, 0])[differs] < MARGIN * np.abs(wanted.logits).max()).all()
    assert turned <= 1e-5 * frames.size / 3


@pytest.mark.slow
def test_released_logits_equal_pytorch_s(tmp_path: Path, faces: Path) -> None:
    result = run_export(ExportConfig(output="logits", dynamic=True), tmp_path / "model.onnx")
    frames = some_faces(faces, result.spec.size, 12)
    with OrtEngine(result.path) as engine, TorchEngine(zoo.DEFAULT_CHECKPOINT) as reference:
        (report,) = parity.compare(reference, {"ONNX": engine}, list(frames), name="PyTorch")
    assert report.logit_error is not None
    assert report.logit_error <= LOGIT_ERROR


@pytest.mark.slow
def test_the_released_file_gives_frames_together_what_it_gives_them_alone(faces: Path, released_size: int) -> None:
    frames = some_faces(faces, released_size, 3)
    with OrtEngine(zoo.DEFAULT_MODEL) as engine:
        alone = np.concatenate([engine.run(frame[None]).labels for frame in frames])
        for count in (1, 2, 3):
            assert np.array_equal(engine.run(frames[:count]).labels, alone[:count])


def some_faces(folder: Path, size: int, count: int) -> UInt8Array:
    paths = sorted((folder / "images").iterdir())[:count]
    assert len(paths) == count
    return np.stack([fitting.fit(reading.load(path), size).pixels for path in paths])


def test_the_bundled_onnx_is_the_bundled_checkpoint(faces: Path) -> None:
    with OrtEngine(zoo.DEFAULT_MODEL) as engine, TorchEngine(zoo.DEFAULT_CHECKPOINT) as reference:
        frames = [
            fitting.fit(reading.load(path), engine.spec.size).pixels
            for path in sorted((faces / "images").iterdir())[:4]
        ]
        (report,) = parity.compare(reference, {"ONNX": engine}, frames, name="PyTorch")
        assert engine.spec.batch is None
    assert report.equal >= 0.9999


def test_the_backbone_is_what_the_weights_say(tmp_path: Path) -> None:
    """The reference implementation's checkpoints say nothing: they are of its mobile backbone."""
    from safetensors.torch import load_file, save_file

    silent = tmp_path / "silent.safetensors"
    save_file(load_file(zoo.RELEASED["mobilenet"]), silent)
    for config, wanted in (
        (ExportConfig(), zoo.DEFAULT_BACKBONE),
        (ExportConfig(random_weights=True, imgsz=64), zoo.DEFAULT_BACKBONE),
        (ExportConfig(weights=zoo.RELEASED["mobilenet"]), "mobilenet"),
        (ExportConfig(weights=silent), "mobilenet"),
        (ExportConfig(backbone="mobilenet"), "mobilenet"),
    ):
        assert pipeline.load_network(config, [])[0].backbone_name == wanted
    with pytest.raises(UsageError, match=r"'efficientnet_lite1': has no released weights; .*released: efficientnet"):
        pipeline.load_network(ExportConfig(backbone="efficientnet_lite1"), [])
