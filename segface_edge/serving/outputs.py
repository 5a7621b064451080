"""What a caller wants to have of a picture, by the address's query and the Accept header; and its making."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from starlette.datastructures import QueryParams
from starlette.responses import Response

from segface_edge.errors import UsageError
from segface_edge.labels import LabelSet, label_set
from segface_edge.parsing.result import FaceParse
from segface_edge.parsing.views import View

from .answers import Refused

Kind = Literal["json", "coco", "mask", "ids", "overlay", "color", "cutout"]
_JSON = "application/json"
# View -> the formats that keep what it shows; the first one is what */* gets.
_FORMATS = {
    "mask": {"image/png": "PNG"},
    "ids": {"image/png": "PNG"},
    "cutout": {"image/png": "PNG", "image/webp": "WEBP"},
    "overlay": {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"},
    "color": {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"},
}
_KEYS = ("output", "alpha", "classes", "order")


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is to be made of a picture.

    Attributes:
        kind: see `Kind`.
        media: of the answer.
        alpha: of an overlay.
        classes: that are shown; empty: all but background.
        order: of the labels; None: the model's.
    """

    kind: Kind
    media: str = _JSON
    alpha: float = 0.5
    classes: tuple[str, ...] = ()
    order: str | None = None


def wish_of(query: QueryParams, accept: str, own: LabelSet) -> Wish:
    """What a request asks for.

    Args:
        query: `output`, `alpha`, `classes`, `order`.
        accept: the Accept header.
        own: the model's label order.

    Raises:
        Refused: 400 for an unknown key or value, 406 where nothing that is accepted can be given.
    """
    for key in query:
        if key not in _KEYS:
            raise Refused(400, f"{key!r} is unknown in the address; there are {', '.join(_KEYS)}")
    kinds = get_args(Kind)
    kind = query.get("output")
    if kind is not None and kind not in kinds:
        raise Refused(400, f"output={kind!r} is unknown; use one of {', '.join(kinds)}")
    wanted = _accepted(accept)
    if kind is None:
        kind = next((one for one in ("json", "mask", "overlay") if _media(one, wanted)), None)
    media = None if kind is None else _media(kind, wanted)
    if kind is None or media is None:
        raise Refused(406, f"nothing here is {accept!r}; accept application/json, image/png, image/jpeg or image/webp")
    try:
        alpha = float(query.get("alpha", "0.5"))
    except ValueError:
        alpha = -1.0
    if not 0 <= alpha <= 1:
        raise Refused(400, f"alpha={query['alpha']!r} is out of range; give 0 to 1")
    order = query.get("order")
    classes = tuple(name.strip() for name in query.get("classes", "").split(",") if name.strip())
    try:
        (own if order is None else label_set(order)).indices(classes)
        if order is not None:
            own.table_to(label_set(order))
    except UsageError as error:
        raise Refused(400, str(error)) from error
    return Wish(kind=kind, media=media, alpha=alpha, classes=classes, order=order)  # type: ignore[arg-type]


def view_of(face: FaceParse, wish: Wish) -> bytes:
    """A picture's file. Raises Refused with 422 where the format cannot hold it."""
    view: View = wish.kind  # type: ignore[assignment]
    buffer = io.BytesIO()
    # The lowest of zlib's levels: of an overlay a quarter of the time of the usual one, a sixth more bytes.
    options = {"compress_level": 1} if wish.media == "image/png" else {"quality": 95}
    try:
        face.picture(view, alpha=wish.alpha, classes=wish.classes).save(buffer, _FORMATS[view][wish.media], **options)
    except (OSError, ValueError) as error:  # JPEG and WebP have largest sizes
        raise Refused(422, f"{wish.media} cannot hold this picture ({error}); accept image/png") from error
    return buffer.getvalue()


def answer_of(made: bytes, wish: Wish) -> Response:
    """A picture as an answer."""
    return Response(made, media_type=wish.media)


def parsed_json(photos: Sequence[dict[str, Any]], failed: Sequence[dict[str, Any]]) -> Response:
    """What `segface-edge parse --json` writes."""
    return _json({"photos": list(photos), "failed": list(failed)})


def coco_json(parts: Sequence[dict[str, Any]]) -> Response:
    """COCO's documents of several pictures, as one."""
    whole: dict[str, Any] = {"images": [], "categories": [], "annotations": []}
    for part in parts:
        whole["categories"] = part["categories"]
        whole["images"] += part["images"]
        first = len(whole["annotations"])
        whole["annotations"] += [{**one, "id": first + place} for place, one in enumerate(part["annotations"], 1)]
    return _json(whole)


def _json(document: Any) -> Response:
    return Response(json.dumps(document, separators=(",", ":")), media_type=_JSON)


def _accepted(accept: str) -> list[str]:
    """The media types of an Accept header, the most wanted first."""
    found = []
    for place, part in enumerate(accept.split(",")):
        name, *parameters = (word.strip() for word in part.split(";"))
        weight = next((word.partition("=")[2] for word in parameters if word.startswith("q=")), "1")
        try:
            quality = float(weight)
        except ValueError:
            quality = 0.0
        if name and quality > 0:
            found.append((-quality, place, name.lower()))
    return [name for _, _, name in sorted(found)] or ["*/*"]


def _media(kind: str, wanted: Sequence[str]) -> str | None:
    """The most wanted media type that this can be given as."""
    given = list(_FORMATS.get(kind, {_JSON: ""}))
    for name in wanted:
        for one in given:
            if name in ("*/*", one, f"{one.partition('/')[0]}/*"):
                return one
    return None
