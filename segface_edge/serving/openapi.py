"""The OpenAPI document, at /openapi.json."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from segface_edge import __version__

FILE = Path(__file__).with_name("openapi.json")


@cache
def document() -> dict[str, Any]:
    """OpenAPI 3.1, of this version."""
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    found["info"]["version"] = __version__
    return found
