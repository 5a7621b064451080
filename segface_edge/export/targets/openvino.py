"""ONNX file -> OpenVINO's own format: model.xml and model.bin."""

from __future__ import annotations

import openvino

from segface_edge.engines.openvino import VERSION

from .job import Job


def convert(job: Job) -> dict[str, str]:
    """Weights stay as they are: OpenVINO would round fp32 to fp16."""
    model = openvino.Core().read_model(job.onnx)
    openvino.save_model(model, job.out, compress_to_fp16=False)
    return {"openvino": VERSION}
