"""Recipes: what a TOML file may say, and what it is told where it says something else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("dacite", reason="training needs dacite")

from segface_edge.errors import InputError, UsageError
from segface_edge.training.recipe import Recipe
from segface_edge.training.recipe_file import parse_recipe, read_recipe, write_recipe
from segface_edge.training.schedule import learning_rate_factor, plan

MINIMAL = """
[data]
train = "photos"

[[stage]]
steps = 10
batch = 4
sizes = [64, 96]

[[stage]]
steps = 5
batch = 2
sizes = [128]
"""


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(MINIMAL)
    return path


def test_what_a_recipe_leaves_out_has_the_papers_defaults(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file)
    assert recipe.steps == 15
    assert recipe.stage[0].sizes == (64, 96)
    assert (recipe.loss.ce, recipe.loss.dice) == (0.5, 0.5)
    assert (recipe.optimiser.lr, recipe.optimiser.weight_decay) == (1e-4, 1e-5)


def test_paths_are_relative_to_the_recipe_and_those_of_changes_to_the_current_folder(recipe_file: Path) -> None:
    assert Path(read_recipe(recipe_file).data.train) == recipe_file.parent / "photos"
    assert read_recipe(recipe_file, ["data.train=elsewhere"]).data.train == str(Path("elsewhere").absolute())


def test_several_data_sets_are_paths_too(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file, ['data.train=["one", "other"]'])
    assert recipe.data.train_sets == (str(Path("one").absolute()), str(Path("other").absolute()))
    assert parse_recipe(write_recipe(recipe), source="test") == recipe
    recipe_file.write_text(MINIMAL.replace('"photos"', '["photos", "../more"]'))
    assert [Path(root) for root in read_recipe(recipe_file).data.train_sets] == [
        recipe_file.parent / "photos",
        recipe_file.parent / "../more",
    ]


def test_bundled_is_no_path(recipe_file: Path) -> None:
    assert read_recipe(recipe_file, ["model.weights=bundled"]).model.weights == "bundled"


def test_changes_are_read_as_toml_reads_values(recipe_file: Path) -> None:
    changes = ["optimiser.lr=2e-4", "augment.scale=[0.5, 2]", "run.compile=true", "run.precision=bf16"]
    recipe = read_recipe(recipe_file, changes)
    assert recipe.optimiser.lr == 2e-4
    assert recipe.augment.scale == (0.5, 2.0)
    assert recipe.run.compile is True
    assert recipe.run.precision == "bf16"


def test_what_is_written_is_read_back(recipe_file: Path) -> None:
    changes = ["loss.distillation=1", "teacher.weights=bundled", "loss.class_weights={hat = 2, neck_l = 20.5}"]
    recipe = read_recipe(recipe_file, changes)
    assert parse_recipe(write_recipe(recipe), source="test") == recipe


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimiser.rate=1", "unknown key 'rate' in [optimiser]; use: lr, weight_decay"),
        ("optimizer.lr=1", "unknown key 'optimizer'"),
        ("optimiser.lr=fast", "wrong type"),
        ("optimiser.lr=true", "wrong type"),
        ("optimiser.lr=-1", "lr is out of range"),
        ("data.train=[]", "train is out of range"),
        ("data.train=[1]", "wrong type"),
        ("run.precision=fp8", "wrong type"),
        ("model.size=100", "multiple of 32"),
        ("model.backbone=vgg", "is unknown"),
        ("model.labels=mine", "is unknown"),
        ('model.tokens={neck_l = "scarf"}', "scarf"),
        ('model.tokens={lips = "ear_r"}', "lips"),
        ("loss.class_weights={scarf = 2}", "scarf"),
        ('loss.class_weights={hat = "2"}', "wrong type"),
        ("loss.class_weights={hat = -2}", "not a finite number >= 0"),
        ("optimiser.token_lr_share=1000", "out of range"),
        ("optimiser.milestones=0.5", "wrong type"),
        ("augment.flip=1.5", "is not a probability"),
        ("augment.scale=[2, 1]", "is not a range"),
        ("augment.scale=[1]", "wrong type"),
        ("data.label_order=mine", "is unknown"),
        ("data.unlabelled=photos", "needs a teacher"),
        ("loss.distillation=1", "needs a teacher"),
        ("teacher.weights=bundled", "has nothing to teach"),
        ("sampling.max_repeat=0", "out of range"),
    ],
)
def test_a_wrong_value_is_one_clear_line(recipe_file: Path, change: str, message: str) -> None:
    with pytest.raises(InputError, match=r".*recipe\.toml.*") as caught:
        read_recipe(recipe_file, [change])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_change_of_any_text_is_text(recipe_file: Path) -> None:
    for text in ("[" * 5000, "9" * 5000):
        with pytest.raises(InputError, match="wrong type"):
            read_recipe(recipe_file, [f"optimiser.lr={text}"])


@pytest.mark.parametrize("change", ["optimiser", "lr=1", "optimiser.=1", "stage.steps=1"])
def test_a_change_that_is_none_is_a_usage_error(recipe_file: Path, change: str) -> None:
    with pytest.raises(UsageError, match="--set"):
        read_recipe(recipe_file, [change])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[data]\ntrain = 1\n[[stage]]\nsteps = 1\nbatch = 1\nsizes = [64]", "wrong type"),
        ("[[stage]]\nsteps = 1\nbatch = 1\nsizes = [64]", "misses 'data'"),
        ('[data]\ntrain = "x"\n[[stage]]\nsteps = 1\nsizes = [64]', "misses 'stage.batch'"),
        ('[data]\ntrain = "x"\n[[stage]]\nsteps = 1\nbatch = 1\nsizes = [65]', "multiples of 32"),
        ('[data]\ntrain = "x"\n[[stage]]\nsteps = 1\nbatch = 1\nsizes = [64]\npace = 1', "unknown key 'pace'"),
        ('stage = []\n[data]\ntrain = "x"', "stage is empty"),
        ('[data]\ntrain = "x"\n[[stage]]\nsteps = 1\nbatch = 1\nsizes = 64', "wrong type"),
        ('[data]\ntrain = "x"\n[stage]\nsteps = 1\nbatch = 1\nsizes = [64]', "wrong type"),
        ('run = 1\n[data]\ntrain = "x"\n[[stage]]\nsteps = 1\nbatch = 1\nsizes = [64]', "wrong type"),
        ("[data", "is not a recipe"),
        ("data = " + "[" * 5000, "is not a recipe (nested too deeply)"),
        ("data = " + "9" * 5000, "is not a recipe"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_recipe(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_no_such_recipe(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_recipe(tmp_path / "none.toml")


def test_the_plan_counts_photos_over_stages_of_different_batches(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file)
    steps = [plan(recipe, number) for number in range(recipe.steps)]
    assert [step.first for step in steps] == [*range(0, 40, 4), *range(40, 50, 2)]
    assert {step.size for step in steps[:10]} == {64, 96}
    assert {step.size for step in steps[10:]} == {128}
    with pytest.raises(IndexError):
        plan(recipe, recipe.steps)


def test_a_steps_size_depends_on_seed_and_number_alone(recipe_file: Path) -> None:
    recipe = read_recipe(recipe_file)
    other = replace(recipe, run=replace(recipe.run, seed=1))
    sizes = [plan(recipe, number).size for number in range(10)]
    assert sizes == [plan(read_recipe(recipe_file), number).size for number in range(10)]
    assert sizes != [plan(other, number).size for number in range(10)]


def rates(recipe: Recipe, steps: int) -> list[float]:
    return [learning_rate_factor(recipe.optimiser, number, steps) for number in range(steps)]


def test_the_cosine_warms_up_and_ends_at_its_share(recipe_file: Path) -> None:
    factors = rates(read_recipe(recipe_file, ["optimiser.warmup_steps=10", "optimiser.final_lr_share=0.1"]), 1000)
    assert factors[:10] == pytest.approx([(n + 1) / 11 for n in range(10)])
    assert factors[10] == pytest.approx(1)
    assert factors[505] == pytest.approx(0.55, abs=0.01)
    assert factors[-1] == pytest.approx(0.1, abs=0.001)
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_the_papers_steps(recipe_file: Path) -> None:
    factors = rates(read_recipe(recipe_file, ["optimiser.schedule=steps"]), 300)
    assert [factors[n] for n in (0, 79, 80, 199, 200, 299)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


def test_the_recipes_of_the_repository_are_sound(root: Path) -> None:
    files = [*root.glob("models/*/*.toml"), root / "benchmarks" / "ablation.toml"]
    assert len(files) >= 3
    for file in files:
        assert read_recipe(file).steps > 0
