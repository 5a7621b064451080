"""checkpoint -> network -> ONNX -> simplified -> file, with parity after every arrow."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnx
import onnxsim
import torch

from segface_edge import __version__, zoo
from segface_edge.engines import Engine
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.engines.warped import Posed
from segface_edge.errors import UsageError
from segface_edge.evaluation.parity import Parity, compare
from segface_edge.evaluation.photos import Faces, bundled_faces, check_folder, own_faces
from segface_edge.files import write_whole
from segface_edge.network import SegFace, read_checkpoint
from segface_edge.network.checkpoint import Checkpoint, load_segface, provenance
from segface_edge.network.engine import DEFAULT_SIZE, TorchEngine
from segface_edge.network.recognise import identified
from segface_edge.network.segface import WARPED_ORDER, check_backbone
from segface_edge.spec import METADATA_KEY, RANDOM_WEIGHTS, ModelSpec
from segface_edge.zoo.models import checkpoint_of, find, is_name, of_backbone

from .config import ExportConfig
from .constants import constants_to_weights, drop_zero_biases, fold_whole_numbers
from .finish import compact, set_metadata
from .fresh import fresh_network
from .precision import Bar, Lowered, no_bar
from .quantize import QuantizeConfig, lower_file, photos_to_calibrate_on, serialised
from .simplify import simplify
from .to_onnx import INPUT_NAMES, to_onnx


@dataclass(frozen=True, kw_only=True)
class Export:
    """An exported file.

    Attributes:
        path: where it is.
        bytes: its size.
        sha256: of the file.
        spec: its contract.
        parity: one report per arrow.
        warnings: what the user should know, one line each.
        trtexec: the command that builds a TensorRT engine from it.
        lowered: how it became fp16 or int8, or None.
    """

    path: Path
    bytes: int
    sha256: str
    spec: ModelSpec
    parity: tuple[Parity, ...]
    warnings: tuple[str, ...]
    trtexec: str
    lowered: Lowered | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "path": str(self.path),
            "bytes": self.bytes,
            "sha256": self.sha256,
            "spec": asdict(self.spec),
            "parity": [report.to_dict() for report in self.parity],
            "warnings": list(self.warnings),
            "trtexec": self.trtexec,
            "precision": self.lowered and self.lowered.to_dict(),
        }


def default_path(config: ExportConfig, backbone: str, size: int) -> Path:
    """`segface_mobilenet_256.onnx` and the like, in the current folder."""
    parts = ["segface", backbone, str(size)]
    if config.graph == "reference":
        parts.append("reference")
    elif config.output not in (None, "labels"):
        parts.append(str(config.output))
    if config.precision != "fp32":
        parts.append(config.precision if config.made_for == "gpu" else f"{config.precision}_{config.made_for}")
    if config.warp == "inside":
        parts.append("warping")
    return Path("_".join(parts) + ".onnx")


def run_export(
    config: ExportConfig,
    path: Path | None = None,
    *,
    progress: Callable[[str], None] = lambda _: None,
    bar: Bar = no_bar,
) -> Export:
    """Exports, checks and writes a file; nothing is written unless every check passes.

    Args:
        config: what to export.
        path: where to; None is `default_path`.
        progress: told the name of each step as it starts.
        bar: makes a progress bar for a length and a label.

    Raises:
        CheckpointError, UsageError: the weights or the options do not fit.
        ParityError: a step changed what the network computes.
        InputError: the file cannot be written.
    """
    warnings: list[str] = []
    if config.calib_data is not None:
        check_folder(config.calib_data)
    progress("reading weights")
    model, checkpoint = load_network(config, warnings)
    if config.warp is not None:
        if not model.warps and model.labels.name != WARPED_ORDER:
            order = model.labels.name
            raise UsageError(f"--warp {config.warp}", f"is not for the label order '{order}'", "leave it out")
        model.warps = True
    size = model.image_size
    path = path or default_path(config, model.backbone_name, size)
    if path.suffix != ".onnx":
        raise UsageError(path, "is not an .onnx file name", "name the output FILE.onnx")
    held = bundled_faces(size, random=config.random_weights)
    held += own_faces(config.parity_data, size) if config.parity_data else []
    frames = Faces(held, size)
    spec = ModelSpec(
        backbone=model.backbone_name,
        graph=config.graph,
        size=size,
        batch=None if config.dynamic else config.batch,
        label_order=model.labels.name,
        classes=model.labels.classes,
        outputs=config.output_kinds,
        warp=(config.warp or "outside") if model.warps else "none",
        trained_size=checkpoint.trained_size if checkpoint else None,
        terms=(checkpoint.terms or "not stated") if checkpoint else "none: random weights, the labels are noise",
        provenance={
            **(provenance(checkpoint) if checkpoint else {"weights_sha256": RANDOM_WEIGHTS}),
            "segface_edge": __version__,
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "onnxsim": onnxsim.__version__ if config.simplify else "not used",
        },
    )
    with tempfile.TemporaryDirectory() as folder:
        raw, simple, final = (Path(folder) / name for name in ("raw.onnx", "simplified.onnx", "final.onnx"))
        progress("PyTorch to ONNX")
        to_onnx(model, config, raw)
        _finish(raw, raw, spec)
        chain, last = {"ONNX": raw}, raw
        if config.simplify:
            progress("simplifying")
            problem = simplify(raw, simple)
            if problem:
                warnings.append(f"{problem}; the file is not simplified")
            else:
                last = simple
        lowered = None
        if config.precision == "fp32":
            _finish(last, final, spec, compacted=config.compact)
            if last is simple or config.compact:
                chain["simplified ONNX" if last is simple else "compacted ONNX"] = final
        else:
            wide = Path(folder) / "wide.onnx"
            _finish(last, wide, spec)
            if last is simple:
                chain["simplified ONNX"] = wide
            asked = QuantizeConfig(
                precision=config.precision,
                made_for=config.made_for,
                calib_data=config.calib_data,
                calib_images=config.calib_images,
                calib_method=config.calib_method,
            )
            with OrtEngine(wide) as engine:
                calibration = photos_to_calibrate_on(asked, engine, bar)
            frames = frames + calibration  # the bundled faces wear nothing
            lowered = lower_file(wide, asked, frames, calibration, progress=progress, bar=bar)
            onnx.save(lowered.model, final)
            spec = replace(spec, precision=config.precision, made_for=config.made_for)
            _finish(final, final, spec, compacted=config.compact)
            chain[f"{config.precision} ONNX"] = final
        with bar(len(frames), f"comparing with PyTorch on {len(frames)} faces") as advance:
            reports = _gate(model, chain, frames, path, advance)
        content = serialised(onnx.load(final), spec, lowered, reports)
    progress("writing")
    write_whole(path, content)
    return Export(
        path=path,
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        spec=spec,
        parity=tuple(reports),
        warnings=tuple(warnings),
        trtexec=trtexec_line(path, spec),
        lowered=lowered,
    )


def trtexec_line(path: Path, spec: ModelSpec) -> str:
    """The command that builds a TensorRT engine from the file with NVIDIA's own tool."""
    parts = ["trtexec", f"--onnx={path}", f"--saveEngine={path.with_suffix('.plan')}"]
    if spec.batch is None:
        name, size = INPUT_NAMES[spec.graph], spec.size
        frame = f"{size}x{size}x3" if spec.graph == "deploy" else f"3x{size}x{size}"
        for kind, n in (("min", 1), ("opt", 1), ("max", 8)):
            points = f",landmarks:{n}x5x2" if spec.warp == "inside" else ""
            parts.append(f"--{kind}Shapes={name}:{n}x{frame}{points}")
    return " ".join(parts)


def load_network(config: ExportConfig, warnings: list[str]) -> tuple[SegFace, Checkpoint | None]:
    """The network that is exported, and the checkpoint of its weights, None where they are random.

    Args:
        config: what to export.
        warnings: to which is added what the user should know.

    Raises:
        CheckpointError, UsageError: the weights or the options do not fit.
    """
    if config.random_weights:
        warnings.append("random weights: the labels are noise")
        size = config.imgsz or DEFAULT_SIZE
        backbone = config.backbone or zoo.DEFAULT_BACKBONE
        return fresh_network(backbone, config.labels or "segface", size), None
    source = config.weights or _released(config.backbone or zoo.DEFAULT_BACKBONE)
    if is_name(source):
        source = checkpoint_of(find(str(source)))
    checkpoint = identified(read_checkpoint(source), source, config.backbone)
    trained = checkpoint.trained_size
    size = config.imgsz or trained or DEFAULT_SIZE
    if trained is None:
        warnings.append(f"{source.name} does not say at which size it was trained; exported at {size}")
    elif size != trained:
        warnings.append(f"the weights were trained at {trained}; at {size} expect worse labels")
    model = load_segface(checkpoint, labels=config.labels, image_size=size, source=source)
    return model, checkpoint


def _released(backbone: str) -> Path:
    check_backbone(backbone)
    if backbone in zoo.RELEASED:
        return zoo.RELEASED[backbone]
    cure = f"give --weights FILE or --random-weights; released: {', '.join(zoo.RELEASED)}"
    if (published := next(of_backbone(backbone), None)) is not None:
        name = published.name
        cure = f"its authors published some: segface-edge models fetch {name}, then --weights {name}; or {cure}"
    raise UsageError(f"backbone '{backbone}'", "has no released weights", cure)


def _finish(source: Path, target: Path, spec: ModelSpec, *, compacted: bool = False) -> None:
    model = onnx.load(source)
    fold_whole_numbers(model.graph)
    constants_to_weights(model.graph)
    drop_zero_biases(model.graph)
    if compacted:
        compact(model)
    set_metadata(model, {METADATA_KEY: spec.to_json()})
    onnx.checker.check_model(model)
    onnx.save(model, target)


def _gate(
    model: SegFace, chain: dict[str, Path], frames: Faces, subject: Path, advance: Callable[[int], None]
) -> list[Parity]:
    """Compares every file of the chain with the network itself. Raises ParityError if one differs."""
    with ExitStack() as stack:
        engines: dict[str, Engine] = {name: stack.enter_context(OrtEngine(file)) for name, file in chain.items()}
        reference: Engine = TorchEngine.of(model)
        if any(engine.spec.warp == "inside" for engine in engines.values()):
            reference, engines = Posed(reference), {name: Posed(engine) for name, engine in engines.items()}
        reports = compare(reference, engines, frames, name="PyTorch", progress=advance)
    for report in reports:
        report.check(subject)
    return reports
