"""How long the parts of a step take."""

from __future__ import annotations

import time

import torch


class Clock:
    """How long the parts of a step take. On a GPU it waits for each part, so it runs on logged steps only."""

    def __init__(self, device: torch.device, on: bool) -> None:
        self._device, self._on = device, on
        self._laps: dict[str, float] = {}
        self._last = self._now() if on else 0.0

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def lap(self, name: str) -> None:
        """Ends the part `name`, which began with the last one's end."""
        if self._on:
            now = self._now()
            self._laps[name] = now - self._last
            self._last = now

    def milliseconds(self) -> dict[str, float]:
        """{part: milliseconds}; empty where it was off."""
        return {name: round(1000 * seconds, 2) for name, seconds in self._laps.items()}
