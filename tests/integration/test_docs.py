"""The pages: every block of code is run or says why not, every command is one, the contents and figures are whole.

A comment before a block says what becomes of it: `<!-- run -->`: it runs here, as it stands; `<!-- run by FILE: … -->`:
that test runs its commands, with smaller things; `<!-- not run: reason -->`.
"""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.cli import app
from segface_edge.labels import label_set
from segface_edge.pictures.reading import load
from segface_edge.sources.video_out import VideoWriter

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "models").rglob("*.md"))]
MARK = re.compile(r"<!-- (run|run by ([\w./]+): .+|not run: .+) -->")
# An indented block that begins with one of these is a shell's.
PROGRAMS = ("segface-edge", "pip", "python", "python3", "make", "cmake", "curl", "docker", "npm", "segface_onnxruntime")
MEASURES = ("paper", "native")
# Fences that are no code.
WORDS = ("text", "mermaid")


@dataclass(frozen=True)
class Block:
    page: str
    line: int
    language: str
    text: str
    mark: re.Match[str] | None

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks_of(page: Path) -> Iterator[Block]:
    name, lines = f"{page.relative_to(ROOT)}", page.read_text(encoding="utf-8").splitlines()
    index = 0
    while index < len(lines):
        start, fence = index, re.match(r"```([\w{}-]+)$", lines[index])
        marks = [line for line in lines[max(start - 2, 0) : start] if line.strip()]
        mark = MARK.fullmatch(marks[-1]) if marks else None
        if fence is not None:
            index = lines.index("```", start)
            if fence[1] not in WORDS and not fence[1].startswith("{"):
                yield Block(name, start + 1, fence[1], "\n".join(lines[start + 1 : index]), mark)
        elif lines[start].startswith("    ") and not lines[start - 1].strip():
            while index + 1 < len(lines) and (lines[index + 1].startswith("    ") or not lines[index + 1].strip()):
                index += 1
            text = "\n".join(line[4:] for line in lines[start : index + 1]).rstrip()
            if re.sub(r"^(\$ |\w+=\S+ )", "", text).split()[0] in PROGRAMS:
                yield Block(name, start + 1, "console", text, mark)
        index += 1


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
RUN = [block for block in BLOCKS if block.mark is not None and block.mark[1] == "run"]


def of(blocks: list[Block], *languages: str) -> list[object]:
    return [pytest.param(block, id=f"{block}") for block in blocks if block.language in languages]


def test_blocks_are_found() -> None:
    assert len(BLOCKS) > 60
    assert {"README.md", "docs/start.md", "docs/serve.md"} <= {block.page for block in BLOCKS}


@pytest.mark.parametrize("block", of(BLOCKS, *{block.language for block in BLOCKS}))
def test_a_block_is_run_or_says_why_not(block: Block) -> None:
    assert block.mark is not None, "put <!-- run -->, <!-- run by FILE: how --> or <!-- not run: reason --> before it"
    if block.mark[2] is not None:
        assert (ROOT / block.mark[2]).is_file()


def commands(block: Block) -> Iterator[list[str]]:
    """The words of every call of segface-edge in a shell's block."""
    for line in block.text.replace("\\\n", " ").splitlines():
        words: list[str] = []
        lexer = shlex.shlex(line.removeprefix("$ "), posix=True, punctuation_chars="|&;<>")
        lexer.whitespace_split = True
        try:
            for word in [*lexer, ";"]:
                if set(word) <= set("|&;<>"):
                    names = [index for index, name in enumerate(words) if Path(name).name == "segface-edge"]
                    if names:
                        yield words[names[0] + 1 :]
                    words = []
                else:
                    words.append(word)
        except ValueError:  # an apostrophe in what a program prints
            assert "segface-edge" not in line, line


@pytest.mark.parametrize("block", of([one for one in BLOCKS if one.mark and one.mark[2]], "console"))
def test_what_another_test_runs_is_in_it(block: Block) -> None:
    """Each command's options are in that test's source, in those of the command, or in an example of its --help."""
    assert block.mark is not None
    for arguments in commands(block):
        command = app.get_command(click.Context(app), arguments[0])
        said = (command.epilog or "") if command else ""  # tests/cli/test_main.py runs all of these
        for path in (ROOT / block.mark[2], ROOT / "tests" / "cli" / f"test_{arguments[0]}.py"):
            said += path.read_text(encoding="utf-8") if path.is_file() else ""
        for option in (word.partition("=")[0] for word in arguments if re.match(r"--?[a-z]", word)):
            assert option in said, f"segface-edge {arguments[0]} {option}"


def check_command(arguments: list[str]) -> None:
    """Options, their values and the number of arguments are a command's; files need not be there."""
    command: click.Command = app
    context = click.Context(app, info_name="segface-edge", **app.context_settings)
    rest = list(arguments)
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        found = command.get_command(context, rest[0])
        assert found is not None, f"no command {rest[0]}"
        context, command, rest = click.Context(found, parent=context), found, rest[1:]
    given, left, _ = command.make_parser(context).parse_args(rest)
    assert not left, left
    for parameter in command.get_params(context):
        values = given.get(f"{parameter.name}")
        if isinstance(parameter.type, click.Choice | click.IntRange | click.FloatRange) and isinstance(values, str):
            parameter.type.convert(values, parameter, context)
        if parameter.required and not isinstance(command, click.Group):
            assert isinstance(values, str | list | tuple), f"{parameter.name} is missing"
            assert values, f"{parameter.name} is missing"


@pytest.mark.parametrize("block", of(BLOCKS, "console"))
def test_commands_exist(block: Block) -> None:
    for arguments in commands(block):
        check_command(arguments)


@pytest.mark.parametrize(
    "line",
    [
        "parse --nothing",
        "parse photo.jpg --visualize x",
        "nothing",
        "parse photo.jpg --alpha 2",
        "info a b c d",
        "label",
        "parse -o out.png",
    ],
)
def test_what_is_no_command_is_seen(line: str) -> None:
    with pytest.raises((click.UsageError, AssertionError)):
        check_command(line.split())


@pytest.mark.parametrize("block", of(BLOCKS, "python"))
def test_python_compiles_and_what_it_imports_is_there(block: Block) -> None:
    for node in ast.walk(ast.parse(block.text)):
        if isinstance(node, ast.ImportFrom) and f"{node.module}".startswith("segface_edge"):
            module = import_module(f"{node.module}")
            for alias in node.names:
                assert hasattr(module, alias.name), alias.name


@pytest.fixture
def workplace(tmp_path: Path, portrait: Path, parser: FaceParser) -> Path:
    """What the pages take for granted: photo.jpg, group.jpg, video.mp4, photos/, faces/ with images and labels."""
    video = VideoWriter(tmp_path / "video.mp4", fps=5)
    for _ in range(3):
        video.write(load(portrait))
    video.close()
    for folder in ("photos", "faces/images", "faces/labels"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("photo.jpg", "group.jpg", "photos/one.jpg", "faces/images/one.jpg"):
        (tmp_path / name).write_bytes(portrait.read_bytes())
    labels = parser(portrait).remap("celebamask-hq").labels
    Image.fromarray(labels).save(tmp_path / "faces/labels/one.png")
    return tmp_path


def bash(script: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs lines as a user would, with this environment's commands first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


def run_python(block: Block, folder: Path) -> str:
    done = subprocess.run([sys.executable, "-c", block.text], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("block", of([one for one in RUN if one.page == "README.md"], "python"))
def test_the_readme_s_python_runs(workplace: Path, block: Block) -> None:
    run_python(block, workplace)


@pytest.mark.slow
@pytest.mark.parametrize("block", of([one for one in RUN if one.page != "README.md"], "python"))
def test_python_runs(workplace: Path, block: Block) -> None:
    said = run_python(block, workplace)
    if "cutout.png" in block.text:
        assert "'hair'" in said
        assert load(workplace / "overlay.png").shape == (512, 512, 3)
        with Image.open(workplace / "mask.png") as mask:
            assert mask.mode == "P"
            assert set(np.unique(np.asarray(mask))) <= set(range(len(label_set("segface"))))


@pytest.mark.slow
@pytest.mark.parametrize("block", of(RUN, "console"))
def test_commands_run(workplace: Path, block: Block) -> None:
    if "segface-edge estimate" in block.text:
        for package in ("torch", "onnx", "onnxscript"):
            pytest.importorskip(package, reason="counting needs the packages of an export")
    if block.text.startswith("$ "):  # with what it prints
        command, _, printed = block.text.removeprefix("$ ").partition("\n")
        done = bash(command, workplace)
        assert printed in done.stdout
    else:
        done = bash(block.text, workplace)
    assert done.returncode == 0, done.stderr
    for name in re.findall(r"(?:-o|>|--jsonl) (\w+\.\w+)", block.text):
        assert (workplace / name).stat().st_size > 0


def recipe_in(page: str) -> Block:
    (block,) = (block for block in BLOCKS if (block.page, block.language) == (page, "toml"))
    return block


def test_the_recipe_to_start_from_trains(tmp_path: Path, cli: Callable[..., Any]) -> None:
    pytest.importorskip("segface_edge.training.loop", reason="training needs the extra train")
    with FaceParser() as parser:
        face = parser(zoo.PORTRAIT)
    for part in ("train", "val"):
        for folder, picture in (("images", face.image), ("labels", face.labels)):
            (tmp_path / "faces" / part / folder).mkdir(parents=True)
            Image.fromarray(picture).resize((64, 64), Image.Resampling.NEAREST).save(
                tmp_path / "faces" / part / folder / "one.png"
            )
    text = recipe_in("docs/training.md").text
    for large, small in (("steps = 1000", "steps = 2"), ("batch = 8", "batch = 1"), ("[256, 320]", "[64]")):
        assert large in text
        text = text.replace(large, small)
    (tmp_path / "recipe.toml").write_text(text)
    run = ("--config", tmp_path / "recipe.toml", "-o", tmp_path / "run", "--set", "model.size=64")
    result = cli("train", *run)
    assert result.code == 0, result.err
    assert (tmp_path / "run" / "best.safetensors").is_file()


def test_a_recipe_of_own_classes_is_one(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="recipes need the extra train")
    reading = pytest.importorskip("segface_edge.training.recipe_file", reason="recipes need the extra train")
    block = recipe_in("docs/add-a-class.md")
    example = loaded("docs/examples/own_classes.py")
    try:
        (tmp_path / "recipe.toml").write_text(block.text)
        recipe = reading.read_recipe(tmp_path / "recipe.toml")
        assert recipe.model.labels == "mine"
    finally:
        del example.LABEL_SETS["mine"]


def loaded(path: str) -> ModuleType:
    spec = spec_from_file_location(Path(path).stem, ROOT / path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_figures_are_those_of_the_files() -> None:
    figures = loaded("docs/figures.py")
    for name in figures.PAGES:
        page = (ROOT / name).read_text(encoding="utf-8")
        assert figures.MARKED.search(page)
        assert page == figures.filled(page), "run: python docs/figures.py"


def test_a_figure_that_was_changed_by_hand_is_seen() -> None:
    figures = loaded("docs/figures.py")
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    changed = page.replace("Mean F1 82", "Mean F1 93")
    assert changed != page
    assert figures.filled(changed) == page


def test_the_two_files_of_the_bundled_model_agree() -> None:
    figures = loaded("docs/figures.py")
    front = figures.read(figures.RESULTS / "front" / "front.json")["models"][figures.BUNDLED]
    paper = figures.read(ROOT / "models" / "segface-efficientnet-lite0-s8-b1" / "metrics.json")["paper"]
    assert front["mean_f1"] == pytest.approx(paper["mean_f1"], abs=5e-6)


@pytest.mark.parametrize("card", sorted((ROOT / "models").glob("*/README.md")), ids=lambda card: card.parent.name)
def test_a_card_s_figures_are_those_of_its_file(card: Path) -> None:
    measured = json.loads(card.with_name("metrics.json").read_text(encoding="utf-8"))
    head = "| class | protocol paper | protocol native |\n|---|---|---|\n"
    rows = card.read_text(encoding="utf-8").partition(head)[2].partition("\n\n")[0].splitlines()
    shown = {cells[0].strip("*"): cells[1:] for cells in (row.strip("| ").split(" | ") for row in rows)}
    wanted = [
        {"mean, without background": one["mean_f1"], **one["per_class_f1"]} for one in map(measured.get, MEASURES)
    ]
    assert shown == {name: [f"{100 * one[name]:.1f}" for one in wanted] for name in wanted[0]}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: f"{page.relative_to(ROOT)}")
def test_links_lead_to_files(page: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if not re.match(r"https?:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_ten_questions_are_answered_within_two_clicks() -> None:
    index = ROOT / "docs" / "index.md"
    questions = re.findall(r"^\| ([^|]+\?) \| ([^|]+) \|$", index.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(questions) == 10
    for question, answer in questions:
        assert re.search(r"\]\([\w./#-]+\)", answer), question


def test_the_readme_is_one_screen() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 85
