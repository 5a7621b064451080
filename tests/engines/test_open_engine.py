"""Which engine runs which file."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from segface_edge import zoo
from segface_edge.engines import MAX_THREADS, open_engine
from segface_edge.errors import IncompatibleEngineError, ModelFileError, UsageError


def test_an_onnx_file_runs_in_onnx_runtime() -> None:
    with open_engine(str(zoo.DEFAULT_MODEL), threads=1) as engine:
        assert engine.describe()["runtime"] == "onnxruntime"
        assert engine.device == "cpu"
        assert engine.source == str(zoo.DEFAULT_MODEL)


def test_suffixes_are_read_without_regard_to_case(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        open_engine(tmp_path / "MODEL.ONNX")


def test_an_engines_name_overrules_the_suffix(tmp_path: Path, released_size: int) -> None:
    (tmp_path / "model.bin").write_bytes(zoo.DEFAULT_MODEL.read_bytes())
    with pytest.raises(UsageError, match=r"no engine runs '\.bin' files; give one of: \.onnx"):
        open_engine(tmp_path / "model.bin")
    with open_engine(tmp_path / "model.bin", engine="onnxruntime", threads=1) as engine:
        assert engine.spec.size == released_size


def test_an_unknown_engine_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'tflite': is unknown; use one of: onnxruntime, .*tensorrt, .*torch"):
        open_engine(zoo.DEFAULT_MODEL, engine="tflite")


@pytest.mark.parametrize("engine", ["litert", "executorch", "ncnn", "torch", "torch-compiled"])
def test_a_file_of_another_kind_is_refused_before_the_engine_is_imported(engine: str) -> None:
    with pytest.raises(IncompatibleEngineError, match=f"is no file that engine '{engine}' reads; give one of: "):
        open_engine(zoo.DEFAULT_MODEL, engine=engine)


@pytest.mark.parametrize("suffix", [".xml", ".tflite", ".pte", ".param", ".plan", ".safetensors"])
def test_onnx_runtime_refuses_files_of_other_kinds(suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"model{suffix}").write_bytes(b"no matter what")
    with pytest.raises(IncompatibleEngineError, match=r"engine 'onnxruntime' reads; give one of: \.onnx"):
        open_engine(tmp_path / f"model{suffix}", engine="onnxruntime")


@pytest.mark.parametrize("threads", [-1, 0, MAX_THREADS + 1])
def test_a_number_of_threads_out_of_range_is_a_usage_error(threads: int) -> None:
    with pytest.raises(UsageError, match=f"threads {threads}: is out of range; give 1 to {MAX_THREADS}"):
        open_engine(zoo.DEFAULT_MODEL, threads=threads)


def test_a_checkpoint_without_torch_names_the_command_that_installs_it() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from segface_edge import zoo\n"
        "from segface_edge.engines import open_engine\n"
        "from segface_edge.errors import MissingDependencyError\n"
        "try:\n    open_engine(zoo.DEFAULT_CHECKPOINT)\n"
        "except MissingDependencyError as error:\n    print(error.exit_code, error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.startswith("3 ")
    assert "'torch' is not installed" in result.stdout
    assert "pip install 'segface-edge[export]'" in result.stdout


@pytest.mark.parametrize("name", ["model.plan", "model.engine"])
def test_a_plan_that_is_not_there_is_said_with_how_to_build_one(name: str) -> None:
    with pytest.raises(ModelFileError, match=rf"{name}: no such file; build it: segface-edge build MODEL.onnx"):
        open_engine(name)
