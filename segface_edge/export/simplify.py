"""onnxsim, in a process of its own: it is native code that may crash, and a crash must not take the export along."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TIMEOUT_S = 600

# Weights are not taken for constants: nothing computed from weights alone is folded into the file (BatchNorm into the
# convolutions, the positional tables into a large constant); the runtime does that when it loads the file.
_PROGRAM = """
import sys
import onnx, onnxsim
source, target = sys.argv[1:]
model, same = onnxsim.simplify(onnx.load(source), initializers_as_constants=False)
if not same:
    sys.exit("onnxsim's own check failed")
onnx.save(model, target)
"""


def simplify(source: Path, target: Path) -> str | None:
    """Writes a simplified `source` to `target`. Returns None, or in one line why it could not."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PROGRAM, str(source), str(target)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"onnxsim took over {TIMEOUT_S} s"
    if done.returncode == 0 and target.is_file():
        return None
    lines = done.stderr.strip().splitlines()
    return f"onnxsim failed (exit {done.returncode}): {lines[-1] if lines else 'no message'}"
