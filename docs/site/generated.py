"""Pages made of what is elsewhere: commands of their `--help`, findings of the heads of their scripts. Sphinx adds them
to the page of the same name."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import click
from sphinx.application import Sphinx

from segface_edge.cli import COMMANDS, app

ROOT = Path(__file__).parents[2]


def escaped(text: str) -> str:
    """Words for Markdown, which are to be read as they stand."""
    return re.sub(r"([*_<>\[\]|\\])", r"\\\1", text)


def command_section(command: click.Command, name: str, level: int) -> Iterator[str]:
    """A command's own words: usage, what it does, options, examples; those of its commands after it."""
    context = click.Context(command, info_name=name, **app.context_settings)  # click keeps what it first hears
    words, _, examples = (command.epilog or "").partition("Examples:\n")
    yield f"{'#' * level} `{name}`\n"
    yield f"```text\n{name} {' '.join(command.collect_usage_pieces(context))}\n```\n"
    for paragraph in (command.help or "").replace("\b", "").split("\n\n"):
        yield f"{escaped(' '.join(paragraph.split()))}\n"
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None and record[1] and "--help" not in record[0]:
            yield f"`{record[0]}`\n: {escaped(' '.join(record[1].split()))}\n"
    if words.strip():
        yield f"{escaped(' '.join(words.split()))}\n"
    if examples:
        lines, _, after = examples.partition("\n\n")
        yield "```console\n" + "\n".join(line.strip() for line in lines.splitlines() if line.strip()) + "\n```\n"
        if after.strip():
            yield f"{escaped(' '.join(after.split()))}\n"
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from command_section(found, f"{name} {inner}", level + 1)


def commands() -> str:
    """Every command."""
    context = click.Context(app, **app.context_settings)
    parts = []
    for name in COMMANDS:
        command = app.get_command(context, name)
        assert command is not None
        parts += command_section(command, f"segface-edge {name}", 2)
    return "\n".join(parts)


def findings() -> str:
    """What every script shows: the comment at its head."""
    parts = []
    for path in sorted((ROOT / "findings").glob("*.sh")):
        head = re.match(r"#![^\n]*\n((?:#[^\n]*\n)+)", path.read_text(encoding="utf-8"))
        assert head is not None, path
        text = re.sub(r"^# ?", "", head[1], flags=re.MULTILINE).replace("\nWhat one would", "\n\nWhat one would")
        parts.append(f"## {path.stem.replace('_', ' ')}\n\n{text}\n[{path.name}](../findings/{path.name})\n")
    return "\n".join(parts)


PAGES: dict[str, Callable[[], str]] = {"docs/commands": commands, "docs/findings": findings}


def added(app: Sphinx, docname: str, source: list[str]) -> None:  # noqa: ARG001 - Sphinx calls it so
    """Adds to a page what is made of other sources."""
    if docname in PAGES:
        source[0] += "\n" + PAGES[docname]()


def always_read(app: Sphinx, env: object, *_: object) -> list[str]:  # noqa: ARG001
    """Such pages change with files that Sphinx does not watch."""
    return list(PAGES)


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.connect("source-read", added)
    app.connect("env-get-outdated", always_read)
    return {"parallel_read_safe": True}
