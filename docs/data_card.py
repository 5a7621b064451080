"""Writes the table of docs/data-card.md from reports of `segface-edge data check DIR --json FILE`:

    python docs/data_card.py mini.json more.json

Splits of the same name are added up.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segface_edge.files import write_whole

PAGE = Path(__file__).with_name("data-card.md")
BEGIN, END = "<!-- written by docs/data_card.py -->\n", "<!-- written -->\n"
SPLITS = {"train": "training", "val": "validation"}


def table(reports: Sequence[Mapping[str, Any]]) -> str:
    """Class -> photos that show it and its share of the pixels, of each split."""
    found = {split: [one["splits"][split] for one in reports if split in one["splits"]] for split in SPLITS}
    photos = {split: sum(one["pairs"] for one in parts) for split, parts in found.items()}
    pixels = {split: sum(sum(one["pixels"].values()) for one in parts) for split, parts in found.items()}
    heads = [f"{SPLITS[split]}, photos of {photos[split]:,} | % of pixels" for split in SPLITS]
    lines = [f"| class | {' | '.join(heads)} |", "|---" * (1 + 2 * len(SPLITS)) + "|"]
    for name in reports[0]["splits"]["train"]["images"]:
        cells = []
        for split, parts in found.items():
            cells.append(f"{sum(one['images'][name] for one in parts):,}")
            cells.append(f"{100 * sum(one['pixels'][name] for one in parts) / pixels[split]:.3f}")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    made = table([json.loads(Path(name).read_text(encoding="utf-8")) for name in sys.argv[1:]])
    write_whole(PAGE, (before + BEGIN + made + END + rest.partition(END)[2]).encode())
