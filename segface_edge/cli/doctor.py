"""`segface-edge doctor`."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import packages_distributions
from importlib.util import find_spec
from typing import Any

import click

from segface_edge import __version__
from segface_edge.bench.machine import environment, package_version
from segface_edge.engines.nvidia.probe import findings
from segface_edge.errors import SegFaceEdgeError
from segface_edge.extras import pip_install

from . import opencv
from .options import json_option, say

# Modules of the runtime, and the packages that they are of.
_NEEDED = {"numpy": "numpy", "PIL": "Pillow", "onnxruntime": "onnxruntime", "av": "av", "click": "click"}
# Modules of what is optional: what it is, and the extra that brings it.
_OPTIONAL = {
    "requests": ("models by name", "fetch"),
    "torch": ("export and training", "export"),
    "onnx": ("estimate, export", "estimate"),
    "onnxscript": ("estimate, export", "estimate"),
    "onnxsim": ("export", "export"),
    "safetensors": ("export and training", "export"),
    "matplotlib": ("plots", "plot"),
    "starlette": ("serve", "serve"),
    "pyarrow": ("label", "label"),
}
_ONNXRUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml")


@click.command(
    "doctor",
    epilog="""\b
Examples:
  segface-edge doctor
  segface-edge doctor --json -""",
)
@json_option
def command(json_to: str | None) -> int:
    """Check what is installed and whether the bundled model runs; say what mends what does not."""
    distributions = packages_distributions()
    checks = [
        _module(name, "runtime", f"pip install {package}", True, distributions) for name, package in _NEEDED.items()
    ]
    checks += [
        _module(name, purpose, pip_install(extra), False, distributions) for name, (purpose, extra) in _OPTIONAL.items()
    ]
    checks += [_opencv(), _one_opencv(), _one_onnxruntime(), *_nvidia(), _bundled_model()]
    broken = [check for check in checks if check["needed"] and not check["ok"]]
    machine = environment()
    document = {"ok": not broken, "checks": checks, "environment": machine}
    say(document, json_to, "\n".join(_text(checks, machine)))
    return 1 if broken else 0


def _module(name: str, purpose: str, cure: str, needed: bool, distributions: Mapping[str, list[str]]) -> dict[str, Any]:
    found = find_spec(name) is not None
    versions = {v for package in distributions.get(name, []) if (v := package_version(package))}
    state = (", ".join(sorted(versions)) or "version unknown") if found else "not installed"
    return _check(name, found, state, "" if found else cure, purpose=purpose, needed=needed)


def _nvidia() -> list[dict[str, Any]]:
    purpose = "TensorRT engines"
    return [
        _check(found.name, found.ok, found.state, found.cure, purpose=purpose, needed=False) for found in findings()
    ]


def _opencv() -> dict[str, Any]:
    state, cure = (
        opencv.state() if find_spec("cv2") else ("not installed", f"{opencv.cure()} (a Jetson: JetPack has it)")
    )
    return _check("cv2", not cure, state, cure, needed=True)


def _one_opencv() -> dict[str, Any]:
    installed = opencv.installed()
    if len(installed) > 1:
        return _check(
            "OpenCV packages", False, f"{' and '.join(installed)} share one module", opencv.cure(), needed=True
        )
    return _check("OpenCV packages", True, " ".join(installed) or "none: the system's own", "", needed=True)


def _one_onnxruntime() -> dict[str, Any]:
    installed = [name for name in _ONNXRUNTIMES if package_version(name)]
    clash = len(installed) > 1
    cure = f"pip uninstall {' '.join(installed)}, then install the one that you want" if clash else ""
    state = f"{' and '.join(installed)} share one module" if clash else (" ".join(installed) or "none")
    return _check("onnxruntime packages", not clash, state, cure, needed=True)


def _bundled_model() -> dict[str, Any]:
    try:
        from segface_edge import zoo
        from segface_edge.parsing.parser import FaceParser

        with FaceParser() as parser:
            found = parser(zoo.PORTRAIT).present()
            providers = ", ".join(map(str, parser.engine.describe().get("providers", [])))  # type: ignore[call-overload]
    except SegFaceEdgeError as error:
        return _check("bundled model", False, error.problem, error.cure, needed=True)
    except Exception as error:  # of whatever is broken here
        reason = "cannot run: " + (f"{error}".splitlines() or [type(error).__name__])[0]
        return _check(
            "bundled model", False, reason, "mend what is broken above, or install segface-edge again", needed=True
        )
    ok = {"hair", "skin", "nose"} <= set(found)
    cure = "" if ok else "reinstall segface-edge and onnxruntime"
    state = f"runs on {providers}, finds {len(found)} classes in the bundled portrait"
    return _check("bundled model", ok, state, cure, needed=True)


def _check(name: str, ok: bool, state: str, cure: str, *, needed: bool, purpose: str = "runtime") -> dict[str, Any]:
    return {"name": name, "ok": ok, "state": state, "cure": cure, "purpose": purpose, "needed": needed}


def _text(checks: list[dict[str, Any]], machine: dict[str, Any]) -> list[str]:
    lines = [
        f"segface-edge {__version__}, Python {machine['python']}, {machine['os']}",
        f"{machine['machine']}, {machine['cpu']}, {machine['cores']} cores, {machine['memory_mib']} MiB",
        "",
    ]
    for check in checks:
        absent = check["state"].startswith("not ") and not check["needed"]
        mark = "ok     " if check["ok"] else ("absent " if absent else "BROKEN ")
        lines.append(f"{mark} {check['name']:<21} {check['state']}  ({check['purpose']})")
        if check["cure"]:
            lines.append(f"        mend it: {check['cure']}")
    return lines
