"""Figures are written whole or not at all, the same on any day."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib", reason="plots need matplotlib")

from matplotlib.figure import Figure

from segface_edge.errors import InputError, UsageError
from segface_edge.plots.figure import save_figure
from segface_edge.plots.scores import confusion_figure, per_class_figure

from .measured import evaluation


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
