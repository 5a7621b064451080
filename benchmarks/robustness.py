"""How much of their F1 models keep on photos as people take them: `python benchmarks/robustness.py`.

Each model at its own size, protocol paper, on labelled photos as they are and under each corruption of
`segface_edge/evaluation/corruptions.py`. Writes `results/robustness/NAME.json`, and `results/robustness/f1.png` of all
that lie there.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from segface_edge import zoo
from segface_edge.bench.machine import environment
from segface_edge.datasets.opening import folder
from segface_edge.engines import open_engine
from segface_edge.evaluation.corruptions import CORRUPTIONS, STRENGTHS
from segface_edge.evaluation.robustness import evenly, robustness
from segface_edge.files import write_whole
from segface_edge.labels import label_set
from segface_edge.plots.figure import save_figure
from segface_edge.plots.robustness import robustness_figure

RESULTS = Path(__file__).parent / "results" / "robustness"


@click.command()
@click.option(
    "--model", "models", multiple=True, metavar="NAME=FILE", help="Several times; default: the bundled model."
)
@click.option("--data", "roots", multiple=True, required=True, type=click.Path(path_type=Path), help="Several times.")
@click.option("--photos", default=100, show_default=True, help="So many, evenly from all.")
@click.option("--threads", default=1, show_default=True)
def main(models: tuple[str, ...], roots: tuple[Path, ...], photos: int, threads: int) -> None:
    """Measure each model, write, draw."""
    samples = evenly([sample for root in roots for sample in folder(root)], photos)
    RESULTS.mkdir(parents=True, exist_ok=True)
    for word in models or (f"{zoo.DEFAULT_MODEL.stem}={zoo.DEFAULT_MODEL}",):
        name, _, path = word.partition("=")
        with open_engine(Path(path), threads=threads) as engine:
            length = (1 + len(STRENGTHS) * len(CORRUPTIONS)) * len(samples)
            with click.progressbar(length=length, label=name, file=sys.stderr) as progress:
                found = robustness(engine, samples, label_set("celebamask-hq"), "paper", progress=progress.update)
        clean = found.clean
        document = {"model": name, "protocol": "paper", "size": clean.size, "images": clean.images, **found.to_dict()}
        document["environment"] = environment()
        write_whole(RESULTS / f"{name}.json", (json.dumps(document, indent=1) + "\n").encode())
        click.echo(f"{name}: mean F1 {document['clean']['mean_f1']:.4f}, mean loss {document['mean_loss']:.4f}")
    documents = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    save_figure(robustness_figure(documents), RESULTS / "f1.png")


if __name__ == "__main__":
    main()
