"""Figures: what they show, and that they are written whole or not at all."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="plots need matplotlib")

from matplotlib.figure import Figure

from segface_edge.errors import InputError, UsageError
from segface_edge.evaluation.evaluate import Evaluation
from segface_edge.evaluation.histogram import Histogram
from segface_edge.labels import LabelSet, label_set
from segface_edge.plots.figures import confusion_figure, per_class_figure, save_figure, size_figure, training_figure

LAPA, SEGFACE = label_set("lapa"), label_set("segface")


def evaluation(order: LabelSet = LAPA, *, seed: int = 0, empty: tuple[int, ...] = (), model: str = "m") -> Evaluation:
    """Random counts, mostly right; nothing of the classes `empty`."""
    histogram = Histogram(len(order))
    histogram.counts += np.random.default_rng(seed).integers(0, 100, histogram.counts.shape)
    histogram.counts += 1000 * np.eye(len(order), dtype=np.int64)
    histogram.counts[list(empty)] = histogram.counts[:, list(empty)] = 0
    return Evaluation(model=model, protocol="paper", size=256, images=3, order=order, histogram=histogram)


def texts(figure: Figure) -> list[str]:
    """Everything that is written in the first panel's plane."""
    return [text.get_text() for text in figure.axes[0].texts]


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


def test_the_confusion_shows_each_row_as_shares_of_its_sum() -> None:
    measured = evaluation(empty=(4,))
    counts = measured.histogram.counts
    drawn = confusion_figure(measured).axes[0].images[0].get_array()
    assert drawn is not None
    for row in range(len(LAPA)):
        if row == 4:
            assert np.ma.getmaskarray(drawn)[row].all(), "a class that the truth lacks has no shares"
        else:
            np.testing.assert_allclose(drawn[row], counts[row] / counts[row].sum())


def test_confusions_of_a_few_percent_can_be_told_from_none() -> None:
    """The colour of 2 % is at least a tenth of the way up."""
    image = confusion_figure(evaluation()).axes[0].images[0]
    assert float(image.norm(0.02)) > 0.1
    assert (float(image.norm(0)), float(image.norm(1))) == (0, 1)


def test_cells_of_the_confusion_say_percent() -> None:
    measured = evaluation()
    measured.histogram.counts[:] = 0
    measured.histogram.counts[1, :4] = 7, 9869, 123, 1
    assert sorted(texts(confusion_figure(measured))) == ["1.2", "99"], "0.07 % and 0.01 % would be noise"


def test_bars_are_f1_of_the_classes_but_background_and_a_line_is_their_mean() -> None:
    both = {"one": evaluation(empty=(3,)), "two": evaluation(seed=1)}
    figure = per_class_figure(both)
    axes = figure.axes[0]
    for name, container in zip(both, axes.containers, strict=True):
        f1 = both[name].histogram.f1()[1:]
        np.testing.assert_allclose([bar.get_height() for bar in container], 100 * np.nan_to_num(f1))
    means = [float(np.asarray(line.get_ydata())[0]) for line in axes.lines]
    assert means == pytest.approx([100 * np.nanmean(one.histogram.f1()[1:]) for one in both.values()])
    assert [label.get_text() for label in axes.get_xticklabels()] == list(LAPA.classes[1:])
    assert texts(figure).count("–") == 1, "no bar of 0 for a class that does not occur"
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [f"{mean:.1f}  {name}" for name, mean in zip(both, means, strict=True)]


def test_bars_of_different_classes_are_not_set_side_by_side() -> None:
    with pytest.raises(UsageError, match="classes of 'segface'"):
        per_class_figure({"one": evaluation(), "two": evaluation(SEGFACE)})
    with pytest.raises(UsageError, match="no evaluation"):
        per_class_figure({})


def test_accuracy_over_size_is_in_points_and_in_order() -> None:
    figure = size_figure({"one": {512: 0.8, 256: 0.7, 384: None}, "two": {256: 0.6}})
    one, two = figure.axes[0].lines
    assert np.asarray(one.get_xdata()).tolist() == [256, 384, 512]
    np.testing.assert_allclose(np.asarray(one.get_ydata(), float), [70, math.nan, 80])
    assert np.asarray(two.get_ydata()).tolist() == [60]
    assert texts(figure) == ["70.0", "80.0", "60.0"]
    assert len(figure.axes) == 1
    with pytest.raises(UsageError, match="no sizes"):
        size_figure({"one": {}})


def test_latency_is_drawn_where_it_is_known() -> None:
    figure = size_figure({"one": {256: 0.7, 512: 0.8}, "two": {256: 0.6}}, {"one": {512: 40.0, 256: 9.5}})
    (line,) = figure.axes[1].lines
    assert np.asarray(line.get_xdata()).tolist() == [9.5, 40.0]
    assert np.asarray(line.get_ydata()).tolist() == [70, 80]


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


@pytest.mark.parametrize(("suffix", "start"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
def test_the_suffix_names_the_format(tmp_path: Path, suffix: str, start: bytes) -> None:
    for name in ("one", "two"):
        save_figure(per_class_figure({"m": evaluation()}), tmp_path / (name + suffix))
    one, two = ((tmp_path / (name + suffix)).read_bytes() for name in ("one", "two"))
    assert one.startswith(start)
    assert one == two, "the same figure gives the same bytes"


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"'\.jpg' is no format of figures; use \.png, \.svg, \.pdf"):
        save_figure(confusion_figure(evaluation()), tmp_path / "figure.jpg")
    assert not list(tmp_path.iterdir())


def test_a_figure_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "figure.png"
    target.write_bytes(b"before")
    figure = confusion_figure(evaluation())

    def broken(_: Figure, file: Any, **__: Any) -> None:
        file.write(b"\x89PNG half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Figure, "savefig", broken)
        with pytest.raises(KeyboardInterrupt):
            save_figure(figure, target)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]
    with pytest.raises(InputError, match="cannot be written"):
        save_figure(figure, tmp_path / "absent" / "figure.png")


@pytest.mark.parametrize("name", ["a$b$^.onnx", "_best.onnx", "顔 😀.onnx", "/far/" + "long" * 60 + ".onnx", "%d{}\\n"])
def test_names_are_shown_as_they_are(tmp_path: Path, name: str) -> None:
    """No formulas, no warnings about letters that the font lacks, no picture that a long name squeezes out."""
    measured = evaluation(model=name)
    save_figure(confusion_figure(measured), tmp_path / "confusion.png")
    save_figure(per_class_figure({name: measured}), tmp_path / "bars.png")
    save_figure(size_figure({name: {256: 0.5}}), tmp_path / "sizes.png")
    for path in tmp_path.iterdir():
        with Image.open(path) as picture:
            assert np.asarray(picture.convert("L")).std() > 5
    assert Path(name).name[-8:] in confusion_figure(measured).axes[0].get_title()


def test_an_order_of_one_class_can_be_drawn(tmp_path: Path) -> None:
    alone = evaluation(LabelSet(name="none", classes=("background",)))
    save_figure(confusion_figure(alone), tmp_path / "confusion.png")
    save_figure(per_class_figure({"m": alone}), tmp_path / "bars.png")
