"""What each step of the deploy graph gives: `python benchmarks/steps.py`.

The released weights as a row of graphs, each with one more step than the one before: from the plain network with an
ArgMax behind it to the deploy graph. All in turn, in ONNX Runtime: `results/<device>/steps-*.json`, then
`make results`. Multiplications and bytes: `results/graph/steps.json`. The steps are those of
`docs/deploy-graph.md`.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import cast

import click
import numpy as np
import onnx
import torch
from torch import Tensor, nn

from segface_edge import zoo
from segface_edge.bench.choice import openers
from segface_edge.bench.machine import device_name, environment
from segface_edge.bench.report import text
from segface_edge.bench.run import bench
from segface_edge.bench.scenarios import Scenario
from segface_edge.engines import open_engine
from segface_edge.export.cost import node_costs
from segface_edge.export.finish import set_metadata
from segface_edge.export.rewrite import rewrite
from segface_edge.export.to_onnx import trace
from segface_edge.files import write_whole
from segface_edge.network import SegFace, read_checkpoint
from segface_edge.network.checkpoint import load_segface
from segface_edge.network.decoder import WIDTH
from segface_edge.network.deploy import DeployGraph, normalise
from segface_edge.network.rows import RowFusion, TokensToImage, to_picture
from segface_edge.pictures.fitting import fit
from segface_edge.pictures.reading import load
from segface_edge.spec import METADATA_KEY, ModelSpec

RESULTS = Path(__file__).resolve().parent / "results"
COSTS = RESULTS / "graph" / "steps.json"
# Each with all those before it.
STEPS = ("plain", "bytes-in", "taps-folded", "tokens-to-image", "image-to-tokens", "head-on-rows", "ids-arranged")
REWRITTEN = "rewritten"
OPSET = 18
OPENINGS = 6
SAME_LABELS = 0.9999


class Partly(nn.Module):
    """The network with the steps up to `last`: images or frames in, labels out."""

    def __init__(self, model: SegFace, last: str) -> None:
        super().__init__()
        self.model, self.deploy = model, DeployGraph(model)
        self.done = STEPS[: STEPS.index(last) + 1]
        if "image-to-tokens" not in self.done:
            # Without that step no row holds a bias that is due later.
            nothing = torch.zeros(WIDTH, dtype=torch.float64)
            transformer = model.face_decoder.transformer
            attentions = [cast(nn.Module, block.cross_attn_token_to_image) for block in transformer.layers]
            attentions.append(transformer.final_attn_token_to_image)
            self.deploy.fusion = RowFusion(model.fusion, nothing)
            self.deploy.tokens_to_image = nn.ModuleList(TokensToImage(plain, nothing) for plain in attentions)  # type: ignore[arg-type]

    def forward(self, frames: Tensor) -> Tensor:
        """(N, 3, S, S) float, or from `bytes-in` on (N, S, S, 3) uint8 -> (N, S, S) uint8."""
        model, deploy, done = self.model, self.deploy, self.done
        n, side = frames.shape[0], deploy.side
        taps = model.backbone.features(normalise(frames) if "bytes-in" in done else frames)  # type: ignore[operator]
        image = deploy.fusion(taps) if "taps-folded" in done else model.fusion(taps).flatten(2).transpose(1, 2)
        position = deploy.position() if "tokens-to-image" in done else model.pe_layer(side, side)
        pos = model.face_decoder.class_tokens.expand(n, -1, -1)
        tokens = pos
        transformer = model.face_decoder.transformer
        for index, block in enumerate(transformer.layers):
            constant = "tokens-to-image" in done and index == 0
            tokens = deploy.tokens if constant else block.attend_selves(tokens, pos)  # type: ignore[operator]
            if "tokens-to-image" in done:
                attended = deploy.tokens_to_image[index](tokens + pos, image, position)
            else:
                attended = block.cross_attn_token_to_image(tokens + pos, image + position, image)  # type: ignore[operator]
            tokens = block.norm2(tokens + attended)  # type: ignore[operator]
            tokens = block.norm3(tokens + block.mlp(tokens))  # type: ignore[operator]
            if "image-to-tokens" in done:
                attended = deploy.image_to_tokens[index](image, position, tokens + pos, tokens)
                image = deploy.image_norms[index](image + attended)
            else:
                attended = block.cross_attn_image_to_token(image + position, tokens + pos, tokens)  # type: ignore[operator]
                image = block.norm4(image + attended)  # type: ignore[operator]
        if "tokens-to-image" in done:
            attended = deploy.tokens_to_image[-1](tokens + pos, image, position)
        else:
            attended = transformer.final_attn_token_to_image(tokens + pos, image + position, image)
        tokens = transformer.norm_final_attn(tokens + attended)
        if "head-on-rows" not in done:
            return model.face_decoder.head(tokens, image, side, side).argmax(1).to(torch.uint8)
        rows = deploy.head(tokens, image)
        if "ids-arranged" not in done:
            return to_picture(rows, side).argmax(-1).to(torch.uint8)
        return to_picture(rows.argmax(-1), side).to(torch.uint8)


@click.command()
@click.option("--size", default=512, show_default=True, help="Input side.")
@click.option("--duration", default=6.0, show_default=True, help="Seconds per engine and table.")
def main(size: int, duration: float) -> None:
    """Export, check, measure, write."""
    folder = RESULTS / device_name(environment())
    folder.mkdir(parents=True, exist_ok=True)
    COSTS.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as work:
        os.chdir(work)  # so that reports name files, not this machine's folders
        files = _files(size)
        _check(files, size)
        costs = {path.stem: _cost(path) for path in files}
        for threads in (1, 2):
            document = bench(
                openers([str(path) for path in files], device="cpu", threads=threads),
                zoo.PORTRAIT.read_bytes(),
                Scenario(name="single-stream", duration_s=duration, openings=OPENINGS),
                span="engine",
            )
            click.echo(text(document))
            name = f"steps-size{size}-threads{threads}"
            write_whole(folder / f"{name}.json", (json.dumps(document) + "\n").encode())
        os.chdir(RESULTS)
    write_whole(COSTS, (json.dumps({"size": size, "steps": costs}, indent=1) + "\n").encode())


def _files(size: int) -> list[Path]:
    """One a step, for any number of photos, all from one trained model."""
    checkpoint = read_checkpoint(zoo.RELEASED["mobilenet"])
    model = load_segface(
        checkpoint, backbone="mobilenet", labels=None, image_size=size, source=zoo.RELEASED["mobilenet"]
    )
    files = []
    for step in (*STEPS, REWRITTEN):
        click.echo(f"exporting {step}")
        plain = step == STEPS[0]
        example = torch.zeros(2, 3, size, size) if plain else torch.zeros(2, size, size, 3, dtype=torch.uint8)
        graph = Partly(model, STEPS[-1] if step == REWRITTEN else step)
        proto = trace(
            graph, example, name="images" if plain else "frames", outputs=["labels"], opset=OPSET, dynamic=True
        )
        if step == REWRITTEN:
            rewrite(proto)
        spec = ModelSpec(
            backbone="mobilenet",
            graph="reference" if plain else "deploy",
            size=size,
            batch=None,
            label_order=model.labels.name,
            classes=model.labels.classes,
            outputs=("labels",),
            trained_size=checkpoint.trained_size,
            terms=checkpoint.terms or "not stated",
            provenance={"weights_sha256": checkpoint.sha256},
        )
        set_metadata(proto, {METADATA_KEY: spec.to_json()})
        files.append(Path(f"{step}.onnx"))
        onnx.save(proto, files[-1])
    return files


def _check(files: list[Path], size: int) -> None:
    """All steps label the portrait alike."""
    frame = fit(load(zoo.PORTRAIT), size).pixels[None]
    found = []
    for path in files:
        with open_engine(path, device="cpu") as engine:
            found.append(engine.infer(frame).labels)
    for path, labels in zip(files, found, strict=True):
        same = float(np.mean(labels == found[0]))
        click.echo(f"{path.stem}: {100 * same:.4f} % of the portrait's labels are the plain network's")
        if same < SAME_LABELS:
            raise SystemExit(f"{path.stem} does not compute what the plain network computes")


def _cost(path: Path) -> dict[str, float]:
    nodes = node_costs(onnx.load(path))
    return {"gmac": sum(node.macs for node in nodes) / 1e9, "traffic_mb": sum(node.bytes for node in nodes) / 1e6}


if __name__ == "__main__":
    main()
