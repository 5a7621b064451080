"""Going on with a run: moved with its recipe and data, under another recipe, and longer than it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
for package in ("dacite", "matplotlib"):
    pytest.importorskip(package, reason=f"training needs {package}")

from segface_edge.errors import CheckpointError, InputError
from segface_edge.network import read_checkpoint
from segface_edge.training import loop
from segface_edge.training.processes import Processes
from segface_edge.training.recipe import Recipe
from segface_edge.training.recipe_file import parse_recipe, read_recipe, write_recipe
from segface_edge.training.resuming import differences, extends
from segface_edge.training.run_folder import RunFolder
from segface_edge.training.run_log import read_log

ALONE = Processes(0, 1, torch.device("cpu"))
TEXT = """
[model]
size = 32
weights = "bundled"

[data]
train = "faces"
label_order = "celebamask-hq"
side = 64

[[stage]]
steps = {steps}
batch = 2
sizes = [32]

[run]
save_every = 1
"""


@pytest.fixture
def home(tmp_path: Path, labelled: Path) -> Path:
    """A folder with `recipe.toml` of 3 steps, and its data beside it."""
    home = tmp_path / "home"
    shutil.copytree(labelled, home / "faces")
    (home / "recipe.toml").write_text(TEXT.format(steps=3))
    return home


def train(home: Path, *changes: str, said: list[str] | None = None, **options: object) -> loop.Result:
    recipe = read_recipe(home / "recipe.toml", changes)
    say: Callable[[str], None] = [].append if said is None else said.append
    return loop.train(recipe, home / "run", processes=ALONE, say=say, **options)  # type: ignore[arg-type]


def weights(home: Path) -> dict[str, torch.Tensor]:
    return dict(read_checkpoint(home / "run" / "last.safetensors").state)


@pytest.mark.slow
def test_a_run_moves_with_its_recipe_and_data(home: Path, tmp_path: Path) -> None:
    train(home)
    whole = weights(home)
    shutil.rmtree(home / "run")
    train(home, stop_after=2)
    moved = home.rename(tmp_path / "elsewhere")
    said: list[str] = []
    assert train(moved, said=said, resume=True).steps == 3
    assert "going on after step 2 of 3" in said
    assert all(torch.equal(value, whole[name]) for name, value in weights(moved).items())
    # What the run says of its data is where they are now.
    assert json.loads((moved / "run" / "recipe.json").read_text())["data"]["train"] == str(moved / "faces")


def begun(home: Path, *changes: str, done: int = 1) -> Path:
    """The record of a run that was stopped after `done` steps, without making them."""
    folder = RunFolder(home / "run", read_recipe(home / "recipe.toml", changes), resume=False)
    empty = dict.fromkeys(("network", "ema", "ema_updates", "optimiser", "scaler", "best_step", "best_f1"))
    folder.save({**empty, "done": done})
    return home / "run" / "recipe.json"


def resumed(home: Path, *changes: str) -> RunFolder:
    return RunFolder(home / "run", read_recipe(home / "recipe.toml", changes), resume=True)


class Payload:
    """What a blind reader of pickles executes."""

    def __reduce__(self) -> tuple[object, ...]:
        return exec, ("open('executed', 'w').close()",)


def test_code_in_a_run_s_state_is_not_executed(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    begun(home)
    folder = resumed(home)
    torch.save({**torch.load(folder.state, weights_only=True), "ema": Payload()}, folder.state)
    with pytest.raises(CheckpointError, match="is damaged"):
        folder.load(torch.device("cpu"))
    assert not Path("executed").exists()
    torch.load(folder.state, weights_only=False)
    assert Path("executed").exists()


def test_a_path_given_on_the_command_line_is_compared_as_written(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    begun(home, "data.train=faces")
    moved = home.rename(tmp_path / "elsewhere")
    monkeypatch.chdir(moved)
    resumed(moved, "data.train=faces")
    resumed(moved)
    with pytest.raises(InputError, match=r"data\.train is .* there, .* here; where the same files lie elsewhere now"):
        resumed(moved, "data.train=other")


def test_a_list_of_paths_moves_too(home: Path, tmp_path: Path) -> None:
    (home / "recipe.toml").write_text(TEXT.format(steps=3).replace('"faces"', '["faces", "../more"]'))
    begun(home)
    moved = home.rename(tmp_path / "elsewhere")
    resumed(moved)
    (moved / "recipe.toml").write_text(TEXT.format(steps=3).replace('"faces"', '["../more", "faces"]'))
    with pytest.raises(InputError, match=r"data\.train is \["):
        resumed(moved)


def test_a_run_from_before_paths_were_kept_as_written(home: Path, tmp_path: Path) -> None:
    path = begun(home)
    document = json.loads(path.read_text())
    del document["written"]
    path.write_text(json.dumps(document))
    resumed(home)
    path.write_text(json.dumps(document))
    moved = home.rename(tmp_path / "elsewhere")
    here, there = json.dumps(str(moved / "faces")), json.dumps(str(home / "faces"))
    with pytest.raises(InputError) as caught:
        resumed(moved)
    assert caught.value.problem == f"is of another recipe: data.train is {there} there, {here} here"
    assert caught.value.cure.startswith("where the same files lie elsewhere now, correct it in recipe.json")
    path = moved / "run" / "recipe.json"
    path.write_text(path.read_text().replace(there, here))  # as it says
    resumed(moved)


def recipe(text: str = TEXT.format(steps=3), **changes: object) -> Recipe:
    import tomllib

    document = tomllib.loads(text)
    for key, value in changes.items():
        table, name = key.split("__")
        document.setdefault(table, {})[name] = value
    return parse_recipe(document, source="test")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {}),
        ({"optimiser__lr": 0.5}, {"optimiser.lr": (1e-4, 0.5)}),
        ({"optimiser__lr": 1e-4}, {}),  # the default, written out
        ({"data__val": "faces", "run__seed": 3}, {"data.val": (None, "faces"), "run.seed": (0, 3)}),
        ({"loss__class_weights": {"hat": 2.0}}, {"loss.class_weights.hat": (None, 2.0)}),
        ({"augment__scale": [0.5, 2.0]}, {"augment.scale": (None, [0.5, 2.0])}),
        ({"data__train": ["faces", "more"]}, {"data.train": ("faces", ["faces", "more"])}),
    ],
    ids=str,
)
def test_differences_are_found_by_the_key(
    changes: dict[str, object], expected: dict[str, tuple[object, object]]
) -> None:
    one, other = recipe(), recipe(**changes)
    found = {one.key: (one.there, one.here) for one in differences(one, {}, other)}
    if "augment.scale" in expected:
        expected = {"augment.scale": (write_recipe(one)["augment"]["scale"], [0.5, 2.0])}
    assert found == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimiser.lr=0.5", "is of another recipe: optimiser.lr is 0.0001 there, 0.5 here; resume with the run's own"),
        ("data.val_split=val", 'is of another recipe: data.val_split is not set there, "val" here'),
        ("augment.flip=0", "augment.flip is 0.5 there, 0.0 here"),
    ],
)
def test_the_key_that_differs_is_named(home: Path, change: str, message: str) -> None:
    path = begun(home)
    before = path.read_bytes()
    with pytest.raises(InputError) as caught:
        resumed(home, change)
    assert message in str(caught.value)
    assert path.read_bytes() == before


def test_many_differences_are_counted(home: Path) -> None:
    begun(home)
    with pytest.raises(InputError, match="and 2 more; resume with"):
        resumed(home, *(f"augment.{name}=0.1" for name in ("affine", "colour", "noise", "jpeg", "erase")))


def test_a_damaged_record_is_named(home: Path) -> None:
    path = begun(home)
    for text in ("{", "[]", '{"data": {}}'):
        path.write_text(text)
        with pytest.raises(InputError, match=r"recipe\.json"):
            resumed(home)


@pytest.mark.slow
def test_a_finished_run_says_how_to_go_on_and_does(home: Path) -> None:
    (home / "recipe.toml").write_text(TEXT.format(steps=1))
    train(home)
    said: list[str] = []
    assert train(home, said=said, resume=True).steps == 1
    assert any(line.startswith("the run is finished: 1 steps; to go on, give the recipe's last") for line in said)
    (home / "recipe.toml").write_text(TEXT.format(steps=3))
    said.clear()
    assert train(home, said=said, resume=True).steps == 3
    assert any(line.startswith("going on after step 1 of 3, 1 before: the learning rate is") for line in said)
    rows = [json.loads(line) for line in (home / "run" / "log.jsonl").read_text().splitlines()]
    assert sorted(row["step"] for row in rows) == [row["step"] for row in rows]


def test_a_run_that_was_made_longer_is_one_of_that_length(home: Path) -> None:
    begun(home, done=3)
    (home / "recipe.toml").write_text(TEXT.format(steps=5))
    assert resumed(home).extended_from == 3
    assert resumed(home).extended_from is None
    (home / "recipe.toml").write_text(TEXT.format(steps=3))
    with pytest.raises(InputError, match=r"stage\[0\]\.steps is 5 there, 3 here; a finished run takes more steps in"):
        resumed(home)


def test_a_run_is_not_made_longer_before_its_end(home: Path) -> None:
    begun(home, done=2)
    (home / "recipe.toml").write_text(TEXT.format(steps=5))
    with pytest.raises(InputError, match="has 3 steps, this recipe 5, and the run is at 2; finish it with its own"):
        resumed(home)


def stages(*rows: tuple[int, int]) -> Recipe:
    head, _, _ = TEXT.partition("[[stage]]")
    return recipe(
        head + "".join(f"[[stage]]\nsteps = {steps}\nbatch = {batch}\nsizes = [32]\n" for steps, batch in rows)
    )


@pytest.mark.parametrize(
    ("more", "longer"),
    [
        (((4, 2), (6, 4)), True),
        (((4, 2), (5, 4), (1, 8)), True),
        (((4, 2), (7, 4), (1, 8)), True),
        (((4, 2), (5, 4)), False),
        (((4, 2), (4, 4)), False),
        (((4, 2), (4, 4), (9, 4)), False),
        (((5, 2), (5, 4)), False),
        (((4, 2), (9, 2)), False),
        (((12, 2),), False),
    ],
)
def test_what_makes_a_run_longer(more: tuple[tuple[int, int], ...], longer: bool) -> None:
    assert extends(stages((4, 2), (5, 4)), stages(*more)) is longer


@pytest.mark.parametrize("line", ["7", '{"loss": 1}', '{"step": "3"}', '{"step": 2', "[" * 100_000, "\udcff"])
def test_a_line_of_the_log_that_is_none_is_left_out(tmp_path: Path, line: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n'.encode(errors="surrogateescape"))
    assert [row["step"] for row in read_log(path)] == [1, 2]


def test_a_damaged_record_is_one_line(home: Path) -> None:
    record = begun(home)
    for text in ("[" * 100_000, "7", "{"):
        record.write_text(text)
        with pytest.raises(InputError, match=r"recipe\.json: is damaged; start again"):
            resumed(home)


def test_a_state_of_another_network_is_one_line(home: Path) -> None:
    begun(home)
    with pytest.raises(CheckpointError, match=r"state\.pt: is damaged, or of another network"):
        train(home, resume=True)
    begun_with_words = torch.load(home / "run" / "state.pt") | {"done": "one"}
    torch.save(begun_with_words, home / "run" / "state.pt")
    with pytest.raises(CheckpointError, match="holds no state of a run"):
        train(home, resume=True)
