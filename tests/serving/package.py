"""An npm package that looks like onnxruntime-web."""

from __future__ import annotations

from pathlib import Path

DEVICES = {"wasm": "ort-wasm-simd-threaded", "webgpu": "ort-wasm-simd-threaded.asyncify"}


def runtime(folder: Path, *devices: str, version: str = "9.8.7") -> Path:
    """An npm package with the names of onnxruntime-web's files, and nothing that runs."""
    (folder / "dist").mkdir(parents=True)
    for device in devices or DEVICES:
        start = f"{DEVICES[device]}.mjs"
        script = f'/*!\n * ONNX Runtime Web v{version}\n */\nimport("./{start}")'
        for name, content in ((f"ort.{device}.min.mjs", script), (start, "start"), (f"{DEVICES[device]}.wasm", "wasm")):
            (folder / "dist" / name).write_text(content)
    return folder
