"""What SBCL costs: its losses beside supervised contrastive loss, and clustering: `python benchmarks/sbcl.py`.

Losses forward and backward at 1024 samples of 128 in turn, in one process; the written-out form of SupCon, with a mask
for every pair, as its paper's code has it, beside ours. Writes `results/training/sbcl-cost.json`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import click
import numpy as np
import torch

from segface_edge.bench.machine import environment
from segface_edge.files import write_whole
from segface_edge.training.clustering import cluster
from segface_edge.training.sbcl import SubclassBalancedContrastiveLoss, supervised_contrastive_loss

RESULT = Path(__file__).parent / "results" / "training" / "sbcl-cost.json"
SAMPLES, WIDTH, CLASSES = 1024, 128, 100
POINTS, CLUSTERS = 10_000, 100


def masked_supcon(features: torch.Tensor, labels: torch.Tensor, t: float = 0.1) -> torch.Tensor:
    """Supervised contrastive loss with a mask for every pair."""
    z = features.transpose(0, 1).flatten(0, 1)
    y = labels.repeat(2)
    logits = z @ z.T / t
    logits = logits - logits.detach().amax(1, keepdim=True)
    others = 1 - torch.eye(len(z))
    positives = (y[:, None] == y).float() * others
    log_p = logits - (logits.exp() * others).sum(1, keepdim=True).log()
    return -((positives * log_p).sum(1) / positives.sum(1)).mean()


@click.command()
@click.option("--rounds", default=40, show_default=True)
@click.option("--threads", default=2, show_default=True)
def main(rounds: int, threads: int) -> None:
    """Measure, write."""
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(SAMPLES, 2, WIDTH, generator=generator)
    features = torch.nn.functional.normalize(features, dim=-1).requires_grad_()
    labels = torch.randint(CLASSES, (SAMPLES,), generator=generator)
    subclasses = torch.randint(5, (SAMPLES,), generator=generator)
    temperatures = torch.linspace(0.05, 0.15, CLASSES)
    loss = SubclassBalancedContrastiveLoss()
    losses: dict[str, Callable[[], torch.Tensor]] = {
        "supcon": lambda: supervised_contrastive_loss(features, labels),
        "supcon, masked": lambda: masked_supcon(features, labels),
        "sbcl, static": lambda: loss(features, labels, subclasses),
        "sbcl, dynamic": lambda: loss(features, labels, subclasses, temperatures),
    }
    times: dict[str, list[float]] = {name: [] for name in losses}
    for number in range(rounds + 2):
        for name, call in losses.items():
            features.grad = None
            began = perf_counter()
            call().backward()
            if number >= 2:
                times[name].append(1000 * (perf_counter() - began))
    base = np.array(times["supcon"])
    rows = {
        name: {"ms": float(np.median(ms)), "times_supcon": float(np.median(np.array(ms) / base))}
        for name, ms in times.items()
    }
    points = torch.randn(POINTS, WIDTH, generator=generator)
    clustering = {}
    for balanced in (False, True):
        began = perf_counter()
        found = cluster(points, CLUSTERS, balanced=balanced, seed=0)
        clustering["balanced" if balanced else "plain"] = {
            "seconds": perf_counter() - began,
            "mean_cosine": found.mean_cosine,
            "sizes": [int(found.sizes().min()), int(found.sizes().max())],
        }
    document = {
        "losses": {"samples": SAMPLES, "width": WIDTH, "threads": threads, "rounds": rounds, "rows": rows},
        "clustering": {"points": POINTS, "clusters": CLUSTERS, "width": WIDTH, **clustering},
        "environment": environment(),
    }
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    write_whole(RESULT, (json.dumps(document, indent=1) + "\n").encode())
    click.echo(json.dumps({**rows, **clustering}, indent=1))


if __name__ == "__main__":
    main()
