"""What the hub reads of a card, and what a data base of models finds it by: its front matter, made of metrics.json.

    python models/metadata.py    # of every card, anew; `make release-model` does it for the one that it measures

The fields are those of the Hugging Face hub's cards; `tests/integration/test_cards.py` reads them with its library.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segface_edge.files import write_whole
from segface_edge.labels import RARE_PARTS

MODELS = Path(__file__).parent
FENCE = "---\n"
TAGS = ("face-parsing", "semantic-segmentation", "segface", "onnx", "tensorrt", "edge", "non-commercial")
# Protocol -> what it is, in words.
PROTOCOLS = {"paper": "in the network's square, as SegFace is evaluated", "native": "in the photo's own pixels"}


def front_matter(name: str, metrics: dict[str, Any]) -> str:
    """The front matter of a card, fences included.

    Args:
        name: the model's, and its folder's.
        metrics: its metrics.json.
    """
    lines = [
        "license: other",
        "license_name: celebamask-hq-non-commercial-research",
        "license_link: ../../NOTICE",
        "library_name: segface-edge",
        "pipeline_tag: image-segmentation",
        "datasets:",
        "- CelebAMask-HQ",
        "metrics:",
        "- f1",
        "- mean_iou",
        "tags:",
        *(f"- {tag}" for tag in TAGS),
        "model-index:",
        f"- name: {name}",
        "  results:",
    ]
    for protocol, words in PROTOCOLS.items():
        found = metrics[protocol]
        lines += [
            "  - task:",
            "      type: image-segmentation",
            "      name: face parsing",
            "    dataset:",
            "      type: celebamask-hq",
            f"      name: CelebAMask-HQ, {found['images']} photos that were not trained on",
            "      split: validation",
            f"      config: {protocol}",
            "    metrics:",
            *_metric("f1", found["mean_f1"], f"mean F1 without background, {words}, input {found['size']}"),
            *_metric("mean_iou", found["mean_iou"], f"mean IoU without background, {words}, input {found['size']}"),
        ]
        for part in RARE_PARTS:
            lines += _metric("f1", found["per_class_f1"][part], f"F1 of {part}, {words}")
    return FENCE + "\n".join(lines) + "\n" + FENCE


def _metric(kind: str, value: float, name: str) -> list[str]:
    return [f"    - type: {kind}", f"      value: {value:.4f}", f"      name: {json.dumps(name)}"]


def with_front_matter(card: str, name: str, metrics: dict[str, Any]) -> str:
    """A card with its front matter made anew, or put before it."""
    text = card.partition(f"\n{FENCE}")[2] if card.startswith(FENCE) else f"\n{card}"
    return front_matter(name, metrics) + text


def cards() -> list[Path]:
    """The cards of all released models."""
    return sorted(path for path in MODELS.glob("*/README.md") if path.with_name("metrics.json").exists())


if __name__ == "__main__":
    for path in cards():
        metrics = json.loads(path.with_name("metrics.json").read_text(encoding="utf-8"))
        made = with_front_matter(path.read_text(encoding="utf-8"), path.parent.name, metrics)
        write_whole(path, made.encode())
