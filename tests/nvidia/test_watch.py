"""A build hears Ctrl-C whenever it comes, and is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from segface_edge.engines.nvidia import watch
from segface_edge.engines.nvidia.watch import stoppable

START = threading.Thread.start


def until_stopped(stop: threading.Event, ran: list[str]) -> Callable[[], str]:
    def work() -> str:
        ran.append("begun")
        if stop.wait(10):
            ran.append("ended")
            raise KeyboardInterrupt
        return "never told"

    return work


@pytest.mark.parametrize("moment", ["before it runs", "while it starts"])
def test_ctrl_c_while_the_thread_starts_ends_the_work(moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Under load, the builder may be at work before the thread that started it goes on."""
    stop, ran, times = threading.Event(), [], []

    def start(thread: threading.Thread) -> None:
        times.append(moment)
        if len(times) > 1 or moment == "while it starts":
            START(thread)
        if len(times) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(KeyboardInterrupt):
        stoppable(until_stopped(stop, ran), stop)
    # It was begun once, and nothing of it is left when the call ends.
    assert ran == ["begun", "ended"]


@pytest.mark.parametrize("wait", range(3))
def test_ctrl_c_in_any_wait_ends_the_work(wait: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, ran = threading.Event(), []
    real, waits = threading.Event.wait, []

    def interrupted(event: threading.Event, timeout: float | None = None) -> bool:
        if threading.current_thread() is threading.main_thread() and timeout == watch._POLL_S:
            waits.append(timeout)
            if len(waits) == wait + 1:
                raise KeyboardInterrupt
        return real(event, timeout)

    monkeypatch.setattr(watch, "_POLL_S", 0.01)
    monkeypatch.setattr(threading.Event, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stoppable(until_stopped(stop, ran), stop)
    assert ran == ["begun", "ended"]


def test_a_second_ctrl_c_does_not_wait() -> None:
    stop, go_on = threading.Event(), threading.Event()
    stop.set()  # as a first one does

    def work() -> None:
        go_on.wait(10)

    with pytest.MonkeyPatch.context() as patch:
        real = threading.Event.wait

        def interrupted(event: threading.Event, timeout: float | None = None) -> bool:
            if timeout == watch._POLL_S:
                raise KeyboardInterrupt
            return real(event, timeout)

        patch.setattr(threading.Event, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            stoppable(work, stop)
    go_on.set()


def test_what_the_work_gives_or_raises_is_passed_on() -> None:
    assert stoppable(lambda: 7, threading.Event()) == 7

    def fails() -> None:
        raise ValueError("as it is")

    with pytest.raises(ValueError, match="as it is"):
        stoppable(fails, threading.Event())
