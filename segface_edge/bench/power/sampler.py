"""A thread that samples power while something else runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from segface_edge.bench.clock import Clock

from .energy import Energy
from .reader import State
from .table import Sensors

INTERVAL_S = 0.1
# Of the time line; a longer run keeps every second of its samples, then every fourth…
MAX_SAMPLES = 1000
# Clocks and temperatures move slowly, and asking a core for its clock costs more than asking a sensor for its power.
STATE_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A moment of the time line.

    Attributes:
        seconds: since the sampler was made.
        phase: which phase it lies in.
        watts: of each rail since the sample before, None where not known.
        state: clocks, temperature and throttling, at most `STATE_S` old.
    """

    seconds: float
    phase: str
    watts: tuple[float | None, ...]
    state: State


@dataclass
class Phase:
    """What was measured under one name, in one stretch or several.

    Attributes:
        energies: of each rail.
        seconds: how long it lasted.
    """

    energies: list[Energy]
    seconds: float = 0.0


@dataclass
class Timeline:
    """At most `limit` samples, evenly spread over all that were added.

    Attributes:
        limit: of the list.
        samples: the list.
        step: every how manyth is kept.
    """

    limit: int = MAX_SAMPLES
    samples: list[Sample] = field(default_factory=list)
    step: int = 1
    _added: int = 0

    def add(self, sample: Sample) -> None:
        """Keeps the sample, or not."""
        if self._added % self.step == 0:
            if len(self.samples) == self.limit:
                self.samples = self.samples[::2]
                self.step *= 2
            if self._added % self.step == 0:
                self.samples.append(sample)
        self._added += 1


class Sampler:
    """Measures phases, one at a time: `with sampler.phase("busy"): …`.

    A phase begins and ends with a sample of its own, taken by its caller, so that its energy is of exactly its time;
    between them a thread samples. Outside of phases nothing is sampled.

    Args:
        sensors: what is sampled.
        clock: what time is.
        interval_s: seconds between samples.
        threaded: whether there is a thread; without one, `tick` is called instead, for tests.

    Attributes:
        phases: by name.
        timeline: samples of all phases.
        throttling: every reason that was seen, in the order in which they came.
    """

    def __init__(
        self, sensors: Sensors, clock: Clock, *, interval_s: float = INTERVAL_S, threaded: bool = True
    ) -> None:
        self.sensors, self.interval_s = sensors, interval_s
        self.phases: dict[str, Phase] = {}
        self.timeline = Timeline()
        self.throttling: list[str] = []
        self._clock, self._threaded = clock, threaded
        self._start = clock.now()
        self._lock = threading.Lock()
        self._state, self._state_at = State(), float("-inf")
        self._name = ""

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measures what is done inside, in addition to what was measured under this name before."""
        energies = [Energy(rail, self.interval_s) for rail in self.sensors.rails]
        phase = self.phases.setdefault(name, Phase(energies))
        self._name = name
        begun = self._clock.now()
        self.tick()
        done = threading.Event()
        thread = threading.Thread(target=self._run, args=(done,), name="power", daemon=True)
        if self._threaded:
            thread.start()
        try:
            yield
        finally:
            done.set()
            if self._threaded:
                thread.join()
            self.tick()
            now = self._clock.now()
            phase.seconds += now - begun
            for energy in phase.energies:
                energy.cut(now)

    def tick(self) -> None:
        """Takes a sample of the phase that runs."""
        with self._lock:
            phase = self.phases[self._name]
            now = self._clock.now()
            values = self.sensors.sample()
            watts = tuple(energy.add(now, value) for energy, value in zip(phase.energies, values, strict=True))
            if now - self._state_at >= STATE_S:
                self._state, self._state_at = self._ask(), now
            self.timeline.add(Sample(seconds=now - self._start, phase=self._name, watts=watts, state=self._state))

    def _run(self, done: threading.Event) -> None:
        # Against the clock, not after each sample: what sampling takes does not stretch the interval.
        due = self._clock.now() + self.interval_s
        while not done.wait(max(0.0, due - self._clock.now())):
            self.tick()
            now = self._clock.now()
            # A sensor slower than the interval must not make this a loop without pauses.
            due = due + self.interval_s if due + self.interval_s > now else now + self.interval_s

    def _ask(self) -> State:
        states = [self.sensors.board.state(), *(reader.state() for reader in self.sensors.readers)]
        throttling = tuple(reason for state in states for reason in state.throttling)
        self.throttling += [reason for reason in throttling if reason not in self.throttling]
        return State(
            cpu_mhz=next((state.cpu_mhz for state in states if state.cpu_mhz is not None), None),
            gpu_mhz=next((state.gpu_mhz for state in states if state.gpu_mhz is not None), None),
            temperature_c=max(
                (state.temperature_c for state in states if state.temperature_c is not None), default=None
            ),
            throttling=throttling,
        )
