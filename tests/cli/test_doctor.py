"""`segface-edge doctor`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from segface_edge import zoo
from segface_edge.cli import doctor, opencv

Cli = Callable[..., Any]


def test_a_sound_installation_is_ok(cli: Cli) -> None:
    result = cli("doctor")
    assert (result.code, result.err) == (0, "")
    assert "BROKEN" not in result.out
    assert "finds 14 classes in the bundled portrait" in result.out


def test_json_lists_every_check(cli: Cli) -> None:
    document = json.loads(cli("doctor", "--json", "-").out)
    assert list(document) == ["ok", "checks", "environment"]
    assert document["ok"] is True
    checks = {check["name"]: check for check in document["checks"]}
    assert {"numpy", "PIL", "cv2", "onnxruntime", "torch", "onnxruntime packages", "bundled model"} <= checks.keys()
    assert {"NVIDIA driver", "TensorRT", "TensorRT-RTX", "cuda-python", "pycuda"} <= checks.keys()
    for name, check in checks.items():
        assert set(check) == {"name", "ok", "state", "cure", "purpose", "needed"}
        assert bool(check["cure"]) is not check["ok"]
        if " " not in name and check["purpose"] != "TensorRT engines":
            assert check["ok"] is (find_spec(name) is not None)
    assert document["environment"]["python"]


def test_what_is_absent_is_said_with_its_cure(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    absent = ("cv2", "torch")
    monkeypatch.setattr(doctor, "find_spec", lambda name: None if name in absent else find_spec(name))
    result = cli("doctor")
    assert result.code == 1
    lines = result.out.splitlines()
    (broken,) = (index for index, line in enumerate(lines) if line.startswith("BROKEN"))
    assert "cv2" in lines[broken]
    assert "pip install opencv-python-headless" in lines[broken + 1]
    (torch,) = (index for index, line in enumerate(lines) if line.startswith("absent  torch"))
    assert "pip install 'segface-edge[export]'" in lines[torch + 1]


def test_opencv_says_whether_it_has_windows_and_gstreamer(cli: Cli) -> None:
    (check,) = (one for one in json.loads(cli("doctor", "--json", "-").out)["checks"] if one["name"] == "cv2")
    assert re.fullmatch(r"[\d.]+\S*, (no|with) windows, (no|with) GStreamer", check["state"])


@pytest.mark.parametrize(
    ("built", "said"),
    [
        (
            "  GUI:   GTK3\n  GStreamer:   YES (1.20.3)\n",
            "with windows, with GStreamer",
        ),
        ("  GUI:   NONE\n  GStreamer:   NO\n", "no windows, no GStreamer"),
        ("  General\n", "no windows, no GStreamer"),
    ],
)
def test_builds_are_read(built: str, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cv2.getBuildInformation", lambda: built)
    state, cure = opencv.state()
    assert state.endswith(said)
    assert cure == ""


def test_two_onnxruntime_packages_are_a_fault(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    both = ("onnxruntime", "onnxruntime-gpu")
    monkeypatch.setattr(doctor, "package_version", lambda name: "1.0" if name in both else None)
    result = cli("doctor", "--json", "-")
    assert result.code == 1
    (fault,) = (check for check in json.loads(result.out)["checks"] if check["needed"] and not check["ok"])
    assert fault["state"] == "onnxruntime and onnxruntime-gpu share one module"
    assert fault["cure"].startswith("pip uninstall onnxruntime onnxruntime-gpu")


@pytest.mark.parametrize(
    ("installed", "wanted"),
    [
        (("opencv-python", "opencv-python-headless"), "opencv-python"),
        (("opencv-contrib-python", "opencv-python-headless"), "opencv-contrib-python"),
        (("opencv-contrib-python-headless", "opencv-python-headless"), "opencv-contrib-python-headless"),
        (("opencv-contrib-python", "opencv-python", "opencv-python-headless"), "opencv-contrib-python"),
    ],
)
def test_two_opencv_packages_are_a_fault_and_the_users_own_stays(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...], wanted: str
) -> None:
    monkeypatch.setattr(opencv, "package_version", lambda name: "1.0" if name in installed else None)
    result = cli("doctor", "--json", "-")
    assert result.code == 1
    (fault,) = (check for check in json.loads(result.out)["checks"] if check["needed"] and not check["ok"])
    assert fault["name"] == "OpenCV packages"
    uninstall, _, install = fault["cure"].partition(" && ")
    assert sorted(uninstall.split()) == sorted(["pip", "uninstall", "-y", *installed])
    assert install == f"pip install {wanted}"


def test_an_opencv_of_the_system_is_no_fault(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opencv, "package_version", {}.get)
    result = cli("doctor")
    assert result.code == 0
    assert "none: the system's own" in result.out


# What stands where cv2 ought to -> what is said of it.
BROKEN = {
    "": "is not whole: another package of OpenCV was uninstalled",
    "raise ImportError('libGL.so.1: no such file', name='cv2')": "cannot be imported: libGL.so.1: no such file",
    "raise ImportError('numpy.core.multiarray failed to import')": "numpy.core.multiarray failed to import",
}
# The last one was made for numpy 1.
CURES = dict(zip(BROKEN, ("pip install opencv", "pip install opencv", "pip install 'numpy<2'"), strict=True))


@pytest.mark.parametrize("content", BROKEN)
@pytest.mark.parametrize("command", ["doctor", "parse"])
def test_a_broken_opencv_is_said_with_its_cure(tmp_path: Path, content: str, command: str) -> None:
    (tmp_path / "cv2").mkdir()
    (tmp_path / "cv2" / "__init__.py").write_text(content)
    arguments = [command] if command == "doctor" else [command, str(zoo.PORTRAIT), "-o", str(tmp_path / "out.png")]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"from segface_edge.cli import main; main({arguments})"],
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path(zoo.__file__).parents[2]}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if command == "doctor":
        assert (done.returncode, done.stderr) == (1, "")
        (line,) = (line for line in done.stdout.splitlines() if line.startswith("BROKEN  cv2"))
        assert BROKEN[content] in line
        assert "BROKEN  bundled model" in done.stdout
        assert CURES[content] in done.stdout
    else:
        assert done.returncode == 3
        assert done.stderr.count("\n") == 1
        assert CURES[content] in done.stderr


@pytest.mark.parametrize(
    ("installed", "command"),
    [
        (("opencv-python-headless",), "pip uninstall -y opencv-python-headless && pip install opencv-python"),
        (
            ("opencv-python-headless", "opencv-python"),
            "pip uninstall -y opencv-python-headless opencv-python && pip install opencv-python",
        ),
        (
            ("opencv-contrib-python-headless",),
            "pip uninstall -y opencv-contrib-python-headless && pip install opencv-contrib-python",
        ),
        ((), "pip install opencv-python"),
    ],
)
def test_the_cure_for_windows_leaves_one_opencv(
    monkeypatch: pytest.MonkeyPatch, installed: tuple[str, ...], command: str
) -> None:
    monkeypatch.setattr(opencv, "package_version", lambda name: "1.0" if name in installed else None)
    assert opencv.cure(windows=True) == command


def test_a_damaged_model_is_a_fault(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    monkeypatch.setattr(zoo, "DEFAULT_MODEL", broken)
    result = cli("doctor")
    assert (result.code, result.err) == (1, "")
    (line,) = (line for line in result.out.splitlines() if line.startswith("BROKEN"))
    assert "bundled model" in line
    assert "is not a readable ONNX model" in line
