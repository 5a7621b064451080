"""Logits that are not finite are seen where a graph is lowered, whatever its labels look like."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="an export needs torch")
onnx = pytest.importorskip("onnx", reason="an export needs onnx")

from segface_edge.errors import ParityError
from segface_edge.evaluation.photos import Faces
from segface_edge.export.precision import lower, no_bar
from segface_edge.export.quantize import QuantizeConfig, lower_file

from .small import SIZE, photos, two_convolutions


@pytest.mark.parametrize("factor", [np.nan, np.inf])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_graph_that_gives_nan_is_not_lowered(factor: float, precision: str) -> None:
    with pytest.raises(ParityError, match="not finite"):
        lower(two_convolutions(factor=factor), precision, photos(1), calibration=photos(2), method="minmax")


def lowered(folder: Path, factor: float, precision: str) -> object:
    onnx.save(two_convolutions(factor=factor), folder / "fp32.onnx")
    config = QuantizeConfig(precision=precision, calib_data=folder if precision == "int8" else None)
    few = Faces(photos(2)[1:], SIZE)
    calibration = few if precision == "int8" else Faces([], SIZE)
    return lower_file(folder / "fp32.onnx", config, few, calibration, progress=lambda _: None, bar=no_bar)


@pytest.mark.parametrize("factor", [1e4, 1e5])
@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_graph_that_half_precision_cannot_hold_is_no_file(tmp_path: Path, precision: str, factor: float) -> None:
    """Its first convolution gives some 100,000 and multiplies too much to stay in fp32. On a CPU, ONNX Runtime computes
    it in fp32, and its weights alone may be too large, or none of them."""
    assert lowered(tmp_path, 1.0, precision) is not None
    with pytest.raises(ParityError, match=r"fp32\.onnx: has values that half precision does not hold"):
        lowered(tmp_path, factor, precision)
