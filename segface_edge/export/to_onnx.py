"""PyTorch -> ONNX, by torch.export: one file, whose opset, inputs and outputs are checked."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx
import onnx_ir
import torch
from onnx_ir.passes import common
from onnxscript import optimizer
from torch import nn

from segface_edge.errors import ParityError
from segface_edge.network import SegFace
from segface_edge.network.deploy import DeployGraph, WarpingGraph

from .config import ExportConfig
from .rewrite import rewrite

INPUT_NAMES = {"deploy": "frames", "reference": "images"}
# Elements of a folded constant: shapes and scalars fold, the positional term stays its small tables.
FOLD_LIMIT = 64 * 1024


class _Reference(nn.Module):
    """The plain network with images as its only input."""

    def __init__(self, model: SegFace) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (self.model.plain(images),)


def to_onnx(model: SegFace, config: ExportConfig, path: Path) -> None:
    """Writes `model` as ONNX to `path`.

    Raises:
        ParityError: the file's opset or outputs are not what was asked for.
    """
    size = model.image_size
    # The exporter takes a batch of 1 for a constant: a dynamic graph is traced with 2.
    batch = 2 if config.dynamic else config.batch
    graph: nn.Module
    more: dict[str, torch.Tensor] = {}
    if config.graph == "deploy":
        graph = (WarpingGraph if config.warp == "inside" else DeployGraph)(model, config.output or "labels")
        if config.warp == "inside":
            more = {"landmarks": size * torch.rand(batch, 5, 2)}
        example = torch.zeros(batch, size, size, 3, dtype=torch.uint8)
    else:
        graph = _Reference(model)
        example = torch.zeros(batch, 3, size, size)
    proto = trace(
        graph,
        example,
        name=INPUT_NAMES[config.graph],
        outputs=config.output_kinds,
        opset=config.onnx_opset,
        dynamic=config.dynamic,
        more=more,
    )
    if config.graph == "deploy":
        rewrite(proto)
    opset = next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    outputs = tuple(output.name for output in proto.graph.output)
    if opset != config.onnx_opset or outputs != config.output_kinds:
        raise ParityError(
            path.name,
            f"was exported with opset {opset} and outputs {', '.join(outputs)}, not as asked",
            "use the torch version of constraints.txt",
        )
    onnx.save(proto, path)


def trace(
    graph: nn.Module,
    example: torch.Tensor,
    *,
    name: str,
    outputs: Sequence[str],
    opset: int,
    dynamic: bool,
    more: Mapping[str, torch.Tensor] | None = None,
) -> onnx.ModelProto:
    """What `graph` computes for inputs like `example`.

    Args:
        graph: a module of one input, or of `more`.
        example: an input; of two photos or more where `dynamic`.
        name: of the input.
        outputs: names of the outputs.
        opset: the ONNX opset to write.
        dynamic: the first axis may have any length.
        more: further inputs, by name, with the same first axis.
    """
    more = more or {}
    axes = {0: torch.export.Dim("N", min=1, max=1024)}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations; what matters is checked by who calls this
        program = torch.onnx.export(
            graph.eval(),
            (example, *more.values()),
            dynamo=True,
            optimize=False,
            verbose=False,
            opset_version=opset,
            input_names=[name, *more],
            output_names=list(outputs),
            dynamic_shapes=(axes,) * (1 + len(more)) if dynamic else None,
        )
    assert program is not None
    return _tidy(program.model)


def _tidy(model: onnx_ir.Model) -> onnx.ModelProto:
    """Inlines functions, folds shapes and small constants, removes what is unused or computed twice.

    The exporter's own optimiser does this too, but also folds BatchNorm into the convolutions before it. Left apart,
    their weights stay those of the checkpoint (so that half precision can hold them exactly, see `finish.compact`);
    every runtime folds BatchNorm when it loads the file.
    """
    common.InlinePass()(model)
    for _ in range(2):
        optimizer.fold_constants(model, output_size_limit=FOLD_LIMIT)
        optimizer.remove_unused_nodes(model)
    common.CommonSubexpressionEliminationPass()(model)
    return onnx_ir.to_proto(model)
