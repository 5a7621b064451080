#!/usr/bin/env bash
# Pillow 13.0.0: `resize(size, box=box)` gives other pixels of the same box where the picture around it is cut narrower, though
# everything that the filter reaches is still there. Since this version the vertical pass may come first ("if height is scaled
# down significantly more than width"), and that is decided by the size of the whole picture, not of the box: here a box of
# 20 x 20 becomes 28 x 28, of a picture 29 wide or of one 28 wide, both 29 high. Between the passes values are cut off at 0 and
# 255: of noise a pixel differs by up to 13 of 255. Pillow 12.3.0 gives the same bytes for both.
# Whoever cuts the neighbourhood of a face out of a frame before he resizes it, or compares the squares of two devices, meets
# this where a photo is narrower than the square and taller.
# What one would expect: that a box's pixels depend on the box, as they did.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for version in 12.3.0 13.0.0; do
    "$folder/venv/bin/pip" install --quiet "Pillow==$version" 'numpy==2.2.6'
    "$folder/venv/bin/python" - <<'PY'
import numpy as np
import PIL
from PIL import Image

picture = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)


def resized(width):
    # The box lies 4 columns and 4.5 rows from the corner, and 4 from the other side: bicubic reaches 2.
    part = Image.fromarray(np.ascontiguousarray(picture[6:35, 6 : 6 + width]))
    return np.asarray(part.resize((28, 28), Image.Resampling.BICUBIC, box=(4, 4.5, 24, 24.5))).astype(int)


difference = int(np.abs(resized(29) - resized(28)).max())
print(f"Pillow {PIL.__version__}: the same box of a picture 29 and 28 wide differs by up to {difference}")
assert (difference > 1) == (PIL.__version__ == "13.0.0"), difference
PY
done
