"""The figure of times over bounds: what it shows."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="plots need matplotlib")

from segface_edge.errors import UsageError
from segface_edge.plots.bound import bound_figure
from segface_edge.plots.figure import save_figure


def test_each_graph_has_its_measured_time_and_inside_it_the_bound(tmp_path: Path) -> None:
    rows = [("$one$", 10.0, 25.0), ("two", 4.0, 6.0)]
    figure = bound_figure({"1 thread": rows, "2 threads": rows})
    assert [axes.get_title() for axes in figure.axes] == ["1 thread", "2 threads"]
    for axes in figure.axes:
        assert [bar.get_width() for bar in axes.patches] == [25, 6, 10, 4]
        assert [text.get_text() for text in axes.texts] == ["2.50 times", "1.50 times"]
        # The first graph is at the top.
        assert axes.get_ylim()[0] > axes.get_ylim()[1]
    save_figure(figure, tmp_path / "f.png")
    with Image.open(tmp_path / "f.png") as picture:
        assert picture.size[0] > 600


def test_nothing_to_draw_is_refused() -> None:
    with pytest.raises(UsageError, match="no graphs"):
        bound_figure({"1 thread": []})
