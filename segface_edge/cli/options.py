"""Options that several commands share, and how results are printed."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from segface_edge.engines import MAX_THREADS
from segface_edge.errors import ModelFileError, UsageError, missing_extra
from segface_edge.files import check_place, write_whole

# Packages that figures and pages are made with.
_DRAWING = ("matplotlib", "jinja2")
HELP_MODEL = "File or name of a model; in another engine than its own: FILE@engine=NAME. Default: the bundled."
_Command = TypeVar("_Command", bound=Callable[..., Any])
if TYPE_CHECKING:
    from segface_edge.parsing.choice import Choice

    _PathType = click.ParamType[Path]
    _ChoiceType = click.ParamType[Choice]
else:
    # Click 8.2's takes no parameter, 8.3's does.
    _PathType = _ChoiceType = click.ParamType


class ModelFile(_PathType):
    """A model file, or the name of a model that `segface-edge models list` lists: its file then."""

    name = "FILE|NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:  # noqa: ARG002
        """Raises what `file_of` raises, and ModelFileError where it has no name, as the current folder."""
        if not Path(value).name:
            raise ModelFileError(f"'{value}'", "is the name of no file", "give a model file")
        from segface_edge.parsing.pretrained import file_of

        return file_of(value)


class ModelWord(_ChoiceType):
    """The same with how it is opened: `model.onnx@engine=openvino,threads=1`."""

    name = "FILE[@key=value,…]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Choice:  # noqa: ARG002
        """Raises what `parse_choice` raises."""
        from segface_edge.parsing.choice import parse_choice

        return parse_choice(value)


def beside(model: Path, name: str) -> Path:
    """Where a file that is made of a model goes where nobody says: beside it, under this name.

    Of a model that was given by its name into the current folder: the cache and the package are not the user's.
    """
    from segface_edge import zoo
    from segface_edge.zoo.models import models_folder

    ours = any(model.is_relative_to(folder) for folder in (models_folder(), zoo.DEFAULT_MODEL.parent))
    return Path(name) if ours else model.with_name(name)


def json_option(function: _Command) -> _Command:
    """`--json FILE`, `-` for standard output."""
    return click.option(
        "--json", "json_to", metavar="FILE", help="Write the result as JSON; - for standard output instead of text."
    )(function)


def check_alone(option: str, others: Collection[str]) -> None:
    """Raises UsageError where an option of this command is given that says nothing beside `option`.

    Args:
        option: as users write it.
        others: names of the parameters that may be given with it, its own among them.
    """
    context = click.get_current_context()
    for param in context.command.params:
        default = context.get_parameter_source(param.name or "") is click.core.ParameterSource.DEFAULT
        if param.name not in others and not default:
            raise UsageError(f"{option} and {param.opts[0]}", "contradict each other", "give one of them")


def check_json(json_to: str | None) -> None:
    """Raises InputError where `say` could not write, before any work is done for it."""
    if json_to not in (None, "-"):
        check_place(Path(json_to))


def check_drawing(what: str, module: str = "figure", extra: str = "plot") -> None:
    """Imports what draws before the work, since what is drawn of it comes last.

    Args:
        what: is to be drawn, for messages.
        module: in `plots`.
        extra: that brings what the module needs.

    Raises:
        MissingDependencyError: a package that draws is not installed.
    """
    try:
        import_module(f"segface_edge.plots.{module}")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in _DRAWING:
            raise
        raise missing_extra(package, extra, what) from error


def check_plots(*places: Path | None) -> None:
    """Raises before the work where a plot could not be drawn to one of `places`; None is none."""
    for place in places:
        if place is None:
            continue
        check_place(place)
        check_drawing("a plot")
        from segface_edge.plots.figure import SUFFIXES

        if place.suffix.lower() not in SUFFIXES:
            raise UsageError(place, f"'{place.suffix}' is no format of figures", f"use {', '.join(SUFFIXES)}")


def model_options(function: _Command) -> _Command:
    """`--device`, `--threads`, `--spec`."""
    help_threads = "CPU threads; default: the engine's choice."
    threads = click.option("--threads", type=click.IntRange(1, MAX_THREADS), help=help_threads)
    help_device = "cpu, cuda or cuda:N; of OpenVINO cpu, gpu, gpu:N or npu."
    device = click.option("--device", default="cpu", show_default=True, help=help_device)
    help_spec = "For a plan that says nothing of itself: the ONNX file that it is of."
    spec = click.option("--spec", type=click.Path(path_type=Path), help=help_spec)
    return device(threads(spec(function)))


def face_options(function: _Command) -> _Command:
    """`--locate`, `--detector`, `--look`, `--max-faces`, `--min-face`, `--max-pixels`: what `FaceParser` takes."""
    from segface_edge.pictures.reading import DEFAULT_MAX_PIXELS, LARGEST_MAX_PIXELS

    options = (
        click.option(
            "--locate",
            type=click.Choice(["auto", "yunet", "self", "whole"]),
            default="auto",
            show_default=True,
            help="Where the faces are: found by YuNet, by the model itself, or the photo is one.",
        ),
        click.option(
            "--detector",
            type=click.Path(path_type=Path),
            help="YuNet's model file; default: the fetched one, else the bundled.",
        ),
        click.option(
            "--look",
            type=click.IntRange(1),
            default=1280,
            show_default=True,
            help="Pixels of a photo's longer side that YuNet looks at; more find smaller faces, and take longer.",
        ),
        click.option("--max-faces", type=click.IntRange(1), help="So many at most, the surest first."),
        click.option(
            "--min-face",
            type=click.FloatRange(0),
            default=0.0,
            help="Leave smaller ones out: pixels of their box.",
        ),
        click.option(
            "--max-pixels",
            type=click.IntRange(1, LARGEST_MAX_PIXELS),
            default=DEFAULT_MAX_PIXELS,
            show_default=True,
            help="Refuse larger pictures before decoding.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def say(document: Any, json_to: str | None, text: str) -> None:
    """Prints `text`, or `document` as JSON where that was asked for."""
    if json_to == "-":
        click.echo(json.dumps(document, indent=2))
        return
    if json_to is not None:
        write_whole(Path(json_to), (json.dumps(document, indent=2) + "\n").encode())
    if text:
        click.echo(text)


def say_step(step: str) -> None:
    """Tells on standard error what long work does next."""
    click.echo(f"… {step}", err=True)


@contextmanager
def progress_bar(length: int, label: str) -> Iterator[Callable[[int], None]]:
    """A bar on standard error where that is a terminal; yields the function that advances it."""
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:
        yield bar.update


@contextmanager
def share_bar(label: str) -> Iterator[Callable[[float], None]]:
    """The same of work whose length nobody counts; yields the function that is told which share is done, 0 to 1."""
    done, whole = 0, 1000
    with progress_bar(whole, label) as advance:

        def tell(share: float) -> None:
            nonlocal done
            step = int(whole * share) - done
            if step > 0:
                advance(step)
                done += step

        yield tell
