"""What is fuzzed: a row a kind, its code a file in `kinds/`."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any, Protocol


class Prepared(Protocol):
    """A kind, ready in a child: it keeps what it needs for all its inputs."""

    def make(self, random: Random) -> Any:
        """An input."""

    def run(self, given: Any) -> None:
        """Gives it to the package. Raises what the package raises: `SegFaceEdgeError` is as it should be."""


@dataclass(frozen=True)
class Kind:
    """A row.

    Attributes:
        module: in `kinds/`.
        what: one line.
        needs: packages besides the runtime's.
        argument: tells kinds of one module apart.
    """

    module: str
    what: str
    needs: tuple[str, ...] = ()
    argument: str = ""

    def missing(self) -> list[str]:
        """Packages that are not installed."""
        return [name for name in self.needs if find_spec(name) is None]

    def prepare(self, folder: Path) -> Prepared:
        """Imports it and makes its seeds; files go into `folder`."""
        prepared: Prepared = import_module(f"tests.fuzz.kinds.{self.module}").Fuzz(folder, self.argument)
        return prepared


_SERVE = ("starlette", "uvicorn", "h11", "websockets", "python_multipart", "prometheus_client")
KINDS: dict[str, Kind] = {
    "jpeg": Kind("pictures", "JPEG files", argument="jpeg"),
    "png": Kind("pictures", "PNG files, animated ones too", argument="png"),
    "webp": Kind("pictures", "WebP files", argument="webp"),
    "avif": Kind("pictures", "AVIF files", argument="avif"),
    "bmp": Kind("pictures", "BMP, ICO, TGA, PPM, PCX and DDS files", argument="bmp"),
    "tiff": Kind("pictures", "TIFF files of several compressions", argument="tiff"),
    "gif": Kind("pictures", "GIF files", argument="gif"),
    "jpeg2000": Kind("pictures", "JPEG 2000 files", argument="jpeg2000"),
    "heic": Kind("pictures", "HEIC files", ("pillow_heif",), argument="heic"),
    "headers": Kind("pictures", "pictures whose headers promise absurd sizes", argument="headers"),
    "animations": Kind("videos", "GIF, WebP and APNG read as videos", argument="animations"),
    "videos": Kind("videos", "MP4, MKV, AVI, WebM and MOV files", argument="videos"),
    "spec": Kind("documents", "ModelSpec, what an ONNX file says of itself", argument="spec"),
    "plan-document": Kind("documents", "model.plan.json, beside a plan", argument="plan"),
    "sidecar": Kind("documents", "model.xml.json and the like, beside a converted file", argument="sidecar"),
    "reports": Kind("documents", "benchmark reports and device records that are read again", argument="reports"),
    "export-recipe": Kind("recipes", "TOML of an export", ("torch",), argument="export"),
    "training-recipe": Kind("recipes", "TOML of a training, and --set", ("torch", "dacite"), argument="training"),
    "suite": Kind("recipes", "TOML of a suite of benchmarks", argument="suite"),
    "runs": Kind(
        "recipes", "folders of trainings that are gone on with", ("torch", "dacite", "matplotlib"), argument="runs"
    ),
    "lines": Kind("documents", "lines of JSON that `parse --skip-existing` goes on from", argument="lines"),
    "onnx": Kind("onnx", "ONNX files, opened by ONNX Runtime and run"),
    "onnx-parts": Kind("onnx", "ONNX files, as the page of `export --web` rewrites them", argument="parts"),
    "plans": Kind("plans", "TensorRT plans and their documents, on the tests' TensorRT"),
    "safetensors": Kind("checkpoints", "safetensors checkpoints", ("torch", "safetensors"), argument="safetensors"),
    "pickles": Kind("checkpoints", "PyTorch checkpoints", ("torch", "safetensors"), argument="pickles"),
    "datasets": Kind("datasets", "data sets of every layout"),
    "label-maps": Kind("datasets", "label maps and landmarks", argument="files"),
    "http": Kind("serving", "requests of `serve`, as its application gets them", _SERVE, argument="http"),
    "websocket": Kind("serving", "messages to the live page's WebSocket", _SERVE, argument="websocket"),
    "wire": Kind("serving", "bytes on a connection of `serve`", _SERVE, argument="wire"),
    "downloads": Kind("downloads", "what a server answers `models fetch`", ("requests",), argument="models"),
    "addresses": Kind("downloads", "what a server answers when a photo is an address", argument="photos"),
    "parquet": Kind("parquet", "Parquet files of photos, and parts of `label`", ("pyarrow",)),
    "arguments": Kind("arguments", "command lines"),
}
