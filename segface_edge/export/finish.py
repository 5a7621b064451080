"""The last touches on an ONNX file: lossless compaction, metadata."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def compact(model: onnx.ModelProto) -> None:
    """Stores every large fp32 weight that half precision holds exactly as fp16, with a Cast behind it.

    Nothing is rounded: a weight with one value that fp16 does not hold stays as it is. Changes `model` in place.
    """
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type != TensorProto.FLOAT or np.prod(weight.dims) < 64:
            continue
        values = numpy_helper.to_array(weight)
        with np.errstate(over="ignore"):
            half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(half, f"{name}.fp16"))
        casts.append(helper.make_node("Cast", [f"{name}.fp16"], [name], to=TensorProto.FLOAT, name=f"{name}.widen"))
    nodes = casts + list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes)


def set_metadata(model: onnx.ModelProto, entries: Mapping[str, str]) -> None:
    """Replaces the file's metadata and drops what the tools left (producer, doc strings, traces)."""
    del model.metadata_props[:]
    for key, value in entries.items():
        model.metadata_props.add(key=key, value=value)
    model.producer_name, model.producer_version, model.doc_string = "segface-edge", "", ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer]:
        del value.metadata_props[:]
        value.doc_string = ""
