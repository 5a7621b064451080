"""The curves of a training run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="plots need matplotlib")

from matplotlib.figure import Figure

from segface_edge.errors import UsageError
from segface_edge.plots.curves import training_figure
from segface_edge.plots.figure import save_figure


def steps(count: int) -> list[dict[str, Any]]:
    return [
        {"kind": "step", "step": 10 * i, "size": 256, "loss": 2.0 - i / count, "ce": 1.0, "lr": 1e-3, "ms": {"load": 3}}
        for i in range(count)
    ]


def evals(*scores: float | None) -> list[dict[str, Any]]:
    return [
        {"kind": "eval", "step": 100 * i, "mean_f1": score, "per_class_f1": {"hat": score, "neck_l": None}}
        for i, score in enumerate(scores)
    ]


def curves(figure: Figure) -> list[dict[str, list[float]]]:
    """{label: heights} of each panel's lines."""
    return [
        {str(line.get_label()): np.asarray(line.get_ydata()).tolist() for line in axes.lines} for axes in figure.axes
    ]


def test_a_training_log_becomes_four_panels() -> None:
    loss, rate, mean, rare = curves(training_figure([{"kind": "start"}, *steps(20), *evals(0.5, 0.7, 0.6)]))
    assert loss["loss"] == pytest.approx([2 - i / 20 for i in range(20)])
    assert set(loss) == {"loss", "ce"}, "losses alone: no sizes, no times"
    assert set(rate["lr"]) == {1e-3}
    assert mean["mean"] == pytest.approx([50, 70, 60])
    assert rare == {"hat": pytest.approx([50, 70, 60])}, "a class that no photo has is no curve"


def test_the_best_evaluation_is_named() -> None:
    figure = training_figure(evals(0.5, 0.712, None, 0.6))
    assert figure.axes[2].get_title().endswith("(best 71.2 at step 100)")


def test_a_long_log_is_smoothed_and_not_changed() -> None:
    """A constant stays one, with values missing; the pale line is the log itself."""
    rows = steps(400)
    rows[100]["ce"] = None
    del rows[200]["ce"]
    lines = training_figure(rows).axes[0].lines
    raw, running = (np.asarray(line.get_ydata(), float) for line in lines[2:4])
    assert np.isnan(raw[[100, 200]]).all()
    np.testing.assert_allclose(running, 1.0)


@pytest.mark.parametrize("rows", [steps(1), evals(0.5), evals(None), steps(200), steps(3) + evals(0.1)])
def test_a_log_of_any_length_can_be_drawn(tmp_path: Path, rows: list[dict[str, Any]]) -> None:
    save_figure(training_figure(rows), tmp_path / "curves.png")


def test_a_log_without_steps_and_evaluations_is_refused() -> None:
    with pytest.raises(UsageError, match="no steps and no evaluations"):
        training_figure([{"kind": "start"}])
