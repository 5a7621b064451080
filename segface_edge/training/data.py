"""From a data set on disk to batches: reading, the order of the photos, and what a sample needs a decoder for."""

from __future__ import annotations

import io
import math
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from segface_edge.datasets.samples import Sample
from segface_edge.errors import SegFaceEdgeError
from segface_edge.labels import IGNORED, RARE_PARTS, LabelSet
from segface_edge.pictures import fitting
from segface_edge.pictures.geometry import UInt8Array

from .augment import DRAWS, AugmentConfig, needs_background
from .pasting.paste import paste_part
from .recipe import SamplingConfig
from .schedule import random

# Streams of random numbers, see `schedule.random`.
_EPOCH, _SAMPLE = 2, 3
_BACKGROUND_SIDE = 32
# How many donors are tried.
_DONORS = 8
# The source is drawn a little larger than the frame, so that turning and scaling lose no detail.
_SOURCE_FACTOR = 1.25


class Key(NamedTuple):
    """A sample to make: which photo, at which position of the training, for which input side."""

    photo: int
    position: int
    size: int


@dataclass(frozen=True)
class Batch:
    """What `augment` takes: images (N, H, H, 3), labels (N, L, L), backgrounds (N, b, b, 3) uint8; draws (N, 32)."""

    images: Tensor
    labels: Tensor
    backgrounds: Tensor
    draws: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(
            *(part.to(device, non_blocking=True) for part in (self.images, self.labels, self.backgrounds, self.draws))
        )

    def pin_memory(self) -> Batch:
        """The same in page-locked memory."""
        return Batch(*(part.pin_memory() for part in (self.images, self.labels, self.backgrounds, self.draws)))


class FaceSource(torch.utils.data.Dataset[dict[str, npt.NDArray[Any]] | SegFaceEdgeError]):
    """Photos and label maps as samples.

    Args:
        samples: labelled photos, and photos that a teacher labelled.
        orders: of each sample's label map on disk.
        order: of the network; label maps are brought into it.
        side: photos are fitted to this square.
        config: what to do to a sample.
        seed: of everything random.
        preload: decode all of them now and keep them.
        donors: how many of the first samples may give parts away (those that a person labelled).

    Raises:
        DataError, ImageError: a photo or label map cannot be read, or is not of its photo.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        orders: Sequence[LabelSet],
        order: LabelSet,
        *,
        side: int,
        config: AugmentConfig,
        seed: int,
        preload: bool = False,
        donors: int | None = None,
    ) -> None:
        self._samples, self._orders, self._order = list(samples), list(orders), order
        self._tables = {source.name: _table(source, order) for source in set(self._orders)}
        self._side, self._config, self._seed = side, config, seed
        self._kept: list[tuple[UInt8Array, UInt8Array]] | None = None
        if preload:
            with ThreadPoolExecutor() as pool:
                self._kept = list(pool.map(self._read, range(len(self._samples))))
        self._donors: dict[str, list[int]] = {}
        if config.paste > 0:
            count = len(self._samples) if donors is None else donors
            present = self.present(count)
            for part in RARE_PARTS:
                if part in order.classes:
                    self._donors[part] = [i for i in range(count) if order.index(part) in present[i]]
            self._donors = {part: found for part, found in self._donors.items() if found}

    def __len__(self) -> int:
        return len(self._samples)

    def name(self, index: int) -> str:
        """The photo's file, for messages."""
        return str(self._samples[index].image)

    def present(self, count: int | None = None) -> list[frozenset[int]]:
        """The labels that each of the first `count` photos shows, in the network's order."""
        found = []
        with ThreadPoolExecutor() as pool:
            for ids in pool.map(self._labels_present, range(len(self._samples) if count is None else count)):
                found.append(ids)
        return found

    def log_prior(self, count: int) -> Tensor:
        """(K,) logarithm of each class's share of the pixels of the first `count` photos; no class below one pixel."""
        pixels = np.zeros(256, np.int64)
        for index in range(count):
            pixels += np.bincount(self.photo(index)[1].reshape(-1), minlength=256)
        classes = len(self._order)
        return torch.from_numpy(np.log(np.maximum(pixels[:classes], 1) / max(1, pixels[:classes].sum()))).float()

    def _labels_present(self, index: int) -> frozenset[int]:
        if self._kept is not None:
            return frozenset(
                np.flatnonzero(np.bincount(self._kept[index][1].reshape(-1), minlength=256)[:IGNORED]).tolist()
            )
        order = self._orders[index]
        table = self._tables[order.name]
        return frozenset(int(table[label]) for label in self._samples[index].present(order))

    def __getitem__(self, key: Key) -> dict[str, npt.NDArray[Any]] | SegFaceEdgeError:
        """One sample: `image` (H, H, 3), `labels` (L, L), `background` (b, b, 3), `draws` (32,).

        What is wrong with a photo is returned, for `collate` to raise: an error of ours does not survive the way from
        a worker process.
        """
        try:
            return self._sample(key)
        except SegFaceEdgeError as error:
            return error

    def _sample(self, key: Key) -> dict[str, npt.NDArray[Any]]:
        rng = random(self._seed, _SAMPLE, key.position)
        draws = rng.random(DRAWS, dtype=np.float32)
        image, labels = self.photo(key.photo)
        chances = rng.random(4)
        if chances[0] < self._config.paste and self._donors:
            image, labels = self._paste(image, labels, rng)
        background = self._background(draws, rng)
        if chances[1] < self._config.noise:
            sigma = rng.uniform(2, 16)
            # Noise of a sensor and its demosaicing: coarser than a pixel half of the time.
            noise = rng.normal(0, sigma, image.shape).astype(np.float32)
            if rng.random() < 0.5:
                noise = np.asarray(2 * cv2.blur(noise, (2, 2)), np.float32)
            image = np.clip(image + noise, 0, 255).astype(np.uint8)
        source = min(self._side, math.ceil(_SOURCE_FACTOR * key.size / 32) * 32)
        if source != len(image):
            image = np.asarray(Image.fromarray(image).resize((source, source), Image.Resampling.BICUBIC))
        if chances[2] < self._config.jpeg:
            image = _jpeg(image, int(rng.integers(25, 91)))
        return {"image": image, "labels": labels, "background": background, "draws": draws}

    def photo(self, index: int) -> tuple[UInt8Array, UInt8Array]:
        """A photo (H, H, 3) and its labels (H, H) in the network's order, H the side that photos are kept at."""
        return self._kept[index] if self._kept is not None else self._read(index)

    def _read(self, index: int) -> tuple[UInt8Array, UInt8Array]:
        sample, order = self._samples[index], self._orders[index]
        photo, labels = sample.read(order)
        labels = self._tables[order.name][labels]
        fitted = fitting.fit(photo, self._side)
        box = fitted.geometry
        inner = (box.right - box.left, box.bottom - box.top)
        drawn = np.asarray(Image.fromarray(labels).resize(inner, Image.Resampling.NEAREST))
        if inner != (self._side, self._side):
            framed = np.zeros((self._side, self._side), np.uint8)
            framed[box.top : box.bottom, box.left : box.right] = drawn
            drawn = framed
        return fitted.pixels, drawn

    def _paste(self, image: UInt8Array, labels: UInt8Array, rng: np.random.Generator) -> tuple[UInt8Array, UInt8Array]:
        parts = sorted(self._donors)
        part = parts[int(rng.integers(len(parts)))]
        # Most pairs of faces are refused: other turn, hair in the way, the part cut off.
        for donor in rng.choice(self._donors[part], _DONORS):
            pasted = paste_part(image, labels, *self.photo(int(donor)), self._order, part, rng)
            if pasted is not None:
                return pasted
        return image, labels

    def _background(self, draws: npt.NDArray[np.float32], rng: np.random.Generator) -> UInt8Array:
        """Another photo without anything to recognise: all of it in a few blots, or a small part of it enlarged.

        Black where `augment` will not ask for it: another photo costs a decoding.
        """
        other = int(rng.integers(len(self._samples)))
        if not needs_background(draws, self._config):
            return np.zeros((_BACKGROUND_SIDE, _BACKGROUND_SIDE, 3), np.uint8)
        photo = self.photo(other)[0]
        if rng.random() < 0.5:
            blots = int(rng.choice([1, 3, 6]))
            small = cv2.resize(photo, (blots, blots), interpolation=cv2.INTER_AREA)
        else:
            side = self._side // 8
            top, left = (int(value) for value in rng.integers(0, self._side - side + 1, 2))
            small = photo[top : top + side, left : left + side]
        enlarged = cv2.resize(
            np.ascontiguousarray(small), (_BACKGROUND_SIDE, _BACKGROUND_SIDE), interpolation=cv2.INTER_LINEAR
        )
        return np.asarray(enlarged, np.uint8)


def collate(samples: Sequence[dict[str, npt.NDArray[Any]] | SegFaceEdgeError]) -> Batch | SegFaceEdgeError:
    """Samples of one size as a batch; the first error where one is among them."""
    for sample in samples:
        if isinstance(sample, SegFaceEdgeError):
            return sample
    images, labels, backgrounds, draws = (
        torch.from_numpy(np.stack([cast(dict[str, npt.NDArray[Any]], sample)[name] for sample in samples]))
        for name in ("image", "labels", "background", "draws")
    )
    return Batch(images, labels, backgrounds, draws)


class PhotoOrder:
    """Which photo comes at which position: epochs of a shuffled list in which rare ones come more than once.

    Args:
        factors: (P,) how often each labelled photo comes in an epoch, 1 or more, fractions drawn anew each epoch.
        extra: how many photos of a teacher's labels follow the labelled ones in the list.
        share: of an epoch that these are.
        seed: of the shuffling.
    """

    def __init__(self, factors: npt.NDArray[np.float64], *, extra: int = 0, share: float = 0.0, seed: int) -> None:
        self._factors, self._extra, self._share, self._seed = factors, extra, share, seed
        self._epochs: list[npt.NDArray[np.int64]] = []
        self._ends: list[int] = []

    def __getitem__(self, position: int) -> int:
        """The photo at a position, 0 or more, without end."""
        while not self._ends or self._ends[-1] <= position:
            self._epochs.append(self._epoch(len(self._epochs)))
            self._ends.append((self._ends[-1] if self._ends else 0) + len(self._epochs[-1]))
        epoch = int(np.searchsorted(self._ends, position, side="right"))
        start = self._ends[epoch - 1] if epoch else 0
        return int(self._epochs[epoch][position - start])

    def _epoch(self, number: int) -> npt.NDArray[np.int64]:
        rng = random(self._seed, _EPOCH, number)
        whole = np.floor(self._factors)
        counts = (whole + (rng.random(len(self._factors)) < self._factors - whole)).astype(np.int64)
        photos = np.repeat(np.arange(len(self._factors)), counts)
        if self._extra and self._share > 0:
            wanted = round(len(photos) * self._share / (1 - self._share))
            chosen = np.concatenate([rng.permutation(self._extra) for _ in range(-(-wanted // self._extra))])[:wanted]
            photos = np.concatenate([photos, len(self._factors) + chosen])
        shuffled: npt.NDArray[np.int64] = rng.permutation(photos)
        return shuffled


def repeat_factors(present: Sequence[frozenset[int]], config: SamplingConfig) -> npt.NDArray[np.float64]:
    """(P,) how often each photo comes in an epoch: max(1, sqrt(t / f)) over its classes (LVIS, appendix)."""
    factors = np.ones(len(present))
    if config.repeat_threshold <= 0:
        return factors
    counts = np.zeros(256)
    for ids in present:
        counts[list(ids)] += 1
    for photo, ids in enumerate(present):
        rarest = min((counts[label] for label in ids), default=len(present)) / len(present)
        factors[photo] = min(max(1.0, math.sqrt(config.repeat_threshold / rarest)), config.max_repeat)
    return factors


def batches(source: FaceSource, keys: Iterator[list[Key]], *, workers: int, pin: bool) -> Iterator[Batch]:
    """Batches in the order of `keys`, prepared ahead by `workers` processes. Raises what is wrong with a photo."""
    loader = torch.utils.data.DataLoader(
        source,
        batch_sampler=_Sampler(keys),
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        prefetch_factor=4 if workers else None,
        worker_init_fn=_leave_ctrl_c_alone,
    )
    for batch in loader:
        if isinstance(batch, SegFaceEdgeError):
            raise batch
        yield batch


def _leave_ctrl_c_alone(_: int) -> None:
    """A terminal's Ctrl-C reaches the workers too; the loop decides when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class _Sampler(torch.utils.data.Sampler[list[Key]]):
    def __init__(self, keys: Iterator[list[Key]]) -> None:
        self._keys = keys

    def __iter__(self) -> Iterator[list[Key]]:
        return self._keys


def _table(source: LabelSet, order: LabelSet) -> UInt8Array:
    table = np.full(256, IGNORED, np.uint8)
    table[: len(source)] = source.table_to(order)
    return table


def _jpeg(image: UInt8Array, quality: int) -> UInt8Array:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "jpeg", quality=quality)
    with Image.open(buffer) as picture:
        return np.asarray(picture)
