"""The label orders as a table and a picture: `python docs/label_orders.py` makes both anew, in `docs/label-orders.*`.

The picture shows the bundled portrait as the bundled model parses it, with the ids of each order. Needs matplotlib.
"""

from __future__ import annotations

import io
from pathlib import Path

from segface_edge.files import write_whole
from segface_edge.labels import LABEL_SETS, VIEWERS_LEFT, LabelSet

PAGE = Path(__file__).with_name("label-orders.md")
PICTURE = PAGE.with_suffix(".jpg")
BEGIN, END = "<!-- made by docs/label_orders.py -->\n", "<!-- made -->\n"
PANELS = (("segface",), ("celebamask-hq",), ("bisenet",), ("lapa", "helen"))
PAIRED = ("l_brow", "r_brow", "l_eye", "r_eye", "l_ear", "r_ear")
# How far above or below its class a text beside the face stands, in shares of the face's width.
LOWER = {"brow": -0.22, "eye": 0.02, "ear": 0.2}
_SIDES = {"l": "left", "r": "right"}


def own_words(order: LabelSet, name: str) -> str:
    """What the data set itself calls one of the paired classes: `left brow`."""
    side, _, part = name.partition("_")
    if order.name in VIEWERS_LEFT:
        side = "r" if side == "l" else "l"
    return f"{_SIDES[side]} {part}"


def table() -> str:
    """Class -> its id in each order, and what the orders whose left is the viewer's call it."""
    orders = list(LABEL_SETS.values())
    heads = [f"`{order.name}`" for order in orders]
    lines = [f"| class | {' | '.join(heads)} |", "|---" * (len(orders) + 1) + "|"]
    for name in max(orders, key=len).classes:
        cells = []
        for order in orders:
            cell = str(order.index(name)) if name in order.classes else ""
            if cell and name in PAIRED and order.name in VIEWERS_LEFT:
                cell += f" “{own_words(order, name)}”"
            cells.append(cell)
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def made_anew(page: str) -> str:
    """The page with its table as it should be."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + table() + END + rest.partition(END)[2]


def picture() -> bytes:
    """A JPEG: a panel for each of `PANELS`, the paired classes outlined with their ids and names."""
    import matplotlib as mpl
    import numpy as np
    from matplotlib.figure import Figure

    from segface_edge import zoo
    from segface_edge.parsing.parser import FaceParser
    from segface_edge.pictures import reading

    photo = reading.load(zoo.PORTRAIT)
    with FaceParser(locate="whole") as parser:
        face = parser(photo)
    rows, columns = np.nonzero(face.mask("skin"))
    left, right, width = columns.min(), columns.max(), np.ptp(columns)
    figure = Figure(figsize=(11, 7.2), layout="constrained")
    for axes, names in zip(figure.subplots(2, 2).flat, PANELS, strict=True):
        order = LABEL_SETS[names[0]]
        axes.imshow(photo // 2 + 127)
        for name in (name for name in PAIRED if name in order.classes):
            mask, subjects_left = face.mask(name), name.startswith("l_")
            colour = face.label_set.palette[face.label_set.index(name)] / 400
            axes.contour(mask, levels=[0.5], colors=[colour], linewidths=2)
            down, across = np.argwhere(mask).mean(axis=0)
            text = f"{order.index(name)} {name}"
            if order.name in VIEWERS_LEFT:
                text += f"\n“{own_words(order, name)}”"
            axes.annotate(
                text,
                (across, down),
                (right + 0.25 * width if subjects_left else left - 0.25 * width,
                 down + LOWER[name.partition("_")[2]] * width),
                color=colour, fontsize=12, fontweight="bold", ha="left" if subjects_left else "right", va="center",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 2},
                arrowprops={"arrowstyle": "-", "color": colour},
            )  # fmt: skip
        axes.set_title(" and ".join(names), fontsize=14)
        axes.set(xlim=(left - 0.9 * width, right + 0.9 * width), ylim=(rows.max(), rows.min() - 0.12 * width))
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        axes.set_xlabel("the subject's right" + 40 * " " + "the subject's left")
    content = io.BytesIO()
    with mpl.rc_context({"text.parse_math": False}):
        figure.savefig(content, format="jpeg", dpi=90, pil_kwargs={"quality": 82})
    return content.getvalue()


if __name__ == "__main__":
    PAGE.write_text(made_anew(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    write_whole(PICTURE, picture())
