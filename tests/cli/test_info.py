"""`segface-edge info`."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from segface_edge import FaceParser, zoo
from segface_edge.cli.contract import contract
from segface_edge.labels import label_set
from segface_edge.spec import ModelSpec

Cli = Callable[..., Any]


def test_json_holds_what_a_program_needs(cli: Cli, parser: FaceParser) -> None:
    result = cli("info", "--json", "-")
    assert (result.code, result.err) == (0, "")
    document = json.loads(result.out)
    assert list(document) == ["file", "inputs", "outputs", "fit", "restore", "spec"]
    assert document["file"] == str(zoo.DEFAULT_MODEL)
    spec = document["spec"]
    assert spec["backbone"] == "efficientnet_lite0_s8_b1"
    assert spec["classes"] == list(label_set("segface").classes)
    assert spec["size"] == parser.spec.size
    assert "non-commercial" in spec["terms"]
    assert len(spec["provenance"]["weights_sha256"]) == 64
    # Reading the description back gives the model's own.
    again = ModelSpec.from_json(json.dumps({"version": 1, **spec}), source="info")
    assert again == parser.spec


def test_inputs_and_outputs_are_those_of_the_graph(cli: Cli) -> None:
    document = json.loads(cli("info", zoo.DEFAULT_MODEL, "--json", "-").out)
    session = ort.InferenceSession(zoo.DEFAULT_MODEL, providers=["CPUExecutionProvider"])

    def told(nodes: Any) -> list[tuple[str, str, str]]:
        return [
            (node.name, node.type, "x".join(str(d) if isinstance(d, int) else "N" for d in node.shape))
            for node in nodes
        ]

    def shown(rows: list[dict[str, str]]) -> list[tuple[str, str, str]]:
        return [(row["name"], f"tensor({row['type']})", row["shape"]) for row in rows]

    assert shown(document["inputs"]) == told(session.get_inputs())
    assert shown(document["outputs"]) == told(session.get_outputs())


def test_text_says_it_to_people(cli: Cli, parser: FaceParser) -> None:
    out = cli("info", zoo.DEFAULT_MODEL).out
    size = parser.spec.size
    assert out.startswith(f"{zoo.DEFAULT_MODEL}\n")
    assert f"x{size}x{size}x3" in out
    assert "0=background 1=neck" in out
    assert f"trained at {parser.spec.trained_size}" in out
    assert "terms of use: non-commercial research only" in out


def test_the_reference_graph_takes_normalised_planes(parser: FaceParser) -> None:
    spec = replace(parser.spec, graph="reference", outputs=("logits",), batch=2, size=64)
    inputs, outputs = contract(spec)
    assert [(row["name"], row["type"], row["shape"]) for row in inputs] == [("images", "float32", "2x3x64x64")]
    assert "mean 0.485 0.456 0.406, std 0.229 0.224 0.225" in inputs[0]["meaning"]
    assert [(row["name"], row["type"], row["shape"]) for row in outputs] == [("logits", "float32", "2x19x64x64")]


def test_each_output_is_described(parser: FaceParser) -> None:
    _, outputs = contract(replace(parser.spec, outputs=("labels", "confidence"), batch=None, size=64))
    assert [(row["name"], row["type"], row["shape"]) for row in outputs] == [
        ("labels", "uint8", "Nx64x64"),
        ("confidence", "uint8", "Nx64x64"),
    ]
    assert np.dtype(outputs[1]["type"]) == np.uint8


def test_a_checkpoint_is_described_too(cli: Cli, released_size: int) -> None:
    pytest.importorskip("torch", reason="checkpoints need torch")
    document = json.loads(cli("info", zoo.DEFAULT_CHECKPOINT, "--json", "-").out)
    assert document["inputs"][0]["shape"] == f"Nx3x{released_size}x{released_size}"
    assert document["spec"]["trained_size"] == released_size


def test_there_is_no_second_model(cli: Cli, tmp_path: Path) -> None:
    result = cli("info", zoo.DEFAULT_MODEL, tmp_path / "other.onnx")
    assert (result.code, result.out) == (2, "")


def test_landmarks_are_an_input_of_a_graph_that_warps(parser: FaceParser) -> None:
    inputs, _ = contract(replace(parser.spec, warp="inside", batch=None))
    assert [(one["name"], one["shape"]) for one in inputs][1:] == [("landmarks", "Nx5x2")]
    assert len(contract(replace(parser.spec, warp="outside"))[0]) == 1
