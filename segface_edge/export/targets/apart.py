"""A function in a process of its own, within bounds of time and memory: converters are native code of many makers.

Some end with 0 after failing, some crash when all is done, some take the memory of the machine. What counts is the
answer that the function gives; where there is none, the error is one line with the tool's own last words.
"""

from __future__ import annotations

import ctypes
import os
import pickle
import re
import resource
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import segface_edge
from segface_edge.errors import IncompatibleEngineError, SegFaceEdgeError

_GIB = 2**30
_LAST_WORDS = 300
_PR_SET_PDEATHSIG = 1
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def run_apart(
    function: str, *arguments: object, subject: object, doing: str, minutes: float = 20.0, memory_gib: float = 12.0
) -> Any:
    """What `function(*arguments)` returns. Its working folder is a temporary one, and what it prints is not seen.

    Args:
        function: `module:name`; arguments and answer are pickled.
        subject: what an error is about.
        doing: what is done, for messages: `the conversion by OpenVINO`.
        minutes: it is ended after these.
        memory_gib: of data that it, and each process that it starts, may hold.

    Raises:
        IncompatibleEngineError: it failed, crashed, took too long, or gave no answer.
        SegFaceEdgeError: what it raised.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        job, answer, log = folder / "job", folder / "answer", folder / "log"
        (work := folder / "work").mkdir()
        job.write_bytes(pickle.dumps((function, arguments, int(memory_gib * _GIB))))
        package = Path(segface_edge.__file__).parents[1]
        path = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", __name__, str(job), str(answer)]

        def failed(problem: str) -> IncompatibleEngineError:
            return IncompatibleEngineError(
                subject, f"{doing} {problem}", "nothing was written; report it, or use another"
            )

        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=work,
                env={**os.environ, "PYTHONPATH": path},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(60 * minutes)
            except subprocess.TimeoutExpired:
                raise failed(f"took over {minutes:g} minutes") from None
            finally:
                _end(process)
        try:
            good, found = pickle.loads(answer.read_bytes())
        except (OSError, EOFError, pickle.UnpicklingError):
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with {code} and no result"
            raise failed(f"{how}{_last_words(log)}") from None
    if good:
        return found
    if isinstance(found, SegFaceEdgeError):
        raise found
    raise failed(f"failed: {found}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends it and all that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        process.wait()


def _last_words(log: Path) -> str:
    lines = [line.strip() for line in _COLOURS.sub("", log.read_text(errors="replace")).splitlines() if line.strip()]
    return f": {lines[-1][-_LAST_WORDS:]}" if lines else ", without a word"


def _words(error: BaseException) -> str:
    """An error of another library in one line, its end where it is long."""
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return text if len(text) <= 2 * _LAST_WORDS else f"{text[:_LAST_WORDS]} … {text[-_LAST_WORDS:]}"


def _end_with_parent() -> None:
    """Linux ends this process when the one that started it is killed: nobody would wait for its answer."""
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _main(job: Path, answer: Path) -> None:
    _end_with_parent()
    function, arguments, memory = pickle.loads(job.read_bytes())
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    module, _, name = function.partition(":")
    found: tuple[bool, object]
    try:
        found = True, getattr(import_module(module), name)(*arguments)
    except SegFaceEdgeError as error:
        found = False, error
    except Exception as error:  # of any library
        found = False, _words(error)
    answer.write_bytes(pickle.dumps(found))
    sys.stdout.flush()
    # Not by way of the libraries' own endings, in which some crash.
    os._exit(0)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
