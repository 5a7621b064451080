"""Fixtures of power sensors."""

from __future__ import annotations

import os
from typing import Any

import pytest


@pytest.fixture
def denied(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files with numbers can be read by root alone, whoever runs the tests."""

    def refuse(path: Any, _: int) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", refuse)
