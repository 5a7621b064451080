"""`segface-edge fetch`."""

from __future__ import annotations

import click

from .options import progress_bar


@click.command(
    "fetch",
    epilog="""\b
Examples:
  segface-edge fetch yunet

\b
Models:
  yunet  face detector, 0.3 MB, Apache-2.0; a version of it is bundled, a fetched one goes before that

They are kept below ~/.cache/segface-edge (XDG_CACHE_HOME), and their sha256 is checked.""",
)
@click.argument("name")
def command(name: str) -> None:
    """Fetch a model, newer than the bundled one where there is a newer one; parse uses it from then on."""
    from segface_edge.zoo.fetch import MODELS, fetch

    with progress_bar(MODELS[name].size if name in MODELS else 1, f"fetching {name}") as advance:
        path = fetch(name, progress=advance)
    click.echo(f"{path} ({MODELS[name].terms})")
