"""The live page's files, all of them from this package: none comes from a network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from segface_edge import zoo

FOLDER = Path(__file__).parent / "page"
# Suffix -> media type. What a machine's own table says of .js may be nothing that browsers run.
KINDS = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webmanifest": "application/manifest+json",
}
# The page draws what it makes itself (blobs) and what it is sent, and asks for a camera; nothing else is let in or out.
HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def page_routes() -> list[Route]:
    """A route for each file of one of `KINDS`; `index.html` is at `/`, a photo to begin with at `/sample.jpg`."""
    if not (FOLDER / "index.html").is_file():
        return []
    files = {f"/{path.name}": path for path in sorted(FOLDER.iterdir()) if path.suffix in KINDS}
    files["/"] = files.pop("/index.html")
    files["/sample.jpg"] = zoo.PORTRAIT
    return [Route(address, _giver(path)) for address, path in files.items()]


def _giver(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def page(request: Request) -> Response:  # noqa: ARG001
        return Response(path.read_bytes(), media_type=KINDS[path.suffix], headers=HEADERS)

    return page
