"""Writes the tables of figures that pages show, from the JSON files that benchmarks and `models/release.py` left:
`python docs/figures.py`. Needs nothing but Python; a test compares.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
BUNDLED = "efficientnet_lite0_s8_b1"
PAGES = ("README.md", "docs/results.md")
MARKED = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)

# Row of benchmarks/front.py -> what it is called.
FRONT = {
    BUNDLED: "the bundled model",
    "plain-export": "the same, exported as anyone would",
    "mobilenet": "SegFace's mobile network",
    "before": "the same, as it was bundled before",
    "bisenet-resnet18-512": "BiSeNet, ResNet-18, 512 x 512, random weights",
}
MODELS = {"segface-efficientnet-lite0-s8-b1": "the bundled model", "segface-mobilenet": "SegFace's mobile network"}


def read(path: Path) -> Any:
    """A document."""
    return json.loads(path.read_text(encoding="utf-8"))


def rows(head: list[str], body: list[list[str]]) -> str:
    """A table."""
    lines = [head, ["---"] * len(head), *body]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def front() -> str:
    """How good and how quick: `benchmarks/front.py`."""
    models = read(RESULTS / "front" / "front.json")["models"]

    def row(name: str) -> list[str]:
        one = models[name]
        times = (f"{one[way]['ms']:.0f} ({one[way]['of_before']:.2f})" for way in ("threads_2", "threads_1"))
        f1 = f"{100 * one['mean_f1']:.1f}" if "mean_f1" in one else "-"
        return [FRONT[name], f1, *times, f"{one['peak_memory_mb']:.0f}"]

    return rows(["", "mean F1", "ms, two threads", "ms, one thread", "memory, MB"], [row(name) for name in FRONT])


def quality() -> str:
    """Of each released model: F1 in points, of all and of every class."""
    measured = {title: read(ROOT / "models" / name / "metrics.json")["paper"] for name, title in MODELS.items()}
    found = {f"{title}, at {one['size']}, {one['images']} photos": one for title, one in measured.items()}
    classes = list(next(iter(found.values()))["per_class_f1"])
    body = [["mean", *(f"{100 * one['mean_f1']:.1f}" for one in found.values())]]
    body += [[f"`{name}`", *(f"{100 * one['per_class_f1'][name]:.1f}" for one in found.values())] for name in classes]
    return rows(["F1", *found], body)


def words() -> str:
    """The bundled model in a sentence."""
    paper = read(ROOT / "models" / "segface-efficientnet-lite0-s8-b1" / "metrics.json")["paper"]
    f1 = {name: f"{100 * value:.1f}" for name, value in paper["per_class_f1"].items()}
    return (
        f"Mean F1 {100 * paper['mean_f1']:.1f} on {paper['images']} held-out photos of CelebAMask-HQ\n"
        f"(necklaces {f1['neck_l']}, earrings {f1['ear_r']}, hats {f1['hat']}).\n"
    )


TABLES: dict[str, Callable[[], str]] = {"front": front, "quality": quality, "words": words}


def filled(page: str) -> str:
    """A page with its tables as the files have them today."""
    return MARKED.sub(lambda match: f"{match[1]}{TABLES[match[2]]()}{match[3]}", page)


if __name__ == "__main__":
    for name in PAGES:
        path = ROOT / name
        path.write_text(filled(path.read_text(encoding="utf-8")), encoding="utf-8")
