#!/usr/bin/env bash
# OpenCV 4.8.1 and 4.9.0: `cv2.boundingRect` of a mask that is 2 or 3 columns wide gives a box 1 wide where the mask is a view of
# a larger array; a copy of the same mask, other widths, and OpenCV 4.10 and later give the right box. No error. JetPack 6
# ships OpenCV 4.8, and cutting a part out of a label map and asking where a thin class (a brow, an earring) lies is just that.
# What one would expect: that a view and its copy have the same box.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for version in 4.8.1.78 4.9.0.80 4.10.0.84; do
    "$folder/venv/bin/pip" install --quiet "opencv-python-headless==$version" 'numpy==1.26.4'
    "$folder/venv/bin/python" - <<'PY'
import cv2
import numpy as np

full = np.full((40, 64), 255, np.uint8)
found = {}
for columns in range(1, 9):
    view = full[3:9, 5 : 5 + columns]
    found[columns] = cv2.boundingRect(view)[2], cv2.boundingRect(view.copy())[2]
print(f"OpenCV {cv2.__version__}; width of the box by columns of the mask, of a view and of its copy: {found}")
wrong = {columns for columns, widths in found.items() if widths[0] != columns}
assert wrong == (set() if cv2.__version__.startswith("4.10") else {2, 3}), wrong
PY
done
