"""`segface-edge export`: its options, and what it prints. What it writes is tested in tests/export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest

pytest.importorskip("torch", reason="export needs torch")
pytest.importorskip("onnx", reason="export needs onnx")

from segface_edge import FaceParser
from segface_edge.cli.export import command
from segface_edge.export import pipeline
from segface_edge.export.config import ExportConfig

Cli = Callable[..., Any]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, parser: FaceParser) -> SimpleNamespace:
    """What the command asks the exporter for, in place of the export."""
    seen = SimpleNamespace(config=None, path=None)

    def run_export(config: ExportConfig, path: Path | None, *, progress: Callable[[str], None], bar: Any) -> Any:
        seen.config, seen.path = config, path
        progress("reading weights")
        with bar(1, "comparing") as advance:
            advance(1)
        return pipeline.Export(
            path=path or Path("default.onnx"),
            bytes=12_300_000,
            sha256="0" * 64,
            spec=parser.spec,
            parity=(),
            warnings=("something to know",),
            trtexec="trtexec --onnx=default.onnx",
        )

    monkeypatch.setattr(pipeline, "run_export", run_export)
    return seen


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ([], {}),
        (["--backbone", "mobilenet"], {"backbone": "mobilenet"}),
        (["--weights", "a.pt"], {"weights": Path("a.pt")}),
        (["--random-weights"], {"random_weights": True}),
        (["--labels", "lapa"], {"labels": "lapa"}),
        (["--imgsz", "512"], {"imgsz": 512}),
        (["--batch", "4"], {"batch": 4}),
        (["--dynamic"], {"dynamic": True}),
        (["--opset", "20"], {"opset": 20}),
        (["--output", "confidence"], {"output": "confidence"}),
        (["--graph", "reference"], {"graph": "reference"}),
        (["--no-simplify"], {"simplify": False}),
        (["--simplify"], {"simplify": True}),
        (["--compact"], {"compact": True}),
        (["--data", "photos"], {"parity_data": Path("photos")}),
    ],
)
def test_each_option_reaches_the_export(
    cli: Cli, asked: SimpleNamespace, options: list[str], wanted: dict[str, Any]
) -> None:
    result = cli("export", *options)
    assert result.code == 0, result.err
    assert asked.config == ExportConfig(**wanted)
    assert asked.path is None


def test_options_and_recipe_keys_are_one_and_the_same() -> None:
    options = {param.name for param in command.params if isinstance(param, click.Option)}
    assert (
        options - {"recipe", "out", "engine", "triton_to", "model", "web_to", "web_runtime", "json_to"}
        == ExportConfig.__dataclass_fields__.keys()
    )


def test_options_overrule_the_recipe(cli: Cli, asked: SimpleNamespace, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text('opset = 20\nbatch = 4\nsimplify = false\nweights = "model.pt"\n')
    assert cli("export", "--recipe", recipe).code == 0
    assert asked.config == ExportConfig(opset=20, batch=4, simplify=False, weights=tmp_path / "model.pt")
    assert cli("export", "--recipe", recipe, "--batch", 2, "--simplify", "-o", tmp_path / "a.onnx").code == 0
    assert asked.config == ExportConfig(opset=20, batch=2, simplify=True, weights=tmp_path / "model.pt")
    assert asked.path == tmp_path / "a.onnx"


@pytest.mark.usefixtures("asked")
def test_the_result_goes_to_standard_output_and_the_rest_to_standard_error(cli: Cli, tmp_path: Path) -> None:
    result = cli("export")
    assert result.err.splitlines() == ["… reading weights", "warning: something to know"]
    assert "wrote default.onnx (12.3 MB): deploy graph, 320 x 320, batch dynamic, outputs labels" in result.out
    assert "terms of use: non-commercial" in result.out
    assert "TensorRT engine: trtexec --onnx=default.onnx" in result.out
    document = json.loads(cli("export", "--json", "-").out)
    assert list(document) == ["path", "bytes", "sha256", "spec", "parity", "warnings", "trtexec", "precision"]
    assert cli("export", "--json", tmp_path / "report.json").out == result.out
    assert json.loads((tmp_path / "report.json").read_text()) == document


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--batch", "many"], "--batch"),
        (["--batch", 0], "batch 0: is not supported; use 1 to 256"),
        (["--opset", 17], "opset 17: is not supported; use 18 to 20"),
        (["--imgsz", 100], "use a multiple of 32"),
        (["--graph", "plain"], "use deploy or reference"),
        (["--output", "mask"], "use one of labels, confidence, logits"),
        (["--graph", "reference", "--output", "labels"], "the reference graph gives logits"),
        (["--dynamic", "--batch", 2], "--dynamic and --batch: contradict each other"),
        (["--weights", "a.pt", "--random-weights"], "contradict each other"),
        (["--presision", "fp16"], "--presision"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    cli: Cli, asked: SimpleNamespace, options: list[object], message: str
) -> None:
    result = cli("export", *options)
    assert (result.code, result.out) == (2, "")
    assert message in result.err
    assert asked.config is None
