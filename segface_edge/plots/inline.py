"""Figures within an HTML page: SVG that takes its colours and letters from the page.

matplotlib knows no CSS, so figures are drawn in colours that stand for a name, and these become variables of the page's
style sheet: the same drawing is right on light paper, dark paper and in print. Letters stay text, which is found,
selected and read aloud.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
from matplotlib.figure import Figure

from .figure import PLAIN

# A page shows each figure in one of two widths, in inches of 72 units: scaled down, a wide one's letters are too small
# for a phone.
WIDE, NARROW = 10.0, 4.9

INK, MUTED, LINE, PAPER, ACCENT, SOFT = (f"#0000f{i}" for i in range(6))
# Parts of a whole; the last is for what has no colour of its own.
SERIES = tuple(f"#0000e{i}" for i in range(7))
VARIABLES = {
    **dict(
        zip((INK, MUTED, LINE, PAPER, ACCENT, SOFT), ("ink", "muted", "line", "paper", "accent", "soft"), strict=True)
    ),
    **{colour: f"series-{i}" for i, colour in enumerate(SERIES)},
}

STYLE: Any = {
    **PLAIN,
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 12,
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
    "axes.labelsize": 12,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "text.color": INK,
    "axes.titlecolor": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "grid.color": LINE,
    "axes.axisbelow": True,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}  # fmt: skip

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}"
# matplotlib's style sheet would hold for the whole page, and its description of the file names addresses.
_NOT_FOR_A_PAGE = ("metadata", "style")


def inline_svg(figure: Figure, key: str, title: str, description: str) -> str:
    """An `<svg>` element for a page whose style sheet has `VARIABLES`, without addresses and styles of its own.

    Args:
        figure: drawn within `mpl.rc_context(STYLE)`, in the colours of this module.
        key: begins its ids; another one for each figure of a page.
        title: its name for those who do not see it.
        description: what it shows, in a sentence or two.
    """
    content = io.BytesIO()
    undescribed: Any = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        # Letters that the measuring font lacks: the page's font may have them.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        figure.savefig(content, format="svg", dpi=72, metadata=undescribed)
    root = ElementTree.fromstring(content.getvalue())
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag.removeprefix(_SVG) in _NOT_FOR_A_PAGE:
                parent.remove(child)
    used = {match for element in root.iter() for value in element.attrib.values() for match in _references(value)}
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        element.attrib = {
            name.removeprefix(_LINK): _value(name, value, key)
            for name, value in element.attrib.items()
            if name != "id" or value in used
        }
    for name in ("width", "height", "version"):
        root.attrib.pop(name, None)
    labels = {"title": title, "desc": description}
    root.attrib |= {"role": "img", "aria-labelledby": " ".join(f"{key}-{name}" for name in labels)}
    for place, (name, text) in enumerate(labels.items()):
        element = ElementTree.Element(name, {"id": f"{key}-{name}"})
        element.text = text
        root.insert(place, element)
    return ElementTree.tostring(root, encoding="unicode", short_empty_elements=True)


def _references(value: str) -> list[str]:
    return [link or place for link, place in re.findall(r"^#(.+)|url\(#(.+?)\)", value)]


def _value(name: str, value: str, key: str) -> str:
    """An attribute's value: ids with the figure's key, colours as variables, places to a hundredth of a unit."""
    if name == "id":
        return f"{key}-{value}"
    if name == "style":
        value = re.sub(r"#[0-9a-f]{6}", lambda found: _variable(found[0]), value)
        # The page has one font.
        value = re.sub(r"font: (?:\w+ )*([\d.]+px) [^;]+", r"font-size: \1", value)
        return re.sub(r"font-family: [^;]+;? ?", "", value)
    value = re.sub(r"url\(#(.+?)\)", rf"url(#{key}-\1)", value)
    if value.startswith("#"):
        return f"#{key}-{value[1:]}"
    if name in ("d", "x", "y", "transform"):
        value = re.sub(r"\d+\.\d{3,}", lambda found: f"{float(found[0]):.2f}", value)
        # A dot is a line without length, of which there may be thousands.
        value = re.sub(r"M (\S+ \S+)\s+L \1(?=\s|$)", r"M\1h0", value)
        value = re.sub(r"\s+", " ", value).strip()
    return value


def _variable(colour: str) -> str:
    return f"var(--{VARIABLES[colour]})" if colour in VARIABLES else colour
