"""Pictures of the page that `segface-edge bench --html` writes, for the README: needs Chromium and Pillow.

    segface-edge bench --engine segface_stride4.onnx --engine segface_stride8.onnx --threads 1 --openings 6 \
        --profile --html bench.html
    python docs/bench_page.py bench.html

writes `docs/bench-page.png`, as on a desktop, and `docs/bench-page-phone.png`: the upper part of it.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parent
# Width and height of the window.
DESKTOP, PHONE = (848, 1830), (390, 1560)
COLOURS = 256


def picture(page: Path, width: int, height: int) -> Image.Image:
    """The upper part of a page in a window of that width."""
    with tempfile.TemporaryDirectory() as folder:
        # Chromium's own windows are at least 500 pixels wide; a frame within one is not.
        frame = Path(folder) / "frame.html"
        style = f"border:0;width:{width}px;height:{height}px"
        frame.write_text(f'<body style="margin:0"><iframe scrolling="no" src="{page.as_uri()}" style="{style}">')
        target = Path(folder) / "page.png"
        browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        window = [f"--window-size={max(width, 500)},{height + 200}", f"--screenshot={target}"]
        subprocess.run([*browser, *window, frame.as_uri()], check=True, capture_output=True)
        return Image.open(io.BytesIO(target.read_bytes())).convert("RGB").crop((0, 0, width, height))


def main() -> None:
    """Draws both."""
    page = Path(sys.argv[1]).resolve()
    for name, size in (("bench-page.png", DESKTOP), ("bench-page-phone.png", PHONE)):
        picture(page, *size).quantize(COLOURS, dither=Image.Dither.NONE).save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    main()
