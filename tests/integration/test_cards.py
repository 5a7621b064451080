"""Model cards: what the hub reads of them is what was measured, in the hub's own form."""

from __future__ import annotations

import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segface_edge.labels import label_set

CARDS = sorted((Path(__file__).parents[2] / "models").glob("*/metrics.json"))
_SPEC = spec_from_file_location("metadata", Path(__file__).parents[2] / "models" / "metadata.py")
assert _SPEC is not None
assert _SPEC.loader is not None
metadata = module_from_spec(_SPEC)
_SPEC.loader.exec_module(metadata)


def measured(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_the_front_matter_is_made_of_the_metrics(path: Path) -> None:
    card = path.with_name("README.md").read_text(encoding="utf-8")
    assert card == metadata.with_front_matter(card, path.parent.name, measured(path)), "python models/metadata.py"
    assert card.partition("\n---\n")[2].startswith("\n# ")


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_the_hub_s_library_reads_it(path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="the hub's library is not installed")
    card = hub.ModelCard.load(path.with_name("README.md"))
    data = card.data
    assert (data.license, data.license_name) == ("other", "celebamask-hq-non-commercial-research")
    assert (path.parent / data.license_link).resolve().is_file()
    assert data.pipeline_tag == "image-segmentation"
    assert "non-commercial" in data.tags
    assert data.model_name == path.parent.name
    metrics = measured(path)
    found = {
        (result.dataset_config, result.metric_name): result.metric_value
        for result in data.eval_results
        if result.metric_name.startswith(("mean", "F1 of neck_l"))
    }
    wanted = {
        (protocol, kind): value
        for protocol in ("paper", "native")
        for kind, value in (
            ("mean F1", metrics[protocol]["mean_f1"]),
            ("mean IoU", metrics[protocol]["mean_iou"]),
            ("F1 of neck_l", metrics[protocol]["per_class_f1"]["neck_l"]),
        )
    }
    assert len(found) == len(wanted)
    for (protocol, name), value in found.items():
        (told,) = (number for (where, kind), number in wanted.items() if where == protocol and name.startswith(kind))
        assert value == pytest.approx(told, abs=5e-5)
    # The library writes back what it reads: no field is unknown to it.
    assert hub.ModelCard(str(card)).data.to_dict() == data.to_dict()


def test_the_data_card_counts_what_is_there(root: Path, shared: Path) -> None:
    """Of the photos to choose weights by: those that show each class."""
    order = label_set("celebamask-hq")
    found = np.zeros(len(order), int)
    for part in ("mini", "more"):
        for path in (shared / "data" / f"celebamask-hq-{part}" / "val" / "labels").iterdir():
            with Image.open(path) as labels:
                found[np.unique(np.asarray(labels))] += 1
    page = (root / "docs" / "data-card.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| [\d,]+ \| [\d.]+ \| ([\d,]+) \| [\d.]+ \|$", page, re.MULTILINE)
    assert {name: int(count) for name, count in rows} == dict(zip(order.classes, found.tolist(), strict=True))
