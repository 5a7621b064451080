"""Photos and label maps as samples: read, brought into the network's order, drawn into, lit, noised, compressed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from segface_edge.datasets.samples import Sample
from segface_edge.errors import DataError, SegFaceEdgeError, UsageError
from segface_edge.labels import IGNORED, RARE_PARTS, LabelSet
from segface_edge.pictures import fitting
from segface_edge.pictures.cutting import cut
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.pictures.landmarks import five_of

from .augment import DRAWS, AugmentConfig, needs_background
from .capture import jpeg, low_resolution, motion_blur, sensor_noise
from .light import uneven_light
from .occlusion.hand import draw_hand
from .occlusion.mask import draw_mask
from .pasting.paste import paste_part
from .sampling import Key
from .schedule import SAMPLES, SCENES, random

_BACKGROUND_SIDE = 32
# How many donors are tried.
_DONORS = 8
# The source is drawn a little larger than the frame, so that turning and scaling lose no detail.
_SOURCE_FACTOR = 1.25


@dataclass(frozen=True)
class _Face:
    """A photo (H, H, 3) and its labels (H, H) as they are kept; its five landmarks (5, 2), from -1 to 1, or None."""

    image: UInt8Array
    labels: UInt8Array
    landmarks: npt.NDArray[np.float32] | None


def need_landmarks(samples: Sequence[Sample], cure: str) -> None:
    """Raises DataError where a photo has none, for a network that warps faces by them."""
    bare = next((sample for sample in samples if sample.landmarks is None), None)
    if bare is not None:
        raise DataError(bare.image, "has no landmarks, which model.warp needs", cure)


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
        warps: samples have the faces' landmarks too.

    Raises:
        DataError, ImageError: a photo or label map cannot be read, or is not of its photo; it has no landmarks, and
            they are wanted.
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
        warps: bool = False,
    ) -> None:
        self._warps = warps
        if warps:
            need_landmarks(samples, "train on LaPa, or set it to false")
        self._samples, self._orders, self._order = list(samples), list(orders), order
        self._tables = {source.name: _table(source, order) for source in dict.fromkeys(self._orders)}
        self._side, self._config, self._seed = side, config, seed
        self._kept: list[_Face] | None = None
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
                np.flatnonzero(np.bincount(self._kept[index].labels.reshape(-1), minlength=256)[:IGNORED]).tolist()
            )
        order = self._orders[index]
        table = self._tables[order.name]
        return frozenset(int(table[label]) for label in self._samples[index].present(order))

    def __getitem__(self, key: Key) -> dict[str, npt.NDArray[Any]] | SegFaceEdgeError:
        """One sample: `image` (H, H, 3), `labels` (L, L), `background` (b, b, 3), `draws` (32,), and where faces are
        warped `landmarks` (5, 2), from -1 to 1 over the image.

        What is wrong with a photo is returned, for `batches` to raise: an error of ours does not survive the way from
        a worker process.
        """
        try:
            return self._sample(key)
        except SegFaceEdgeError as error:
            return error

    def _sample(self, key: Key) -> dict[str, npt.NDArray[Any]]:
        rng = random(self._seed, SAMPLES, key.position)
        draws = rng.random(DRAWS, dtype=np.float32)
        face = self._face(key.photo)
        image, labels = face.image, face.labels
        chances = rng.random(4)
        if chances[0] < self._config.paste and self._donors:
            image, labels = self._paste(image, labels, rng)
        scene = _Scene(self._seed, key.position)
        image, labels = self._scene(image, labels, scene)
        background = self._background(draws, rng)
        if chances[1] < self._config.noise:
            image = sensor_noise(image, self._config.noise_sigma, rng)
        source = min(self._side, math.ceil(_SOURCE_FACTOR * key.size / 32) * 32)
        if source != len(image):
            image = _resized(image, source)
        own = scene.rng("low_resolution", self._config.low_resolution)
        if own is not None:
            low, high = self._config.low_resolution_factor
            # Of the photo that fills the frame, which the source exceeds in pixels.
            image = low_resolution(image, max(1, round(key.size / own.uniform(low, high))), own)
        if chances[2] < self._config.jpeg:
            image = jpeg(image, int(rng.integers(25, 91)))
        points = {} if face.landmarks is None else {"landmarks": face.landmarks}
        return {"image": image, "labels": labels, "background": background, "draws": draws, **points}

    def photo(self, index: int) -> tuple[UInt8Array, UInt8Array]:
        """A photo (H, H, 3) and its labels (H, H) in the network's order, H the side that photos are kept at."""
        face = self._face(index)
        return face.image, face.labels

    def _face(self, index: int) -> _Face:
        return self._kept[index] if self._kept is not None else self._read(index)

    def _read(self, index: int) -> _Face:
        sample, order = self._samples[index], self._orders[index]
        photo, labels = sample.read(order)
        corner = (0.0, 0.0)
        if sample.box is not None:
            photo, labels, corner = cut(photo, labels, sample.box, sample.image)
        labels = self._tables[order.name][labels]
        # A protocol that shows a box stretches it.
        fitted = fitting.fit(photo, self._side, squash=sample.box is not None)
        box = fitted.geometry
        inner = (box.right - box.left, box.bottom - box.top)
        drawn = np.asarray(Image.fromarray(labels).resize(inner, Image.Resampling.NEAREST))
        if inner != (self._side, self._side):
            framed = np.zeros((self._side, self._side), np.uint8)
            framed[box.top : box.bottom, box.left : box.right] = drawn
            drawn = framed
        if not self._warps or sample.landmarks is None:
            return _Face(fitted.pixels, drawn, None)
        points = np.array(five_of(sample.landmarks, sample.image)) - corner
        shown = np.array(box.to_square(points.tolist()), np.float32)
        return _Face(fitted.pixels, drawn, (shown / self._side * 2 - 1).astype(np.float32))

    def _paste(self, image: UInt8Array, labels: UInt8Array, rng: np.random.Generator) -> tuple[UInt8Array, UInt8Array]:
        parts = sorted(self._donors)
        part = parts[int(rng.integers(len(parts)))]
        # Most pairs of faces are refused: other turn, hair in the way, the part cut off.
        for donor in rng.choice(self._donors[part], _DONORS):
            pasted = paste_part(image, labels, *self.photo(int(donor)), self._order, part, rng)
            if pasted is not None:
                return pasted
        return image, labels

    def _scene(self, image: UInt8Array, labels: UInt8Array, scene: _Scene) -> tuple[UInt8Array, UInt8Array]:
        """What happens before a lens and in it: what hides the face, light, motion."""
        for name, draw in (("mask", draw_mask), ("hand", draw_hand)):
            own = scene.rng(name, getattr(self._config, name))
            if own is not None:
                image, labels = draw(image, labels, self._order, own)
        own = scene.rng("light", self._config.light)
        if own is not None:
            image = uneven_light(image, own)
        own = scene.rng("motion", self._config.motion)
        if own is not None:
            image = motion_blur(image, self._config.motion_length, own)
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


class _Scene:
    """Random numbers of what is drawn into one sample, for each change its own: what one does moves no other, nor what
    the stream of `SAMPLES` gives."""

    _CHANGES = ("mask", "hand", "light", "motion", "low_resolution")

    def __init__(self, seed: int, position: int) -> None:
        rng = random(seed, SCENES, position)
        self._chances = rng.random(len(self._CHANGES))
        self._seeds = rng.integers(2**63, size=len(self._CHANGES))

    def rng(self, change: str, chance: float) -> np.random.Generator | None:
        """The generator of a change, None where it is not drawn."""
        number = self._CHANGES.index(change)
        return np.random.default_rng(int(self._seeds[number])) if self._chances[number] < chance else None


def _table(source: LabelSet, order: LabelSet) -> UInt8Array:
    table = np.full(256, IGNORED, np.uint8)
    try:
        table[: len(source)] = source.table_to(order)
    except UsageError as error:
        cure = f"train a network of its classes: model.labels = '{source.name}', or leave this data set out"
        raise UsageError(error.subject, error.problem, cure) from error
    return table


def _resized(image: UInt8Array, side: int) -> UInt8Array:
    """As Pillow's bicubic, to a level or two of 255, in a third of its time."""
    planes = torch.from_numpy(np.require(image, requirements="W")).permute(2, 0, 1)[None]  # torch takes no other
    drawn = torch.nn.functional.interpolate(planes, size=(side, side), mode="bicubic", antialias=True)
    return np.ascontiguousarray(drawn[0].permute(1, 2, 0).numpy())
