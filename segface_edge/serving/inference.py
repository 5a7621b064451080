"""/v2: the Open Inference Protocol (KServe's, version 2), whose tensors are the engine's own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from segface_edge import __version__
from segface_edge.engines import Output
from segface_edge.memory import after_work
from segface_edge.spec import ModelSpec

from .answers import Refused
from .photos import check_plain
from .places import Places
from .settings import Settings
from .sharing import SharedEngine
from .tensors import Asked, answered, datatype
from .waiting import Waited

VERSION = "1"
# Frames of a request: their logits are 8 MB each.
MOST_FRAMES = 32
FRAMES, LANDMARKS = "frames", "landmarks"
_Endpoint = Callable[[Request], Awaitable[Response]]


def inference_routes(engine: SharedEngine, pool: ThreadPoolExecutor, places: Places, settings: Settings) -> list[Route]:
    """The protocol's routes; arguments as of `parse_endpoint`."""
    spec = engine.spec
    name = settings.model_name

    def check(request: Request) -> None:
        asked, version = request.path_params["model"], request.path_params.get("version", VERSION)
        if asked != name:
            raise Refused(404, f"there is no model {asked!r}; there is {name!r}")
        if version != VERSION:
            raise Refused(404, f"{name} has no version {version!r}; there is {VERSION!r}")

    async def server_live(request: Request) -> Response:  # noqa: ARG001
        return JSONResponse({"live": True})

    async def server_ready(request: Request) -> Response:  # noqa: ARG001
        return JSONResponse({"ready": engine.works}, 200 if engine.works else 503)

    async def server_metadata(request: Request) -> Response:  # noqa: ARG001
        return JSONResponse({"name": "segface-edge", "version": __version__, "extensions": ["binary_tensor_data"]})

    async def model_metadata(request: Request) -> Response:
        check(request)
        return JSONResponse(
            {
                "name": name,
                "versions": [VERSION],
                "platform": str(engine.describe()["runtime"]),
                "inputs": [_described(key, *one) for key, one in inputs_of(spec).items()],
                "outputs": [_described(key, *one) for key, one in outputs_of(spec).items()],
            }
        )

    async def model_ready(request: Request) -> Response:
        check(request)
        return JSONResponse({"name": name, "ready": engine.works}, 200 if engine.works else 503)

    async def infer(request: Request) -> Response:
        check(request)
        check_plain(request.headers)
        with places.one():
            waited = Waited(request, seconds=settings.timeout, most=settings.max_body)
            body = await waited.body()

            def do() -> Response:
                asked = Asked(body, request.headers.get("inference-header-content-length"))
                frames, landmarks = _checked(asked, spec)
                waited.check()
                output = engine.infer(frames, landmarks)
                waited.check()
                said = {"model_name": name, "model_version": VERSION}
                after_work()
                return answered(said if asked.id is None else {**said, "id": asked.id}, _given(asked, output, spec))

            return await waited.work(pool, do)

    model = "/v2/models/{model}"
    return [
        Route("/v2", server_metadata),
        Route("/v2/health/live", server_live),
        Route("/v2/health/ready", server_ready),
        *(
            Route(f"{path}{end}", endpoint, methods=["POST" if end == "/infer" else "GET"])
            for path in (model, f"{model}/versions/{{version}}")
            for end, endpoint in (("", model_metadata), ("/ready", model_ready), ("/infer", infer))
        ),
    ]


def inputs_of(spec: ModelSpec) -> dict[str, tuple[npt.DTypeLike, list[int]]]:
    """The engine's inputs: type and shape, -1 for any number of frames."""
    side = spec.size
    found: dict[str, tuple[npt.DTypeLike, list[int]]] = {FRAMES: (np.uint8, [-1, side, side, 3])}
    if spec.warp == "inside":
        found[LANDMARKS] = (np.float32, [-1, 5, 2])
    return found


def outputs_of(spec: ModelSpec) -> dict[str, tuple[npt.DTypeLike, list[int]]]:
    """The engine's outputs, likewise; labels always."""
    side = spec.size
    known: dict[str, tuple[npt.DTypeLike, list[int]]] = {
        "labels": (np.uint8, [-1, side, side]),
        "confidence": (np.uint8, [-1, side, side]),
        "logits": (np.float32, [-1, len(spec.classes), side, side]),
    }
    return {name: one for name, one in known.items() if name == "labels" or name in spec.outputs}


def _described(name: str, dtype: npt.DTypeLike, shape: list[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype(dtype), "shape": shape}


def _checked(asked: Asked, spec: ModelSpec) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32] | None]:
    """The inputs, which are what the engine takes. Raises Refused with 400 or 413."""
    inputs = inputs_of(spec)
    if set(asked.inputs) != set(inputs):
        raise Refused(400, f"the inputs are {', '.join(asked.inputs) or 'none'}; give {' and '.join(inputs)}")
    for name, (dtype, shape) in inputs.items():
        given = asked.inputs[name]
        if given.dtype != dtype or given.ndim != len(shape) or list(given.shape[1:]) != shape[1:] or not len(given):
            raise Refused(
                400,
                f"{name} is {datatype(given.dtype)} {list(given.shape)}; give {datatype(dtype)} {['N', *shape[1:]]}",
            )
    frames, landmarks = asked.inputs[FRAMES], asked.inputs.get(LANDMARKS)
    if len(frames) > MOST_FRAMES:
        raise Refused(413, f"{len(frames)} frames; give {MOST_FRAMES} at most")
    if landmarks is not None and len(landmarks) != len(frames):
        raise Refused(400, f"there are {len(frames)} frames and landmarks of {len(landmarks)}")
    if landmarks is not None and not np.isfinite(landmarks).all():
        raise Refused(400, "landmarks are not all finite")
    unknown = [name for name in asked.wanted or () if name not in outputs_of(spec)]
    if unknown:
        raise Refused(400, f"there is no output {unknown[0]!r}; there are {', '.join(outputs_of(spec))}")
    return frames, landmarks


def _given(asked: Asked, output: Output, spec: ModelSpec) -> dict[str, tuple[npt.NDArray[Any], bool]]:
    wanted = dict.fromkeys(outputs_of(spec), asked.all_bytes) if asked.wanted is None else asked.wanted
    return {name: (getattr(output, name), as_bytes) for name, as_bytes in wanted.items()}
