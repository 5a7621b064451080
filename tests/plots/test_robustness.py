"""The figure of F1 under corruptions: what it shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="plots need matplotlib")

from segface_edge.errors import UsageError
from segface_edge.plots.figure import save_figure
from segface_edge.plots.robustness import robustness_figure


def document(start: float, *names: str, rare: float | None = 0.5) -> dict[str, Any]:
    """Falls by a tenth a strength."""
    rows = [
        {"corruption": name, "strength": strength, "mean_f1": start - 0.1 * strength, "rare_f1": rare}
        for name in names
        for strength in (1, 2, 3)
    ]
    return {"clean": {"mean_f1": start, "rare_f1": rare}, "mean_loss": 0.2, "corrupted": rows}


def test_each_corruption_has_a_panel_and_each_model_a_line() -> None:
    figure = robustness_figure({"one": document(0.8, "dark", "turn"), "two": document(0.7, "dark", "turn", rare=None)})
    assert [axes.get_title() for axes in figure.axes] == ["dark", "turn"]
    for axes in figure.axes:
        solid = [line for line in axes.lines if line.get_linestyle() == "-"]
        assert [list(np.asarray(line.get_ydata())) for line in solid] == [
            pytest.approx([80, 70, 60, 50]),
            pytest.approx([70, 60, 50, 40]),
        ]
        dashed = [np.asarray(line.get_ydata()) for line in axes.lines if line.get_linestyle() == "--"]
        assert list(dashed[0]) == [50, 50, 50, 50]
        assert np.isnan(dashed[1]).all()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "one  (mean loss 20.0)",
        "two  (mean loss 20.0)",
    ]


def test_a_corruption_that_a_model_lacks_has_no_line_there() -> None:
    figure = robustness_figure({"one": document(0.8, "dark"), "two": document(0.7, "turn", "dark")})
    assert {axes.get_title(): len(axes.lines) for axes in figure.axes} == {"dark": 4, "turn": 2}
    # Its colour in the legend is that of its lines elsewhere.
    legend = [line.get_color() for line in figure.legends[0].get_lines()]
    assert legend == ["C0", "C1"]


def test_panels_beyond_the_last_are_empty_and_no_corruption_is_refused(tmp_path: Path) -> None:
    names = [f"c{i}" for i in range(5)]
    figure = robustness_figure({"$one$": document(0.8, *names)})
    assert sum(axes.get_visible() for axes in figure.axes) == 5
    save_figure(figure, tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as picture:
        assert min(picture.size) > 300
    with pytest.raises(UsageError, match="no corruption"):
        robustness_figure({"one": document(0.8)})
