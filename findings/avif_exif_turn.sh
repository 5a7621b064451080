#!/usr/bin/env bash
# Pillow 13.0.0: saving an AVIF takes the orientation out of the Exif object that was handed in. The first AVIF is right
# (turned by `irot`), every later picture that is saved with the same object lies on its side; no error, no warning. JPEG, PNG,
# WebP and TIFF leave the object as it is. Whoever writes one photo in several sizes or formats meets this.
# What one would expect: that an argument of save() is not changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet 'pillow==13.0.0'
"$folder/venv/bin/python" - <<'PY'
import io

from PIL import Image, ImageOps, __version__


def shown_twice(kind: str) -> tuple[tuple[int, int], ...]:
    exif, sizes = Image.Exif(), []
    exif[0x0112] = 6  # a quarter turn: 64 x 32 stored, 32 x 64 shown
    for _ in range(2):
        file = io.BytesIO()
        Image.new("RGB", (64, 32), "red").save(file, kind, exif=exif)
        with Image.open(io.BytesIO(file.getvalue())) as image:
            sizes.append(ImageOps.exif_transpose(image).size)
    print(f"  {kind:5} first {sizes[0]}, second {sizes[1]}, orientation left in the object: {exif.get(0x0112)}")
    return tuple(sizes)


print(f"Pillow {__version__}; the same picture saved twice with one Exif object, size as shown (32 x 64 is right):")
found = {kind: shown_twice(kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF")}
assert found.pop("AVIF") == ((32, 64), (64, 32)), "the object is left as it is now"
assert set(found.values()) == {((32, 64), (32, 64))}
PY
