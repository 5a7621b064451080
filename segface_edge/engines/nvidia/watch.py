"""A build that can be followed and stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any, TypeVar

# Told the builder's phase and the share that is done, 0 to 1.
Progress = Callable[[str, float], None]
_POLL_S = 0.1
_T = TypeVar("_T")


def stoppable(work: Callable[[], _T], stop: threading.Event) -> _T:
    """What `work` gives, from a thread of its own: this one stays free to hear Ctrl-C.

    It ends NVIDIA's builder at its next step; a second one ends the process, when nothing is written yet.
    """
    found: list[_T] = []
    failed: list[BaseException] = []
    done = threading.Event()  # not `join`: one that is interrupted takes the thread for ended
    once = threading.Lock()

    def run() -> None:
        if not once.acquire(blocking=False):
            return
        try:
            found.append(work())
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    # Ctrl-C may come at any moment, also while the thread starts, which may then run or not: it is started again, and
    # the work is done once. All waiting is within the `try`, or the builder would go on with nobody to wait for it.
    while True:
        try:
            if not once.locked():
                threading.Thread(target=run, name="TensorRT builder", daemon=True).start()
            while not done.wait(_POLL_S):
                pass
            break
        except KeyboardInterrupt:
            if stop.is_set():
                raise
            stop.set()
    if failed:
        raise failed.pop()  # not kept: its trace holds NVIDIA's builder
    return found[0]


def monitor(trt: ModuleType, progress: Progress, stop: threading.Event) -> Any:
    """NVIDIA's account of its progress: phases within phases, each of so many steps."""

    class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.lock = threading.Lock()  # phases may be told of from several threads
            self.phases: dict[str, tuple[str | None, int, int]] = {}
            self.told = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            with self.lock:
                self.phases[phase_name] = (parent_phase, max(1, num_steps), 0)
                self.tell(phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            with self.lock:
                if phase_name in self.phases:
                    parent, steps, _ = self.phases[phase_name]
                    self.phases[phase_name] = (parent, steps, min(step + 1, steps))
                    self.tell(phase_name)
            return not stop.is_set()

        def phase_finish(self, phase_name: str) -> None:
            with self.lock:
                self.phases.pop(phase_name, None)

        def tell(self, phase: str) -> None:
            share, name = 0.0, phase
            while name in self.phases:
                parent, steps, done = self.phases[name]
                share = min(1.0, (done + share) / steps)
                if parent is None or parent == name:
                    break
                name = parent
            self.told = max(self.told, share)  # phases beside each other may seem to go back
            progress(phase, self.told)

    return Monitor()
