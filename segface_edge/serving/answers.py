"""What is answered where something is wrong: a status, and one line of JSON, {"error": "..."}."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from segface_edge.errors import ImageError, PictureSizeError, SegFaceEdgeError, UsageError, shown

# The client has gone: nobody reads it (nginx's number), it is counted.
GONE = 499
# Error -> status; the first that fits counts.
_STATUS: tuple[tuple[type[SegFaceEdgeError], int], ...] = (
    (PictureSizeError, 413),
    (ImageError, 422),
    (UsageError, 400),
)


class Refused(Exception):
    """A request that is not answered as it wished.

    Args:
        status: of HTTP.
        problem: one line.
        retry_after: seconds after which it may be tried again.
    """

    def __init__(self, status: int, problem: str, *, retry_after: int | None = None) -> None:
        super().__init__(shown(problem))
        self.status, self.retry_after = status, retry_after


def refusal(error: Exception) -> Response:
    """The answer that stands for an error; of one that nobody foresaw, 500 and no more."""
    headers: dict[str, str] = {}
    if isinstance(error, HTTPException):
        return JSONResponse({"error": str(error.detail).lower()}, error.status_code, error.headers)
    if isinstance(error, SegFaceEdgeError):
        status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    elif isinstance(error, Refused):
        status = error.status
        if error.retry_after is not None:
            headers["Retry-After"] = str(error.retry_after)
        if status == 401:
            headers["WWW-Authenticate"] = "Bearer"
    else:
        return JSONResponse({"error": "failed; the server's standard error says more"}, 500)
    return JSONResponse({"error": str(error)}, status, headers)


async def refuse(request: Request, error: Exception) -> Response:  # noqa: ARG001 - Starlette's handlers are given both
    """`refusal`, as Starlette calls it."""
    return refusal(error)
