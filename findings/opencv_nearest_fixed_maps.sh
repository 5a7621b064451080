#!/usr/bin/env bash
# OpenCV 4.10.0, 4.13.0 and 5.0.0: `cv2.remap` with INTER_NEAREST and the two fixed-point maps that `cv2.convertMaps` makes takes the
# pixel one further down where y's fraction is below a half, and likewise x's; above a half it stays at the lower one: rounding
# upside down. So the identity moves a picture by a pixel in both directions. With float maps, or with the first map alone
# (None as the second), the pixels are right; in 4.14.0 they are right with both. The documentation calls fixed-point maps a
# faster form of the same maps. A label map can only be warped by nearest neighbours: its classes then lie beside the photo's.
# (opencv/opencv issue 24106 reports it of 3.4.2; it is open.)
# What one would expect: that a map and its fixed-point form name the same pixels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for version in 4.10.0.84 4.13.0.92 4.14.0.94 5.0.0.93; do
    "$folder/venv/bin/pip" install --quiet "opencv-python-headless==$version" numpy==2.2.6
    "$folder/venv/bin/python" - <<'PY'
import cv2
import numpy as np

labels = np.arange(64, dtype=np.uint8).reshape(8, 8)
y, x = np.mgrid[0:8, 0:8].astype(np.float32)
moves = {}
for fraction in (0.0, 0.25, 0.75):
    first, second = cv2.convertMaps(x + np.float32(fraction), y, cv2.CV_16SC2)
    maps = {"float": (x + np.float32(fraction), y), "both": (first, second), "first": (first, None)}
    found = {name: int(cv2.remap(labels, *pair, cv2.INTER_NEAREST)[3, 3]) for name, pair in maps.items()}
    moves[fraction] = {name: (value % 8 - 3, value // 8 - 3) for name, value in found.items()}
print(f"OpenCV {cv2.__version__}; pixels moved right and down, by the fraction of x and the maps given: {moves}")
assert [moves[f]["float"] for f in moves] == [(0, 0), (0, 0), (1, 0)]
assert [moves[f]["first"] for f in moves] == [(0, 0)] * 3  # rounded down, as these maps are
right = cv2.__version__.startswith("4.14")
assert [moves[f]["both"] for f in moves] == ([(0, 0), (0, 0), (1, 0)] if right else [(1, 1), (1, 1), (0, 1)])
PY
done
