"""Where a sitting ends, how much is left then, and that a run of several is the run of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
for package in ("dacite", "matplotlib"):
    pytest.importorskip(package, reason=f"training needs {package}")

from segface_edge.training import loop
from segface_edge.training.processes import Processes
from segface_edge.training.recipe import Recipe
from segface_edge.training.recipe_file import parse_recipe, read_recipe
from segface_edge.training.sitting import Outlook, Sitting

from .states import same

ALONE = Processes(0, 1, torch.device("cpu"))


class Watch:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def recipe(*stages: tuple[int, int, list[int]], **run: int) -> Recipe:
    """Stages of (steps, batch, sizes)."""
    tables = [{"steps": steps, "batch": batch, "sizes": sizes} for steps, batch, sizes in stages]
    return parse_recipe({"data": {"train": "faces"}, "stage": tables, "run": run}, source="test")


def begun(watch: Watch, of: Recipe, minutes: float | None, *, steps: int, evaluation: float = 0.0) -> Sitting:
    """A sitting that took 20 s to read its data and 2 s for each of `steps` steps."""
    sitting = Sitting(of, minutes, clock=watch)
    watch.now += 20
    sitting.ready(evaluation)
    for number in range(steps):
        watch.now += 2
        sitting.stepped(number)
    return sitting


def test_the_next_step_must_fit() -> None:
    watch, of = Watch(), recipe((100, 4, [64]))
    sitting = begun(watch, of, 1, steps=5)  # 30 s gone
    watch.now += 27.9
    assert not sitting.over(5)
    watch.now += 0.2  # 58.1 s gone, a step takes 2
    assert sitting.over(5)
    assert not sitting.over(100)  # nothing is left to be stopped


def test_what_is_due_behind_it_must_fit_too() -> None:
    watch, of = Watch(), recipe((100, 4, [64]), eval_every=6)
    sitting = begun(watch, of, 1, steps=5, evaluation=20)  # 30 s gone, the 6th step takes 2 + 20 of measuring
    watch.now += 7.9
    assert not sitting.over(5)
    watch.now += 0.2
    assert sitting.over(5)
    assert not sitting.over(4)
    watch.now -= 8.1
    sitting.evaluated()  # it took no time at all this time
    watch.now += 25
    assert not sitting.over(5)
    sitting.saved()  # 25 s: the state, and the weights again
    assert sitting.over(4)


def test_a_larger_step_is_expected_to_take_longer() -> None:
    watch, of = Watch(), recipe((5, 4, [64]), (5, 4, [128]))
    sitting = begun(watch, of, 1, steps=5)  # 30 s gone; the next has four times the pixels
    watch.now += 21.9
    assert not sitting.over(5)
    watch.now += 0.2
    assert sitting.over(5)


def test_a_sitting_makes_one_step_and_none_without_limit_ends() -> None:
    watch, of = Watch(), recipe((100, 4, [64]))
    assert not begun(watch, of, 0.1, steps=0).over(0)
    assert begun(watch, of, 0.1, steps=1).over(1)
    assert not begun(watch, of, None, steps=99).over(99)


def test_what_is_left() -> None:
    watch = Watch()
    of = recipe((100, 4, [64]), (50, 4, [64, 128]), (10, 8, [64]), eval_every=40, save_every=100)
    assert begun(watch, of, 2, steps=0).outlook(0) is None
    sitting = begun(watch, of, 2, steps=50, evaluation=10)
    watch.now += 3
    sitting.saved()
    outlook = sitting.outlook(50)
    # 50 steps, 50 of 2.5 times their pixels, 10 of twice; evaluations after 80, 120, 160; saved after 100.
    seconds = 2 * (50 + 50 * 2.5 + 10 * 2) + 3 * 10 + 3
    assert outlook == Outlook(seconds_a_step=2, seconds=pytest.approx(seconds), sittings=5)  # 423 s, 100 s in each
    assert str(outlook) == "2.00 s a step, about 8 min to the end: 5 sittings of this length"
    assert str(begun(watch, of, None, steps=150).outlook(150)) == "2.00 s a step, about 1 min to the end"


def test_the_first_step_warms_up() -> None:
    watch, of = Watch(), recipe((11, 4, [64]))
    sitting = Sitting(of, None, clock=watch)
    sitting.ready(0)
    watch.now += 60
    sitting.stepped(0)
    assert sitting.outlook(1) == Outlook(seconds_a_step=60, seconds=600, sittings=None)
    watch.now += 2
    sitting.stepped(1)
    assert sitting.outlook(2) == Outlook(seconds_a_step=2, seconds=18, sittings=None)


@pytest.mark.slow
def test_a_run_of_several_sittings_is_the_run_of_one(
    recipe_of: Callable[..., Path], tmp_path: Path, cli: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit by bit, and its learning rate falls to the recipe's end."""
    path = recipe_of(4)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    loop.train(read_recipe(path), whole, processes=ALONE)

    monkeypatch.setattr(Sitting, "over", lambda _, done: done == 3)
    arguments = ["train", "--config", path, "-o", parts, "--minutes", 10, "--json", tmp_path / "result.json"]
    result = cli(*arguments)
    assert result.code == 0
    assert result.out.startswith("stopped after step 3 of 4; ")
    assert "1 sitting of this length; go on with --resume" in result.out
    document = json.loads((tmp_path / "result.json").read_text())
    assert (document["steps"], document["of"], document["outlook"]["sittings"]) == (3, 4, 1)
    assert torch.load(parts / "state.pt", weights_only=True)["done"] == 3
    assert (parts / "last.safetensors").exists()

    monkeypatch.undo()
    result = cli(*arguments, "--resume")
    assert result.code == 0
    assert result.out.startswith("4 steps; weights in")
    assert json.loads((tmp_path / "result.json").read_text())["outlook"] is None
    states = [torch.load(folder / "state.pt", weights_only=True) for folder in (whole, parts)]
    assert same(*states)
    rates = [
        [row["lr"] for row in map(json.loads, (folder / "log.jsonl").read_text().splitlines()) if row["kind"] == "step"]
        for folder in (whole, parts)
    ]
    assert rates[0] == rates[1]
    assert rates[0][-1] < 0.2 * rates[0][0]


@pytest.mark.parametrize("minutes", ["0", "-1", "soon"])
def test_a_length_that_is_none(recipe_of: Callable[..., Path], tmp_path: Path, cli: Any, minutes: str) -> None:
    result = cli("train", "--config", recipe_of(), "-o", tmp_path / "run", "--minutes", minutes)
    assert result.code == 2
    assert "--minutes" in result.err


def test_a_sitting_of_no_time_makes_a_step_and_says_so(
    recipe_of: Callable[..., Path], tmp_path: Path, cli: Any
) -> None:
    result = cli("train", "--config", recipe_of(), "-o", tmp_path / "run", "--minutes", 1e-6)
    assert result.code == 0
    assert result.out.startswith("stopped after step 1 of 4; ")
