"""What an ingredient of a training brings: the same short training with and without it, over several seeds.

    python benchmarks/ablation.py --weights first.safetensors --train DIR --val DIR --unlabelled DIR -o runs
    python benchmarks/ablation.py --study contrastive --weights first.safetensors --train DIR --val DIR -o runs

writes benchmarks/results/training/STUDY.json and STUDY.png.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

from segface_edge.bench.machine import environment
from segface_edge.files import write_whole
from segface_edge.labels import RARE_PARTS
from segface_edge.plots.ablation import ablation_figure
from segface_edge.plots.figure import save_figure

HERE = Path(__file__).parent
RECIPE = HERE / "ablation.toml"
RESULTS = HERE / "results" / "training"

# What helped in the first study: what comes next must help beside it.
HELPED = ("augment.affine=0.7", "augment.paste=0.4", "sampling.repeat_threshold=0.3")
# Each is the recipe with these changes.
INGREDIENTS: dict[str, tuple[str, ...]] = {
    "baseline (flips)": (),
    "geometry": ("augment.affine=0.7", "augment.zoom_out=0.1"),
    "colour, blur, noise, JPEG": (
        "augment.colour=0.6",
        "augment.gamma=0.2",
        "augment.grey=0.05",
        "augment.blur=0.2",
        "augment.noise=0.1",
        "augment.jpeg=0.2",
    ),
    "for people's photos": (
        "augment.turn=0.05",
        "augment.crop=0.1",
        "augment.zoom_out=0.1",
        "augment.light=0.15",
        "augment.motion=0.08",
        "augment.noise=0.15",
        "augment.noise_sigma=40",
        "augment.blur=0.15",
        "augment.blur_sigma=4",
        "augment.low_resolution=0.15",
        "augment.hand=0.1",
        "augment.mask=0.05",
    ),
    "pasting rare parts": ("augment.paste=0.4",),
    "repeat-factor sampling": ("sampling.repeat_threshold=0.3",),
    "logit adjustment": ("loss.logit_adjustment=0.5",),
    "self-training": (
        "data.unlabelled={unlabelled}",
        "teacher.weights={weights}",
        "teacher.share=0.4",
        "teacher.min_confidence=0.8",
    ),
}
# An epoch is about 57 steps (rare photos come more than once): it fills the memory that subclasses are found in.
SBCL = (*HELPED, "contrastive.weight=0.1", "contrastive.warmup_steps=57", "contrastive.recluster_every=21")
CONTRASTIVE: dict[str, tuple[str, ...]] = {
    "without": HELPED,
    "SupCon on regions": (*HELPED, "contrastive.weight=0.1", "contrastive.warmup_steps=120"),
    "SBCL on regions": SBCL,
}
STUDIES = {"ablation": INGREDIENTS, "contrastive": CONTRASTIVE}


@click.command(help=__doc__)
@click.option(
    "--weights", required=True, type=click.Path(path_type=Path, exists=True), help="Checkpoint to start from."
)
@click.option("--train", "train_data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--val", "val_data", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--unlabelled", type=click.Path(path_type=Path, exists=True), help="Photos for self-training.")
@click.option("--study", default="ablation", type=click.Choice(list(STUDIES)), show_default=True)
@click.option("-o", "out", required=True, type=click.Path(path_type=Path), help="Folder for the runs.")
@click.option("--seeds", default=2, show_default=True)
@click.option("--jobs", default=2, show_default=True, help="Trainings at a time, each with one thread.")
def main(
    weights: Path,
    train_data: Path,
    val_data: Path,
    unlabelled: Path | None,
    study: str,
    out: Path,
    seeds: int,
    jobs: int,
) -> None:
    """Runs every ingredient with every seed; runs that are there already are not made again."""
    ingredients = STUDIES[study]
    if unlabelled is None and any("{unlabelled}" in change for changes in ingredients.values() for change in changes):
        raise click.UsageError(f"--study {study} needs --unlabelled DIR")
    shared = out / "pseudo"  # label maps of the teacher, the same for all runs
    shared.mkdir(parents=True, exist_ok=True)
    settings = [
        f"model.weights={weights}",
        f"data.train={train_data}",
        f"data.val={val_data}",
        "run.eval_every=0",
    ]

    def run(ingredient: str, seed: int) -> dict[str, Any]:
        # Named by what was run: another table, recipe or data set finds no run of this one.
        key = hashlib.sha256(json.dumps([RECIPE.read_text(), settings, ingredients[ingredient]]).encode()).hexdigest()
        folder = out / f"{key[:12]}-{seed}"
        changes = [
            *settings,
            *(change.format(unlabelled=unlabelled, weights=weights) for change in ingredients[ingredient]),
            f"run.seed={seed}",
        ]
        report = folder.with_suffix(".json")
        if not report.exists():
            shutil.rmtree(folder, ignore_errors=True)  # one that was interrupted
            folder.mkdir()
            (folder / "pseudo").symlink_to(shared.resolve())
            command = ["segface-edge", "train", "--config", str(RECIPE), "-o", str(folder), "--threads", "1"]
            command += [part for change in changes for part in ("--set", change)]
            began = time.perf_counter()
            done = subprocess.run(
                [str(Path(sys.executable).with_name(command[0])), *command[1:], "--json", str(report)],
                check=False,
                capture_output=True,
                text=True,
            )
            if done.returncode:
                raise click.ClickException(f"{ingredient}, seed {seed}: {done.stderr.strip()}")
            click.echo(f"{ingredient}, seed {seed}: {time.perf_counter() - began:.0f} s", err=True)
        last = json.loads(report.read_text())["last"]
        return {
            "seed": seed,
            "mean_f1": last["mean_f1"],
            "per_class_f1": last["per_class_f1"],
            "rare_f1": statistics.mean(last["per_class_f1"][name] or 0.0 for name in RARE_PARTS),
        }

    plan = [(ingredient, seed) for ingredient in ingredients for seed in range(seeds)]
    with ThreadPoolExecutor(jobs) as pool:
        runs = list(pool.map(lambda item: run(*item), plan))
    rows = []
    for ingredient, changes in ingredients.items():
        mine = [made for made, (name, _) in zip(runs, plan, strict=True) if name == ingredient]
        rows.append(
            {
                "ingredient": ingredient,
                "changes": [change.format(unlabelled="DIR", weights="FIRST") for change in changes],
                "runs": mine,
                "mean_f1": statistics.mean(one["mean_f1"] for one in mine),
                "rare_f1": statistics.mean(one["rare_f1"] for one in mine),
            }
        )
        click.echo(
            f"{ingredient:28} F1 {rows[-1]['mean_f1']:.4f}  rare {rows[-1]['rare_f1']:.4f}  "
            + " ".join(f"{one['mean_f1']:.4f}/{one['rare_f1']:.4f}" for one in mine)
        )
    document = {"recipe": RECIPE.name, "rows": rows, "environment": environment()}
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_whole(RESULTS / f"{study}.json", (json.dumps(document, indent=1) + "\n").encode())
    save_figure(ablation_figure(rows), RESULTS / f"{study}.png")


if __name__ == "__main__":
    main()
