"""The same labels whichever OpenCV is here. What is sampled is equal byte for byte (`tests/pictures/test_sampling.py`);
here is the rest: what YuNet's runs on OpenCV's versions differ by, and grey pictures, which some of them refuse."""

from __future__ import annotations

import inspect
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.pictures import reading, restoring
from segface_edge.pictures.framing import Square, fit_square

# YuNet's landmarks of OpenCV 4.8 to 5.0 lie so far apart, in pixels of the photo: 0.00016 was seen, which changed 35
# labels of 1.3 million.
YUNET_APART = 0.0002


@pytest.mark.parametrize("angle", [0.0, 7.0, -25.0])
def test_what_versions_of_yunet_differ_by_changes_a_label_in_a_thousand_at_most(
    parser: FaceParser, angle: float
) -> None:
    photo = reading.load(zoo.PORTRAIT)
    height, width = photo.shape[:2]
    maps = []
    for moved in (0.0, YUNET_APART, -YUNET_APART):
        square = Square(x=width / 2 + moved, y=height / 2 - moved, side=width * 0.9 + 4 * moved, angle=angle + moved)
        fitted = fit_square(photo, parser.engine.spec.size, square)
        labels = parser.engine.infer(fitted.pixels[None]).labels[0]
        maps.append(restoring.restore(labels, fitted.geometry, height, width))
    assert all((other != maps[0]).mean() < 1e-3 for other in maps[1:])


@pytest.mark.parametrize("how", ["self", "yunet"])
@pytest.mark.parametrize("mode", ["L", "1", "LA"])
def test_a_grey_picture_is_parsed_as_the_same_in_colour(tmp_path: Path, shared: Path, how: str, mode: str) -> None:
    grey = Image.open(zoo.PORTRAIT).convert("L").rotate(12, Image.Resampling.BICUBIC).convert(mode)
    grey.save(tmp_path / "grey.png")
    grey.convert("L").convert("RGB").save(tmp_path / "colour.png")
    detector = shared / "models" / "yunet" / "yunet_n_640_640.onnx" if how == "yunet" else None
    with FaceParser(locate=how, detector=detector) as parser:
        found, wanted = parser(tmp_path / "grey.png"), parser(tmp_path / "colour.png")
    assert np.array_equal(found.labels, wanted.labels)
    assert found.faces == wanted.faces


def test_no_boolean_array_reaches_opencv(monkeypatch: pytest.MonkeyPatch, parser: FaceParser) -> None:
    """OpenCV 4 refuses them; OpenCV 5 takes them, and what is not of them is all true."""
    seen: list[np.dtype] = []
    for name, function in vars(cv2).items():
        if inspect.isbuiltin(function):

            def watched(*given: object, _function: object = function, **named: object) -> object:
                seen.extend(array.dtype for array in (*given, *named.values()) if isinstance(array, np.ndarray))
                return _function(*given, **named)  # type: ignore[operator]

            monkeypatch.setattr(cv2, name, watched)
    face = parser(zoo.PORTRAIT)
    face.overlay()
    face.polygons("hair")
    face.cutout("hair", "skin")
    assert {np.dtype(np.uint8)} <= set(seen)
    assert np.dtype(bool) not in seen
