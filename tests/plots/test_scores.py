"""Figures of evaluations: what they show."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("matplotlib", reason="plots need matplotlib")

from matplotlib.figure import Figure

from segface_edge.errors import UsageError
from segface_edge.labels import LabelSet, label_set
from segface_edge.plots.figure import save_figure
from segface_edge.plots.scores import confusion_figure, front_figure, per_class_figure, size_figure

from .measured import evaluation

LAPA, SEGFACE = label_set("lapa"), label_set("segface")


def texts(figure: Figure) -> list[str]:
    """Everything that is written in the first panel's plane."""
    return [text.get_text() for text in figure.axes[0].texts]


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


def test_the_front_has_a_point_for_each_model_and_a_line_for_what_has_no_f1() -> None:
    points = {"one": [(40.0, 0.8), (60.0, 0.8)], "two": [(100.0, 0.7), (150.0, 0.7)]}
    figure = front_figure(points, {"peer": [200.0, 300.0]}, ["2 threads", "1 thread"])
    for panel, (x, y, peer) in enumerate((((40, 100), (80, 70), 200), ((60, 150), (80, 70), 300))):
        one, two, line = figure.axes[panel].lines
        assert [one.get_xdata()[0], two.get_xdata()[0]] == list(x)
        np.testing.assert_allclose([one.get_ydata()[0], two.get_ydata()[0]], y)
        assert set(line.get_xdata()) == {peer}
    assert texts(figure) == ["one\n80.0, 40 ms", "two\n70.0, 100 ms", "peer"]
    with pytest.raises(UsageError, match="no models"):
        front_figure({}, {}, ["1 thread"])


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
