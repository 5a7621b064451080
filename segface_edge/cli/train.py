"""`segface-edge train`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from segface_edge.errors import missing_extra

from .options import check_json, json_option, progress_bar, say, say_step

if TYPE_CHECKING:
    from segface_edge.training.loop import Result


@click.command(
    epilog="""\b
Examples:
  segface-edge train --config recipe.toml -o run
  segface-edge train --config recipe.toml -o run --resume
  segface-edge train --config recipe.toml -o run --set optimiser.lr=2e-4 --set run.seed=1
  segface-edge train --config recipe.toml -o run --stop-after 1
  segface-edge train --config recipe.toml -o run --minutes 110
  segface-edge train --config recipe.toml -o run --minutes 110 --resume"""
)
@click.option("--config", required=True, type=click.Path(path_type=Path), help="Recipe (TOML).")
@click.option("-o", "out", required=True, type=click.Path(path_type=Path), help="Folder for weights, log and pictures.")
@click.option("--resume", is_flag=True, help="Go on with the run in that folder.")
@click.option("--stop-after", type=click.IntRange(1), metavar="STEP", help="End after this step; --resume goes on.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="End this sitting within N minutes of wall time, at a saved step; --resume goes on.",
)
@click.option("--set", "changes", multiple=True, metavar="TABLE.KEY=VALUE", help="Change a setting of the recipe.")
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1, 1024), help="CPU threads; default: PyTorch's choice.")
@json_option
def command(
    config: Path,
    out: Path,
    resume: bool,
    stop_after: int | None,
    minutes: float | None,
    changes: tuple[str, ...],
    device: str,
    threads: int | None,
    json_to: str | None,
) -> None:
    """Train SegFace as a recipe says; docs/training.md has one to start from.

    Ctrl-C saves the state of the last step: go on with --resume.

    A training of many hours may be made in several sittings, of --minutes each. How many steps it has, and so how its
    learning rate falls, is in the recipe: after 10 steps the command says how many minutes and sittings they take.
    """
    try:
        from segface_edge.training.loop import Interrupted, train
        from segface_edge.training.processes import together
        from segface_edge.training.recipe_file import read_recipe
    except ModuleNotFoundError as error:
        raise missing_extra(str(error.name), "train", "segface-edge train") from error
    check_json(json_to)
    recipe = read_recipe(config, changes)
    with together(device, threads=threads) as processes:
        try:
            result = train(
                recipe,
                out,
                processes=processes,
                resume=resume,
                stop_after=stop_after,
                minutes=minutes,
                say=say_step,
                bar=_bar,
            )
        except Interrupted as stop:
            if processes.leads:
                click.echo(f"\n{stop}", err=True)
            raise
        if processes.leads:
            say(result.to_dict(), json_to, _text(result))


def _bar(length: int, label: str) -> AbstractContextManager[Any]:
    return progress_bar(length, label) if length else nullcontext(lambda _: None)


def _text(result: Result) -> str:
    lines = [f"{result.steps} steps; weights in {result.folder}/last.safetensors"]
    if result.outlook is not None:
        lines = [
            f"stopped after step {result.steps} of {result.of}; {result.outlook}; go on with --resume",
            f"weights so far in {result.folder}/last.safetensors",
        ]
    if result.best_f1 is not None:
        lines.append(
            f"best mean F1 {100 * result.best_f1:.2f} after step {result.best_step}: {result.folder}/best.safetensors"
        )
    whole = sum(result.ms.values())
    if whole:
        lines.append(
            f"a step takes {whole:.0f} ms: "
            + ", ".join(f"{name} {100 * part / whole:.0f} %" for name, part in result.ms.items())
        )
    return "\n".join(lines)
