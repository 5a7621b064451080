"""What the warp outside of the graph costs: equal labels against PyTorch with the warp inside, and milliseconds.

    python benchmarks/warp.py

The bundled weights stand for a model that warps, on the bundled photos, in the square that such a model is shown.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

import numpy as np
import torch

from segface_edge import FaceParser, zoo
from segface_edge.engines.warped import infer_squares
from segface_edge.network import read_checkpoint
from segface_edge.network.checkpoint import load_segface
from segface_edge.network.engine import DEFAULT_BACKBONE, TorchEngine
from segface_edge.pictures.framing import fit_square, square_of
from segface_edge.pictures.warping import unwarp_labels, unwarp_logits, warp_square

RUNS = 20


def milliseconds(work: Callable[[], object]) -> float:
    """Median of `RUNS` after one more."""
    work()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append(1000 * (time.perf_counter() - start))
    return median(times)


def main() -> None:
    """Prints a line a photo."""
    torch.set_num_threads(1)
    checkpoint = read_checkpoint(zoo.DEFAULT_CHECKPOINT)
    size, backbone = checkpoint.trained_size or 512, checkpoint.backbone or DEFAULT_BACKBONE
    model = load_segface(checkpoint, backbone=backbone, labels=None, image_size=size, source=zoo.DEFAULT_CHECKPOINT)
    model.warps = True
    engine = TorchEngine.of(model)
    parser = FaceParser(engine)
    for path in (zoo.ASTRONAUT, zoo.PORTRAIT):
        face = parser(path)
        square = square_of(face.faces[0])
        fitted = fit_square(face.image, size, replace(square, side=1.5 * square.side))
        points = [fitted.geometry.to_square(*point) for point in face.faces[0].landmarks or ()]
        wanted = engine.run_warped(fitted.pixels[None], np.array([points], np.float32)).labels[0]
        by_logits = infer_squares(engine, fitted.pixels[None], [tuple(points)]).labels[0]
        warped = engine.infer(warp_square(fitted.pixels, points)[None])
        assert warped.logits is not None
        logits = warped.logits[0]
        print(
            f"{path.name}: equal labels {(by_logits == wanted).mean():.2%} by logits, "
            f"{(unwarp_labels(warped.labels[0], points) == wanted).mean():.2%} by masks; "
            f"warp {milliseconds(lambda: warp_square(fitted.pixels, points)):.1f} ms, "  # noqa: B023
            f"labels back {milliseconds(lambda: unwarp_labels(warped.labels[0], points)):.1f} ms, "  # noqa: B023
            f"logits back {milliseconds(lambda: unwarp_logits(logits, points)):.1f} ms "  # noqa: B023
            f"({size} x {size}, {len(model.labels)} classes)"
        )


if __name__ == "__main__":
    main()
