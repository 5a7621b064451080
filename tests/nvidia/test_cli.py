"""`segface-edge build`, and the commands that take a plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segface_edge.engines.nvidia import probe, runtimes
from segface_edge.engines.nvidia.config import parse_targets
from segface_edge.errors import UsageError
from segface_edge.evaluation import plan_parity

from .contracts import make
from .fake_cuda import FakeDevice
from .tiny import tiny_model
from .world import World

Cli = Callable[..., Any]
Install = Callable[..., World]


@pytest.fixture
def few_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    """One bundled face for the comparison with the ONNX file, not all."""
    from segface_edge.evaluation.photos import bundled_faces

    monkeypatch.setattr(plan_parity, "bundled_faces", lambda size, **_: bundled_faces(size)[:2])


@pytest.mark.usefixtures("few_faces")
def test_build_info_bench_and_parse(cli: Cli, nvidia: Install, tmp_path: Path, portrait: Path) -> None:
    nvidia("10.3.0", "cuda-python-12")
    onnx, plan = tiny_model(tmp_path / "tiny.onnx", precision="fp16"), tmp_path / "tiny.plan"
    done = cli("build", onnx, "--max-batch", 4)
    assert done.code == 0, done.err
    assert f"wrote {plan}" in done.out
    assert "TensorRT 10.3.0, on Orin (compute 8.7), 32 x 32, batch 1 to 4" in done.out
    assert "fp16 asked" in done.out
    assert "100.0000% equal to the ONNX file's on 2 faces" in done.out
    document = json.loads((tmp_path / "tiny.plan.json").read_text())
    assert document["parity"]["plan"]["passed"] is True

    done = cli("info", plan)
    assert done.code == 0
    assert "plan: TensorRT 10.3.0, for compute capability 8.7 (Orin)" in done.out
    assert f"again: segface-edge build {onnx} -o {plan} --min-batch 1 --opt-batch 1 --max-batch 4" in done.out

    done = cli("bench", "--engine", plan, "--duration", 0, "--warmup", 0, "--min-queries", 3, "--json", "-")
    assert done.code == 0, done.err
    row = json.loads(done.out)
    assert row["engine"]["runtime"] == "tensorrt"
    assert row["engine"]["cuda_graph"] == "yes"
    assert {"host_to_device", "inference", "device_to_host"} <= set(row["stages_ms"])

    done = cli("parse", portrait, "--model", plan, "-o", tmp_path / "mask.png", "--visualize", "mask")
    assert done.code == 0, done.err
    assert (tmp_path / "mask.png").is_file()


@pytest.mark.usefixtures("few_faces")
def test_a_plan_whose_labels_differ_is_not_written(
    cli: Cli, nvidia: Install, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nvidia("10.7.0")
    onnx = tiny_model(tmp_path / "tiny.onnx")

    def wrong(path: Path, **options: Any) -> Any:
        engine = TensorRTEngine(path, **options)
        run = engine.run
        monkeypatch.setattr(engine, "run", lambda frames: type(run(frames))(run(frames).labels * 0))
        return engine

    from segface_edge.engines.nvidia.run import TensorRTEngine

    monkeypatch.setattr(plan_parity, "TensorRTEngine", wrong)
    done = cli("build", onnx, "-o", tmp_path / "x.plan")
    assert done.code == 4
    assert "differs from tiny.onnx" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.onnx"]


def test_what_does_not_fit_is_said_before_anything_is_built(cli: Cli, nvidia: Install, tmp_path: Path) -> None:
    nvidia("10.3.0")
    fixed, dynamic = tiny_model(tmp_path / "fixed.onnx", batch=2), tiny_model(tmp_path / "open.onnx")
    for arguments, code, words in (
        ([fixed, "--max-batch", 4], 2, "the file takes 2 a call; export it with --dynamic"),
        ([dynamic, "--min-batch", 4, "--max-batch", 2], 2, "are not in order"),
        ([dynamic, "-o", tmp_path / "x.onnx"], 2, "is no plan's name"),
        ([dynamic, "-o", tmp_path / "no" / "x.plan"], 1, "its folder does not exist"),
        ([dynamic, "--opt-level", 6], 2, "use 0 to 5"),
        ([dynamic, "--workspace", 0], 2, "is out of range"),
        ([dynamic, "--runtime", "trt"], 2, "use one of: tensorrt, rtx"),
        ([dynamic, "--target", "sm86"], 2, "is for TensorRT-RTX"),
        ([dynamic, "--runtime", "rtx", "--timing-cache", tmp_path / "t"], 2, "has no use with TensorRT-RTX"),
        ([dynamic, "--device", "cpu"], 2, "is no NVIDIA GPU"),
        ([dynamic, "--device", "cuda:1"], 2, "does not exist: there are 1"),
        ([tmp_path / "none.onnx"], 1, "no such file"),
    ):
        done = cli("build", *arguments)
        assert (done.code, len(done.err.splitlines())) == (code, 1), (arguments, done.err)
        assert words in done.err
    assert not list(tmp_path.glob("*.plan*"))


def test_targets_are_read_in_every_spelling() -> None:
    assert parse_targets("sm86, SM_89,12.0,sm86") == ("8.6", "8.9", "12.0")
    for word in ("", "86x", "ampere", "sm8", "sm86;sm89"):
        with pytest.raises(UsageError, match="write sm86,sm89,sm120"):
            parse_targets(word)


def test_without_a_driver_a_plan_is_one_line(cli: Cli, nvidia: Install, tmp_path: Path) -> None:
    nvidia("10.3.0")
    onnx, plan, _ = make(tmp_path)
    for missing in ("absent", "present"):
        nvidia("10.3.0", tensorrt=missing, gpu=FakeDevice(driver=False))
        for arguments in (["bench", "--engine", plan], ["build", onnx], ["export", "--engine", tmp_path / "x.plan"]):
            if arguments[0] == "export":
                pytest.importorskip("torch", reason="an export needs torch")
            done = cli(*arguments)
            assert (done.code, len(done.err.splitlines())) == (3, 1), done.err
            assert "there is no NVIDIA driver and GPU here; run it where nvidia-smi lists a GPU" in done.err


def test_plans_that_do_not_fit_are_one_line(cli: Cli, nvidia: Install, tmp_path: Path) -> None:
    nvidia("10.3.0")
    _, plan, _ = make(tmp_path)
    cut = tmp_path / "cut.plan"
    cut.write_bytes(plan.read_bytes()[:-5])
    (tmp_path / "cut.plan.json").write_text((tmp_path / "tiny.plan.json").read_text())
    for world, file, words in (
        (("10.3.0",), cut, "is cut off"),
        (("11.4.0.106",), plan, "was built with TensorRT 10.3.0, here is 11.4.0.106"),
        (("10.3.0", "pycuda", "present", FakeDevice(sm=(8, 9))), plan, "was built for compute capability 8.7"),
    ):
        nvidia(*world)
        done = cli("bench", "--engine", file)
        assert (done.code, len(done.err.splitlines())) == (5, 1), done.err
        assert words in done.err
        assert "build it again: segface-edge build " in done.err


@pytest.mark.filterwarnings("always")
def test_a_plan_without_a_document_is_run_with_a_warning_or_with_its_spec(
    cli: Cli, nvidia: Install, tmp_path: Path
) -> None:
    nvidia("10.3.0")
    onnx, plan, _ = make(tmp_path)
    (tmp_path / "tiny.plan.json").unlink()
    quick = ["--duration", 0, "--warmup", 0, "--min-queries", 1]
    done = cli("bench", "--engine", plan, *quick)
    assert done.code == 0
    assert done.err.splitlines()[0].startswith(f"warning: {plan}: there is no tiny.plan.json")
    done = cli("bench", "--engine", plan, "--spec", onnx, *quick)
    assert (done.code, done.err) == (0, "")
    done = cli("bench", "--engine", f"{plan}@spec={onnx},engine=tensorrt-pycuda", *quick)
    assert (done.code, done.err) == (0, "")
    done = cli("info", onnx, "--json", "-")
    for spec, words in ((tmp_path / "x.txt", "says nothing of a model"), (tmp_path / "x.json", "no such file")):
        done = cli("bench", "--engine", plan, "--spec", spec, *quick)
        assert done.code in (1, 2)
        assert words in done.err
    done = cli("bench", "--engine", onnx, "--spec", onnx, *quick)
    assert done.code == 2
    assert "says what it is itself" in done.err


def test_doctor_says_what_is_there_and_what_does_not_fit(
    cli: Cli, nvidia: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    from segface_edge.engines.nvidia.probe import Driver

    versions = {"pycuda": "2026.1", "cuda-bindings": "13.0.1"}
    monkeypatch.setattr(probe, "_version", versions.get)
    monkeypatch.setattr(probe, "read_driver", lambda: Driver(cuda=12060, gpus=("Orin",)))

    def found() -> dict[str, Any]:
        done = cli("doctor", "--json", "-")
        assert done.code == 0
        return {check["name"]: check for check in json.loads(done.out)["checks"]}

    nvidia("10.3.0", "cuda-python-13")
    checks = found()
    assert checks["NVIDIA driver"]["state"] == "runs CUDA up to 12.6; Orin"
    assert checks["TensorRT"]["ok"]
    assert checks["cuda-python"]["state"] == "13.0.1 is for CUDA 13, the driver runs CUDA up to 12.6"
    assert checks["cuda-python"]["cure"] == "pip install 'cuda-python==12.*'"
    assert not checks["pycuda"]["ok"]

    del versions["cuda-bindings"]
    assert found()["cuda-python"]["cure"] == "pip install 'cuda-python==12.*'"  # for 13 the driver is too old
    monkeypatch.setattr(probe, "library_version", lambda _: "10.7.0")
    assert found()["TensorRT"]["state"] == "10.3.0, and the system's library libnvinfer is 10.7.0"
    nvidia("10.3.0", "pycuda", "broken")
    checks = found()
    assert "its library is not (libnvinfer.so.10" in checks["TensorRT"]["state"]
    assert checks["pycuda"]["ok"]
    versions["tensorrt-cu13"] = "11.4"
    monkeypatch.setattr(probe, "library_version", lambda _: None)
    nvidia("11.4.0.106")
    assert checks["TensorRT"]["cure"]
    assert found()["TensorRT"]["state"] == "11.4.0.106 for CUDA 13, the driver runs CUDA up to 12.6"

    monkeypatch.setattr(probe, "read_driver", lambda: None)
    nvidia("10.3.0", None, "absent", gpu=FakeDevice(driver=False))
    checks = found()
    assert checks["NVIDIA driver"]["state"] == "not here (libcuda.so.1)"
    assert checks["TensorRT"]["state"] == "not installed"
    monkeypatch.setattr(runtimes, "is_jetson", lambda: True)
    assert found()["TensorRT"]["cure"].startswith("sudo apt install python3-libnvinfer")
