"""First weights of the trainings of `recipe-s8.toml` and `recipe-s4.toml`.

A network of stride 8 has a quarter of the image tokens, and a step of it takes less than half of the time. So the
backbone was trained in one, and went back into the network of stride 4.

    git show 48f8c2b:segface_edge/zoo/segface_mobilenet_celeb.safetensors > before.safetensors
    python models/segface-mobilenet/strides.py 8 before.safetensors -o runs/start-s8.safetensors \\
        --of segface_edge/zoo/segface_efficientnet_lite0_s8_b1_celeb.safetensors
    python models/segface-mobilenet/strides.py 4 before.safetensors -o runs/start-s4.safetensors \\
        --of runs/mobilenet-s8/best.safetensors

8: the network of stride 8; what it has no counterpart for in `before`, the tap, is of the default model.
4: `before` with the backbone of the other one; its decoder knows thin classes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from segface_edge.network import build_segface
from segface_edge.network.checkpoint import load_segface, read_checkpoint, write_checkpoint

SIZE = 320
TERMS = "non-commercial research only (weights trained on CelebAMask-HQ, whose terms they carry)"
Weights = dict[str, Any]  # name -> tensor


def to_8(before: Weights, default: Weights) -> Weights:
    """Of `mobilenet` and the default model, those of `mobilenet_s8`, whose fusion has three feature maps, not four."""
    made = {}
    for key, wanted in build_segface("mobilenet_s8", image_size=SIZE).state_dict().items():
        source = before.get(key)
        if key.startswith("fusion.linear_c."):
            level = int(key.split(".")[2])
            source = before[key.replace(f"linear_c.{level}.", f"linear_c.{level + 1}.")]
        elif key == "fusion.linear_fuse.weight":
            source = before[key][:, : wanted.shape[1]]  # the coarsest map comes first
        if source is None or source.shape != wanted.shape:
            source = default[key]
        made[key] = source.clone()
    return made


def to_4(before: Weights, trained: Weights) -> Weights:
    """Of `mobilenet`, with the backbone of `mobilenet_s8`."""
    return {key: trained[key] if key.startswith("backbone.") else value for key, value in before.items()}


def weights(path: Path) -> Weights:
    """Of a checkpoint."""
    network = load_segface(read_checkpoint(path), image_size=SIZE, source=path)
    found: Weights = network.state_dict()
    return found


@click.command(help=__doc__)
@click.argument("stride", type=click.Choice(["8", "4"]))
@click.argument("before", type=click.Path(path_type=Path, exists=True))
@click.option("--of", "other", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("-o", "out", required=True, type=click.Path(path_type=Path))
def main(stride: str, before: Path, other: Path, out: Path) -> None:
    """Read, put together, write."""
    made = (to_8 if stride == "8" else to_4)(weights(before), weights(other))
    network = build_segface("mobilenet_s8" if stride == "8" else "mobilenet", image_size=SIZE)
    network.load_state_dict(made)
    write_checkpoint(out, network, trained_size=SIZE, terms=TERMS, notes={}, half=False)


if __name__ == "__main__":
    main()
