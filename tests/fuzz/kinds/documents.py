"""JSON documents: of a model, a plan, a converted file; benchmark reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from random import Random
from typing import Any

from segface_edge.bench.gates import read_report, slowdown
from segface_edge.bench.report import REPORT_VERSION
from segface_edge.cli.lines import lines_by_source
from segface_edge.engines.nvidia.fit import check_fit
from segface_edge.engines.nvidia.plan import PLAN_VERSION, PlanInfo, parse_plan_info
from segface_edge.engines.sidecar import Sidecar, fingerprint, read_sidecar
from segface_edge.labels import LABEL_SETS
from segface_edge.spec import ModelSpec
from tests.fuzz.mutate import changed_json
from tests.nvidia.tiny import tiny_spec


def spec_document() -> dict[str, Any]:
    """A spec with every entry."""
    return {"version": 1, **asdict(tiny_spec(outputs=("labels", "confidence")))}


def plan_document(spec: ModelSpec, content: bytes) -> dict[str, Any]:
    """What stands beside a plan of these bytes."""
    import hashlib

    info = PlanInfo(
        spec=spec,
        runtime="tensorrt",
        runtime_version="10.3.0",
        cuda="12.6",
        gpu="Orin",
        compute=("8.7",),
        batches=(1, 1, 8),
        flags={"opt_level": 3, "workspace_mib": 1024, "workspace_given": True, "version_compatible": False},
        precision={"fp16": 3},
        onnx="model.onnx",
        onnx_sha256="0" * 64,
        plan_sha256=hashlib.sha256(content).hexdigest(),
        plan_bytes=len(content),
        calibration_sha256=None,
        parity={"onnx": {"equal": 1.0}},
        segface_edge="0.1.0",
    )
    assert PLAN_VERSION == 1
    document: dict[str, Any] = json.loads(info.to_json())
    return document


def _spec(text: str) -> None:
    spec = ModelSpec.from_json(text, source="model.onnx")
    assert ModelSpec.from_json(spec.to_json(), source="model.onnx") == spec
    table = spec.labels.table_to(LABEL_SETS["segface"]) if set(spec.classes) <= {*LABEL_SETS["segface"].classes} else ()
    assert len(table) in (0, 256)
    hash(spec.classes)


def _plan(text: str) -> None:
    path = Path("model.plan")
    info = parse_plan_info(text, path)
    assert parse_plan_info(info.to_json(), path) == info
    info.rebuild(path)
    check_fit(path, info, "10.3.0", "Orin", "8.7")


def _write(path: Path, text: str) -> None:
    path.write_bytes(text.encode(errors="surrogateescape"))


class Fuzz:
    def __init__(self, folder: Path, argument: str) -> None:
        self.folder = folder
        self.seeds, self.run = getattr(self, f"_{argument}")()

    def make(self, random: Random) -> str:
        return changed_json(random, random.choice(self.seeds))

    def _spec(self) -> tuple[list[Any], Callable[[str], None]]:
        return [spec_document()], _spec

    def _plan(self) -> tuple[list[Any], Callable[[str], None]]:
        return [plan_document(tiny_spec(), b"plan")], _plan

    def _sidecar(self) -> tuple[list[Any], Callable[[str], None]]:
        model, weights = self.folder / "model.xml", self.folder / "model.bin"
        model.write_bytes(b"<net/>")
        weights.write_bytes(b"weights")
        document = Sidecar(
            spec=tiny_spec(),
            target="openvino",
            files={".xml": fingerprint(model), ".bin": fingerprint(weights)},
            onnx_sha256="0" * 64,
            versions={"openvino": "2026.1"},
            parity=({"equal": 1.0},),
            segface_edge="0.1.0",
        )
        beside = self.folder / "model.xml.json"

        def run(text: str) -> None:
            _write(beside, text)
            assert read_sidecar(model).files

        return [json.loads(document.to_json())], run

    def _lines(self) -> tuple[list[Any], Callable[[str], None]]:
        path = self.folder / "lines.jsonl"
        line = json.dumps({"source": "a.jpg", "output": None, "present": ["skin"], "timings_ms": {"decode": 1.0}})

        def run(text: str) -> None:
            _write(path, f"{line}\n{text}\n{line[:20]}")
            assert lines_by_source(path)

        return [json.loads(line)], run

    def _reports(self) -> tuple[list[Any], Callable[[str], None]]:
        entry = {
            "engine": {"name": "model"},
            "scenario": {"name": "single-stream", "frames": 1, "span": "frame", "photo": [512, 512]},
            "fps": 50.0,
            "samples_ms": {"inference": [20.0, 20.1, 19.9, 20.0]},
        }
        base = {"version": REPORT_VERSION, **entry, "others": [{**entry, "engine": {"name": "other"}}]}
        path = self.folder / "base.json"

        def run(text: str) -> None:
            _write(path, text)
            slowdown(base, read_report(path), path)

        return [base], run
