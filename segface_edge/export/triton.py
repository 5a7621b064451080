"""A model repository that NVIDIA Triton serves: one model a folder, with its configuration.

::

    DIR/NAME/config.pbtxt       what it takes and gives, batching, instances, warm-up
    DIR/NAME/labels.txt         the class of each label, a line each
    DIR/NAME/1/model.onnx       or model.plan

The configuration is a message of Triton's own `model_config.proto`, as `tritonclient` brings it: a field that Triton
does not know cannot be written.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2 as proto

from segface_edge.engines import PLAN_SUFFIXES, open_engine
from segface_edge.engines.nvidia.plan import read_plan
from segface_edge.errors import IncompatibleEngineError, InputError, UsageError
from segface_edge.files import make_folder, write_whole
from segface_edge.spec import ModelSpec

VERSION = 1
CONFIG, LABELS = "config.pbtxt", "labels.txt"
# Frames of a call, of files that take any number: what a plan is built for by default.
MAX_BATCH = 8
# A request waits so long at most for others to be computed with.
QUEUE_DELAY_US = 2000
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_ONNX, _TENSORRT = "onnxruntime", "tensorrt"


def triton_name(model: Path) -> str:
    """What a file is called by Triton: its stem; of a plan with `_tensorrt`, so that both can be served.

    Raises:
        UsageError: the stem has other letters than Triton takes in addresses.
    """
    if not _NAME.fullmatch(model.stem):
        raise UsageError(model, "has a name that Triton cannot take in an address", "use letters, digits, _ . -")
    return f"{model.stem}_tensorrt" if model.suffix.lower() in PLAN_SUFFIXES else model.stem


def write_repository(model: Path, folder: Path) -> Path:
    """Writes a model's folder into a repository; one of the same name is replaced. Returns it.

    Args:
        model: an ONNX file that `segface-edge export` or `quantize` wrote, or a plan with its document.
        folder: the repository; made where it is absent.

    Raises:
        UsageError: it is another kind of file.
        IncompatibleEngineError: a plan says nothing of itself, or is TensorRT-RTX's, which Triton does not run.
        InputError: a file cannot be read or written.
    """
    name = triton_name(model)
    spec, batches, content = _read(model)
    config = configuration(spec, name, backend=_TENSORRT if batches else _ONNX, batches=batches)
    target = folder / name
    make_folder(target / str(VERSION))
    write_whole(target / str(VERSION) / f"model{'.plan' if batches else '.onnx'}", content)
    write_whole(target / LABELS, ("\n".join(spec.classes) + "\n").encode())
    # The last one: Triton, which may be looking on, loads what has a configuration.
    write_whole(target / CONFIG, text_format.MessageToString(config).encode())
    return target


def configuration(
    spec: ModelSpec, name: str, *, backend: str, batches: Sequence[int] | None = None
) -> proto.ModelConfig:
    """What Triton is to know of a model.

    Files with a fixed number of frames have `max_batch_size: 0` and all of their shape, and requests of just that
    number; the others take 1 to so many frames a request, and requests that come together are computed together.

    Args:
        spec: of the file.
        name: of the model.
        backend: `onnxruntime` or `tensorrt`.
        batches: least, usual and most frames a call of a plan.
    """
    is_dynamic = spec.batch is None
    most = (batches[2] if batches else MAX_BATCH) if is_dynamic else 0
    fixed = [] if is_dynamic else [spec.batch]
    config = proto.ModelConfig(name=name, backend=backend, max_batch_size=most)
    inputs, outputs = _tensors(spec)
    for tensor, kind, dims in inputs:
        config.input.add(name=tensor, data_type=kind, dims=[*fixed, *dims])
    for tensor, kind, dims in outputs:
        label_file = LABELS if tensor == "labels" else ""
        config.output.add(name=tensor, data_type=kind, dims=[*fixed, *dims], label_filename=label_file)
    if is_dynamic:
        usual = batches[1] if batches else most
        config.dynamic_batching.preferred_batch_size.extend(sorted({usual, most}))
        config.dynamic_batching.max_queue_delay_microseconds = QUEUE_DELAY_US
    # One on each GPU, or one on the CPU where there is none; a plan is for GPUs.
    kind = proto.ModelInstanceGroup.KIND_GPU if backend == _TENSORRT else proto.ModelInstanceGroup.KIND_AUTO
    config.instance_group.add(count=1, kind=kind)
    # The first request would pay for what is set up then, at each size of a batch.
    for size in sorted({batches[0] if batches else 1, most}) if is_dynamic else [1]:
        warmup = config.model_warmup.add(name=f"frames_{size * (spec.batch or 1)}", batch_size=size)
        for tensor, data_type, dims in inputs:
            values = warmup.inputs[tensor]
            values.data_type = data_type
            values.dims.extend([*fixed, *dims])
            values.zero_data = True
    for key, text in (("label_order", spec.label_order), ("precision", spec.precision), ("terms", spec.terms)):
        config.parameters[key].string_value = text
    return config


_Tensor = tuple[str, int, list[int]]


def _tensors(spec: ModelSpec) -> tuple[list[_Tensor], list[_Tensor]]:
    """Inputs and outputs: name, type, shape of one frame."""
    size, classes = spec.size, len(spec.classes)
    if spec.graph == "deploy":
        inputs: list[_Tensor] = [("frames", proto.TYPE_UINT8, [size, size, 3])]
    else:
        inputs = [("images", proto.TYPE_FP32, [3, size, size])]
    if spec.warp == "inside":
        inputs.append(("landmarks", proto.TYPE_FP32, [5, 2]))
    known: dict[str, tuple[int, list[int]]] = {
        "labels": (proto.TYPE_UINT8, [size, size]),
        "confidence": (proto.TYPE_UINT8, [size, size]),
        "logits": (proto.TYPE_FP32, [classes, size, size]),
    }
    return inputs, [(kind, *known[kind]) for kind in spec.outputs]


def _read(model: Path) -> tuple[ModelSpec, tuple[int, int, int] | None, bytes]:
    """What a file says of itself; of a plan its batches; its bytes."""
    if model.suffix.lower() in PLAN_SUFFIXES:
        content, info = read_plan(model)
        if info is None:
            cure = "build it with segface-edge build, which writes FILE.plan.json beside it"
            raise IncompatibleEngineError(model, "says nothing of itself", cure)
        if info.runtime != "tensorrt":
            cure = "build one of TensorRT: segface-edge build MODEL.onnx -o FILE.plan"
            raise IncompatibleEngineError(model, "is a plan of TensorRT-RTX, which Triton does not run", cure)
        return info.spec, info.batches, content
    if model.suffix.lower() != ".onnx":
        raise UsageError(model, f"'{model.suffix}' files are not for Triton", "give an .onnx or a .plan file")
    with open_engine(model) as engine:  # which checks that it is what it says
        spec = engine.spec
    try:
        return spec, None, model.read_bytes()
    except OSError as error:
        raise InputError(model, f"cannot be read ({error.strerror})", "check its permissions") from error
