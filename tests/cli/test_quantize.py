"""`segface-edge quantize`: its options, and what it prints. What it writes is tested in tests/export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("torch", reason="an export needs torch")
pytest.importorskip("onnx", reason="export needs onnx")

from segface_edge import FaceParser, zoo
from segface_edge.export import quantize
from segface_edge.export.precision import Lowered
from segface_edge.export.quantize import QuantizeConfig
from segface_edge.export.sensitivity import Sensitivity

Cli = Callable[..., Any]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, parser: FaceParser) -> SimpleNamespace:
    """What the command asks for, in place of doing it."""
    seen = SimpleNamespace(config=None, path=None)

    def run(source: Path, config: QuantizeConfig, path: Path | None, *, progress: Any, bar: Any) -> Any:
        seen.source, seen.config, seen.path, seen.bar = source, config, path, bar
        progress("fp32 to int8")
        rows = [("conv_a", "Conv", 2e-2, 0.01), ("conv_b", "Conv", 3e-4, 0.0), ("conv_c", "Conv", 0.0, 0.0)]
        found = tuple(Sensitivity(name=n, kind=k, error=e, turned=t) for n, k, e, t in rows)
        lowered = Lowered(
            model=None,  # type: ignore[arg-type]
            half=found[1:],
            int8=found,
            islands=("conv_b",),
            int8_layers=("conv_b", "conv_c"),
            together=found[1],
            macs={"INT8": 7_000_000, "FLOAT16": 3_000_000},
        )
        return quantize.Quantized(
            path=path, bytes=(8_000_000, 20_000_000), sha256="0" * 64, spec=parser.spec, parity=None, lowered=lowered
        )

    monkeypatch.setattr(quantize, "run_quantize", run)
    return seen


def test_the_file_is_named_after_its_source(cli: Cli, asked: SimpleNamespace, tmp_path: Path) -> None:
    result = cli("quantize", tmp_path / "model.onnx", "--calib-data", tmp_path)
    assert result.code == 0
    assert asked.path == tmp_path / "model_int8.onnx"
    assert asked.config == QuantizeConfig(precision="int8", calib_data=tmp_path)
    assert "int8 70.0%" in result.out
    assert "8.0 MB, its source 20.0 MB" in result.out
    assert "conv_a" not in result.out
    assert "fp32 to int8" in result.err


def test_of_a_model_by_its_name_the_file_is_made_here(
    cli: Cli, asked: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the package nor the cache is the user's folder."""
    monkeypatch.chdir(tmp_path)
    assert cli("quantize", zoo.DEFAULT_BACKBONE, "--calib-data", tmp_path).code == 0
    assert (asked.source, asked.path) == (zoo.DEFAULT_MODEL, Path(f"{zoo.DEFAULT_MODEL.stem}_int8.onnx"))
    monkeypatch.setenv("SEGFACE_EDGE_CACHE", str(tmp_path / "cache"))
    kept = tmp_path / "cache" / "models" / "segface" / "mobilenet_celeba_512.onnx"
    kept.parent.mkdir(parents=True)
    kept.touch()
    assert cli("quantize", "segface/mobilenet_celeba_512", "--calib-data", tmp_path).code == 0
    assert (asked.source, asked.path) == (kept, Path("mobilenet_celeba_512_int8.onnx"))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        (["--calib-images", "48"], {"calib_images": 48}),
        (["--calib-method", "minmax"], {"calib_method": "minmax"}),
        (["--for", "cpu"], {"made_for": "cpu"}),
    ],
)
def test_each_option_reaches_the_change(
    cli: Cli, asked: SimpleNamespace, tmp_path: Path, options: list[str], wanted: dict[str, Any]
) -> None:
    assert cli("quantize", "model.onnx", "--calib-data", tmp_path, *options).code == 0
    assert asked.config == QuantizeConfig(precision="int8", calib_data=tmp_path, **wanted)


def test_the_table_of_sensitivities_is_printed_and_drawn(cli: Cli, asked: SimpleNamespace, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "plot.png"
    result = cli("quantize", "model.onnx", "--calib-data", tmp_path, "--sensitivity", "--plot", plot)
    assert result.code == 0
    assert asked.path is None
    lines = result.out.splitlines()
    (first,) = (line for line in lines if "conv_a" in line)
    assert first.split() == ["conv_a", "Conv", "2.0e-02", "1.0000%", "fp16"]
    assert "  1 more change nothing" in lines
    with Image.open(plot) as picture:
        # Blue for what is lowered, red for what stays.
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20)}
    assert {(0x44, 0x77, 0xAA), (0xCC, 0x66, 0x77)} <= colours


def test_json_holds_everything(cli: Cli, asked: SimpleNamespace, tmp_path: Path) -> None:
    document = json.loads(cli("quantize", "m.onnx", "--calib-data", tmp_path, "--json", "-").out)
    assert document["precision"]["int8_layers"] == ["conv_b", "conv_c"]
    assert document["precision"]["int8"][0]["error"] == 2e-2
    assert (document["bytes"], document["source_bytes"]) == (8_000_000, 20_000_000)
    assert asked.path == Path("m_int8.onnx")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["m.onnx"], 2, "--calib-data DIR"),
        (["m.onnx", "--precision", "fp32"], 2, "fp32"),
        (["m.onnx", "--precision", "fp16", "--calib-data", "."], 2, "has no use with fp16"),
        (["m.onnx", "--precision", "fp16", "-o", "out.plan"], 2, "FILE.onnx"),
        (["m.onnx", "--precision", "fp16", "--plot", "plot.txt"], 2, "no format of figures"),
        (["m.onnx", "--precision", "fp16", "-o", "absent/out.onnx"], 1, "absent"),
        (["absent.onnx", "--precision", "fp16", "-o", "out.onnx"], 1, "no such file"),
    ],
)
def test_bad_options_are_one_line(cli: Cli, options: list[str], code: int, words: str) -> None:
    result = cli("quantize", *options)
    assert result.code == code
    assert words in result.err
    assert result.out == ""


def test_no_photos_to_calibrate_on(cli: Cli, tmp_path: Path) -> None:
    result = cli("quantize", zoo.DEFAULT_MODEL, "--calib-data", tmp_path / "absent", "-o", tmp_path / "out.onnx")
    assert result.code == 1
    assert "absent: no such folder" in result.err
    assert list(tmp_path.iterdir()) == []
