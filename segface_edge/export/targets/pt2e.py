"""int8 for ExecuTorch, by PyTorch's PT2E: convolutions computed in int8, ranges from photos.

As in an ONNX file (`export/int8.py`): the convolutions, which are the backbone's; weights by channel, what goes between
them by tensor. The decoder's products lose the most. XNNPACK's convolutions give int8, too, after a ReLU6 where one
follows. XNNPACK's own quantiser rounds before that, and turned more than three times as many labels.
"""

from __future__ import annotations

import torch
from torch import fx, nn
from torchao.quantization.pt2e import HistogramObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation, QuantizationSpec, Quantizer

from .job import Job

_BETWEEN = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-128,
    quant_max=127,
    qscheme=torch.per_tensor_affine,
    observer_or_fake_quant_ctr=HistogramObserver.with_args(eps=2**-12),
)
_WEIGHTS = QuantizationSpec(
    dtype=torch.int8,
    quant_min=-127,
    quant_max=127,
    qscheme=torch.per_channel_symmetric,
    ch_axis=0,
    observer_or_fake_quant_ctr=PerChannelMinMaxObserver.with_args(eps=2**-12),
)
_CONVOLUTIONS = (torch.ops.aten.conv2d.default,)
# What a convolution of XNNPACK does in passing.
_CLAMPS = tuple(
    getattr(torch.ops.aten, name).default for name in ("relu", "relu_", "hardtanh", "hardtanh_", "relu6", "relu6_")
)


class _Convolutions(Quantizer):  # type: ignore[misc]
    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        for node in model.graph.nodes:
            if node.target not in _CONVOLUTIONS:
                continue
            taken = {node.args[0]: _BETWEEN, node.args[1]: _WEIGHTS}
            (*users,) = node.users
            clamped = users[0] if len(users) == 1 and users[0].target in _CLAMPS else None
            node.meta["quantization_annotation"] = QuantizationAnnotation(
                input_qspec_map=taken, output_qspec=None if clamped else _BETWEEN, _annotated=True
            )
            if clamped is not None:
                clamped.meta["quantization_annotation"] = QuantizationAnnotation(output_qspec=_BETWEEN, _annotated=True)
        return model

    def validate(self, model: fx.GraphModule) -> None:
        pass


def in_int8(job: Job, graph: nn.Module, frames: dict[str, torch.Tensor]) -> nn.Module:
    """The graph with its convolutions in int8.

    Args:
        job: what is made; its `--calib-data` has the photos for the ranges.
        graph: takes `frames` by name.
        frames: what it is traced with.
    """
    prepared = prepare_pt2e(torch.export.export(graph, (), frames).module(), _Convolutions())
    with torch.inference_mode():
        for photo in job.calibration()[1]:
            prepared(frames=torch.from_numpy(photo)[None])
    quantised: nn.Module = convert_pt2e(prepared)
    return quantised
