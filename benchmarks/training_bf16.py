"""How far a gradient in bf16 is from the one in fp32: `python benchmarks/training_bf16.py --data DIR`.

The bundled weights, 0.5 CE + 0.5 Dice, a batch of labelled photos at 256, BatchNorm frozen. Cosines with the gradient
of the plain network in fp32: of training's own order of sums, in fp32 and bf16; of the plain network in bf16; and of
half of the batch in fp32, which is what another draw of photos changes. Writes `results/training/bf16.json`.
"""

from __future__ import annotations

import json
from pathlib import Path

import click
import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from segface_edge import zoo
from segface_edge.bench.machine import environment
from segface_edge.datasets.opening import folder
from segface_edge.files import write_whole
from segface_edge.labels import label_set
from segface_edge.network import SegFace, read_checkpoint
from segface_edge.network.checkpoint import load_segface
from segface_edge.pictures import fitting
from segface_edge.training.augment import normalise
from segface_edge.training.cpu import subnormals_flushed
from segface_edge.training.losses import LossConfig, SegmentationLoss

RESULT = Path(__file__).parent / "results" / "training" / "bf16.json"
SIZE = 256


def batch(data: Path, photos: int) -> tuple[Tensor, Tensor]:
    """(N, 3, S, S) normalised and (N, S, S) uint8 labels in SegFace's order."""
    disk, order = label_set("celebamask-hq"), label_set("segface")
    images, maps = [], []
    for sample in folder(data)[:photos]:
        photo, labels = sample.read(disk)
        images.append(torch.from_numpy(fitting.fit(photo, SIZE).pixels.copy()))
        small = np.asarray(Image.fromarray(labels).resize((SIZE, SIZE), Image.Resampling.NEAREST))
        maps.append(torch.from_numpy(disk.table_to(order)[small]))
    return normalise(torch.stack(images).permute(0, 3, 1, 2).float() / 255), torch.stack(maps).to(torch.uint8)


def gradient(network: SegFace, images: Tensor, labels: Tensor, *, half: bool, training: bool) -> Tensor:
    """All parameters' gradients in one vector."""
    network.train(training)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    network.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
        logits = network(images)
    loss, _ = SegmentationLoss(LossConfig(), network.labels)(logits, labels)
    loss.backward()
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters() if parameter.grad is not None])


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True, help="Labelled folder.")
@click.option("--photos", default=12, show_default=True)
@click.option("--threads", default=1, show_default=True)
def main(data: Path, photos: int, threads: int) -> None:
    """Measure, write."""
    torch.set_num_threads(threads)
    network = load_segface(
        read_checkpoint(zoo.RELEASED["mobilenet"]),
        backbone="mobilenet",
        labels="segface",
        image_size=SIZE,
        source="mobilenet",
    ).to(memory_format=torch.channels_last)
    images, labels = batch(data, photos)
    some = photos // 2
    with subnormals_flushed():
        plain = gradient(network, images, labels, half=False, training=False)
        found = {
            "training, fp32": gradient(network, images, labels, half=False, training=True),
            "training, bf16": gradient(network, images, labels, half=True, training=True),
            "plain, bf16": gradient(network, images, labels, half=True, training=False),
            "plain, fp32, half of the batch": gradient(
                network, images[:some], labels[:some], half=False, training=False
            ),
        }
    cosines = {
        name: float(nn.functional.cosine_similarity(plain.double(), one.double(), dim=0)) for name, one in found.items()
    }
    document = {"photos": photos, "size": SIZE, "cosines": cosines, "environment": environment()}
    write_whole(RESULT, (json.dumps(document, indent=1) + "\n").encode())
    click.echo(json.dumps(cosines, indent=1))


if __name__ == "__main__":
    main()
