"""Each sentence of the README, and each promise of SECURITY.md, names what shows it: a test, a command, a file."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from segface_edge.cli import app


def sentences(page: str) -> list[str]:
    """The prose of a page, without headings, tables, pictures; and what its blocks of code say behind a #."""
    remarks = re.findall(r"^(?:    )?\w[^#\n]*\S  # (.+)$|^    make [^#\n]*# (.+)$", page, re.MULTILINE)
    page = re.sub(r"```.*?```|<!--.*?-->|!\[[^\]]*\]\([^)]*\)", "", page, flags=re.DOTALL)
    lines = [line for line in page.splitlines() if not line.startswith(("#", "|", "    "))]
    paragraphs = (" ".join(part.split()) for part in re.split(r"\n\s*\n", "\n".join(lines)))
    found = [one for part in paragraphs for one in re.split(r"(?<=[\w)]\.) (?=[A-Z\[])", part)]
    return [re.sub(r"\]\([^)]*\)|[\[*`]", "", one) for one in (*found, *map("".join, remarks)) if one]


def exists(shown: str, root: Path) -> bool:
    """Whether there is such a test, target, command or file."""
    path, _, name = shown.partition("::")
    words = shown.split()
    if name:
        return re.search(rf"^def {name}\(", (root / path).read_text(), re.MULTILINE) is not None
    if words[0] == "make":
        return re.search(rf"^{words[1]}:", (root / "Makefile").read_text(), re.MULTILINE) is not None
    if words[0] == "segface-edge":
        return words[1] in app.list_commands(click.Context(app))
    return (root / words[words[0] == "python"]).exists()


def test_each_sentence_of_the_readme_names_what_shows_it(root: Path) -> None:
    table = (root / "docs" / "tested.md").read_text().partition("## What the README says")[2]
    rows = re.findall(r"^\| (.+) \| (.+) \|$", table, re.MULTILINE)[1:]
    said = sentences((root / "README.md").read_text())
    left = [one for one in said if not any(words in one for words, _ in rows)]
    assert left == [], "add a row to docs/tested.md"
    for words, shown in rows:
        assert any(words in one for one in said), f"the README does not say: {words}"
        for command in re.findall(r"`([^`]+)`", shown):
            assert exists(command, root), f"there is no {command}"


def test_each_promise_of_the_security_page_names_a_test(root: Path) -> None:
    table = (root / "SECURITY.md").read_text().partition("| promise | shown by |\n|---|---|\n")[2].partition("\n\n")[0]
    assert len(table.splitlines()) >= 20
    for row in table.splitlines():
        shown = re.fullmatch(r"\| .+ \| `(tests/.+::\w+)` \|", row)
        assert shown is not None, row
        assert exists(shown[1], root), f"there is no {shown[1]}"


@pytest.mark.parametrize(
    "shown",
    ["tests/test_files.py::test_nothing", "make nothing", "segface-edge nothing", "python nothing.py", "nothing"],
)
def test_what_is_not_there_is_seen(shown: str, root: Path) -> None:
    assert not exists(shown, root)
