"""The released default at its own size in lower precision: what `quantize` makes of it passes the gate."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("onnx", reason="quantising needs onnx")

from segface_edge import zoo
from segface_edge.engines import open_engine
from segface_edge.evaluation.photos import bundled_faces
from segface_edge.export.quantize import QuantizeConfig, run_quantize
from segface_edge.spec import Precision


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_the_released_default_passes_in(precision: Precision, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    with open_engine(zoo.DEFAULT_MODEL) as engine:
        for index, face in enumerate(bundled_faces(engine.spec.size)):
            Image.fromarray(face).save(photos / f"{index:02}.png")
    config = QuantizeConfig(precision=precision, calib_data=photos if precision == "int8" else None)
    done = run_quantize(zoo.DEFAULT_MODEL, config, tmp_path / "lower.onnx")
    assert done.path is not None
    assert done.path.is_file()
    assert done.parity is not None
    assert done.parity.failures() == []
