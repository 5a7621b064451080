#!/usr/bin/env bash
# pillow-heif 1.8.1 on Pillow 13.0.0: `save(..., "HEIF", exif=exif)` with a PIL.Image.Exif object whose orientation is 6
# writes a picture that lies: the orientation is reset to 1, and neither the pixels are turned nor an `irot` is written. The
# same EXIF as bytes, or in `info["exif"]`, is turned; and JPEG, PNG, WebP, TIFF and AVIF keep it either way.
# What one would expect: that an Exif object and its bytes mean the same, as everywhere else in Pillow.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'pillow==13.0.0' 'pillow-heif==1.8.1'
"$folder/venv/bin/python" - <<'PY'
import io

import pillow_heif
from PIL import Image, ImageOps, __version__

pillow_heif.register_heif_opener()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn: 64 x 32 stored, 32 x 64 shown
    return exif


def shown(kind: str, given: object) -> tuple[int, int]:
    file = io.BytesIO()
    Image.new("RGB", (64, 32), "red").save(file, kind, exif=given)
    with Image.open(io.BytesIO(file.getvalue())) as image:
        return ImageOps.exif_transpose(image).size


print(f"Pillow {__version__}, pillow-heif {pillow_heif.__version__}; size as shown (32 x 64 is right):")
sizes = {}
for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"):
    sizes[kind] = shown(kind, turned()), shown(kind, turned().tobytes())
    print(f"  {kind:5} Exif object {sizes[kind][0]}, its bytes {sizes[kind][1]}")
assert sizes.pop("HEIF") == ((64, 32), (32, 64)), "an Exif object counts now"
assert set(sizes.values()) == {((32, 64), (32, 64))}
PY
