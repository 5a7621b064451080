"""ONNX file -> OpenVINO's own format: model.xml and model.bin."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import openvino
from openvino import opset13 as ops

from segface_edge.engines.openvino import LARGEST, VERSION
from segface_edge.export.precision import no_bar
from segface_edge.export.quantize import lower_file

from .job import Job


def convert(job: Job) -> dict[str, str]:
    """fp32 stays fp32, which OpenVINO left to itself would round. fp16 is of weights, which are widened when the model
    is loaded; beside int8 OpenVINO leaves them as they are."""
    source = _in_int8(job) if job.spec.precision == "int8" else job.onnx
    model = openvino.Core().read_model(source)
    for node in model.get_ops():
        if node.get_type_name() == "TopK":
            _compare(node)
    model.validate_nodes_and_infer_types()
    openvino.save_model(model, job.out, compress_to_fp16=job.spec.precision == "fp16")
    return {"openvino": VERSION}


def _in_int8(job: Job) -> Path:
    """The ONNX file as CPUs multiply int8 (`export/int8_cpu.py`): OpenVINO takes its Q and DQ into its layers."""
    asked, photos = job.calibration()
    lowered = lower_file(job.onnx, asked, photos, photos, progress=lambda _: None, bar=no_bar)
    path = Path("int8.onnx")  # in this process's own folder
    onnx.save(lowered.model, path)
    return path


def _compare(topk: Any) -> None:
    """An argmax, of which OpenVINO made a TopK of one, as the lowest of the places where the largest is.

    Reductions and comparisons run over whole vectors, where TopK sorts pixel by pixel. Labels are the same, equals
    included. What finds the largest has a name by which the engine's `finite` knows it, as it knows a TopK.
    """
    values, asked = topk.input_value(0), topk.input_value(1).get_node()
    shape = values.get_partial_shape()
    count = shape[-1].get_length() if shape[-1].is_static else 0
    one = asked.get_type_name() == "Constant" and asked.get_data() == 1
    if not (one and count and topk.get_axis() in (-1, len(shape) - 1) and topk.get_attributes()["mode"] == "max"):
        return
    largest = ops.reduce_max(values, -1, keep_dims=True)
    largest.set_friendly_name(f"{LARGEST}{topk.get_friendly_name()}")
    places = ops.constant(np.arange(count, dtype=np.float32))
    # Of nothing but NaN the last: a label that there is.
    found = ops.select(ops.equal(values, largest), places, ops.constant(np.float32(count - 1)))
    label = ops.convert(ops.reduce_min(found, -1, keep_dims=True), topk.get_output_element_type(1).get_type_name())
    for reader in topk.output(1).get_target_inputs():
        reader.replace_source_output(label.output(0))
