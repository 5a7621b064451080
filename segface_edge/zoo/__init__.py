"""The files that travel with the package: models, face detector, photos. See `README.md` beside this."""

from __future__ import annotations

from pathlib import Path

_HERE = Path(__file__).parent

# Released weights by backbone: what `export --backbone NAME` starts from. `FaceParser()` runs the first one's file.
RELEASED = {
    "efficientnet_lite0_s8_b1": _HERE / "segface_efficientnet_lite0_s8_b1_celeb.safetensors",
    "mobilenet": _HERE / "segface_mobilenet_celeb.safetensors",
}
DEFAULT_BACKBONE = next(iter(RELEASED))
DEFAULT_CHECKPOINT = RELEASED[DEFAULT_BACKBONE]
DEFAULT_MODEL = DEFAULT_CHECKPOINT.with_suffix(".onnx")
# Finds faces in photos: YuNet, Apache-2.0, see `yunet_LICENSE.txt`.
DETECTOR = _HERE / "yunet_n_640_640.onnx"
# Eileen Collins, NASA, public domain: the whole picture, and the face cut out and enlarged to 512 x 512.
ASTRONAUT = _HERE / "astronaut.png"
PORTRAIT = _HERE / "portrait.jpg"
