"""Labelled pictures: the digits that scikit-learn brings, CIFAR from its own archives.

Shape letters: N pictures, C channels, S side, K classes.
"""

from __future__ import annotations

import tarfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from segface_edge.errors import DataError, UsageError, missing_extra

from .views import Changes

# Of each digit, for the test: the rest, 124 or more, is what training samples from.
DIGITS_FOR_TEST = 50


@dataclass(frozen=True)
class Pictures:
    """Labelled pictures.

    Attributes:
        images: (N, C, S, S) float32 in [0, 1].
        labels: (N,) int64 in [0, K).
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, indices: Tensor) -> Pictures:
        """Those at (M,) int64 indices, in that order."""
        return Pictures(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class DataSet:
    """A data set of recognition.

    Attributes:
        name: key of `DATASETS`.
        train, test: balanced, before any tail is made.
        classes: K.
        changes: how a picture may look in a view of it.
    """

    name: str
    train: Pictures
    test: Pictures
    classes: int
    changes: Changes


def open_dataset(name: str, folder: Path | None = None) -> DataSet:
    """A data set by name.

    Args:
        name: key of `DATASETS`.
        folder: where CIFAR's archive (`cifar-10-binary.tar.gz`, `cifar-100-binary.tar.gz`) lies.

    Raises:
        UsageError: unknown name, or a folder is needed and not given.
        DataError: the archive is missing, cut off, or not what its name says.
        MissingDependencyError: digits without scikit-learn.
    """
    if name not in DATASETS:
        raise UsageError(f"data set {name!r}", "is unknown", f"use one of: {', '.join(DATASETS)}")
    return DATASETS[name](folder)


def _digits(_: Path | None) -> DataSet:
    try:
        from sklearn.datasets import load_digits
    except ModuleNotFoundError as error:
        raise missing_extra("scikit-learn", "longtail", "data set digits") from error
    bunch = load_digits()
    images = torch.from_numpy(bunch.images.astype(np.float32) / 16)[:, None]
    labels = torch.from_numpy(bunch.target.astype(np.int64))
    whole = Pictures(images, labels)
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(len(labels), generator=generator)
    places = torch.zeros(len(labels), dtype=torch.long)  # how many of its class come before it
    for label in range(10):
        here = order[labels[order] == label]
        places[here] = torch.arange(len(here))
    held = places < DIGITS_FOR_TEST
    train, test = ((~held).nonzero()[:, 0], held.nonzero()[:, 0])
    # No mirror images: a mirrored 2 is none. Pictures of 8 x 8 bear little.
    changes = Changes(rotation=12, scale=0.12, shift=0.1, brightness=0.15, noise=0.04)
    return DataSet("digits", whole.at(train), whole.at(test), 10, changes)


@dataclass(frozen=True)
class _Cifar:
    archive: str
    folder: str
    train: tuple[str, ...]
    test: tuple[str, ...]
    classes: int
    label_bytes: int  # of a record; the last is the label (CIFAR-100: coarse, then fine)
    records: int  # of a file


_CIFAR = {
    "cifar10": _Cifar(
        "cifar-10-binary.tar.gz",
        "cifar-10-batches-bin",
        tuple(f"data_batch_{part}.bin" for part in range(1, 6)),
        ("test_batch.bin",),
        10,
        1,
        10_000,
    ),
    "cifar100": _Cifar("cifar-100-binary.tar.gz", "cifar-100-binary", ("train.bin",), ("test.bin",), 100, 2, 50_000),
}
_CIFAR_SIDE = 32


def _cifar(name: str) -> Callable[[Path | None], DataSet]:
    def read(folder: Path | None) -> DataSet:
        about = _CIFAR[name]
        if folder is None:
            raise UsageError(f"data set {name}", "needs its archive", f"give --root DIR with {about.archive}")
        path = folder / about.archive
        if not path.is_file():
            raise DataError(
                path, "no such file", "download the 'binary version' of CIFAR (the Python version holds pickles)"
            )
        train, test = (_cifar_part(path, about, names) for names in (about.train, about.test))
        changes = Changes(mirror=True, rotation=5, scale=0.2, shift=0.125, brightness=0.3, noise=0.0)
        return DataSet(name, train, test, about.classes, changes)

    return read


def _cifar_part(path: Path, about: _Cifar, names: tuple[str, ...]) -> Pictures:
    record = about.label_bytes + 3 * _CIFAR_SIDE**2
    parts = []
    try:
        with tarfile.open(path) as archive:
            for name in names:
                member = archive.getmember(f"{about.folder}/{name}")
                # A file of another size is not read at all.
                if not member.isfile() or member.size % record or not 0 < member.size <= about.records * record:
                    raise DataError(
                        path, f"holds {name} of {member.size} bytes, not records of {record}", "download it again"
                    )
                content = archive.extractfile(member)
                assert content is not None
                parts.append(np.frombuffer(content.read(), np.uint8).reshape(-1, record))
    except (KeyError, EOFError, OSError, tarfile.TarError, zlib.error) as error:
        raise DataError(path, f"is not CIFAR's binary archive ({error})", "download it again") from error
    rows = np.concatenate(parts)
    labels = torch.from_numpy(rows[:, about.label_bytes - 1].astype(np.int64))
    if int(labels.max()) >= about.classes:
        raise DataError(path, f"holds the label {int(labels.max())}", "download it again")
    pixels = rows[:, about.label_bytes :].reshape(-1, 3, _CIFAR_SIDE, _CIFAR_SIDE)
    return Pictures(torch.from_numpy(pixels.astype(np.float32) / 255), labels)


DATASETS: dict[str, Callable[[Path | None], DataSet]] = {
    "digits": _digits,
    "cifar10": _cifar("cifar10"),
    "cifar100": _cifar("cifar100"),
}
