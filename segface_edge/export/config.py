"""What to export: options of the command line and keys of a recipe, one and the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from segface_edge.documents import read_toml
from segface_edge.errors import InputError, UsageError
from segface_edge.spec import Graph, MadeFor, OutputKind, Precision

from .targets.table import DEFAULT, target

OPSETS = range(18, 21)  # below: what the exporter cannot lower; above: what NVIDIA's builder refuses
# Below: QuantizeLinear takes no fp16; above: ONNX Runtime 1.32 refuses valid files, with a DequantizeLinear before a
# Reshape or a Transpose.
INT8_OPSETS = range(19, 21)
CalibrationMethod = Literal["percentile", "minmax", "entropy"]
WarpPlace = Literal["outside", "inside"]
MAX_CALIBRATION = 4096
MAX_BATCH = 256


def check_made_for(made_for: MadeFor, precision: Precision) -> None:
    """Raises UsageError where a precision has no kernels on a CPU."""
    if made_for == "cpu" and precision != "int8":
        raise UsageError(
            f"--for cpu --precision {precision}",
            "is for int8: fp32 runs on any CPU as it is, and x86 has no products of fp16",
            "use --precision int8, or leave --for out",
        )


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """An export.

    Attributes:
        backbone: key of `segface_edge.network.BACKBONES`; None is what the weights say, or the default model's.
        weights: checkpoint, or the name of one (`segface-edge models list`); None is the released one of the backbone.
        random_weights: fresh weights instead (for speed measurements; the labels are noise).
        labels: label order of the weights; None takes what the checkpoint says.
        imgsz: input side; None is the side that the weights were trained at.
        batch: frames a call, where `dynamic` is off.
        dynamic: any number of frames a call.
        opset: ONNX opset, 18 to 20; None is 18, for int8 19.
        output: `labels`; `confidence`, which is labels and confidence; or `logits`.
        graph: `deploy` (bytes in, bytes out) or `reference` (the plain network: float in, logits out).
        simplify: run onnxsim.
        compact: store fp32 weights that half precision holds exactly as fp16 with a Cast behind each: half the file,
            the same numbers. Sessions fold the Casts when they load.
        precision: `fp32`; `fp16`, with islands of fp32 where the labels need them; or `int8`, which is the backbone's
            convolutions, the rest fp16. Only of the deploy graph.
        made_for: whose kernels int8 is for: `gpu` (TensorRT's); or `cpu` (ONNX Runtime's: int8 from layer to layer, the
            rest fp32).
        calib_data: folder of photos for the ranges of int8.
        calib_images: how many of them, chosen so that rare classes are among them.
        calib_method: `percentile`, `minmax` or `entropy`.
        warp: of weights that warp faces, as those of LaPa: `outside` leaves the warp to whoever runs the file, `inside`
            puts it in the graph, with a second input `landmarks`; None: outside, where the weights say that they warp.
        parity_data: folder of photos to check parity on, besides the bundled ones.
        target: key of `targets.table.TARGETS`, the runtime that the file is for.
    """

    backbone: str | None = None
    weights: Path | None = None
    random_weights: bool = False
    labels: str | None = None
    imgsz: int | None = None
    batch: int = 1
    dynamic: bool = False
    opset: int | None = None
    output: OutputKind | None = None
    graph: Graph = "deploy"
    simplify: bool = True
    compact: bool = False
    precision: Precision = "fp32"
    made_for: MadeFor = "gpu"
    calib_data: Path | None = None
    calib_images: int = 64
    calib_method: CalibrationMethod = "percentile"
    warp: WarpPlace | None = None
    parity_data: Path | None = None
    target: str = DEFAULT

    def __post_init__(self) -> None:
        problems = {
            f"opset {self.opset}": (
                self.opset is not None and self.opset not in OPSETS,
                f"use {OPSETS.start} to {OPSETS.stop - 1}",
            ),
            f"precision {self.precision!r}": (
                self.precision not in get_args(Precision),
                f"use one of {', '.join(get_args(Precision))}",
            ),
            f"made_for {self.made_for!r}": (
                self.made_for not in get_args(MadeFor),
                f"use {' or '.join(get_args(MadeFor))}",
            ),
            f"calibration by {self.calib_method!r}": (
                self.calib_method not in get_args(CalibrationMethod),
                f"use one of {', '.join(get_args(CalibrationMethod))}",
            ),
            f"calibration on {self.calib_images} photos": (
                not 1 <= self.calib_images <= MAX_CALIBRATION,
                f"use 1 to {MAX_CALIBRATION}",
            ),
            f"batch {self.batch}": (not 1 <= self.batch <= MAX_BATCH, f"use 1 to {MAX_BATCH}"),
            f"graph {self.graph!r}": (self.graph not in get_args(Graph), f"use {' or '.join(get_args(Graph))}"),
            f"output {self.output!r}": (
                self.output is not None and self.output not in get_args(OutputKind),
                f"use one of {', '.join(get_args(OutputKind))}",
            ),
            f"warp {self.warp!r}": (
                self.warp is not None and self.warp not in get_args(WarpPlace),
                f"use {' or '.join(get_args(WarpPlace))}",
            ),
            f"image size {self.imgsz}": (
                self.imgsz is not None and (self.imgsz % 32 != 0 or not 32 <= self.imgsz <= 2048),
                "use a multiple of 32 from 32 to 2048",
            ),
        }
        for subject, (wrong, cure) in problems.items():
            if wrong:
                raise UsageError(subject, "is not supported", cure)
        if self.graph == "reference" and self.output not in (None, "logits"):
            raise UsageError(f"output '{self.output}'", "the reference graph gives logits", "use --graph deploy")
        if self.weights is not None and self.random_weights:
            raise UsageError("--weights and --random-weights", "contradict each other", "give one of them")
        if self.dynamic and self.batch != 1:
            raise UsageError("--dynamic and --batch", "contradict each other", "give one of them")
        if self.graph == "reference" and self.precision != "fp32":
            raise UsageError(f"--precision {self.precision}", "the reference graph is fp32", "use --graph deploy")
        if self.warp == "inside" and (self.graph, self.precision) != ("deploy", "fp32"):
            raise UsageError("--warp inside", "is for the deploy graph in fp32", "use --warp outside")
        if self.precision == "int8" and self.calib_data is None:
            raise UsageError("--precision int8", "needs photos for its ranges", "give a folder: --calib-data DIR")
        if self.precision != "int8" and self.calib_data is not None:
            raise UsageError("--calib-data", f"has no use with {self.precision}", "add --precision int8")
        check_made_for(self.made_for, self.precision)
        if self.precision == "int8" and self.opset is not None and self.opset not in INT8_OPSETS:
            known = f"use {INT8_OPSETS.start} or {INT8_OPSETS.stop - 1}"
            raise UsageError(f"opset {self.opset}", "is none for int8 of fp16 values", known)
        self._check_target()

    def _check_target(self) -> None:
        row, subject = target(self.target), f"--target {self.target}"
        if self.target == DEFAULT:
            return
        if self.graph == "reference" or self.warp == "inside":
            raise UsageError(subject, "is made of the deploy graph", "leave --graph and --warp out")
        if self.precision not in row.precisions:
            known = f"use one of {', '.join(row.precisions)}"
            raise UsageError(f"{subject} --precision {self.precision}", "is not made", known)
        if self.batch > 1 and not row.several:
            raise UsageError(f"{subject} --batch {self.batch}", "is not made: it is one frame a call", "leave it out")
        if self.dynamic and not row.dynamic:
            raise UsageError(f"{subject} --dynamic", "is not made", "give --batch instead")

    @property
    def onnx_opset(self) -> int:
        """The opset, chosen or by default."""
        return self.opset or (INT8_OPSETS.start if self.precision == "int8" else OPSETS.start)

    @property
    def output_kinds(self) -> tuple[OutputKind, ...]:
        """Names of the file's outputs."""
        if self.graph == "reference" or self.output == "logits":
            return ("logits",)
        return ("labels", "confidence") if self.output == "confidence" else ("labels",)


def read_recipe(path: Path) -> dict[str, Any]:
    """The keys of a recipe (TOML), ready for `ExportConfig`. Paths in it are relative to the recipe.

    Raises:
        InputError: no such file, not TOML, an unknown key or a value of the wrong type.
    """
    try:
        recipe = read_toml(path)
    except FileNotFoundError as error:
        raise InputError(path, "no such file", "give a recipe, export/cpu.toml for example") from error
    except (OSError, ValueError) as error:
        raise InputError(path, f"is not a recipe ({error})", "write it in TOML") from error
    kinds: Mapping[str, type] = {
        field.name: kind
        for field in fields(ExportConfig)
        for kind in (bool, int)
        if str(field.type).startswith(kind.__name__)
    }
    for key, value in list(recipe.items()):
        if key not in ExportConfig.__dataclass_fields__:
            known = ", ".join(ExportConfig.__dataclass_fields__)
            raise InputError(path, f"has the unknown key '{key}'", f"use: {known}")
        kind = kinds.get(key, str)
        if type(value) is not kind:
            raise InputError(path, f"{key} = {value!r} is not of type {kind.__name__}", "correct it")
        if key in ("weights", "parity_data", "calib_data"):
            recipe[key] = path.parent / str(value)
    try:
        ExportConfig(**recipe)
    except UsageError as error:
        raise InputError(path, f"{error.subject} {error.problem}", error.cure) from error
    return recipe
