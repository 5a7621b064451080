"""Command lines: options and arguments by what click knows of them, with values that fit, or do not.

No model is opened, no port and no address: what would do that ends in an error.
"""

from __future__ import annotations

import io
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any, NoReturn

import click

from segface_edge.cli import COMMANDS, _run, app
from segface_edge.errors import InputError

from .pictures import portrait, saved

# What long work begins with; whoever imports it after this file gets what refuses.
_REFUSED = (
    "engines.ort.session:open_session",
    "engines.ort.session:plain_session",
    "engines.ort.session:cpu_session",
    "network.segface:build_segface",
    "serving.server:bind",
    "zoo.download:ask",
    "zoo.download:download",
    "pictures.address:fetch",
    "training.recognition.study:run_study",
)
# What commands import when they are called; here it would take the time of an input.
_MODULES = (
    "export.pipeline",
    "export.quantize",
    "export.importing",
    "training.loop",
    "training.recognition.study",
    "labelling.run",
    "evaluation.evaluate",
    "evaluation.parity",
    "bench.run",
    "plots.scores",
    "serving.app",
    "zoo.fetch",
    "parsing.parser",
)
_CODES = {0, 1, 2, 3, 4, 5, 6, 130}
_WORDS = (
    "",
    "x",
    "-1",
    "0",
    "1",
    "nan",
    "1e999",
    "9" * 400,
    "cpu",
    "cuda:99",
    "é",
    "\udcff",
    "\x1b[2J",
    "a=b",
    "loss.dice=nan",
    "--",
    "-",
    "mobilenet",
    "segface",
    "skin,hair",
    "%",
    "*",
    "[",
    "a/b/c",
    "sm87",
    "8.7,9.0",
    "640x480",
    "0.5",
)
_FILES = (
    "photo.png",
    "photos",
    "photos/*.png",
    "absent.png",
    "absent/x.png",
    "model.onnx",
    "text.txt",
    "base.json",
    "recipe.toml",
    "weights.safetensors",
    "weights.pt",
    "model.plan",
    "film.mp4",
    "x.parquet",
    "-",
    "/dev/null",
    "out.png",
    "out.json",
    "out",
    "out.onnx",
    "out.plan",
    "empty",
    "ünï.png",
    "a" * 300,
    "out.parquet",
    "page.html",
    "film.gif",
    "\udcff.png",
)


def _commands() -> dict[tuple[str, ...], click.Command]:
    found: dict[tuple[str, ...], click.Command] = {}
    for name in COMMANDS:
        command = app.get_command(click.Context(app), name)
        assert command is not None
        if isinstance(command, click.Group):
            found |= {(name, inner): one for inner, one in command.commands.items()}
        else:
            found[name,] = command
    return found


def _refuse(what: str) -> Any:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise InputError(what, "is not done here", "none")

    return refuse


class Fuzz:
    def __init__(self, folder: Path, argument: str) -> None:  # noqa: ARG002
        for place in _REFUSED:
            module, _, name = place.partition(":")
            try:
                found = import_module(f"segface_edge.{module}")
            except ModuleNotFoundError:  # of an extra, and so are those who would use it
                continue
            before, refuses = getattr(found, name), _refuse(name)
            for loaded in [one for one in sys.modules.values() if getattr(one, name, None) is before]:
                setattr(loaded, name, refuses)
        for name in _MODULES:
            with suppress(ImportError):
                import_module(f"segface_edge.{name}")
        (folder / "photos").mkdir()
        for name in ("photo.png", "photos/0.png", "photos/1.png"):
            (folder / name).write_bytes(saved(portrait((24, 24)), "PNG"))
        for name, content in (
            ("text.txt", "photo.png\n"),
            ("base.json", "{}"),
            ("recipe.toml", "batch = 1\n"),
            ("empty", ""),
        ):
            (folder / name).write_text(content)
        for name in ("model.onnx", "weights.safetensors", "weights.pt", "model.plan", "film.mp4", "x.parquet"):
            (folder / name).write_bytes(b"no such thing")
        self.commands = _commands()
        self.names = list(self.commands)

    def make(self, random: Random) -> list[str]:
        name = random.choice(self.names)
        if name == ("doctor",) and random.random() > 0.01:  # which looks at everything, for a second
            name = ("info",)
        line = list(name)
        for param in self.commands[name].params:
            if isinstance(param, click.Argument):
                line += [self._value(random, param) for _ in range(random.choice((0, 1, 1, 1, 1, 2)))]
            elif random.random() < (0.7 if param.required else 0.12):
                line.append(random.choice([*param.opts, *param.secondary_opts]))
                if not getattr(param, "is_flag", False) and random.random() > 0.02:
                    line.append(self._value(random, param))
        if random.random() < 0.05:
            line.insert(
                random.randrange(len(line) + 1), random.choice(("--help", "--version", "--nothing", "-x", *_WORDS))
            )
        return line

    def _value(self, random: Random, param: click.Parameter) -> str:
        kind = param.type
        if random.random() < 0.08:
            return random.choice(_WORDS)
        if isinstance(kind, click.Choice):
            return str(random.choice(list(kind.choices)))
        if isinstance(kind, click.types.IntParamType | click.types.FloatParamType):
            least, most = getattr(kind, "min", None), getattr(kind, "max", None)
            sides = [side for side in (least, most) if side is not None]
            return str(
                random.choice((*sides, *(side + 1 for side in sides), *(side - 1 for side in sides), 1, 2, 64, 10**12))
            )
        if random.random() < 0.7:
            return random.choice(_FILES)
        return random.choice(_WORDS)

    def run(self, given: list[str]) -> None:
        before = sys.stdin, sys.stdout, sys.stderr
        said, out = _stream(), _stream()
        sys.stdin, sys.stdout, sys.stderr = _stream(b""), out, said  # type: ignore[assignment]
        try:
            code = _run(list(given))
        finally:
            sys.stdin, sys.stdout, sys.stderr = before
        lines = _text(said).splitlines()
        if given[:1] == ["doctor"]:  # says what is missing on standard output
            return
        assert code in _CODES, (code, given)
        wrong = [line for line in lines if line.lower().startswith("error:")]
        if code == 0:
            assert not wrong, (given, wrong)
        else:
            assert wrong, (given, code, lines)
            # Usage errors of click's come with the usage.
            assert len(wrong) == 1 or "could not be parsed" in lines[-1], (given, lines)
        assert not any("Traceback" in line for line in lines), (given, lines)


def _stream(content: bytes = b"") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors="backslashreplace")


def _text(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer: Any = stream.buffer
    return str(buffer.getvalue().decode("utf-8", "replace"))
