"""OpenCV's face detector, YuNet."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np

from segface_edge.errors import ModelFileError
from segface_edge.pictures.geometry import FaceBox, UInt8Array
from segface_edge.quiet import quiet_opencv

# YuNet finds faces of a tenth of the square and more; what is larger costs time and finds no more.
_LARGEST_SIDE = 1280
_LEAST_SCORE, _NMS = 0.6, 0.3


class YuNet:
    """OpenCV's face detector with the YuNet model (Wu et al., Machine Intelligence Research 2023): boxes and landmarks.

    Args:
        path: the model, `face_detection_yunet_*.onnx` or `yunet_n_*.onnx`.

    Raises:
        ModelFileError: it is absent, or no such model.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise ModelFileError(path, "no such file", "give the file of YuNet, or fetch it: segface-edge fetch yunet")
        try:
            with quiet_opencv():  # OpenCV 5 warns of a setting that is not ours
                self._net = cv2.FaceDetectorYN.create(str(path), "", (320, 320), _LEAST_SCORE, _NMS)
        except cv2.error as error:
            raise ModelFileError(path, "is no YuNet model", "fetch it: segface-edge fetch yunet") from error
        self._lock = threading.Lock()  # the size of its input is set before it is run

    def __call__(self, image: UInt8Array) -> list[FaceBox]:
        """The faces of (H, W, 3) uint8 RGB, the surest first."""
        height, width = image.shape[:2]
        scale = min(1.0, _LARGEST_SIDE / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        with self._lock:
            self._net.setInputSize(size)
            _, found = self._net.detect(np.ascontiguousarray(small[:, :, ::-1]))
        faces = []
        for row in () if found is None else found:
            x, y = width / size[0], height / size[1]
            left, top, box_width, box_height = row[0] * x, row[1] * y, row[2] * x, row[3] * y
            faces.append(
                FaceBox(
                    left=float(left),
                    top=float(top),
                    right=float(left + box_width),
                    bottom=float(top + box_height),
                    score=float(row[14]),
                    landmarks=tuple((float(px * x), float(py * y)) for px, py in row[4:14].reshape(5, 2)),
                )
            )
        return sorted(faces, key=lambda face: -face.score)
