"""Ctrl-C and SIGTERM as an event: a step is finished and the state saved before the run ends."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stop_signals() -> Iterator[threading.Event]:
    """An event that Ctrl-C or SIGTERM sets; a second Ctrl-C stops at once."""
    event = threading.Event()

    def handle(number: int, frame: FrameType | None) -> None:
        if event.is_set() and number == signal.SIGINT:
            signal.default_int_handler(number, frame)
        event.set()

    if threading.current_thread() is not threading.main_thread():
        yield event
        return
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield event
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
