"""The files that travel with the package: model, face detector, photos. See `README.md` beside this."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent

DEFAULT_MODEL = _HERE / "segface_mobilenet_celeb.onnx"
DEFAULT_CHECKPOINT = _HERE / "segface_mobilenet_celeb.safetensors"
# Finds faces in photos: YuNet, Apache-2.0, see `yunet_LICENSE.txt`.
DETECTOR = _HERE / "yunet_n_640_640.onnx"
# Eileen Collins, NASA, public domain: the whole picture, and the face cut out and enlarged to 512 x 512.
ASTRONAUT = _HERE / "astronaut.png"
PORTRAIT = _HERE / "portrait.jpg"
