"""ModelSpec: what a model file says of itself, so that nobody has to guess.

One JSON document, version 1, in an ONNX file under the metadata key `segface_edge`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from .errors import IncompatibleEngineError
from .labels import LABEL_SETS, LabelSet

SPEC_VERSION = 1
METADATA_KEY = "segface_edge"
PARITY_KEY = "segface_edge.parity"
PRECISION_KEY = "segface_edge.precision"
# In place of a hash, in the provenance of weights that nobody trained.
RANDOM_WEIGHTS = "random"

Graph = Literal["deploy", "reference"]
OutputKind = Literal["labels", "confidence", "logits"]
Precision = Literal["fp32", "fp16", "int8"]
MadeFor = Literal["gpu", "cpu"]
Warp = Literal["none", "outside", "inside"]

# ImageNet statistics, RGB, in [0, 1]: what SegFace's backbones were trained with.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Bounds that keep a lying file from asking for absurd amounts of memory.
_SIZES = range(32, 4097, 32)
_BATCHES = range(1, 1025)
_LARGEST = 1e6


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model's contract.

    Attributes:
        backbone: a key of `segface_edge.network.BACKBONES`.
        graph: `deploy` takes (N, S, S, 3) uint8 RGB, normalisation inside; `reference` takes (N, 3, S, S) float32,
            normalised with `mean` and `std`.
        size: S, the side of the square input in pixels, divisible by 32.
        batch: N, frames a call, or None where the file takes any number.
        label_order: name of the label order.
        classes: the class names in that order; a label is a position in it.
        outputs: what the file returns, in order. `labels` and `confidence` are (N, S, S) uint8 (confidence 255 = 1),
            `logits` is (N, K, S, S) float32.
        warp: `none`: the square is shown as it is. `outside`: squares go in through the RoI tanh warp, and what comes
            out lies in the warped square (`pictures/warping.py`). `inside`: the file does both, and has a second
            input, `landmarks` (N, 5, 2) float32, pixels of the square.
        trained_size: the input side, in pixels, that the weights were trained at; None where that is not said.
        precision: the arithmetic of the file.
        made_for: whose kernels an int8 file is for: `gpu`, int8 convolutions amid fp16, as TensorRT reads them; `cpu`,
            int8 from layer to layer amid fp32.
        mean, std: per-channel normalisation of RGB in [0, 1].
        terms: terms of use of the weights, one line.
        provenance: where the weights came from and what wrote the file (sha256, versions).
    """

    backbone: str
    graph: Graph
    size: int
    batch: int | None
    label_order: str
    classes: tuple[str, ...]
    outputs: tuple[OutputKind, ...]
    warp: Warp = "none"
    trained_size: int | None = None
    precision: Precision = "fp32"
    made_for: MadeFor = "gpu"
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD
    terms: str = "not stated"
    provenance: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_random(self) -> bool:
        """Whether nobody trained the weights: the labels are noise."""
        return self.provenance.get("weights_sha256") == RANDOM_WEIGHTS

    @property
    def labels(self) -> LabelSet:
        """The label order of the output."""
        return LabelSet(name=self.label_order, classes=self.classes)

    def to_json(self) -> str:
        """The document, keys sorted, so that equal specs are equal texts."""
        document = {"version": SPEC_VERSION, **asdict(self)}
        if self.warp == "none":  # as it was before there were warps: whoever reads no warp need not know the word
            del document["warp"]
        if self.made_for == "gpu":  # likewise
            del document["made_for"]
        return json.dumps(document, sort_keys=True)

    @classmethod
    def from_json(cls, text: str, *, source: object) -> ModelSpec:
        """Reads and checks the document. `source` is the file that it came from, for the message.

        Raises:
            IncompatibleEngineError: the text is not a spec, is of another version, or contradicts itself.
        """

        def bad(problem: str) -> IncompatibleEngineError:
            return IncompatibleEngineError(
                source, f"its segface-edge metadata is wrong: {problem}", "export the model again: segface-edge export"
            )

        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise bad("not JSON") from error
        if not isinstance(document, dict):
            raise bad("not a JSON object")
        version = document.pop("version", None)
        if version != SPEC_VERSION:
            raise bad(f"version {version!r}, this segface-edge reads version {SPEC_VERSION}")
        problem = _problem(document)
        if problem:
            raise bad(problem)
        for name in ("classes", "outputs", "mean", "std"):
            if name in document:
                document[name] = tuple(document[name])
        return cls(**document)


def _problem(document: dict[str, Any]) -> str | None:
    """What is wrong with a version 1 document, or None."""
    fields = ModelSpec.__dataclass_fields__
    unknown = sorted(set(document) - set(fields))
    if unknown:
        return f"unknown entries {', '.join(unknown)}"
    missing = [
        name for name in ("backbone", "graph", "size", "batch", "label_order", "classes", "outputs")
        if name not in document
    ]  # fmt: skip
    if missing:
        return f"entries missing: {', '.join(missing)}"
    get = document.get

    def strings(value: object) -> bool:
        return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)

    def numbers(value: object) -> bool:
        return (
            isinstance(value, list)
            and len(value) == 3
            and all(isinstance(item, int | float) and not isinstance(item, bool) for item in value)
            and all(abs(item) <= _LARGEST for item in value)  # false for NaN, which JSON texts may hold
        )

    def whole(value: object, allowed: range) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and value in allowed

    checks = {
        "backbone": isinstance(get("backbone"), str),
        "graph": get("graph") in get_args(Graph),
        "size": whole(get("size"), _SIZES),
        "batch": get("batch") is None or whole(get("batch"), _BATCHES),
        "label_order": isinstance(get("label_order"), str),
        "classes": strings(get("classes"))
        and len(set(document["classes"])) == len(document["classes"]) <= 256
        and document["classes"][0] == "background",
        # Confidence alone says nothing of the label.
        "outputs": strings(get("outputs"))
        and set(document["outputs"]) <= set(get_args(OutputKind))
        and len(set(document["outputs"])) == len(document["outputs"])
        and document["outputs"] != ["confidence"],
        "warp": get("warp", "none") in get_args(Warp),
        "trained_size": get("trained_size") is None or whole(get("trained_size"), range(1, 4097)),
        "precision": get("precision", "fp32") in get_args(Precision),
        "made_for": get("made_for", "gpu") in get_args(MadeFor),
        "mean": "mean" not in document or numbers(document["mean"]),
        "std": "std" not in document or (numbers(document["std"]) and all(item > 0 for item in document["std"])),
        "terms": isinstance(get("terms", ""), str),
        "provenance": isinstance(get("provenance", {}), dict)
        and all(isinstance(value, str) for value in get("provenance", {}).values()),
    }
    for name, ok in checks.items():
        if not ok:
            return f"{name} is {document.get(name)!r}"
    known = LABEL_SETS.get(document["label_order"])
    if known is not None and list(known.classes) != document["classes"]:
        # Before LaPa's sides were known, its ids and Helen's had the names of the other side: such a file would call
        # a left eye right.
        first = next(
            (i for i, (a, b) in enumerate(zip(known.classes, document["classes"], strict=False)) if a != b),
            min(len(known), len(document["classes"])),
        )
        there = [*document["classes"], "nothing"][first]
        return (
            f"id {first} of the label order '{known.name}' is called {there}, "
            f"which is {[*known.classes, 'not in it'][first]} (docs/label-orders.md)"
        )
    return None
