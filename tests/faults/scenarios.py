"""Commands that write, small: what each needs in its folder, how it is called, and how it goes on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from segface_edge import zoo
from segface_edge.engines.ort.metadata import read_metadata
from segface_edge.sources.video_out import VideoWriter
from tests.fuzz.kinds.datasets import trees
from tests.fuzz.kinds.pictures import portrait, saved
from tests.nvidia.tiny import tiny_model

TINY = ("--model", "tiny.onnx", "--locate", "whole")


@dataclass(frozen=True)
class Scenario:
    """A row.

    Attributes:
        line: the command.
        inputs: makes its files in a folder.
        again: the command that goes on after a fault; None: the same.
        stub: puts what takes a second in the place of what takes minutes.
        needs: packages besides the runtime's.
        slow: seconds, not fractions of one.
        complete: asserts that all is there in the end.
    """

    line: Sequence[str]
    inputs: Callable[[Path], Any]
    again: Sequence[str] | None = None
    stub: Callable[[Path], Any] | None = None
    needs: tuple[str, ...] = ()
    slow: bool = False
    complete: Callable[[Path], None] = lambda _: None

    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]


def _photos(folder: Path) -> None:
    (folder / "photos").mkdir()
    for index in range(2):
        (folder / "photos" / f"{index}.png").write_bytes(saved(portrait().rotate(index), "PNG"))
    shutil.copy(folder / "photos" / "0.png", folder / "photo.png")
    tiny_model(folder / "tiny.onnx")


def _video(folder: Path) -> None:
    _photos(folder)
    writer = VideoWriter(folder / "film.mp4", fps=5)
    for index in range(4):
        writer.write(np.asarray(portrait((64, 48)).rotate(index)))
    writer.close()


def _data(folder: Path) -> None:
    _photos(folder)
    for name, content in trees()[0].items():
        path = folder / "faces" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def _training(folder: Path) -> None:
    _data(folder)
    (folder / "recipe.toml").write_text(
        '[model]\nsize = 32\nweights = "bundled"\n'
        '[data]\ntrain = "faces"\nval = "faces"\nlabel_order = "segface"\nside = 64\n'
        "[[stage]]\nsteps = 2\nbatch = 2\nsizes = [32]\n[run]\nsave_every = 1\nlog_every = 1\neval_every = 1\n"
    )


def _suite(folder: Path) -> None:
    _photos(folder)
    size = read_metadata(zoo.DEFAULT_MODEL).spec.size
    (folder / "suite.toml").write_text(
        "version = 1\n[scenario]\nwarmup_s = 0.0\nduration_s = 0.0\nmin_queries = 2\n"
        f"[backbones]\n{zoo.DEFAULT_BACKBONE} = [{size}]\n[[rows]]\nthreads = [1]\n"
    )


def _checkpoint(folder: Path) -> None:
    shutil.copy(zoo.DEFAULT_CHECKPOINT, folder / "weights.safetensors")


def _detector(folder: Path) -> None:
    (folder / "by-hand").mkdir()
    shutil.copy(zoo.DETECTOR, folder / "by-hand" / "yunet_n_640_640.onnx")


def _hub(_: Path) -> None:
    """A server on the loopback interface that gives the detector as the model `small`."""
    from segface_edge.zoo.models import MODELS, Model
    from tests.zoo.served import Serving, serve

    serving = Serving(content=zoo.DETECTOR.read_bytes())
    serve(serving).handle_error = lambda *_: None  # type: ignore[method-assign]  # callers hang up
    MODELS["small"] = Model(
        name="small",
        what="a test's",
        terms="none",
        url=f"{serving.url}/small",
        file=Path("small.onnx"),
        sha256=serving.sha256,
        size=len(serving.content),
    )


def _web(folder: Path) -> None:
    from tests.serving.package import runtime

    tiny_model(folder / "tiny.onnx")
    runtime(folder / "package")


def _small_export(folder: Path) -> None:
    """An export without the exporter: the graph is there."""
    from segface_edge.export import pipeline

    faces = pipeline.bundled_faces
    pipeline.bundled_faces = lambda size, **_: faces(size)[::16]  # type: ignore[assignment]
    pipeline.to_onnx = lambda *arguments: shutil.copy(folder / "raw.onnx", arguments[-1])  # type: ignore[assignment]


def _raw(folder: Path) -> None:
    from segface_edge.export import pipeline
    from segface_edge.export.config import ExportConfig

    config = ExportConfig(imgsz=64)
    pipeline.to_onnx(pipeline.load_network(config, [])[0], config, folder / "raw.onnx")


def _small_quantize(_: Path) -> None:
    """What is chosen is nothing."""
    import onnx

    from segface_edge.export import quantize
    from segface_edge.export.precision import Lowered
    from segface_edge.export.sensitivity import Sensitivity

    one = Sensitivity(name="conv", kind="Conv", error=0.0, turned=0.0)

    def lower(source: Path, *_: Any, **__: Any) -> Lowered:
        model = onnx.load(source)
        return Lowered(model=model, half=(one,), int8=(), islands=(), int8_layers=(), together=one, macs={"FLOAT16": 1})

    quantize.lower_file = lower  # type: ignore[assignment]


def _nvidia(_: Path) -> None:
    import pytest

    from segface_edge.evaluation import plan_parity
    from segface_edge.evaluation.photos import bundled_faces
    from tests.nvidia.world import World

    World("10.3.0", "cuda-python-12").install(pytest.MonkeyPatch())
    plan_parity.bundled_faces = lambda size, **_: bundled_faces(size)[:2]  # type: ignore[assignment]


def _two_rows(folder: Path) -> None:
    from pyarrow.parquet import read_table

    paths = [path for part in (folder / "out").glob("part-*") for path in read_table(part).column("path").to_pylist()]
    assert sorted(Path(path).name for path in paths) == ["0.png", "1.png"], paths


SCENARIOS: dict[str, Scenario] = {
    "parse": Scenario(("parse", "photo.png", *TINY, "-o", "out.png", "--json", "out.json"), _photos),
    "parse-folder": Scenario(
        ("parse", "photos", *TINY, "-o", "out", "--jsonl", "out.jsonl"),
        _photos,
        again=("parse", "photos", *TINY, "-o", "out", "--jsonl", "out.jsonl", "--skip-existing"),
    ),
    "parse-video": Scenario(("parse", "film.mp4", *TINY, "-o", "out.mp4", "--jsonl", "out.jsonl"), _video),
    "label": Scenario(
        ("label", "photos", *TINY, "-o", "out", "--part-rows", "1", "--json", "out.json"),
        _photos,
        needs=("pyarrow",),
        complete=_two_rows,
    ),
    "info": Scenario(("info", "tiny.onnx", "--json", "out.json"), _photos),
    "bench": Scenario(
        (
            "bench",
            "--engine",
            "tiny.onnx",
            "--duration",
            "0",
            "--warmup",
            "0",
            "--min-queries",
            "2",
            "--json",
            "out.json",
            "--csv",
            "out.csv",
            "--markdown",
            "out.md",
            "--html",
            "out.html",
        ),
        _photos,
        needs=("matplotlib", "jinja2"),
        slow=True,
    ),
    "suite": Scenario(("bench", "--suite", "suite.toml", "-o", "out"), _suite, slow=True),
    "eval": Scenario(
        ("eval", "--data", "faces", "--label-order", "segface", "--json", "out.json", "--plots", "plots"),
        _data,
        needs=("matplotlib",),
        slow=True,
    ),
    "data-check": Scenario(
        ("data", "check", "faces", "--json", "out.json", "--plot", "out.png"), _data, needs=("matplotlib",), slow=True
    ),
    "fetch": Scenario(("models", "fetch", "yunet", "--from", "by-hand", "--json", "out.json"), _detector),
    "download": Scenario(
        ("models", "fetch", "small", "--json", "out.json"),
        lambda _: None,
        stub=_hub,
        needs=("requests",),
    ),
    "import": Scenario(
        ("import", "weights.safetensors", "-o", "out.safetensors", "--json", "out.json"),
        _checkpoint,
        needs=("torch", "safetensors"),
        slow=True,
    ),
    "build": Scenario(
        ("build", "tiny.onnx", "-o", "out.plan", "--timing-cache", "timing.bin", "--json", "out.json"),
        _photos,
        stub=_nvidia,
    ),
    "quantize": Scenario(
        ("quantize", "tiny.onnx", "--precision", "fp16", "-o", "out.onnx", "--json", "out.json"),
        _photos,
        stub=_small_quantize,
        needs=("torch", "onnx"),
        slow=True,
    ),
    "export": Scenario(
        ("export", "--imgsz", "64", "--no-simplify", "-o", "out.onnx", "--json", "out.json"),
        _raw,
        stub=_small_export,
        needs=("torch", "onnx", "onnxscript"),
        slow=True,
    ),
    "web": Scenario(
        ("export", "--model", "tiny.onnx", "--web", "page", "--web-runtime", "package"),
        _web,
        needs=("torch", "onnx"),
        slow=True,
    ),
    "train": Scenario(
        ("train", "--config", "recipe.toml", "-o", "run", "--json", "out.json"),
        _training,
        again=("train", "--config", "recipe.toml", "-o", "run", "--json", "out.json", "--resume"),
        needs=("torch", "dacite", "matplotlib"),
        slow=True,
    ),
}
