"""ONNX file -> OpenVINO's own format: model.xml and model.bin."""

from __future__ import annotations

import openvino

from segface_edge.engines.openvino import VERSION

from .job import Job


def convert(job: Job) -> dict[str, str]:
    """Weights stay fp32: OpenVINO would round those that fp16 does not hold."""
    model = openvino.Core().read_model(job.onnx)
    openvino.save_model(model, job.out, compress_to_fp16=False)
    return {"openvino": VERSION}
