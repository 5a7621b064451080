"""Gives the hair of a photo another colour, its light and shade kept:
python docs/examples/hair_colour.py photo.jpg dyed.jpg 150 40 160"""

import sys

import cv2
import numpy as np
from PIL import Image

from segface_edge import FaceParser

source, target, *colour = sys.argv[1:]
with FaceParser() as parser:
    face = parser(source)
hair = cv2.GaussianBlur(face.mask("hair").astype(np.float32), (0, 0), 2)[..., None]
lab = cv2.cvtColor(face.image, cv2.COLOR_RGB2LAB).astype(np.float32)
wanted = cv2.cvtColor(np.uint8([[list(map(int, colour))]]), cv2.COLOR_RGB2LAB)[0, 0].astype(np.float32)
dyed = lab.copy()
dyed[..., 1:] = wanted[1:]  # the colour, not the lightness
lab = hair * dyed + (1 - hair) * lab
Image.fromarray(cv2.cvtColor(np.uint8(lab), cv2.COLOR_LAB2RGB)).save(target)
