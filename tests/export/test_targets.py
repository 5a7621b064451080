"""`export --target`: conversions in processes of their own, the gate, and what stands beside the file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="export needs onnx")
pytest.importorskip("torch", reason="export needs torch")

from segface_edge import __version__
from segface_edge.cli.export import command
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.engines.sidecar import read_sidecar
from segface_edge.errors import (
    IncompatibleEngineError,
    MissingDependencyError,
    ModelFileError,
    ParityError,
    SegFaceEdgeError,
    UsageError,
)
from segface_edge.evaluation.photos import bundled_faces
from segface_edge.export import pipeline
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import Export
from segface_edge.export.targets import run, table
from segface_edge.export.targets.answers import Answers
from segface_edge.export.targets.apart import run_apart
from segface_edge.export.targets.job import Job
from segface_edge.export.targets.run import export_target
from segface_edge.export.targets.table import DEFAULT, TARGETS, Target

from .conftest import SIZE

Cli = Callable[..., Any]


def fails(function: str, *arguments: object, **bounds: float) -> str:
    with pytest.raises(IncompatibleEngineError) as caught:
        run_apart(function, *arguments, subject="model.x", doing="the conversion", **bounds)  # type: ignore[arg-type]
    text = str(caught.value)
    assert text.startswith("model.x: the conversion ")
    assert "\n" not in text
    return text


def test_a_function_answers_from_a_process_of_its_own() -> None:
    assert run_apart("math:hypot", 3, 4, subject="x", doing="it") == 5


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        ("os:abort", (), "was ended by SIGABRT"),
        ("os:_exit", (0,), "ended with 0 and no result, without a word"),
        ("sys:exit", ("all is lost",), "ended with 1 and no result: all is lost"),
        ("operator:truediv", (1, 0), "failed: ZeroDivisionError: division by zero"),
        ("json:loads", ("{",), "failed: JSONDecodeError: "),
        ("no_such_package:convert", (), "failed: ModuleNotFoundError: No module named 'no_such_package'"),
    ],
)
def test_a_failure_is_one_line_with_the_last_words(function: str, arguments: tuple[object, ...], words: str) -> None:
    assert words in fails(function, *arguments)


def test_it_is_ended_where_it_takes_too_long() -> None:
    assert "took over 0.005 minutes" in fails("time:sleep", 60, minutes=0.005)


def test_it_gets_no_more_memory_than_its_bound() -> None:
    assert "MemoryError" in fails("builtins:bytearray", 2**30, memory_gib=0.5)
    assert len(run_apart("builtins:bytes", 2**20, subject="x", doing="it", memory_gib=0.5)) == 2**20


def test_it_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    started = tmp_path / "started"
    program = (
        "from segface_edge.export.targets.apart import run_apart\n"
        f"run_apart('subprocess:call', ['sh', '-c', 'echo $PPID > {started}; sleep 20'], subject='x', doing='it')"
    )
    with subprocess.Popen([sys.executable, "-c", program]) as parent:
        while not (started.is_file() and started.read_text().strip()):
            assert parent.poll() is None
            time.sleep(0.05)
        parent.kill()
    process = Path("/proc", started.read_text().strip())
    deadline = time.monotonic() + 20
    while process.exists() and "State:\tZ" not in (process / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_an_error_of_ours_comes_back_as_it_is() -> None:
    with pytest.raises(UsageError, match="target 'palm': is unknown"):
        run_apart("segface_edge.export.targets.table:target", "palm", subject="x", doing="it")


@pytest.mark.parametrize("name", TARGETS)
def test_every_row_is_named_in_the_options_help_and_has_a_recipe(name: str, root: Path) -> None:
    (option,) = (param for param in command.params if param.name == "target")
    assert name in str(option.help)  # type: ignore[attr-defined]
    if name != DEFAULT:
        assert f'target = "{name}"' in (root / "export" / f"{name}.toml").read_text()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "palm"}, "target 'palm': is unknown; use one of: onnxruntime, "),
        ({"target": "tensorrt"}, "target 'tensorrt': is an option of its own; use --engine FILE.plan"),
        ({"target": "openvino", "graph": "reference"}, "is made of the deploy graph"),
        ({"target": "openvino", "warp": "inside"}, "is made of the deploy graph"),
        ({"target": "portable", "precision": "fp16"}, "--target portable --precision fp16: is not made"),
    ],
)
def test_options_that_do_not_fit_a_target_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        ExportConfig(**options)
    assert words in str(caught.value)


def test_a_target_without_its_package_is_refused_before_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    row = replace(TARGETS["openvino"], needs={"no_such_package": ("openvino",)})
    monkeypatch.setitem(TARGETS, "openvino", row)
    with pytest.raises(MissingDependencyError) as caught:
        export_target(ExportConfig(target="openvino"))
    assert caught.value.exit_code == 3
    assert "--target openvino: the package 'no_such_package' is not installed; install it with: pip install" in str(
        caught.value
    )


@pytest.mark.parametrize("other", ["--engine", "--triton"])
def test_a_target_and_a_plan_or_a_repository_contradict_each_other(cli: Cli, tmp_path: Path, other: str) -> None:
    result = cli("export", "--target", "openvino", other, tmp_path / "x.plan")
    assert (result.code, result.out) == (2, "")
    assert f"--target openvino and {other}: contradict each other" in result.err


def test_the_name_says_for_whom_the_file_is(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"model\.onnx: is no name for .*; name the output FILE\.bytes"):
        run._check_places(tmp_path / "model.onnx", replace(TARGETS[DEFAULT], suffix=".bytes"))


# ---------------------------------------------------------------------------------------------------------------------
# From end to end, with a target of the tests' own: the ONNX file by another name, run by ONNX Runtime
# ---------------------------------------------------------------------------------------------------------------------

HERE = "tests_targets_plain"
PLAIN = """
import shutil
import subprocess
import sys
import time
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.engines.sidecar import read_sidecar
from segface_edge.engines import Output


def convert(job):
    shutil.copy(job.onnx, job.out)
    job.companion(".bin").write_bytes(b"weights")
    return {"plain": "1.0"}


def convert_nothing(job):
    return {"plain": "1.0"}


class Engine(OrtEngine):
    def __init__(self, path, **options):
        self.told = read_sidecar(path)
        super().__init__(path, **options)
        assert self.told.spec == self.spec


class Noseless(Engine):
    def run(self, frames):
        labels = super().run(frames).labels.copy()
        labels[labels == self.spec.labels.index("nose")] = 0
        return Output(labels)
"""


@pytest.fixture
def plain(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a target `plain` into the table, of a module that the process finds."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / f"{HERE}.py").write_text(PLAIN)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "modules"), prepend=":")

    def put(convert: str = "convert", engine: str = "Engine") -> None:
        row = Target(
            title="Plain",
            suffix=".plain",
            companions=(".bin",),
            convert=f"{HERE}:{convert}",
            checked_in=(f"{HERE}:{engine}",),
        )
        monkeypatch.setitem(table.TARGETS, "plain", row)

    return put


@pytest.fixture(scope="module")
def deploy(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """The ONNX file that all of them are made of."""
    path = tmp_path_factory.mktemp("deploy") / "deploy.onnx"
    return pipeline.run_export(ExportConfig(imgsz=SIZE, simplify=False), path)


@pytest.fixture
def exported(deploy: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not exported anew."""

    def run_export(config: ExportConfig, path: Path, **_: Any) -> Export:
        assert config.target == DEFAULT
        shutil.copy(deploy.path, path)
        return replace(deploy, path=path)

    monkeypatch.setattr(run, "run_export", run_export)


@pytest.mark.usefixtures("few_faces", "exported")
def test_a_targets_file_is_written_with_what_it_says_of_itself(plain: Callable[..., None], tmp_path: Path) -> None:
    plain()
    (folder := tmp_path / "out").mkdir()
    steps: list[str] = []
    config = ExportConfig(imgsz=SIZE, target="plain")
    done = export_target(config, folder / "m.plain", progress=steps.append)
    assert sorted(path.name for path in folder.iterdir()) == ["m.bin", "m.plain", "m.plain.json"]
    assert {path.name: size for path, size in done.files.items()} == {
        path.name: path.stat().st_size for path in folder.iterdir()
    }
    told = read_sidecar(done.path)
    assert (told.spec, told.target, told.segface_edge) == (done.spec, "plain", __version__)
    assert set(told.versions) == {"plain", "Engine"}
    assert [report["candidate"] for report in told.parity] == ["ONNX", "Engine"]
    assert all(report["passed"] for report in told.parity)
    assert told.parity[-1]["equal"] == 1.0
    assert "comparing in Plain" in steps
    assert any(line.startswith("wrote ") and "m.plain.json" in line for line in done.summary())
    assert json.loads(json.dumps(done.to_dict()))["target"] == "plain"
    # The files that are there are those that it describes.
    (folder / "m.bin").write_bytes(b"weight")
    with pytest.raises(IncompatibleEngineError, match=r"m\.bin: is cut off or another file: 6 bytes of 7"):
        read_sidecar(done.path)
    (folder / "m.bin").write_bytes(b"weighty")
    with pytest.raises(IncompatibleEngineError, match=r"m\.bin: is damaged, or not the file that m\.plain\.json"):
        read_sidecar(done.path)
    (folder / "m.bin").unlink()
    with pytest.raises(ModelFileError, match=r"m\.bin: is missing; m\.plain cannot be read without it"):
        read_sidecar(done.path)


@pytest.mark.usefixtures("few_faces", "exported")
@pytest.mark.parametrize(
    ("row", "error", "words"),
    [
        ({"engine": "Noseless"}, ParityError, "nose"),
        ({"convert": "convert_nothing"}, IncompatibleEngineError, r"the conversion to Plain left no \.plain file"),
        ({"convert": "absent"}, IncompatibleEngineError, "AttributeError"),
        ({"engine": "absent"}, IncompatibleEngineError, "its check in absent failed: AttributeError"),
    ],
)
def test_nothing_is_written_unless_every_check_passes(
    plain: Callable[..., None], tmp_path: Path, row: dict[str, str], error: type[SegFaceEdgeError], words: str
) -> None:
    plain(**row)
    (folder := tmp_path / "out").mkdir()
    with pytest.raises(error, match=rf"m\.plain: .*{words}"):
        export_target(ExportConfig(imgsz=SIZE, target="plain"), folder / "m.plain")
    assert list(folder.iterdir()) == []


def test_weights_of_another_targets_file_are_not_written_over(plain: Callable[..., None], tmp_path: Path) -> None:
    plain()
    (tmp_path / "m.param").write_text("a net")
    (tmp_path / "m.bin").write_text("its weights")
    with pytest.raises(
        UsageError, match=r"m\.plain: would be written with m\.bin, which m\.param is read with; choose"
    ):
        export_target(ExportConfig(imgsz=SIZE, target="plain"), tmp_path / "m.plain")
    assert (tmp_path / "m.bin").read_text() == "its weights"


def test_an_onnx_files_answers_are_kept_for_its_other_targets(
    deploy: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: list[str] = []
    infer, finite = OrtEngine.infer, OrtEngine.finite

    def counted(self: OrtEngine, frames: Any, landmarks: Any = None) -> Any:
        ran.append("infer")
        return infer(self, frames, landmarks)

    monkeypatch.setattr(OrtEngine, "infer", counted)
    monkeypatch.setattr(OrtEngine, "finite", lambda self, frames: ran.append("finite") or finite(self, frames))
    frames = np.stack(bundled_faces(SIZE)[:1]), np.stack(bundled_faces(SIZE)[1:2])
    with Answers(deploy.path, tmp_path) as first:
        told = [(first.infer(one).labels, first.finite(one)) for one in frames]
    assert ran == ["infer", "finite"] * 2
    assert not np.array_equal(told[0][0], told[1][0])
    with Answers(deploy.path, tmp_path) as again:
        for one, (labels, finite) in zip(frames, told, strict=True):
            assert np.array_equal(again.infer(one).labels, labels)
            assert again.finite(one) is finite is True
        assert len(ran) == 4
        again.infer(np.stack(bundled_faces(SIZE)[2:3]))
    assert len(ran) == 5
    with Answers(deploy.path, None) as alone:
        alone.infer(frames[0])
    assert len(ran) == 6
    assert len(list(tmp_path.iterdir())) == 1


def test_the_torch_module_of_a_job_is_the_deploy_graph(tmp_path: Path) -> None:
    import torch

    config = ExportConfig(imgsz=SIZE)
    from segface_edge.export.pipeline import load_network
    from segface_edge.network.engine import TorchEngine, model_spec

    network, _ = load_network(config, [])
    spec = replace(model_spec(network), graph="deploy", batch=1, outputs=("labels",))
    module, frames = Job(onnx=tmp_path / "x.onnx", spec=spec, config=config, out=tmp_path / "x.y").module()
    assert (frames.shape, frames.dtype) == ((1, SIZE, SIZE, 3), torch.uint8)
    pixels = torch.randint(0, 256, frames.shape, dtype=torch.uint8)
    with torch.inference_mode(), TorchEngine.of(network) as engine:
        (labels,) = module(pixels)
        assert (labels.numpy() == engine.infer(pixels.numpy()).labels).mean() > 0.9999
    assert labels.numpy().dtype == np.uint8


# ---------------------------------------------------------------------------------------------------------------------
# What stands beside a file
# ---------------------------------------------------------------------------------------------------------------------


def test_a_file_without_its_document_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"m\.plain: no such file; make one: segface-edge export --target"):
        read_sidecar(tmp_path / "m.plain")
    (tmp_path / "m.plain").write_bytes(b"1")
    with pytest.raises(IncompatibleEngineError, match=r"m\.plain: has no m\.plain\.json beside it") as caught:
        read_sidecar(tmp_path / "m.plain")
    assert caught.value.exit_code == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"version": 9}', "is of version 9, this segface-edge reads version 1"),
        ('{"version": 1}', "lacks or has too much: files, "),
    ],
)
def test_what_is_no_document_is_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "m.plain").write_bytes(b"1")
    (tmp_path / "m.plain.json").write_text(text)
    with pytest.raises(IncompatibleEngineError, match=rf"m\.plain\.json: {words}"):
        read_sidecar(tmp_path / "m.plain")


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("files", {}),
        ("files", {"../../x": {"bytes": 1, "sha256": ""}}),
        ("files", {".bin": {"bytes": "1", "sha256": ""}}),
        ("versions", {"a": 1}),
        ("parity", [1]),
        ("target", None),
    ],
)
def test_entries_of_the_wrong_kind_are_refused(tmp_path: Path, entry: str, value: object) -> None:
    document = {
        "version": 1,
        "spec": {},
        "target": "plain",
        "files": {".plain": {"bytes": 1, "sha256": ""}},
        "onnx_sha256": "",
        "versions": {},
        "parity": [],
        "segface_edge": "0",
    }
    (tmp_path / "m.plain").write_bytes(b"1")
    (tmp_path / "m.plain.json").write_text(json.dumps(document | {entry: value}))
    with pytest.raises(IncompatibleEngineError, match=rf"m\.plain\.json: says {entry} "):
        read_sidecar(tmp_path / "m.plain")
