"""What all figures share: how they are written, and how they look.

Figures are made without pyplot: no window, no global state, whatever matplotlib is set to. Each function of the modules
beside this one returns a figure; `save_figure` writes it.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from segface_edge.errors import UsageError
from segface_edge.files import write_whole

SUFFIXES = (".png", ".svg", ".pdf")
_LONGEST_NAME = 40
# Names of files and classes are shown as they are: a dollar sign starts no formula.
PLAIN: Any = {"text.parse_math": False, "svg.hashsalt": "segface-edge"}


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure, whole or not at all; the suffix names the format: .png, .svg or .pdf.

    Raises:
        UsageError: another suffix.
        InputError: the file cannot be written.
    """
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise UsageError(path, f"'{path.suffix}' is no format of figures", f"use {', '.join(SUFFIXES)}")
    # The same figure gives the same bytes on any day.
    undated = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(suffix)
    content = io.BytesIO()
    with mpl.rc_context(PLAIN), warnings.catch_warnings():
        # A file name may be in letters that the font lacks: boxes are drawn for them.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(content, format=suffix[1:], dpi=110, metadata=undated)
    write_whole(path, content.getvalue())


def grid(axes: Axes) -> None:
    """Pale lines behind what is drawn, for its heights, and no frame above and to the right."""
    axes.grid(axis="y", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def floats(values: Iterable[float | None]) -> npt.NDArray[np.float64]:
    """(N,) float64 for drawing: NaN, a gap, for None."""
    return np.array([math.nan if value is None else value for value in values], np.float64)


def short_name(name: str) -> str:
    """A name for a legend or an axis; of a long one the end: folders come first, and tell less."""
    return name if len(name) <= _LONGEST_NAME else f"…{name[1 - _LONGEST_NAME :]}"
