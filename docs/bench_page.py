"""Pictures of the page that `segface-edge bench --html` writes, for the README: needs Chromium, Pillow and pypdfium2.

    segface-edge bench --engine segface_deploy.onnx --engine segface_reference.onnx --threads 1 --openings 6 \
        --profile --html bench.html
    python docs/bench_page.py bench.html

writes `docs/bench-page.png`, as on a desktop, and `docs/bench-page-phone.png`: the upper part of it; and
`docs/bench-page-print.png`: the first sheets of paper, side by side.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

import pypdfium2
from PIL import Image

FOLDER = Path(__file__).parent
# Width and height of the window.
DESKTOP, PHONE = (848, 1830), (390, 1560)
COLOURS = 256
BROWSER = ["chromium", "--headless", "--no-sandbox", "--disable-gpu"]
SHEETS, SHEET_SCALE, GAP = 2, 0.9, 12


def picture(page: Path, width: int, height: int) -> Image.Image:
    """The upper part of a page in a window of that width."""
    with tempfile.TemporaryDirectory() as folder:
        # Chromium's own windows are at least 500 pixels wide; a frame within one is not.
        frame = Path(folder) / "frame.html"
        style = f"border:0;width:{width}px;height:{height}px"
        frame.write_text(f'<body style="margin:0"><iframe scrolling="no" src="{page.as_uri()}" style="{style}">')
        target = Path(folder) / "page.png"
        window = ["--hide-scrollbars", f"--window-size={max(width, 500)},{height + 200}", f"--screenshot={target}"]
        subprocess.run([*BROWSER, *window, frame.as_uri()], check=True, capture_output=True)
        return Image.open(io.BytesIO(target.read_bytes())).convert("RGB").crop((0, 0, width, height))


def printed(page: Path) -> Image.Image:
    """The first sheets of a page on paper, with an edge around each."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "page.pdf"
        options = ["--no-pdf-header-footer", f"--print-to-pdf={target}"]
        subprocess.run([*BROWSER, *options, page.as_uri()], check=True, capture_output=True)
        document = pypdfium2.PdfDocument(target.read_bytes())
        sheets = [document[at].render(scale=SHEET_SCALE).to_pil() for at in range(min(SHEETS, len(document)))]
    width, height = sheets[0].size
    both = Image.new("RGB", (len(sheets) * (width + GAP) + GAP, height + 2 * GAP), "#8a8a8a")
    for at, sheet in enumerate(sheets):
        both.paste(sheet, (GAP + at * (width + GAP), GAP))
    return both


def main() -> None:
    """Draws all three."""
    page = Path(sys.argv[1]).resolve()
    printed(page).quantize(COLOURS, dither=Image.Dither.NONE).save(FOLDER / "bench-page-print.png", optimize=True)
    for name, size in (("bench-page.png", DESKTOP), ("bench-page-phone.png", PHONE)):
        picture(page, *size).quantize(COLOURS, dither=Image.Dither.NONE).save(FOLDER / name, optimize=True)


if __name__ == "__main__":
    main()
