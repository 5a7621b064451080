"""`segface-edge doctor`."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from segface_edge import zoo
from segface_edge.cli import doctor

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


def test_two_onnxruntime_packages_are_a_fault(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    both = ("onnxruntime", "onnxruntime-gpu")
    monkeypatch.setattr(doctor, "package_version", lambda name: "1.0" if name in both else None)
    result = cli("doctor", "--json", "-")
    assert result.code == 1
    (fault,) = (check for check in json.loads(result.out)["checks"] if check["needed"] and not check["ok"])
    assert fault["state"] == "onnxruntime and onnxruntime-gpu share one module"
    assert fault["cure"].startswith("pip uninstall onnxruntime onnxruntime-gpu")


def test_a_damaged_model_is_a_fault(cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a model")
    monkeypatch.setattr(zoo, "DEFAULT_MODEL", broken)
    result = cli("doctor")
    assert (result.code, result.err) == (1, "")
    (line,) = (line for line in result.out.splitlines() if line.startswith("BROKEN"))
    assert "bundled model" in line
    assert "is not a readable ONNX model" in line
