"""Draws the flowcharts of the pages, for Sphinx, as a code host draws them by Mermaid: layers of boxes, arrows upwards
from who names to what is named. So the site loads no library for one picture, and it is light or dark as the page is.
"""

from __future__ import annotations

import re
from itertools import pairwise

from sphinx.application import Sphinx

BLOCK = re.compile(r"^```mermaid\nflowchart BT\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
ARROW = re.compile(r"^ +(\w+) --> (\w+)$", re.MULTILINE)
# Pixels: a box, and from one box or layer to the next; a place that a long arrow only passes is narrower.
WIDE, HIGH, PASSED, NEXT, LAYER, EDGE = 92, 28, 14, 16, 66, 6

Place = tuple[str, int]


def layered(arrows: list[tuple[str, str]]) -> tuple[list[list[Place]], list[list[Place]]]:
    """Places layer by layer, those that are named first, and every arrow as the places that it goes through."""
    level: dict[str, int] = {}

    def height(name: str) -> int:
        if name not in level:
            level[name] = 1 + max((height(to) for start, to in arrows if start == name), default=-1)
        return level[name]

    for start, _ in arrows:
        height(start)
    layers: list[list[Place]] = [
        [(name, at) for name in level if level[name] == at] for at in range(max(level.values()) + 1)
    ]
    ways = []
    for start, to in arrows:
        between = [(f"{start}>{to}", at) for at in range(level[start] - 1, level[to], -1)]
        for place in between:
            layers[place[1]].append(place)
        ways.append([(start, level[start]), *between, (to, level[to])])
    near: dict[Place, list[Place]] = {}
    for way in ways:
        for one, other in pairwise(way):
            near.setdefault(one, []).append(other)
            near.setdefault(other, []).append(one)
    # Each place at the middle of its neighbours in the layer before, up and down: few arrows cross.
    for sweep in range(24):
        step = 1 if sweep % 2 else -1
        for at in range(len(layers))[::step]:
            if 0 <= at - step < len(layers):
                where = {place: index / len(layers[at - step]) for index, place in enumerate(layers[at - step])}
                own = {place: index / len(layers[at]) for index, place in enumerate(layers[at])}

                def middle(place: Place, where: dict[Place, float] = where, own: dict[Place, float] = own) -> float:
                    found = [where[one] for one in near[place] if one in where]
                    return sum(found) / len(found) if found else own[place]

                layers[at].sort(key=middle)
    return layers, ways


def drawn(arrows: list[tuple[str, str]]) -> str:
    """The picture, as SVG within a page."""
    layers, ways = layered(arrows)

    def wide(place: Place) -> int:
        return PASSED if ">" in place[0] else WIDE

    full = max(sum(map(wide, layer)) + NEXT * (len(layer) - 1) for layer in layers) + 2 * EDGE
    centre: dict[Place, tuple[float, float]] = {}
    for at, layer in enumerate(layers):
        free = (full - 2 * EDGE - sum(map(wide, layer))) / (len(layer) + 1)
        left = EDGE + free
        for place in layer:
            centre[place] = left + wide(place) / 2, EDGE + HIGH / 2 + at * LAYER
            left += wide(place) + free
    parts = []
    for way in ways:
        (x, y), *rest = (centre[place] for place in way)
        path, y = f"M{x:.0f},{y - HIGH / 2:.0f}", y - HIGH / 2
        for index, (to_x, to_y) in enumerate(rest):
            end = to_y + (HIGH / 2 + 5 if index == len(rest) - 1 else 0)
            path += f" C{x:.0f},{y - 22:.0f} {to_x:.0f},{end + 22:.0f} {to_x:.0f},{end:.0f}"
            x, y = to_x, end
        parts.append(f'<path d="{path}" marker-end="url(#tip)"/>')
    for (name, _), (x, y) in ((place, at) for place, at in centre.items() if ">" not in place[0]):
        parts.append(f'<rect x="{x - WIDE / 2:.0f}" y="{y - HIGH / 2:.0f}" width="{WIDE}" height="{HIGH}" rx="5"/>')
        parts.append(f'<text x="{x:.0f}" y="{y + 5:.0f}">{name}</text>')
    size = f'viewBox="0 0 {full:.0f} {EDGE * 2 + HIGH + (len(layers) - 1) * LAYER}"'
    tip = '<marker id="tip" viewBox="0 0 8 8" refX="4" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    said = "; ".join(f"{start} to {to}" for start, to in arrows)
    return (
        f'<svg class="flowchart" {size} role="img" aria-label="Arrows: {said}">'
        f'<defs>{tip}<path d="M0,0 L8,4 L0,8 z"/></marker></defs>{"".join(parts)}</svg>'
    )


def draw(app: Sphinx, docname: str, source: list[str]) -> None:  # noqa: ARG001 - Sphinx calls it so
    """Puts pictures in place of a page's flowcharts."""

    def picture(block: re.Match[str]) -> str:
        return f"```{{raw}} html\n{drawn(ARROW.findall(block[1]))}\n```\n"

    source[0] = BLOCK.sub(picture, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.connect("source-read", draw)
    return {"parallel_read_safe": True}
