"""Model repositories for Triton: the configuration is Triton's own message, and says what the file is."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnxruntime
import pytest

from segface_edge import zoo
from segface_edge.errors import IncompatibleEngineError, UsageError
from segface_edge.evaluation import photos, plan_parity

proto = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="tritonclient is not installed")
text_format = pytest.importorskip("google.protobuf.text_format")

from segface_edge.export.triton import CONFIG, LABELS, MAX_BATCH, write_repository

Cli = Callable[..., Any]
TinyModel = Callable[..., Path]
TYPES = {"tensor(uint8)": proto.TYPE_UINT8, "tensor(float)": proto.TYPE_FP32}


def read(folder: Path) -> Any:
    """A model's configuration, by Triton's own message: an unknown field raises."""
    return text_format.Parse((folder / CONFIG).read_text(), proto.ModelConfig())


@pytest.mark.parametrize("batch", [None, 1, 4])
@pytest.mark.parametrize("outputs", [("labels",), ("labels", "confidence"), ("logits",)])
def test_the_configuration_is_what_onnx_runtime_finds_in_the_file(
    tiny_model: TinyModel, tmp_path: Path, batch: int | None, outputs: tuple[str, ...]
) -> None:
    model = tiny_model(tmp_path / "faces.onnx", batch=batch, outputs=outputs)
    folder = write_repository(model, tmp_path / "repository")
    assert folder == tmp_path / "repository" / "faces"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) == ["1", "1/model.onnx", CONFIG, LABELS]
    assert (folder / "1" / "model.onnx").read_bytes() == model.read_bytes()
    config = read(folder)
    assert (config.name, config.backend) == ("faces", "onnxruntime")
    session = onnxruntime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    for tensors, real in ((config.input, session.get_inputs()), (config.output, session.get_outputs())):
        assert [(one.name, one.data_type) for one in tensors] == [(one.name, TYPES[one.type]) for one in real]
        for one, found in zip(tensors, real, strict=True):
            # Triton puts the frames before the shape, where it batches.
            assert list(one.dims) == (found.shape[1:] if batch is None else found.shape)
    assert config.max_batch_size == (MAX_BATCH if batch is None else 0)
    assert config.HasField("dynamic_batching") == (batch is None)
    assert [one.label_filename for one in config.output if one.name == "labels"] == [LABELS] * ("labels" in outputs)
    assert (folder / LABELS).read_text().splitlines() == ["background", "skin", "hair"]
    (group,) = config.instance_group
    assert (group.count, group.kind) == (1, proto.ModelInstanceGroup.KIND_AUTO)
    assert [one.batch_size for one in config.model_warmup] == ([1, MAX_BATCH] if batch is None else [1])
    for warmup in config.model_warmup:
        assert list(warmup.inputs["frames"].dims) == list(config.input[0].dims)
        assert warmup.inputs["frames"].zero_data


def test_the_bundled_model_says_its_order_and_terms(tmp_path: Path) -> None:
    config = read(write_repository(zoo.DEFAULT_MODEL, tmp_path))
    assert config.parameters["label_order"].string_value == "segface"
    assert "non-commercial" in config.parameters["terms"].string_value
    assert config.parameters["precision"].string_value == "fp32"


def test_a_plan_is_served_by_tensorrt(
    tiny_model: TinyModel, tmp_path: Path, cli: Cli, nvidia: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia("10.3.0")
    monkeypatch.setattr(plan_parity, "bundled_faces", lambda size, **_: photos.bundled_faces(size)[::24])
    model, plan = tiny_model(tmp_path / "faces.onnx"), tmp_path / "faces.plan"
    assert cli("build", model, "-o", plan, "--opt-batch", 2, "--max-batch", 4).code == 0
    for file in (model, plan):
        write_repository(file, tmp_path / "repository")
    assert sorted(path.name for path in (tmp_path / "repository").iterdir()) == ["faces", "faces_tensorrt"]
    folder = tmp_path / "repository" / "faces_tensorrt"
    config = read(folder)
    assert (config.name, config.backend, config.max_batch_size) == ("faces_tensorrt", "tensorrt", 4)
    assert list(config.dynamic_batching.preferred_batch_size) == [2, 4]
    assert config.instance_group[0].kind == proto.ModelInstanceGroup.KIND_GPU
    assert (folder / "1" / "model.plan").read_bytes() == plan.read_bytes()
    (tmp_path / "faces.plan.json").unlink()
    with pytest.raises(IncompatibleEngineError, match="says nothing of itself"):
        write_repository(plan, tmp_path / "repository")


def test_a_model_of_the_same_name_is_replaced(tiny_model: TinyModel, tmp_path: Path) -> None:
    for batch in (2, None):
        folder = write_repository(tiny_model(tmp_path / "faces.onnx", batch=batch), tmp_path)
    assert read(folder).max_batch_size == MAX_BATCH
    assert (folder / "1" / "model.onnx").read_bytes() == (tmp_path / "faces.onnx").read_bytes()


def test_names_and_files_that_triton_does_not_take(tiny_model: TinyModel, tmp_path: Path) -> None:
    spaced = tiny_model(tmp_path / "my faces.onnx")
    with pytest.raises(UsageError, match="has a name that Triton cannot take"):
        write_repository(spaced, tmp_path / "repository")
    with pytest.raises(UsageError, match=r"'.safetensors' files are not for Triton"):
        write_repository(zoo.DEFAULT_CHECKPOINT, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_the_command_takes_a_file_that_is_there(tiny_model: TinyModel, tmp_path: Path, cli: Cli) -> None:
    model, out = tiny_model(tmp_path / "faces.onnx"), tmp_path / "repository"
    result = cli("export", "--triton", out, "--model", model)
    assert (result.code, result.err) == (0, "")
    assert f"wrote {out / 'faces'}" in result.out
    document = json.loads(cli("export", "--triton", out, "--model", model, "--json", "-").out)
    assert document == {"path": str(model), "triton": str(out)}
    assert read(out / "faces").name == "faces"


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--model", "faces.onnx"), "--model: is for a model repository or a page; give --triton DIR"),
        (("--triton", "out", "--model", "faces.onnx", "--imgsz", 64), "--model and --imgsz: contradict each other"),
        (("--triton", "out", "--model", "faces.onnx", "-o", "x.onnx"), "--model and -o: contradict each other"),
        (("--triton", "out", "-o", "a b.onnx"), "a b.onnx: has a name that Triton cannot take"),
    ],
)
def test_options_that_do_not_fit(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, arguments: tuple[object, ...], problem: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = cli("export", *arguments)
    assert result.code == 2
    assert result.err.startswith(f"error: {problem}")
    assert list(tmp_path.iterdir()) == []


def test_an_export_fills_a_repository(
    tmp_path: Path, cli: Cli, tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = pytest.importorskip("segface_edge.export.pipeline", reason="export needs torch and onnx")
    model = tiny_model(tmp_path / "tiny.onnx")

    def exported(_: Any, path: Path, **__: Any) -> Any:
        """What an export gives; that takes minutes, and has tests of its own."""
        shutil.copy(model, path)
        spec = read_spec(path)
        return pipeline.Export(path=path, bytes=1, sha256="", spec=spec, parity=(), warnings=(), trtexec="")

    def read_spec(path: Path) -> Any:
        from segface_edge.engines import open_engine

        with open_engine(path) as engine:
            return engine.spec

    monkeypatch.setattr(pipeline, "run_export", exported)
    result = cli(
        "export", "--dynamic", "-o", tmp_path / "faces.onnx", "--triton", tmp_path / "repository", "--json", "-"
    )
    assert result.code == 0, result.err
    assert json.loads(result.out)["triton"] == str(tmp_path / "repository")
    assert read(tmp_path / "repository" / "faces").max_batch_size == MAX_BATCH
