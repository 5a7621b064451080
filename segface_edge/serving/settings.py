"""How the server behaves; what it runs is a `FaceParser`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from segface_edge.errors import UsageError

# What can stand in a header and, as base64, in the name of a WebSocket's subprotocol.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{8,512}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
MEGABYTE = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of a server.

    Attributes:
        queue: requests that are read, wait, or are in work at a time; one more is answered 503.
        timeout: seconds until a request must be answered: 408 where its body is not there by then, else 504.
        max_body: bytes of a request's body, and of a frame; more is answered 413.
        live: pages that are live at a time.
        token: what a caller must show; None: anyone may call.
        names: names of this machine by which it is called, besides `localhost` and addresses.
        model_name: how `/v2` calls the model.

    Raises:
        UsageError: a token that no header can hold, or that is easily guessed.
    """

    queue: int = 16
    timeout: float = 30.0
    max_body: int = 32 * MEGABYTE
    live: int = 4
    token: str | None = field(default=None, repr=False)
    names: tuple[str, ...] = ()
    model_name: str = "segface"

    def __post_init__(self) -> None:
        if self.token is not None and not _TOKEN.fullmatch(self.token):
            raise UsageError("--token", "is no token", "give 8 to 512 letters, digits or . _ ~ + / = -")
        if not _NAME.fullmatch(self.model_name):
            raise UsageError(f"--name {self.model_name}", "is no name of a model", "give letters, digits or . _ -")
