"""`--target ncnn`: what pnnx makes of the graph, and what becomes of it where it fails."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="export needs torch")
pytest.importorskip("onnx", reason="export needs onnx")
pnnx = pytest.importorskip("pnnx", reason="the conversion needs pnnx")
pytest.importorskip("ncnn", reason="the net is run by ncnn")

from segface_edge import zoo
from segface_edge.engines.documents import document_beside
from segface_edge.engines.ncnn import NcnnEngine
from segface_edge.engines.sidecar import Sidecar, fingerprint
from segface_edge.errors import IncompatibleEngineError, UsageError
from segface_edge.evaluation.parity import compare
from segface_edge.evaluation.photos import bundled_faces, own_faces
from segface_edge.export.config import ExportConfig
from segface_edge.export.pipeline import load_network
from segface_edge.export.targets.job import Job
from segface_edge.export.targets.ncnn import convert
from segface_edge.network.engine import TorchEngine, model_spec
from segface_edge.spec import Precision

SIZE = 64

Make = Callable[..., Job]


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A job of the released weights, as the seam gives it, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def make(
        precision: Precision = "fp32", batch: int = 1, *, backbone: str = zoo.DEFAULT_BACKBONE, size: int = SIZE
    ) -> Job:
        config = ExportConfig(backbone=backbone, imgsz=size, target="ncnn", precision=precision)
        spec = replace(model_spec(load_network(config, [])[0]), graph="deploy", batch=batch, outputs=("labels",))
        out = tmp_path / f"{precision}.param"
        return Job(onnx=tmp_path / "none.onnx", spec=replace(spec, precision=precision), config=config, out=out)

    return make


def described(job: Job) -> Job:
    """Converted, with its document beside it."""
    assert list(convert(job)) == ["pnnx"]
    files = {suffix: fingerprint(job.companion(suffix)) for suffix in (".param", ".bin")}
    told = Sidecar(spec=job.spec, target="ncnn", files=files, onnx_sha256="", versions={}, parity=(), segface_edge="0")
    document_beside(job.out).write_text(told.to_json())
    return job


def test_the_net_gives_the_labels_of_pytorch_and_fp16_halves_its_weights(job: Make) -> None:
    frames = bundled_faces(SIZE)[::12]
    sizes = []
    network, _ = load_network(ExportConfig(imgsz=SIZE), [])
    for precision, least in (("fp32", 0.9999), ("fp16", 0.998)):
        one = described(job(precision))
        with TorchEngine.of(network) as reference, NcnnEngine(one.out, threads=1) as engine:
            equal = [(engine.infer(x[None]).labels == reference.infer(x[None]).labels).mean() for x in frames]
        assert sum(equal) / len(equal) >= least
        sizes.append(one.companion(".bin").stat().st_size)
    assert sizes[1] < 0.75 * sizes[0]


@pytest.mark.slow
@pytest.mark.parametrize("backbone", sorted(zoo.RELEASED))
def test_weights_in_half_precision_turn_one_label_in_a_thousand_at_most(job: Make, backbone: str, faces: Path) -> None:
    """On 20 photos; in fp32 `test_every_target.py` has it."""
    frames = own_faces(faces / "images", 256, limit=20)
    one = described(job("fp16", backbone=backbone, size=256))
    network, _ = load_network(one.config, [])
    with TorchEngine.of(network) as reference, NcnnEngine(one.out, threads=1) as engine:
        (report,) = compare(reference, {"ncnn": engine}, frames, name="PyTorch")
    assert report.frames == 20
    assert report.equal >= 0.999
    assert report.failures() == []


@pytest.mark.parametrize(
    ("script", "words"),
    [
        ("print('all is lost')", "pnnx wrote no net: all is lost"),
        ("sys.stderr.write('bad op\\n'); sys.exit(3)", "pnnx ended with 3: bad op"),
        ("os.abort()", "pnnx ended with -6: without a word"),
        ("put('Input in0 0 1 in0', 'aten::sort s 1 1 in0 out0')", "pnnx left what ncnn has not: aten::sort"),
        ("put('Input in0 0 1 in0', 'pnnx.Expression e 1 1')", "pnnx left what ncnn has not: pnnx.Expression"),
    ],
)
def test_a_failure_of_pnnx_is_one_line_with_its_last_words(
    job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, words: str
) -> None:
    fake = tmp_path / "fake"
    fake.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "def put(*lines):\n"
        "    (place,) = (word[10:] for word in sys.argv if word.startswith('ncnnparam='))\n"
        "    open(place, 'w').write('\\n'.join(['7767517', '2 2', *lines]))\n"
        f"{script}\n"
    )
    fake.chmod(0o755)
    monkeypatch.setattr(pnnx, "EXEC_PATH", str(fake))
    with pytest.raises(IncompatibleEngineError) as caught:
        convert(job())
    assert f"fp32.param: {words}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_frames_a_call_are_refused(job: Make) -> None:
    with pytest.raises(UsageError, match="takes one frame a call, not 4"):
        convert(job(batch=4))
