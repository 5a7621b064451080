"""QuantizeLinear nodes that NVIDIA's builder takes for something else, found before anything is built."""

from __future__ import annotations

from pathlib import Path

from segface_edge.engines.ort.nodes import read_nodes, with_outputs
from segface_edge.engines.ort.session import plain_session
from segface_edge.errors import IncompatibleEngineError

_CURE = "quantise it symmetrically, zero points int8 and 0: segface-edge quantize --for gpu"


def check_quantizers(content: bytes, path: Path) -> None:
    """Refuses a QuantizeLinear to an unsigned type, and one without a zero point, whose type is then uint8.

    TensorRT-RTX 1.7 builds both as int8, the former with a warning, the latter without a word: something else than the
    file (`findings/tensorrt_rtx_quantize_default_type.sh`).

    Args:
        content: of an ONNX file that ONNX Runtime reads.
        path: the file, for messages.

    Raises:
        IncompatibleEngineError: there is one; it names the node.
    """
    nodes = [node for node in read_nodes(content) if node.operator == "QuantizeLinear"]
    if not nodes:
        return
    session = plain_session(with_outputs(content, [node.outputs[0] for node in nodes]))
    types = {output.name: output.type for output in session.get_outputs()}
    for node in nodes:
        kind = types[node.outputs[0]].removeprefix("tensor(").removesuffix(")")
        subject = f"node '{node.name or node.outputs[0]}' (QuantizeLinear)"
        if not "".join(node.inputs[2:3]):
            raise IncompatibleEngineError(
                path, f"{subject} has no zero point: its type is {kind}, NVIDIA's builder would take it for int8", _CURE
            )
        if kind.startswith("u"):
            raise IncompatibleEngineError(path, f"{subject} is {kind}: NVIDIA's builder would take it for int8", _CURE)
