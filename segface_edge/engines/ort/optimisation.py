"""How far ONNX Runtime may optimise a graph: one rule for all uses of a file."""

from __future__ import annotations

import platform
from pathlib import Path


def allowed(precision: str, kind: str, made_for: str = "gpu") -> tuple[list[str], dict[str, str], str]:
    """What a session is told.

    Args:
        precision: of the file: `fp32`, `fp16`, `int8`; another is taken for fp32.
        kind: of the device: `cpu` or `cuda`.
        made_for: whose kernels an int8 file is for: `gpu` or `cpu`; what is for a CPU has fp32 around it.

    Returns:
        Optimisers left out, entries of the session's configuration, and both in words.
    """
    left_out = []
    if kind == "cpu" and precision in ("fp16", "int8") and made_for != "cpu":
        # With it, some fp16 graphs end the process (seen from ONNX Runtime 1.24.4 to 1.32).
        left_out.append("NchwcTransformer")
    if precision == "int8":
        # It makes int32 of the biases that we leave as floats, by a scale that is a product of two: in fp16 that loses
        # its digits or is 0. And of a convolution that we leave in fp32 between two of int8 it makes int8 all the same,
        # with one scale for all its weights (seen in ONNX Runtime 1.32).
        left_out.append("WeightBiasQuantization")
    words = f"all but {', '.join(left_out)}" if left_out else "all"
    if kind == "cpu" and precision == "int8" and not _int8_products():
        # Its int8 kernels add pairs of products in 16 bits, which saturate. Values are rounded to int8 all the same.
        return left_out, {"session.disable_quant_qdq": "1"}, f"{words}; products in fp32: this CPU's of int8 saturate"
    return left_out, {}, words


def _int8_products() -> bool:
    """Whether the CPU multiplies int8 without saturation: ARM does, x86 from its VNNI on."""
    if platform.machine() not in ("x86_64", "AMD64", "i686"):
        return True
    try:
        return "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
