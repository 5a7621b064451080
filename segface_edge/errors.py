"""Every error that segface-edge raises on purpose, and the exit code that the command line gives it.

::

    SegFaceEdgeError                     1
    ├── InputError                       1   something that was given is bad
    │   ├── ImageError                       a picture that cannot be read or parsed
    │   │   └── PictureSizeError             one of more pixels than are read
    │   ├── DataError                        a data set, folder or label map
    │   ├── CheckpointError                  weights
    │   ├── ModelFileError                   an ONNX file or engine that is damaged
    │   └── TrainingError                    a training that cannot go on
    ├── UsageError                       2   an option, a name or an argument that does not exist
    ├── MissingDependencyError           3   an optional package that is not installed
    ├── ParityError                      4   a model that does not compute what its predecessor computes
    ├── IncompatibleEngineError          5   a model file that is sound, but not for this runtime or not what it says
    └── BenchmarkGateError               6   a benchmark below its gate

Ctrl-C ends with 130, SIGTERM by the signal. Each message is one line: what it is about, what is wrong, and the cure.
"""

from __future__ import annotations

from .extras import pip_install

# Letters of each part of a message; a list of all that is known may come near.
_LONGEST = 1000


class SegFaceEdgeError(Exception):
    """Base of all errors raised on purpose.

    Args:
        subject: the file, option or object that the error is about.
        problem: what is wrong with it.
        cure: what to do about it.
    """

    exit_code = 1

    def __init__(self, subject: object, problem: str, cure: str) -> None:
        self.subject = str(subject)
        self.problem = shown(problem)
        self.cure = cure
        super().__init__(f"{shown(self.subject)}: {self.problem}; {shown(cure)}")

    def __reduce__(self) -> tuple[type[SegFaceEdgeError], tuple[str, str, str]]:
        """How it goes from one process to another: an exception is pickled by its message alone."""
        return type(self), (self.subject, self.problem, self.cure)


def shown(text: str) -> str:
    """As a line that a terminal shows: what files and other libraries say may be long, have line breaks, and hold what
    moves the cursor."""
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]}…{line[-_LONGEST // 2 :]}"


class InputError(SegFaceEdgeError):
    """Something that was given is bad."""


class ImageError(InputError):
    """A picture that cannot be read or parsed."""


class PictureSizeError(ImageError):
    """A picture of more pixels than are read."""


class DataError(InputError):
    """A data set, folder or label map that cannot be used."""


class CheckpointError(InputError):
    """Weights that cannot be read or do not fit the network."""


class ModelFileError(InputError):
    """A model file that cannot be read."""


class TrainingError(InputError):
    """A training whose loss or gradient is not a number."""


class UsageError(SegFaceEdgeError):
    """An option, a name or an argument that does not exist or does not fit the others."""

    exit_code = 2


class MissingDependencyError(SegFaceEdgeError):
    """An optional package that is not installed."""

    exit_code = 3


class ParityError(SegFaceEdgeError):
    """A model that does not compute what its predecessor computes."""

    exit_code = 4


class IncompatibleEngineError(SegFaceEdgeError):
    """A sound model file that does not fit this runtime, this device, or its own description."""

    exit_code = 5


class BenchmarkGateError(SegFaceEdgeError):
    """A benchmark below the gate that was asked for."""

    exit_code = 6


def missing_extra(package: str, extra: str, purpose: str) -> MissingDependencyError:
    """The error for an absent optional package, quoting the command that installs it."""
    return MissingDependencyError(
        purpose, f"the package '{package}' is not installed", f"install it with: {pip_install(extra)}"
    )
