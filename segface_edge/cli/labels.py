"""`segface-edge labels`."""

from __future__ import annotations

import click

from segface_edge.labels import LABEL_SETS, VIEWERS_LEFT, label_set

from .options import json_option, say


@click.command(
    "labels",
    epilog="""\b
Examples:
  segface-edge labels
  segface-edge labels celebamask-hq
  segface-edge labels segface --json -""",
)
@click.argument("order", required=False)
@json_option
def command(order: str | None, json_to: str | None) -> None:
    """Show the label orders, or one ORDER with ids, colours and left/right pairs. Left is the subject's left."""
    orders = [label_set(order)] if order else list(LABEL_SETS.values())
    document = {
        labels.name: {
            "classes": list(labels.classes),
            "palette": labels.palette.tolist(),
            "pairs": [list(pair) for pair in labels.pairs],
        }
        for labels in orders
    }
    lines = []
    for labels in orders:
        words = ", whose own words call left what is on the viewer's left" if labels.name in VIEWERS_LEFT else ""
        lines.append(f"{labels.name} ({len(labels)} classes{words})")
        if not order:
            lines.append("  " + " ".join(labels.classes))
            continue
        partner = dict(labels.pairs) | {right: left for left, right in labels.pairs}
        for index, name in enumerate(labels.classes):
            red, green, blue = labels.palette[index].tolist()
            swatch = click.style("  ", bg=(red, green, blue))
            mirror = f"  mirrors {labels.classes[partner[index]]}" if index in partner else ""
            lines.append(f"  {index:>3} {swatch} #{red:02x}{green:02x}{blue:02x} {name}{mirror}")
    say(document, json_to, "\n".join(lines))
