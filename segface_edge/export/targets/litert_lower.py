"""A .tflite file in fp32 -> fp16 or int8, by LiteRT's own quantiser, which works on files."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

from ai_edge_quantizer import qtyping, quantizer

from .job import Job

VERSIONS = {"ai-edge-quantizer": version("ai-edge-quantizer")}
_SIGNATURE = "serving_default"
# The backbone's layers, as in an ONNX file (`export/int8.py`). The decoder's products, which are no convolutions, lose
# the most.
_CONVOLUTIONS = (qtyping.TFLOperationName.CONV_2D, qtyping.TFLOperationName.DEPTHWISE_CONV_2D)


def lower(job: Job, plain: Path) -> bytes:
    """The file in `job.spec.precision`.

    fp16: all weights as halves, which XNNPACK widens when the file is loaded, or computes with where the CPU has fp16.
    int8: convolutions, weights by channel and what goes between by tensor, with ranges from `--calib-data`.
    """
    made = quantizer.Quantizer(str(plain))
    found = None
    if job.spec.precision == "fp16":
        made.add_weight_only_config(
            regex=".*",
            operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
            num_bits=16,
            algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
        )
    else:
        for kind in _CONVOLUTIONS:
            made.add_static_config(regex=".*", operation_name=kind, activation_num_bits=8, weight_num_bits=8)
        # Counted before they are run: a generator would be empty by then.
        given = [{"frames": photo[None]} for photo in job.calibration()[1]]
        found = made.calibrate({_SIGNATURE: given})
    return bytes(made.quantize(found).quantized_model)
