"""Exports for the tests of this folder: PyTorch's exporter takes 10 to 25 seconds a graph, so each is traced once."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# Small, so that what is made of a traced graph takes seconds; the suite's slow part exports at the released size.
SIZE = 128


@pytest.fixture(scope="session", autouse=True)
def traced_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The exporter of every export in these tests, with a memory."""
    try:
        from segface_edge.export import pipeline
    except ModuleNotFoundError:
        yield  # the tests that need it skip themselves
        return
    folder, made = tmp_path_factory.mktemp("traced"), {}
    to_onnx = pipeline.to_onnx

    def remembering(model: Any, config: Any, path: Path) -> None:
        weights = hashlib.sha256(b"".join(value.numpy().tobytes() for value in model.state_dict().values())).digest()
        batch = "N" if config.dynamic else config.batch
        key = (weights, model.image_size, config.graph, config.output_kinds, config.onnx_opset, batch, config.warp)
        if key not in made:
            fresh = folder / f"{len(made)}.onnx"
            to_onnx(model, config, fresh)
            made[key] = fresh
        shutil.copy(made[key], path)

    patch = pytest.MonkeyPatch()
    patch.setattr(pipeline, "to_onnx", remembering)
    yield
    patch.undo()


@pytest.fixture(scope="module")
def few_faces() -> Iterator[None]:
    """Six of the bundled faces for every comparison."""
    from segface_edge.evaluation.photos import bundled_faces
    from segface_edge.export import pipeline, quantize

    with pytest.MonkeyPatch.context() as patch:
        for module in (pipeline, quantize):
            patch.setattr(module, "bundled_faces", lambda size, **_: bundled_faces(size)[::8])
        yield


@pytest.fixture(scope="session")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Makes the graph of the released weights at `SIZE`, as it comes from PyTorch, for options of ExportConfig."""
    import onnx

    from segface_edge.export import pipeline
    from segface_edge.export.config import ExportConfig

    folder = tmp_path_factory.mktemp("graphs")

    def make(**options: Any) -> onnx.ModelProto:
        config = ExportConfig(imgsz=SIZE, **options)
        pipeline.to_onnx(pipeline.load_network(config, [])[0], config, folder / "graph.onnx")
        return onnx.load(folder / "graph.onnx")

    return make
