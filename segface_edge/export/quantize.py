"""An fp32 ONNX file -> fp16 or int8, with the table of sensitivities that the choice of nodes follows."""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx
from onnx import version_converter

from segface_edge.engines import Engine
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.errors import ParityError, UsageError
from segface_edge.evaluation.calibration import candidates, chosen
from segface_edge.evaluation.parity import Parity, compare
from segface_edge.evaluation.photos import Faces, bundled_faces, own_faces
from segface_edge.files import write_whole
from segface_edge.spec import METADATA_KEY, PARITY_KEY, PRECISION_KEY, MadeFor, ModelSpec, Precision

from .config import INT8_OPSETS, CalibrationMethod, check_made_for
from .finish import set_metadata
from .precision import Bar, Lowered, lower, no_bar

# Faces for the sensitivities: errors of nodes differ by magnitudes, those of frames hardly.
SENSITIVITY_FACES = 1


@dataclass(frozen=True, kw_only=True)
class QuantizeConfig:
    """A change of precision.

    Attributes:
        precision: `fp16` or `int8`.
        made_for: whose kernels int8 is for: `gpu`, or `cpu`.
        calib_data: folder of photos for the ranges of int8.
        calib_images: how many of them, chosen so that rare classes are among them.
        calib_method: `percentile`, `minmax` or `entropy`.
        parity_data: folder of photos to check parity on, besides the bundled ones.
    """

    precision: Precision = "int8"
    made_for: MadeFor = "gpu"
    calib_data: Path | None = None
    calib_images: int = 64
    calib_method: CalibrationMethod = "percentile"
    parity_data: Path | None = None

    def __post_init__(self) -> None:
        if self.precision == "fp32":
            raise UsageError("--precision fp32", "is what the file has", "use fp16 or int8")
        if self.precision == "int8" and self.calib_data is None:
            raise UsageError("--precision int8", "needs photos for its ranges", "give a folder: --calib-data DIR")
        if self.precision == "fp16" and self.calib_data is not None:
            raise UsageError("--calib-data", "has no use with fp16", "leave it out, or use --precision int8")
        check_made_for(self.made_for, self.precision)


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """A file in lower precision, or what it would be.

    Attributes:
        path: where it is; None where only the sensitivities were asked for.
        bytes: its size, and that of its source.
        sha256: of the file; of what it would be, without a path.
        spec: its contract.
        parity: against its source; None where only the sensitivities were asked for.
        lowered: what was chosen, and why.
    """

    path: Path | None
    bytes: tuple[int, int]
    sha256: str
    spec: ModelSpec
    parity: Parity | None
    lowered: Lowered

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "path": None if self.path is None else str(self.path),
            "bytes": self.bytes[0],
            "source_bytes": self.bytes[1],
            "sha256": self.sha256,
            "spec": asdict(self.spec),
            "parity": self.parity and self.parity.to_dict(),
            "precision": self.lowered.to_dict(),
        }


def run_quantize(
    source: Path,
    config: QuantizeConfig,
    path: Path | None,
    *,
    progress: Callable[[str], None] = lambda _: None,
    bar: Bar = no_bar,
) -> Quantized:
    """Makes a file of lower precision of an fp32 one; nothing is written unless it passes the limits of its precision.

    Args:
        source: a deploy graph that `segface-edge export` wrote, in fp32.
        config: what to make.
        path: where to; None: only the sensitivities, nothing is written.
        progress: told the name of each step as it starts.
        bar: makes a progress bar for a length and a label.

    Raises:
        ModelFileError, IncompatibleEngineError: the source is no such file.
        UsageError: it is of another precision, or a reference graph.
        DataError, ImageError: no photos to calibrate on.
        ParityError: the labels differ too much.
    """
    with OrtEngine(source) as reference:
        spec = reference.spec
        if spec.precision != "fp32" or spec.graph != "deploy":
            kind = spec.precision if spec.precision != "fp32" else f"{spec.graph} graph"
            raise UsageError(source, f"is of {kind}", "give a deploy graph in fp32: segface-edge export")
        _check_opset(source, config)
        held = bundled_faces(spec.size, random=spec.is_random)
        held += own_faces(config.parity_data, spec.size) if config.parity_data else []
        calibration = photos_to_calibrate_on(config, reference, bar)
        frames = Faces(held, spec.size) + calibration  # the bundled faces wear nothing
        lowered = lower_file(source, config, frames, calibration, progress=progress, bar=bar)
        spec = replace(spec, precision=config.precision, made_for=config.made_for)
        content = serialised(lowered.model, spec, lowered, [])
        parity = None
        if path is not None:
            parity = _checked(reference, content, frames, config.precision, path, bar)
            content = serialised(lowered.model, spec, lowered, [parity])
            progress("writing")
            write_whole(path, content)
    return Quantized(
        path=path,
        bytes=(len(content), source.stat().st_size),
        sha256=hashlib.sha256(content).hexdigest(),
        spec=spec,
        parity=parity,
        lowered=lowered,
    )


def photos_to_calibrate_on(config: QuantizeConfig, engine: Engine, bar: Bar) -> Faces:
    """For int8, none for fp16. `engine` is the fp32 file: it says which photos show what."""
    if config.calib_data is None:
        return Faces([], engine.spec.size)
    found = candidates(config.calib_data, config.calib_images, engine.spec.size)
    with bar(len(found), f"choosing among {len(found)} photos to calibrate on") as advance:
        return chosen(found, config.calib_images, engine, advance)


def lower_file(
    source: Path,
    config: QuantizeConfig,
    frames: Faces,
    calibration: Faces,
    *,
    progress: Callable[[str], None],
    bar: Bar,
) -> Lowered:
    """The graph of an fp32 file in lower precision.

    Args:
        source: the file.
        config: what to make.
        frames: for the sensitivities, where there are no photos to calibrate on.
        calibration: of `photos_to_calibrate_on`.
        progress, bar: as for `run_quantize`.

    Raises:
        ParityError: the logits are not finite, in fp32 or in half precision.
    """
    model = onnx.load(source)
    if config.precision == "int8" and _opset(model) < INT8_OPSETS.start:
        model = version_converter.convert_version(model, INT8_OPSETS.start)
    progress(f"fp32 to {config.precision}")
    few = (calibration or frames)[:SENSITIVITY_FACES]
    lowered = lower(
        model,
        config.precision,
        few,
        made_for=config.made_for,
        calibration=calibration,
        method=config.calib_method,
        bar=bar,
    )
    if lowered.together is not None and not math.isfinite(lowered.together.error):
        raise ParityError(
            source,
            "has values that half precision does not hold: with every result rounded, as on a GPU, its logits are "
            "not finite",
            "nothing was written; use fp32, and report it",
        )
    return lowered


def serialised(model: onnx.ModelProto, spec: ModelSpec, lowered: Lowered | None, reports: list[Parity]) -> bytes:
    """The file: the graph, what it says of itself, and the reports of its checks."""
    entries = {METADATA_KEY: spec.to_json()}
    if reports:
        entries[PARITY_KEY] = json.dumps([report.to_dict() for report in reports], sort_keys=True)
    if lowered is not None:
        chosen = {
            "islands": lowered.islands,
            "int8_layers": lowered.int8_layers,
            "macs": dict(lowered.macs),
            "calibration_sha256": lowered.calibration_sha256,
        }
        entries[PRECISION_KEY] = json.dumps(chosen, sort_keys=True)
    set_metadata(model, entries)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _check_opset(source: Path, config: QuantizeConfig) -> None:
    """Raises UsageError where int8 would be written at an opset whose files ONNX Runtime refuses."""
    opset = _opset(onnx.load(source))
    if config.precision == "int8" and opset >= INT8_OPSETS.stop:
        highest = INT8_OPSETS.stop - 1
        raise UsageError(
            source,
            f"is of opset {opset}: from {INT8_OPSETS.stop} on, ONNX Runtime refuses int8 files that are valid",
            f"export it with --opset {highest}, or use --precision fp16",
        )


def _opset(model: onnx.ModelProto) -> int:
    return int(next(entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")))


def _checked(reference: Engine, content: bytes, frames: Faces, precision: Precision, subject: Path, bar: Bar) -> Parity:
    name = f"{precision} ONNX"
    with tempfile.TemporaryDirectory() as folder:
        candidate = Path(folder) / "candidate.onnx"
        candidate.write_bytes(content)
        with OrtEngine(candidate) as engine, bar(len(frames), f"comparing on {len(frames)} faces") as advance:
            (report,) = compare(reference, {name: engine}, frames, name="fp32 ONNX", progress=advance)
    report.check(subject)
    return report
