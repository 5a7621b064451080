"""ncnn: a net of one convolution, of which every logit is known."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from segface_edge.cli.contract import contract
from segface_edge.engines import open_engine
from segface_edge.engines.documents import document_beside
from segface_edge.engines.sidecar import Sidecar, fingerprint
from segface_edge.errors import IncompatibleEngineError, ModelFileError, UsageError
from segface_edge.spec import ModelSpec

SIZE, CLASSES = 32, ("background", "skin", "hair", "nose")
SPEC = ModelSpec(
    backbone="none", graph="deploy", size=SIZE, batch=1, label_order="own", classes=CLASSES, outputs=("labels",)
)
WEIGHTS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0.5, 0.25]], np.float32) / 64
NET = "7767517\n2 2\nInput in0 0 1 in0\nConvolution conv 1 1 in0 out0 0=4 1=1 5=0 6=12\n"

Build = Callable[..., Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Writes `m.param` with what belongs to it: logits are `WEIGHTS` times the colours."""

    def write(spec: ModelSpec = SPEC, net: str = NET) -> Path:
        path = tmp_path / "m.param"
        path.write_text(net)
        path.with_suffix(".bin").write_bytes(np.zeros(1, np.uint32).tobytes() + WEIGHTS.tobytes())
        files = {suffix: fingerprint(path.with_suffix(suffix)) for suffix in (".param", ".bin")}
        told = Sidecar(spec=spec, target="ncnn", files=files, onnx_sha256="", versions={}, parity=(), segface_edge="0")
        document_beside(path).write_text(told.to_json())
        return path

    return write


def frame() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (1, SIZE, SIZE, 3), np.uint8)


@pytest.fixture
def ncnn() -> None:
    pytest.importorskip("ncnn", reason="the engine needs ncnn")


@pytest.mark.usefixtures("ncnn")
def test_labels_confidence_and_logits_are_made_of_the_net_s_planes(build: Build) -> None:
    frames = frame()
    wanted = np.einsum("kc,nyxc->nkyx", WEIGHTS, frames.astype(np.float32))
    with open_engine(build(replace(SPEC, outputs=("labels", "confidence")))) as engine:
        found = engine.infer(frames)
        assert engine.finite(frames)
    np.testing.assert_array_equal(found.labels, wanted.argmax(1))
    assert found.confidence is not None
    largest = np.exp(wanted).max(1) / np.exp(wanted).sum(1)
    assert np.abs(found.confidence - 255 * largest).max() <= 0.51
    assert found.logits is None
    with open_engine(build(replace(SPEC, outputs=("logits",)))) as engine:
        logits = engine.infer(frames).logits
        assert logits is not None
        np.testing.assert_allclose(logits, wanted, atol=1e-5)
        assert engine.describe()["runtime"] == "ncnn"


@pytest.mark.usefixtures("ncnn")
@pytest.mark.parametrize(
    ("net", "words"),
    [
        ("7767517\n1 1\nInput in0 0 1 in0\n", "is no net that ncnn reads"),
        ("nonsense", "is no net that ncnn reads"),
        (NET.replace("0=4", "0=3").replace("6=12", "6=9"), r"gave \(3, 32, 32\) in ncnn"),
    ],
)
def test_another_net_than_its_document_says_is_refused(build: Build, net: str, words: str) -> None:
    path = build(net=net)
    with pytest.raises(IncompatibleEngineError, match=words), open_engine(path) as engine:
        engine.infer(frame())


@pytest.mark.usefixtures("ncnn")
def test_it_runs_on_the_cpu_until_it_is_closed(build: Build) -> None:
    path = build()
    with pytest.raises(UsageError, match="device 'cuda': this engine runs on the CPU"):
        open_engine(path, device="cuda")
    engine = open_engine(path, threads=1)
    engine.close()
    with pytest.raises(UsageError, match="is closed"):
        engine.infer(frame())
    path.with_suffix(".bin").unlink()
    with pytest.raises(ModelFileError, match=r"m\.bin: is missing"):
        open_engine(path)


def test_info_says_what_the_net_takes_and_gives_also_where_ncnn_is_not(
    build: Build, cli: Callable[..., object]
) -> None:
    result = cli("info", build(), "--json", "-")
    document = json.loads(result.out)  # type: ignore[attr-defined]
    (taken,), (given,) = document["inputs"], document["outputs"]
    assert (taken["name"], taken["type"], taken["shape"], taken["layout"]) == ("in0", "float32", "3x32x32", "CHW")
    assert (taken["colour"], taken["range"]) == ("RGB", "0 to 255")
    assert (given["name"], given["type"], given["shape"]) == ("out0", "float32", "4x32x32")
    assert document["target"]["name"] == "ncnn"
    assert contract(SPEC)[0][0]["name"] == "frames"
