"""OpenCV's face detector, YuNet."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np

from segface_edge.errors import ModelFileError
from segface_edge.files import utf8_name
from segface_edge.pictures.geometry import FaceBox, UInt8Array
from segface_edge.quiet import quiet_opencv

# What is fainter is no sign of a face, in whatever turn it is: turned faces score as low (`benchmarks/turns.py`).
FAINT, _NMS = 0.1, 0.3
# In strips of up to 32 pixels, OpenCV 4.8 finds faces far away with full score.
_LEAST_SIDE = 64


class YuNet:
    """OpenCV's face detector with the YuNet model (Wu et al., Machine Intelligence Research 2023): boxes and landmarks.

    It finds faces of about 10 to 300 pixels that are upright: larger ones in parts, turned ones with a lower score and
    wrong landmarks. `Finder` makes of it one that finds any.

    Args:
        path: the model, `face_detection_yunet_*.onnx` or `yunet_n_*.onnx`.

    Raises:
        ModelFileError: it is absent, or no such model.
        InputError: its name is no UTF-8.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ModelFileError(
                path, "no such file", "give YuNet's file, or fetch it: segface-edge models fetch yunet"
            )
        name = utf8_name(path)
        try:
            with quiet_opencv():  # OpenCV 5 warns of a setting that is not ours
                self._net = cv2.FaceDetectorYN.create(name, "", (320, 320), FAINT, _NMS)
        except cv2.error as error:
            raise ModelFileError(path, "is no YuNet model", "fetch it: segface-edge models fetch yunet") from error
        self._lock = threading.Lock()  # the size of its input is set before it is run

    def __call__(self, picture: UInt8Array) -> list[FaceBox]:
        """What may be faces of (H, W, 3) uint8 BGR, in its pixels: scores from 0.1 on, the surest first."""
        height, width = picture.shape[:2]
        below, beside = max(0, _LEAST_SIDE - height), max(0, _LEAST_SIDE - width)
        if below or beside:
            picture = np.asarray(cv2.copyMakeBorder(picture, 0, below, 0, beside, cv2.BORDER_CONSTANT))
        with self._lock:
            self._net.setInputSize(picture.shape[1::-1])
            _, found = self._net.detect(np.ascontiguousarray(picture))
        faces = []
        for row in () if found is None else found.astype(float):
            left, top, box_width, box_height = row[:4].tolist()
            faces.append(
                FaceBox(
                    left=left,
                    top=top,
                    right=left + box_width,
                    bottom=top + box_height,
                    score=float(row[14]),
                    landmarks=tuple((x, y) for x, y in row[4:14].reshape(5, 2).tolist()),
                )
            )
        return sorted(faces, key=lambda face: -face.score)
