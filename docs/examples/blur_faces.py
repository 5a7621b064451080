"""Blurs every face of a photo and nothing else: python docs/examples/blur_faces.py photo.jpg blurred.jpg"""

import sys

import cv2
import numpy as np
from PIL import Image

from segface_edge import FaceParser

source, target = sys.argv[1:]
with FaceParser() as parser:
    face = parser(source)
mask = face.mask("skin", "eyes", "brows", "nose", "lips", "mouth", "glasses").astype(np.float32)
side = max((box.bottom - box.top for box in face.faces), default=0)
blurred = cv2.GaussianBlur(face.image, (0, 0), max(side / 12, 1))
soft = cv2.GaussianBlur(mask, (0, 0), max(side / 60, 0.5))[..., None]  # no hard edge
Image.fromarray(np.uint8(np.rint(soft * blurred + (1 - soft) * face.image))).save(target)
