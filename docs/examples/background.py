"""Puts a person before another background, a picture or a colour:
python docs/examples/background.py photo.jpg beach.jpg person.jpg
python docs/examples/background.py photo.jpg '#204060' person.jpg"""

import sys

import cv2
import numpy as np
from PIL import Image, ImageColor, ImageOps

from segface_edge import FaceParser

source, behind, target = sys.argv[1:]
with FaceParser() as parser:
    face = parser(source)
height, width = face.labels.shape
if behind.startswith("#"):
    backdrop = Image.new("RGB", (width, height), ImageColor.getrgb(behind))
else:
    backdrop = ImageOps.fit(Image.open(behind).convert("RGB"), (width, height))
person = (face.labels != 0).astype(np.float32)
soft = cv2.GaussianBlur(person, (0, 0), 1.5)[..., None]
Image.fromarray(np.uint8(soft * face.image + (1 - soft) * np.asarray(backdrop))).save(target)
