"""Which arguments a function of TensorRT takes."""

from __future__ import annotations

import inspect
from typing import Any

EMPTY = inspect.Parameter.empty
# Parameters that the bindings do not state, since the function is overloaded: from NVIDIA's documentation.
OVERLOADED = {
    "Builder.build_serialized_network": "(self: Builder, network: INetworkDefinition, config: IBuilderConfig)",
    "Runtime.deserialize_cuda_engine": "(self: Runtime, serialized_engine: buffer)",
    "ICudaEngine.get_tensor_format": "(self: ICudaEngine, name: str, profile_index: int = 0)",
    "ICudaEngine.create_execution_context": (
        "(self: ICudaEngine, strategy: ExecutionContextAllocationStrategy = <STATIC: 0>)"
    ),
    "IExecutionContext.set_input_shape": "(self: IExecutionContext, name: str, shape: Dims)",
    "Dims.__init__": "(self: Dims, shape: Dims = ())",
}
FUNCTIONS = {
    "nptype": "(trt_type: DataType)",
    "volume": "(iterable: object)",
    "init_libnvinfer_plugins": "(logger: ILogger, namespace: str)",
}
Parameter = tuple[str, str, Any]


def parameters(text: str) -> list[Parameter] | None:
    """Names, annotations and defaults after `self`; None where TEXT does not state them."""
    start = text.find("(")
    depth, parts, part = 0, [], ""
    for character in text[start:] if start >= 0 else "":
        if character in "([<":
            depth += 1
            if depth == 1:
                continue
        elif character in ")]>":
            depth -= 1
            if depth == 0:
                break
        if character == "," and depth == 1:
            parts, part = [*parts, part], ""
        else:
            part += character
    else:
        return None
    found: list[Parameter] = []
    for piece in [*parts, part] if part.strip() else parts:
        left, equals, default = piece.partition("=")
        name, _, annotation = left.partition(":")
        if name.strip().startswith("*"):
            return None
        kind = annotation.strip().removeprefix("tensorrt_bindings.").removeprefix("tensorrt.")
        found.append((name.strip(), kind, default.strip() if equals else EMPTY))
    return found[1:] if found and found[0][0] == "self" else found
