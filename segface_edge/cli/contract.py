"""What a program in another language has to know of a model file: what goes in, what comes out, what is around it."""

from __future__ import annotations

from typing import Any

from segface_edge.pictures.fitting import PADDING
from segface_edge.pictures.restoring import SMOOTHING
from segface_edge.spec import ModelSpec

Row = dict[str, str]

_WARPED = (
    "S x S goes in through the RoI tanh warp, by five landmarks, and what comes out is brought back "
    "(segface_edge/pictures/warping.py)"
)


def contract(spec: ModelSpec, target: str | None = None) -> tuple[list[Row], list[Row]]:
    """Inputs and outputs, each with `name`, `type`, `shape`, `layout`, `range`, `meaning`; pictures with `colour`.

    Args:
        spec: what the file says of itself.
        target: of a file of `export --target`, where it takes and gives something else than the ONNX file.
    """
    n, s, k = "N" if spec.batch is None else str(spec.batch), spec.size, len(spec.classes)
    if target == "ncnn":
        logits = _logits(f"{k}x{s}x{s}", "CHW", name="out0", meaning="one plane per class; the label is its argmax")
        return [_picture("in0", "float32", f"3x{s}x{s}", "CHW", "0 to 255", "planes; the net normalises")], [logits]
    if spec.graph == "deploy":
        frames = _picture("frames", "uint8", f"{n}x{s}x{s}x3", "NHWC", "0 to 255", "interleaved; the graph normalises")
    else:
        mean, std = (" ".join(f"{value:g}" for value in values) for values in (spec.mean, spec.std))
        meaning = f"planes, (pixel / 255 - mean) / std, mean {mean}, std {std}"
        lowest = min(-m / d for m, d in zip(spec.mean, spec.std, strict=True))
        highest = max((1 - m) / d for m, d in zip(spec.mean, spec.std, strict=True))
        frames = _picture("images", "float32", f"{n}x3x{s}x{s}", "NCHW", f"{lowest:.2f} to {highest:.2f}", meaning)
    points = {
        "name": "landmarks",
        "type": "float32",
        "shape": f"{n}x5x2",
        "layout": "N, point, x y",
        "range": f"0 to {s}",
        "meaning": "two eyes, nose, two corners of the mouth, the left one in the picture first; pixels",
    }
    plane = {"type": "uint8", "shape": f"{n}x{s}x{s}", "layout": "NHW"}
    known = {
        "labels": {"name": "labels", **plane, "range": f"0 to {k - 1}", "meaning": "class id of each pixel"},
        "confidence": {
            "name": "confidence",
            **plane,
            "range": "0 to 255",
            "meaning": "probability of the label times 255",
        },
        "logits": _logits(f"{n}x{k}x{s}x{s}", "NCHW", meaning="one plane per class; argmax is the label"),
    }
    return [frames, *([points] if spec.warp == "inside" else [])], [known[kind] for kind in spec.outputs]


def _picture(name: str, kind: str, shape: str, layout: str, span: str, meaning: str) -> Row:
    row = {"name": name, "type": kind, "shape": shape, "layout": layout, "colour": "RGB", "range": span}
    return row | {"meaning": meaning}


def _logits(shape: str, layout: str, *, meaning: str, name: str = "logits") -> Row:
    return {"name": name, "type": "float32", "shape": shape, "layout": layout, "range": "any", "meaning": meaning}


def around(spec: ModelSpec) -> dict[str, Any]:
    """What is done to a whole photo before, and to the label map after, as a program may read it; docs/cpp.md has it in
    C++."""
    return {
        "fit": {
            "side": spec.size,
            "aspect_ratio": "kept",
            "filter": "bicubic, a = -0.5, antialiased",
            "place": "centred, edges at whole pixels, halves to even",
            "padding": list(PADDING),
            "warp": spec.warp,
        },
        "restore": {
            "filter": "bilinear masks of the classes, the largest wins, the lowest id of equals",
            "smoothing": SMOOTHING,
            "outside": 0,
        },
    }


def lines(spec: ModelSpec, inputs: list[Row], outputs: list[Row]) -> list[str]:
    """The same for people."""

    def tensors(rows: list[Row]) -> list[str]:
        found = []
        for row in rows:
            kind = ", ".join(row[key] for key in ("layout", "colour", "range") if key in row)
            found.append(f"  {row['name']:<11} {row['type']:<8} {row['shape']:<16} {kind}: {row['meaning']}")
        return found

    padding = " ".join(map(str, PADDING))
    return [
        "input, memory order as written, last dimension fastest",
        *tensors(inputs),
        "output",
        *tensors(outputs),
        "",
        "before: scale the photo with its aspect ratio kept to S x S (bicubic with a = -0.5, antialiased), centre it, "
        f"pad with RGB {padding}",
        *([f"warp: outside: {_WARPED}"] if spec.warp == "outside" else []),
        "after: cut the padding off; each class's mask (smoothed, sigma "
        f"{SMOOTHING}, where the photo is larger) bilinear at the photo's pixels, the largest wins",
        f"labels: {spec.label_order}",
        "  " + " ".join(f"{index}={name}" for index, name in enumerate(spec.classes)),
    ]
