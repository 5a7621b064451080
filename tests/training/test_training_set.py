"""What a network is trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")

from segface_edge.training.training_set import open_labelled


def test_a_data_sets_own_order_counts(labelled: Path) -> None:
    (labelled / "dataset.toml").write_text('label_order = "bisenet"\n')
    assert open_labelled(str(labelled), None, "celebamask-hq").order.name == "bisenet"
