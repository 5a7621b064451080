"""A teacher: a trained SegFace that labels photos (self-training) or gives its logits (distillation).

Self-training: Lee, "Pseudo-Label", 2013, with a threshold on the confidence of each pixel. Distillation: Hinton et al.,
arXiv 1503.02531.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from segface_edge import zoo
from segface_edge.datasets.samples import Sample
from segface_edge.errors import CheckpointError, DataError
from segface_edge.files import write_whole
from segface_edge.labels import IGNORED, LabelSet
from segface_edge.network.checkpoint import load_segface, read_checkpoint
from segface_edge.network.engine import DEFAULT_SIZE, TorchEngine
from segface_edge.network.recognise import identified
from segface_edge.pictures import fitting, geometry, reading
from segface_edge.sources.photos import find

from .processes import Processes
from .progress import Bar
from .recipe import BUNDLED, TeacherConfig

_BATCH = 4


class Teacher:
    """The teacher of a recipe.

    Args:
        config: which, and how.
        order: the label order of what it teaches.
        device: where it runs.

    Raises:
        CheckpointError: its weights cannot be read, or are in another label order.
    """

    def __init__(self, config: TeacherConfig, order: LabelSet, device: torch.device) -> None:
        self._config, self._device = config, device
        path = zoo.DEFAULT_CHECKPOINT if config.weights == BUNDLED else Path(config.weights)
        checkpoint = identified(read_checkpoint(path), path, config.backbone)
        size = config.size or checkpoint.trained_size or DEFAULT_SIZE
        self._model = load_segface(checkpoint, image_size=size, source=path)
        if self._model.labels.classes != order.classes:
            raise CheckpointError(
                path,
                f"is in the label order '{self._model.labels.name}'",
                f"give a teacher in the order '{order.name}'",
            )
        if self._model.warps:
            raise CheckpointError(path, "warps faces by landmarks", "give a teacher that does not")
        self._model = self._model.to(device).eval().requires_grad_(False)
        self._name = f"{checkpoint.sha256[:12]}-{size}-{config.min_confidence}"

    def logits(self, images: Tensor) -> Tensor:
        """(N, 3, S, S) normalised -> (N, K, S, S), without gradient, whatever its backbone and stride."""
        # They sum as in training, which is quicker; nothing else of them differs there.
        self._model.fusion.train()
        self._model.face_decoder.train()
        with torch.no_grad():
            logits: Tensor = self._model(images)
        return logits

    def label(self, photos: Path, folder: Path, *, processes: Processes, bar: Bar) -> list[Sample]:
        """Labels every photo of a folder; what was labelled by the same teacher before is kept.

        Args:
            photos: folder of pictures.
            folder: where the label maps go, in a folder of the teacher's own.
            processes: each labels its share, and waits for the others.
            bar: makes a progress bar.

        Returns:
            The photos with label maps in the teacher's input size, 255 where it was not sure.

        Raises:
            DataError: no such folder or no pictures in it.
        """
        if not photos.is_dir():
            raise DataError(photos, "no such folder", "give a folder of photos in data.unlabelled")
        target = folder / hashlib.sha256(self._name.encode()).hexdigest()[:12]
        target.mkdir(parents=True, exist_ok=True)
        samples = [
            Sample(image=Path(source.photo), labels=target / f"{Path(source.photo).name}.png")  # type: ignore[arg-type]
            for source in find(str(photos))
            if not Path(source.photo).name.startswith(".")  # type: ignore[arg-type]
        ]
        mine = [sample for sample in samples[processes.rank :: processes.world] if not sample.labels.is_file()]
        engine = TorchEngine.of(self._model, device=str(self._device))
        size = engine.spec.size
        with bar(len(mine), "labelling") as advance:
            for start in range(0, len(mine), _BATCH):
                chunk = mine[start : start + _BATCH]
                # The whole photo in the square, as it is trained on: the label map needs no way back.
                fits = [fitting.fit(reading.load(sample.image), size) for sample in chunk]
                output = engine.infer(np.stack([fitted.pixels for fitted in fits]))
                assert output.confidence is not None
                for sample, fitted, labels, confidence in zip(
                    chunk, fits, output.labels, output.confidence, strict=True
                ):
                    sure = np.where(confidence >= 255 * self._config.min_confidence, labels, IGNORED).astype(np.uint8)
                    box = fitted.geometry
                    _write_labels(sample.labels, sure[box.top : box.bottom, box.left : box.right])
                advance(len(chunk))
        processes.wait()
        return samples


def _write_labels(path: Path, labels: geometry.UInt8Array) -> None:
    buffer = io.BytesIO()
    Image.fromarray(labels).save(buffer, "png")
    write_whole(path, buffer.getvalue())
