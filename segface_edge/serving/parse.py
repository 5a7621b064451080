"""POST /v1/parse: pictures in, labels out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from segface_edge.errors import ImageError, SegFaceEdgeError
from segface_edge.parsing.result import FaceParse
from segface_edge.parsing.stages import Stages

from .answers import Refused, refusal
from .metrics import Metrics
from .outputs import Wish, answer_of, coco_json, parsed_json, view_of, wish_of
from .photos import Photo, check_kind, photos_of, taken
from .places import Places
from .settings import Settings
from .waiting import Waited


def parse_endpoint(
    stages: Stages, pool: ThreadPoolExecutor, places: Places, settings: Settings, metrics: Metrics
) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint.

    Args:
        stages: what is done with a picture.
        pool: threads that do it.
        places: of requests.
        settings: how long, how large.
        metrics: what is noted.
    """

    async def parse(request: Request) -> Response:
        wish = wish_of(request.query_params, request.headers.get("accept", ""), stages.engine.spec.labels)
        check_kind(request.headers)
        with places.one():
            waited = Waited(request, seconds=settings.timeout, most=settings.max_body)
            photos = await photos_of(await waited.body(), request.headers)
            if len(photos) > 1 and wish.kind not in ("json", "coco"):
                raise Refused(400, f"{len(photos)} pictures cannot be one; send one, or ask for output=json or coco")
            return await waited.work(pool, lambda: _answer(stages, photos, wish, metrics, waited.check))

    return parse


def _answer(stages: Stages, photos: list[Photo], wish: Wish, metrics: Metrics, check: Callable[[], None]) -> Response:
    """What is made of all pictures, one after another; of several, bad ones are listed and the others count."""
    made: list[Any] = []
    failed: list[tuple[Photo, SegFaceEdgeError]] = []
    for photo in photos:
        try:
            face = parsed(stages, photo, check)
        except ImageError as error:
            failed.append((photo, error))
            continue
        metrics.parsed(face.timings)
        face = face.remap(wish.order) if wish.order else face
        made.append(_made(face, photo, wish, image_id=len(made)))
    if not made:
        return refusal(failed[0][1])
    if wish.kind == "coco":
        if failed:  # it has no place to say so
            return refusal(failed[0][1])
        return coco_json(made)
    if wish.kind == "json":
        return parsed_json(made, [{"source": photo.name, "error": str(error)} for photo, error in failed])
    return answer_of(made[0], wish)


def parsed(stages: Stages, photo: Photo, check: Callable[[], None]) -> FaceParse:
    """One picture through its stages, as long as somebody waits for it.

    Raises:
        ImageError: it cannot be read; names the client's file.
    """
    work = taken(stages, photo)
    check()
    stages.find(work)
    check()
    stages.infer([work])
    check()
    return stages.finish(work)


def _made(face: FaceParse, photo: Photo, wish: Wish, *, image_id: int) -> Any:
    if wish.kind == "json":
        return {"source": photo.name, "output": None, **face.to_json()}
    if wish.kind == "coco":
        shown = face.only(*wish.classes) if wish.classes else face
        return shown.to_coco(file_name=photo.name, image_id=image_id)
    return view_of(face, wish)
