"""`segface-edge data`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from segface_edge.datasets.check import check
from segface_edge.datasets.findings import KINDS, Report
from segface_edge.datasets.opening import open_splits
from segface_edge.labels import label_set

from .options import check_json, check_plots, json_option, progress_bar, say

SHOWN = 10


_EXAMPLES = """\b
Examples:
  segface-edge data check DIR --label-order celebamask-hq
  segface-edge data check DIR --label-order celebamask-hq --json -
  segface-edge data check DIR --label-order celebamask-hq --plot classes.png"""


@click.group("data", epilog=_EXAMPLES)
def command() -> None:
    """Check a labelled data set before training."""


@command.command(
    "check",
    epilog=f"{_EXAMPLES}\n\nExits with 1 where there is a fault; a warning is not one.",
)
@click.argument("root", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--split", help="train, val or test; default: all there are.")
@click.option("--label-order", help="Order of the labels on disk (see `segface-edge labels`); default: the set's own.")
@click.option("--layout", help="folder, celebamask-hq, lapa or helen; default: what lies there.")
@click.option("--plot", type=click.Path(path_type=Path), help="Draw how often each class shows: FILE.png, .svg, .pdf.")
@json_option
def check_command(
    root: Path,
    split: str | None,
    label_order: str | None,
    layout: str | None,
    plot: Path | None,
    json_to: str | None,
) -> int:
    """Look for what would spoil a training on DIR: files that are missing or damaged, ids outside the label order,
    photo and labels that do not fit, left and right swapped, near-duplicates; and count classes."""
    check_json(json_to)
    check_plots(plot)
    order = label_set(label_order) if label_order else None
    datasets = open_splits(root, split=split, order=order, layout=layout, strict=False)
    with progress_bar(sum(len(dataset.samples) for dataset in datasets), "checking") as advance:
        report = check(datasets, progress=advance)
    if plot is not None:
        from segface_edge.plots.counts import class_counts_figure
        from segface_edge.plots.figure import save_figure

        save_figure(class_counts_figure(report), plot)
    say(report.to_dict(), json_to, "\n".join([*_table(report), "", *_findings(report)]))
    return 0 if report.ok else 1


def _table(report: Report) -> list[str]:
    """Classes with the share of all label maps, and of each split's, that show them."""
    splits = report.splits
    pairs = sum(split.pairs for split in splits)
    images: Any = sum(split.images for split in splits)
    pixels: Any = sum(split.pixels for split in splits)

    def percent(part: int, whole: int) -> str:
        return f"{100 * part / whole:7.1f}%" if whole else f"{'-':>8}"

    several = splits if len(splits) > 1 else ()
    counted = ", ".join(f"{split.name} {split.pairs:,}" for split in splits)
    rows = [
        f"  {name:<11} {images[i]:>8,} {percent(images[i], pairs)} {pixels[i]:>16,}"
        + "".join(f" {percent(split.images[i], split.pairs)}" for split in several)
        for i, name in enumerate(report.order.classes)
    ]
    return [
        f"{report.root}: layout {report.layout}, photos with labels: {counted}, classes of '{report.order.name}'",
        f"  {'class':<11} {'images':>8} {'share':>8} {'pixels':>16}"
        + "".join(f" {split.name:>8}" for split in several),
        *rows,
    ]


def _findings(report: Report) -> list[str]:
    """The first ten of each kind, with the cure where they have one in common."""
    lines: list[str] = []
    for kind, (level, title) in KINDS.items():
        found = [finding for finding in report.findings if finding.kind == kind]
        if not found:
            continue
        lines.append(f"{level}: {title} ({len(found)})")
        cures = {finding.cure for finding in found}
        for finding in found[:SHOWN]:
            lines.append(f"  {finding.file}: {finding.problem}" + (f"; {finding.cure}" if len(cures) > 1 else ""))
        if len(found) > SHOWN:
            lines.append(f"  … and {len(found) - SHOWN} more (--json has them all)")
        if len(cures) == 1:
            lines.append(f"  cure: {cures.pop()}")
    return lines or ["nothing is wrong with it"]
