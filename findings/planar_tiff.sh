#!/usr/bin/env bash
# Pillow 13.0.0: an uncompressed TIFF with 16 bits a channel in separate planes (PlanarConfiguration 2) opens as RGB and
# decodes without an error or a warning, to wrong pixels: each byte is taken for a sample of 8 bits, so a plane shows the
# low and high bytes of its first half. The same planes compressed, and interleaved channels, decode right.
# What one would expect: the upper 8 bits, as of the other layouts; or an error. Scanners and ImageMagick write such files.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'pillow==13.0.0' 'tifffile==2026.3.3' 'numpy==2.4.6'
"$folder/venv/bin/python" - <<'PY'
import io

import numpy as np
import tifffile
from PIL import Image, __version__

wide = np.zeros((32, 48, 3), np.uint16)
wide[..., 0] = 1000 * np.arange(48)
wide[..., 1] = 2000 * np.arange(32)[:, None]
wide[..., 2] = 40000
print(f"Pillow {__version__}; 16-bit RGB, largest difference from the upper 8 bits, of 255:")
errors = {}
for planes in ("contig", "separate"):
    for compression in (None, "zlib"):
        file = io.BytesIO()
        values = wide if planes == "contig" else np.moveaxis(wide, 2, 0).copy()
        tifffile.imwrite(file, values, photometric="rgb", planarconfig=planes, compression=compression)
        with Image.open(io.BytesIO(file.getvalue())) as image:
            assert image.mode == "RGB"
            read = np.asarray(image).astype(int)
        errors[planes, compression] = int(np.abs(read - (wide >> 8)).max())
        print(f"  {planes:8} {compression or 'uncompressed':12} {errors[planes, compression]}")
assert errors.pop(("separate", None)) > 200, "it is read right now"
assert set(errors.values()) == {0}
PY
