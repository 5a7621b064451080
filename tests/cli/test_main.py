"""The command line as a whole: help, examples, streams, exit codes."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from segface_edge import __version__, zoo
from segface_edge.bench import scenarios
from segface_edge.bench.power.table import open_sensors
from segface_edge.cli import COMMANDS, _log_said, app
from segface_edge.engines.ort.metadata import read_metadata
from segface_edge.engines.sidecar import Sidecar, fingerprint
from segface_edge.evaluation import photos, plan_parity
from segface_edge.sources.video_out import VideoWriter

Cli = Callable[..., Any]

# Ctrl-C reaches a test's child also where the tests run in the background, with SIGINT ignored.
MAIN = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); import segface_edge.cli as c; c.main()"


def examples(name: str) -> list[str]:
    command = app.get_command(click.Context(app), name)
    assert command is not None
    lines = (command.epilog or "").partition("Examples:\n")[2].partition("\n\n")[0].splitlines()
    return [re.split(r" {3,}", line.strip())[0] for line in lines if line.strip()]


def every_example() -> Iterator[Any]:
    for name in COMMANDS:
        for line in examples(name):
            long = name in ("export", "longtail", "quantize") or line.count("--engine") > 1
            long = long or any(word in line for word in ("rtx", "--resume", "--corruptions all", "--ray"))
            yield pytest.param(line, id=line, marks=[pytest.mark.slow] if long else [])


@pytest.fixture
def workshop(
    tmp_path: Path,
    labelled: Path,
    root: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> Path:
    """A folder with the files that the examples name."""
    (tmp_path / "photos").mkdir()
    with Image.open(zoo.PORTRAIT) as picture:
        for name in ("photo.jpg", "photos/one.png", "photos/two.png"):
            picture.resize((160, 160)).save(tmp_path / name)
        group = Image.new("RGB", (400, 160))
        for x in (0, 240):
            group.paste(picture.resize((160, 160)), (x, 0))
        group.save(tmp_path / "group.jpg")
        if "video.mp4" in request.node.name:
            writer = VideoWriter(tmp_path / "video.mp4", fps=5)
            for _ in range(6):
                writer.write(np.asarray(picture.resize((160, 160)).convert("RGB")))
            writer.close()
    labelled.rename(tmp_path / "DIR")
    # Copies, not links: a command that writes to one of these names follows links.
    for name in ("model.onnx", "segface_mobilenet_384.onnx", "model_fp16.onnx", "model_int8.onnx"):
        made = "segface-edge export" in request.node.name and "--model" not in request.node.name
        if name in request.node.name and not made:
            shutil.copy(zoo.DEFAULT_MODEL, tmp_path / name)
    request.getfixturevalue("tiny_model")(tmp_path / "dynamic.onnx")
    (tmp_path / "model.safetensors").symlink_to(zoo.DEFAULT_CHECKPOINT)
    files = {suffix: tmp_path / f"model{suffix}" for suffix in (".param", ".bin")}
    for path in files.values():
        path.write_bytes(b"a net")
    described = Sidecar(
        spec=read_metadata(tmp_path / "dynamic.onnx").spec,
        target="ncnn",
        files={suffix: fingerprint(path) for suffix, path in files.items()},
        onnx_sha256="0" * 64,
        versions={"ncnn": "1"},
        parity=(),
        segface_edge="0",
    )
    (tmp_path / "model.param.json").write_text(described.to_json())
    (tmp_path / "export").symlink_to(root / "export")
    (tmp_path / "recipe.toml").write_text(
        '[model]\nsize = 32\n[data]\ntrain = "DIR"\nval = "DIR"\nlabel_order = "celebamask-hq"\nside = 64\n'
        "[[stage]]\nsteps = 2\nbatch = 2\nsizes = [32]\n"
    )
    monkeypatch.chdir(tmp_path)
    if "--compare bench.json" in request.node.name:
        assert cli("bench", "--engine", "model.onnx", "--warmup", 0, "--duration", 0, "--json", "bench.json").code == 0
    return tmp_path


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_and_examples(cli: Cli, name: str) -> None:
    for flag in ("--help", "-h"):
        result = cli(name, flag)
        assert (result.code, result.err) == (0, "")
        assert result.out.startswith(f"Usage: segface-edge {name}")
        assert all(line in result.out for line in examples(name))
    assert examples(name)
    assert all(line.startswith(f"segface-edge {name}") for line in examples(name))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_does(name: str) -> None:
    command = app.get_command(click.Context(app), name)
    assert command is not None
    silent = [param.name for param in command.params if isinstance(param, click.Option) and not param.help]
    assert silent == []


SUITE = """
version = 1
[scenario]
warmup_s = 0.0
duration_s = 0.0
min_queries = 1
[backbones]
{backbone} = [320]
[[rows]]
"""


@pytest.mark.parametrize("line", list(every_example()))
def test_every_example_runs(
    line: str,
    workshop: Path,
    cli: Cli,
    script: Cli,
    nvidia: Cli,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    for package in ("torch", "dacite", "matplotlib") if re.search(" train | longtail", line) else ():
        pytest.importorskip(package, reason=f"training needs {package}")
    if " longtail" in line:
        pytest.importorskip("sklearn", reason="digits come with scikit-learn")
        from segface_edge.training.recognition import study

        run_study = study.run_study

        def short(config: Any, **options: Any) -> Any:
            return run_study(replace(config, seeds=1, epochs=12, classifier_epochs=1), **options)

        monkeypatch.setattr(study, "run_study", short)
    for package in ("torch", "matplotlib") if "--plots" in line or "--plot " in line else ():
        pytest.importorskip(package, reason=f"this example needs {package}")
    if "--power" in line:
        # On a machine that draws 4.7 W; a photo may take longer here than the gate allows.
        folder = request.getfixturevalue("orin_nano")
        monkeypatch.setattr("segface_edge.bench.power.table.open_sensors", lambda: open_sensors(folder))
        line = line.replace("--max-joules 2", "--max-joules 2000")
    if "--suite" in line:
        # The real one takes half an hour.
        (workshop / "suite.toml").write_text(SUITE.format(backbone=zoo.DEFAULT_BACKBONE))
        line = line.replace("export/suite.toml", "suite.toml")
    if " serve" in line:
        # It would serve until it is stopped, at a port that may be taken.
        for package in ("starlette", "uvicorn", "websockets", "python_multipart", "prometheus_client"):
            pytest.importorskip(package, reason="serving needs the extra serve")
        monkeypatch.setattr("segface_edge.serving.server.serve", lambda *_: 0)
        line = line if "--port" in line else f"{line} --port 0"
    if " label " in line:
        pytest.importorskip("pyarrow", reason="label needs pyarrow")
        Path("photos.txt").write_text("photos/one.png\nphotos/two.png\n")
        shutil.copy("photos/one.png", "photos/one.jpg")
    if "--ray" in line:
        pytest.importorskip("ray", reason="this example needs Ray")
    if "openvino" in line:
        pytest.importorskip("openvino", reason="this example needs openvino")
        Path("model.param").unlink(missing_ok=True)  # ncnn's, which is read with a model.bin of its own
    if "--triton" in line:
        pytest.importorskip("tritonclient.grpc", reason="a model repository needs tritonclient")
    if "--web" in line:
        request.getfixturevalue("web_runtime")(workshop / "node_modules" / "onnxruntime-web")
    if "--html" in line:
        pytest.importorskip("jinja2", reason="a page needs jinja2")
        pytest.importorskip("matplotlib", reason="a page needs matplotlib")
    if "--profile-plot" in line:
        pytest.importorskip("matplotlib", reason="a plot needs matplotlib")
    if "rtx" in line:
        pytest.importorskip("onnxruntime_ep_nv_tensorrt_rtx", reason="TensorRT-RTX is not installed")
    elif ".plan" in line:
        nvidia("10.3.0")
        monkeypatch.setattr(plan_parity, "bundled_faces", lambda size, **_: photos.bundled_faces(size)[::24])
        if " build" not in line and " export" not in line:
            assert cli("build", "dynamic.onnx", "-o", "model.plan").code == 0
    monkeypatch.setenv("SEGFACE_EDGE_CACHE", str(workshop / "cache"))
    if " fetch" in line:
        shutil.copytree(request.getfixturevalue("shared") / "models" / "yunet", workshop / "yunet")
    if " --resume" in line:
        assert cli("train", "--config", "recipe.toml", "-o", "run", "--stop-after", 1).code == 0
        Path("run/last.safetensors").unlink()
    if " export" in line or " import" in line or "/mobilenet_celeba_512" in line:
        torch = pytest.importorskip("torch", reason="export needs torch")
        pipeline = pytest.importorskip("segface_edge.export.pipeline", reason="export needs onnx")
        from segface_edge.network.checkpoint import read_checkpoint

        # The reference's own layout, as `model_299.pt` has it.
        state = {"state_dict_backbone": dict(read_checkpoint(zoo.RELEASED["mobilenet"]).state)}
        for folder in (".", "swinb_celeba_512", "weights/mobilenet_celeba_512"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            torch.save(state, Path(folder, "model_299.pt"))
        faces = pipeline.bundled_faces
        monkeypatch.setattr(pipeline, "bundled_faces", lambda size, **_: faces(size)[::12])
    if " estimate" in line:
        pytest.importorskip("onnxscript", reason="counting needs the packages of an export")
    elif " quantize" in line or "--precision" in line:
        quantize = pytest.importorskip("segface_edge.export.quantize", reason="it needs torch and onnx")
        from segface_edge.export import precision
        from segface_edge.export.sensitivity import Sensitivity

        def harmless(_: Any, candidates: Any, *__: Any) -> list[Sensitivity]:
            return [Sensitivity(name=one.name, kind=one.kind, error=1e-9, turned=0.0) for one in candidates]

        # They take minutes, and have tests of their own.
        monkeypatch.setattr(precision, "sensitivities", harmless)
        some_faces = quantize.bundled_faces
        monkeypatch.setattr(quantize, "bundled_faces", lambda size, **_: some_faces(size)[::24])
    if " verify" in line:
        if ".safetensors" in line:
            pytest.importorskip("torch", reason="checkpoints need torch")
        all_faces = photos.bundled_faces
        monkeypatch.setattr(photos, "bundled_faces", lambda size, **_: all_faces(size)[::24])
    before = set(workshop.rglob("*"))
    if re.search("[<>|]|--ray", line):
        done = script(line)
        # What Ray starts says things too.
        assert (done.returncode, b"" if "--ray" in line else done.stderr) == (0, b""), done.stderr
    else:
        scenario = scenarios.Scenario

        def brief(**options: Any) -> scenarios.Scenario:
            return scenario(**options | {"warmup_s": 0, "duration_s": 0, "min_queries": 2, "openings": 2})

        monkeypatch.setattr(scenarios, "Scenario", brief)
        result = cli(*shlex.split(line)[1:])
        # Whether a gate is reached is the machine's affair.
        assert result.code == 0 or (result.code == 6 and re.search("--max-slowdown|--min-fps", line)), result.err
        assert result.out
        if line.endswith("--json -"):
            json.loads(result.out)
    named = re.findall(r"(?:-o|>|--json) (\w[\w./]*)", line)
    made = {str(path.relative_to(workshop)) for path in set(workshop.rglob("*")) - before}
    assert {name.rstrip("/") for name in named} <= (made | {"run"} if " --resume" in line else made)
    assert " export" not in line or "--target" in line or any(name.endswith(".onnx") for name in made)


def test_the_group_s_help_lists_every_command(cli: Cli) -> None:
    for arguments in (["--help"], ["-h"]):
        result = cli(*arguments)
        assert (result.code, result.err) == (0, "")
        for name, text in COMMANDS.items():
            assert re.search(rf"^ +{name} +{re.escape(text)}$", result.out, re.MULTILINE)
        assert "130 Ctrl-C" in result.out


def test_version(cli: Cli) -> None:
    result = cli("--version")
    assert (result.code, result.out) == (0, f"segface-edge, version {__version__}\n")


@pytest.mark.parametrize("arguments", [["parze"], ["--bogus"], ["labels", "--bogus"], ["bench", "--threads", "many"]])
def test_usage_errors_end_with_2_and_point_to_the_help(cli: Cli, arguments: list[str]) -> None:
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert re.search(r"Try 'segface-edge.* (--help|-h)' for help", result.err)  # -h: older clicks
    assert "Traceback" not in result.err


def test_help_imports_no_engine() -> None:
    program = (
        "import sys; from segface_edge.cli import _run; _run(['--help']); "
        "sys.exit(any(name in sys.modules for name in ('numpy', 'cv2', 'onnxruntime', 'torch')))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_a_reader_that_leaves_is_no_error(script: Cli) -> None:
    done = script("segface-edge bench --duration 0 --warmup 0 --json - | head -1")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"{\n", b"")


@pytest.mark.parametrize("command", ["labels", "--help", f"parse {shlex.quote(str(zoo.PORTRAIT))} -o -"])
def test_a_reader_that_was_never_there_is_no_error(script: Cli, command: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = script(f"segface-edge {command}", capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("command", ["labels", f"parse {shlex.quote(str(zoo.PORTRAIT))} -o -"])
def test_standard_output_on_a_full_disk_is_said_in_one_line(script: Cli, command: str) -> None:
    done = script(f"segface-edge {command} > /dev/full")
    assert done.returncode == 1
    (line,) = done.stderr.decode().splitlines()
    assert line.startswith("error: standard output: no space left on device; ")


def test_closed_streams_do_not_matter(script: Cli, tmp_path: Path) -> None:
    photo = shlex.quote(str(zoo.PORTRAIT))
    done = script(f"segface-edge parse {photo} -o overlay.png <&- >&-")
    assert (done.returncode, done.stderr) == (0, b"")
    with Image.open(tmp_path / "overlay.png") as picture:
        assert picture.size == (512, 512)
    done = script("segface-edge labels nonsense 2>&-")
    assert (done.returncode, done.stdout) == (2, b"")


def read_terminal(terminal: int, until: bytes | None = None) -> bytes:
    """What a pseudo-terminal shows, to its end or until it shows `until`."""
    seen = b""
    while until is None or until not in seen:
        try:
            seen += os.read(terminal, 65536)
        except OSError:  # nobody has its other end open any more
            break
    return seen


def test_ctrl_c_ends_with_130_and_a_word() -> None:
    terminal, other_end = pty.openpty()
    arguments = [sys.executable, "-c", MAIN, "bench", "--duration", "60"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=other_end) as process:
        os.close(other_end)
        seen = read_terminal(terminal, until=b"measuring")
        assert b"measuring" in seen
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        seen += read_terminal(terminal)
    os.close(terminal)
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in seen
    assert seen.splitlines()[-1] == b"stopped"


def test_sigterm_ends_as_ctrl_c_does_and_shows_who_it_was() -> None:
    arguments = [sys.executable, "-c", MAIN, "bench", "--duration", "60"]
    terminal, other_end = pty.openpty()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=other_end) as process:
        os.close(other_end)
        seen = read_terminal(terminal, until=b"measuring")
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
        seen += read_terminal(terminal)
    os.close(terminal)
    assert process.returncode == -signal.SIGTERM
    assert out == b""
    assert b"Traceback" not in seen
    assert seen.splitlines()[-1] == b"stopped"


def test_progress_goes_to_a_terminal_on_standard_error_only(workshop: Path) -> None:
    arguments = [sys.executable, "-c", MAIN, "parse", "photos", "-o", "out", "--json", "-"]
    terminal, other_end = pty.openpty()
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=other_end, cwd=workshop) as process:
        os.close(other_end)
        seen = read_terminal(terminal)
        out, _ = process.communicate(timeout=60)
    os.close(terminal)
    assert process.returncode == 0
    assert b"parsing" in seen
    assert b"100%" in seen
    assert len(json.loads(out)["photos"]) == 2
    quiet = subprocess.run(arguments, cwd=workshop, capture_output=True, check=True)
    assert quiet.stderr == b""


def test_a_fault_that_is_logged_is_told_with_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    with _log_said():
        try:
            raise ValueError("what it was")
        except ValueError:
            logging.getLogger("segface_edge.anywhere").exception("a request failed")
    said = capsys.readouterr().err
    assert said.startswith("note: a request failed\nTraceback")
    assert "ValueError: what it was" in said
