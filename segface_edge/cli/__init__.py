"""The command line: one file per command. A command parses its options, calls one function, prints the result."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType
from typing import Any

import click

from segface_edge import __version__
from segface_edge.errors import InputError, MissingDependencyError, SegFaceEdgeError

# Name -> help, so that `segface-edge --help` imports no command.
COMMANDS = {
    "parse": "Parse photos to overlays, masks or cut-outs.",
    "serve": "Serve a model over HTTP: photos, a live page, KServe.",
    "label": "Label photos by the million into Parquet files.",
    "export": "Export a checkpoint to ONNX, checked against PyTorch.",
    "build": "Build a TensorRT engine of an ONNX file.",
    "quantize": "Make an fp16 or int8 file of an fp32 ONNX file.",
    "verify": "Compare a model file with its reference, class by class.",
    "train": "Train SegFace as a recipe says.",
    "longtail": "Compare methods for rare classes: SBCL, SupCon, cross-entropy.",
    "eval": "Measure F1 and IoU on a labelled folder.",
    "data": "Check a labelled data set before training.",
    "bench": "Measure latency and FPS of a model file.",
    "estimate": "Bound a model's latency on devices from below.",
    "models": "List models by name, fetch the authors' published ones.",
    "import": "Make a file that says what it is of a checkpoint that does not.",
    "info": "Show what a model file takes and gives.",
    "labels": "Show label orders, colours and left/right pairs.",
    "doctor": "Check what is installed, and say what mends it.",
}
# What is a word of Python's cannot be the name of a module, nor what a letter tells from another's.
_MODULES = {"import": "import_checkpoint", "label": "bulk"}
CTRL_C, TERMINATED = 130, 128 + signal.SIGTERM
# What the runtime imports -> what installs it.
_PACKAGES = {"PIL": "Pillow"}


class _Commands(click.Group):
    """Imports a command's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = import_module(f"{__name__}.{_MODULES.get(cmd_name, cmd_name)}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 ok, 1 bad input, 2 usage, 3 package missing, 4 parity, 5 incompatible model, "
    "6 benchmark gate, 130 Ctrl-C.",
)
@click.version_option(__version__, prog_name="segface-edge")
def app() -> None:
    """Face parsing on edge devices."""


class _Terminated(KeyboardInterrupt):
    """SIGTERM: everything that Ctrl-C ends ends, and nothing is left half-written."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits with the documented code (see `segface_edge.errors`)."""
    pid = os.getpid()
    in_main = threading.current_thread() is threading.main_thread()
    begun = in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    def terminate(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one waits for nothing
        if os.getpid() != pid:  # a process that another library forked
            os.kill(os.getpid(), number)
        raise _Terminated

    if begun:
        signal.signal(signal.SIGTERM, terminate)
    code = _run(arguments)
    if begun:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if code == TERMINATED:  # whoever sent it sees that it was it
        os.kill(pid, signal.SIGTERM)
    sys.exit(code)


def _run(arguments: list[str] | None) -> int:
    # Python has no standard streams where a service starts us with closed ones.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode))  # noqa: SIM115 - open as long as the process is
    try:
        # Not `app.main`, which makes exit code 1 of a broken pipe.
        given = sys.argv[1:] if arguments is None else list(arguments)
        with app.make_context("segface-edge", given) as context, warnings.catch_warnings(), _log_said():
            warnings.showwarning = _say_warning
            result: Any = app.invoke(context)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as end:  # after --help, --version
        return end.exit_code
    except SegFaceEdgeError as error:
        click.echo(f"error: {error}", err=True)
        return error.exit_code
    except ImportError as error:
        # What an optional package misses is said where it is imported; this is the runtime itself.
        click.echo(f"error: {_missing(error)}", err=True)
        return MissingDependencyError.exit_code
    except AttributeError as error:
        if getattr(error.obj, "__name__", "") != "cv2":
            raise
        click.echo(f"error: {_missing(ImportError('OpenCV is not whole', name='cv2'))}", err=True)
        return MissingDependencyError.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except _Terminated:
        # On a terminal there may be half a bar.
        click.echo("\nstopped" if sys.stderr.isatty() else "stopped", err=True)
        return TERMINATED
    except (KeyboardInterrupt, click.Abort):
        click.echo("\nstopped", err=True)  # the terminal has written ^C on this line
        return CTRL_C
    except BrokenPipeError:
        # Whoever read our output has gone (`| head`): nothing is wrong, and nothing more can be said.
        _drop_output()
        return 0
    except OSError as error:
        if error.filename is None:
            _drop_output()
        reason = (error.strerror or str(error)).lower()
        failed = InputError(error.filename or "standard output", reason, "choose another place or make room")
        click.echo(f"error: {failed}", err=True)
        return failed.exit_code


_TRACES = logging.Formatter()


class _Said(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        click.echo(f"note: {record.getMessage()}", err=True)
        if record.exc_info:
            click.echo(_TRACES.formatException(record.exc_info), err=True)


@contextmanager
def _log_said() -> Iterator[None]:
    """What the package logs, on standard error."""
    log, said = logging.getLogger("segface_edge"), _Said(logging.WARNING)
    log.addHandler(said)
    try:
        yield
    finally:
        log.removeHandler(said)


def _say_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    click.echo(f"warning: {message}", err=True)


def _missing(error: ImportError) -> MissingDependencyError:
    # An OpenCV that was made for numpy 1, as JetPack's, names nothing.
    if (error.name or "").partition(".")[0] == "cv2" or "multiarray" in f"{error}":
        from .opencv import cure_of

        return MissingDependencyError("segface-edge", f"cannot run: {error}", cure_of(error))
    if error.name == "fcntl":  # of POSIX: files are locked by it
        return MissingDependencyError("segface-edge", "does not run on Windows itself", "run it in WSL")
    package = _PACKAGES.get((error.name or "").partition(".")[0], error.name or "a package")
    return MissingDependencyError("segface-edge", f"cannot run: {error}", f"install it: pip install {package}")


def _drop_output() -> None:
    """Lets what is still to be written vanish, so that Python does not try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
