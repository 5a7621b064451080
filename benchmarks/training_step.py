"""What a step of training costs on a CPU, beside another checkout's: `python benchmarks/training_step.py --before DIR`.

The bundled network, 0.5 CE + 0.5 Dice, batches of 12 at 256, augmented as the released weights' recipe does. Each round
runs every side once, in a process of its own, in turn; a side's time is the median over rounds of its steps' median, a
comparison the median over rounds of what the first side took, over what the side took. `--before` is a checkout of the
commit to compare with. Where others use the machine, the CPU time of one thread says more than the clock on the wall.
Writes `results/training/step.json`.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import click

HERE = Path(__file__).resolve().parent
RESULT = HERE / "results" / "training" / "step.json"
PHOTOS, BATCH, SIZE, WARM = 96, 12, 256, 2
# glibc's own way gives the memory of large tensors back at once: what the recipe told a user to set by hand.
KEPT = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
}
RECIPE = """
[model]
weights = "bundled"
size = 256

[data]
train = "{data}"
label_order = "celebamask-hq"
preload = true

[[stage]]
steps = {steps}
batch = {batch}
sizes = [{size}]

[augment]
affine = 0.6
zoom_out = 0.08
background = 0.05
colour = 0.3
gamma = 0.1
grey = 0.02
blur = 0.05
jpeg = 0.1
paste = 0.6

[optimiser]
lr = 4e-4
weight_decay = 1e-2
clip = 1.0

[run]
precision = "{precision}"
ema = 0.99
log_every = 1
"""


def run(recipe: str, out: str, threads: int) -> None:
    """In a process of its own, with a checkout's package: the steps' milliseconds and the memory, as JSON."""
    from segface_edge.training.loop import train
    from segface_edge.training.processes import together
    from segface_edge.training.recipe_file import read_recipe

    ends: list[tuple[float, float]] = []

    @contextmanager
    def bar(_length: int, _label: str) -> Iterator[Callable[[int], None]]:
        yield lambda _: ends.append((time.perf_counter(), time.process_time()))

    with together("cpu", threads=threads) as processes:
        train(read_recipe(Path(recipe)), Path(out), processes=processes, bar=bar)
    rows = [json.loads(line) for line in (Path(out) / "log.jsonl").read_text().splitlines()]
    steps = [row for row in rows if row["kind"] == "step"]
    wall, cpu = (
        [1000 * (after[clock] - before[clock]) for before, after in pairwise(ends[-len(steps) + WARM - 1 :])]
        for clock in (0, 1)
    )
    print(
        json.dumps(
            {
                "ms": median(wall),
                "cpu_ms": median(cpu),
                "parts_ms": {name: median(step["ms"][name] for step in steps[WARM:]) for name in steps[0]["ms"]},
                "losses": [step["loss"] for step in steps[:WARM]],
                "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            }
        )
    )


def measured(checkout: Path, work: Path, *, precision: str, threads: int, steps: int, kept: bool) -> dict[str, Any]:
    """One side of a round."""
    recipe, out = work / "recipe.toml", work / "run"
    shutil.rmtree(out, ignore_errors=True)
    recipe.write_text(
        RECIPE.format(data=work / "faces", steps=steps + WARM, batch=BATCH, size=SIZE, precision=precision)
    )
    code = "import runpy, sys; runpy.run_path(sys.argv[1])['run'](sys.argv[2], sys.argv[3], int(sys.argv[4]))"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
    environment |= {"PYTHONPATH": str(checkout), **(KEPT if kept else {})}
    done = subprocess.run(
        [sys.executable, "-c", code, __file__, str(recipe), str(out), str(threads)],
        cwd=work,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    document: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return document


def few_faces(data: Path, target: Path) -> None:
    """The first photos of a labelled folder as one of their own."""
    for kind in ("images", "labels"):
        (target / kind).mkdir(parents=True)
        for path in sorted((data / kind).iterdir())[:PHOTOS]:
            (target / kind / path.name).symlink_to(path.resolve())


@click.command()
@click.option("--before", type=click.Path(path_type=Path, exists=True), required=True, help="Another checkout.")
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="Folder: images, labels.")
@click.option("--rounds", default=5, show_default=True)
@click.option("--steps", default=8, show_default=True, help="Measured in each round.")
@click.option("--threads", "counts", multiple=True, default=(2, 1), show_default=True)
@click.option("--kept/--given-back", default=True, help="Set glibc's MALLOC_ variables for both sides.")
def main(before: Path, data: Path, rounds: int, steps: int, counts: tuple[int, ...], kept: bool) -> None:
    """Measure, write."""
    from segface_edge.bench.machine import environment
    from segface_edge.files import write_whole

    sides = {
        "before": (before.resolve(), "fp32"),
        "now": (HERE.parent, "fp32"),
        "before, bf16": (before.resolve(), "bf16"),
        "now, bf16": (HERE.parent, "bf16"),
    }
    rows = []
    for threads in counts:
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
        for number in range(rounds):
            with tempfile.TemporaryDirectory() as work:
                few_faces(data, Path(work) / "faces")
                for name in list(sides)[:: 1 if number % 2 == 0 else -1]:
                    checkout, precision = sides[name]
                    one = measured(checkout, Path(work), precision=precision, threads=threads, steps=steps, kept=kept)
                    found[name].append(one)
                    click.echo(f"{threads} threads, {name}: {one['ms']:.0f} ms, CPU {one['cpu_ms']:.0f}", err=True)
        for name, runs in found.items():
            pairs = list(zip(found["before"], runs, strict=True))
            rows.append(
                {
                    "threads": threads,
                    "side": name,
                    "photos_a_second": BATCH * 1000 / median(one["ms"] for one in runs),
                    **{
                        f"{clock}_times_less": median(base[clock] / one[clock] for base, one in pairs)
                        for clock in ("ms", "cpu_ms")
                    },
                    **{key: median(one[key] for one in runs) for key in ("ms", "cpu_ms", "peak_mib")},
                    "parts_ms": {part: median(one["parts_ms"][part] for one in runs) for part in runs[0]["parts_ms"]},
                    "first_losses": runs[0]["losses"],
                }
            )
    document = {
        "batch": BATCH, "size": SIZE, "rounds": rounds, "steps": steps, "malloc": KEPT if kept else {},
        "rows": rows, "environment": environment(),
    }  # fmt: skip
    write_whole(RESULT, (json.dumps(document, indent=1) + "\n").encode())
    click.echo(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
