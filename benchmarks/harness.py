"""What the benchmark itself costs: `python benchmarks/harness.py`.

An engine that does nothing, run by a bare loop around `engine.infer`, by the harness, and by the harness while power is
sampled from files in a Jetson's layout, in turn, in short stretches: microseconds that the harness adds to a query, by
the wall's clock and of CPU time (all threads). Then what a power sample costs, and what the sampler's thread takes of
a core at its own interval. On a busy machine CPU time is the one to read: there a thread that holds Python's lock may
wait for a core, which no engine notices that runs outside that lock.

What `infer` itself checks (the frames' shape, the highest label) is no part of the harness: every user of the package
has it.
"""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time, sleep
from typing import NamedTuple

import click

from segface_edge import zoo
from segface_edge.bench.clock import SystemClock
from segface_edge.bench.pipeline import Pipeline
from segface_edge.bench.power.ina3221 import FOLDER
from segface_edge.bench.power.sampler import INTERVAL_S, Sampler
from segface_edge.bench.power.table import Sensors, open_sensors
from segface_edge.bench.scenarios import Scenario, measure
from segface_edge.engines import FakeEngine
from segface_edge.pictures.fitting import fit

CORES = 12
SAMPLES = 2000


class Cost(NamedTuple):
    """Microseconds of a query: that passed, and of CPU time."""

    wall: float
    cpu: float


@click.command()
@click.option("--rounds", default=20, show_default=True, help="How often each of the three runs, in turn.")
@click.option("--seconds", default=0.5, show_default=True, help="Of each run.")
@click.option("--watch", default=10.0, show_default=True, help="Seconds for which the sampler runs alone.")
def main(rounds: int, seconds: float, watch: float) -> None:
    """Measure the harness."""
    clock = SystemClock()
    pipeline = Pipeline(FakeEngine(), zoo.PORTRAIT.read_bytes(), span="engine", clock=clock)
    scenario = Scenario(warmup_s=0, duration_s=seconds)
    with tempfile.TemporaryDirectory() as folder, open_sensors(_jetson(Path(folder))) as sensors:
        sampler = Sampler(sensors, clock)

        def with_power() -> Cost:
            with sampler.phase("busy"):
                return _harness(pipeline, scenario)

        ways: dict[str, Callable[[], Cost]] = {
            "bare loop": lambda: _bare(pipeline, seconds),
            "harness": lambda: _harness(pipeline, scenario),
            "harness and power": with_power,
        }
        found: dict[str, list[Cost]] = {name: [] for name in ways}
        for turn in range(rounds):
            for name in list(ways)[:: 1 if turn % 2 == 0 else -1]:
                found[name].append(ways[name]())
        for name, costs in found.items():
            base = [Cost(0.0, 0.0)] * rounds if name == "bare loop" else found["bare loop"]
            wall = statistics.median(own.wall - other.wall for own, other in zip(costs, base, strict=True))
            cpu = statistics.median(own.cpu - other.cpu for own, other in zip(costs, base, strict=True))
            more = "" if name == "bare loop" else " more"
            print(f"{name}: {wall:.1f} us a query{more}, {cpu:.1f} us of CPU time{more} (medians of {rounds})")
        _sampling(sensors, watch)


def _bare(pipeline: Pipeline, seconds: float) -> Cost:
    """A call of the engine, with a look at the clock and nothing else."""
    frames = fit(pipeline.image, pipeline.engine.spec.size).pixels[None]
    infer, count, start, cpu = pipeline.engine.infer, 0, perf_counter(), process_time()
    while perf_counter() - start < seconds:
        infer(frames)
        count += 1
    return Cost(1e6 * (perf_counter() - start) / count, 1e6 * (process_time() - cpu) / count)


def _harness(pipeline: Pipeline, scenario: Scenario) -> Cost:
    cpu = process_time()
    (samples,) = measure([pipeline], scenario, SystemClock())
    cpu = process_time() - cpu
    return Cost(1e6 * samples.seconds / samples.count, 1e6 * cpu / samples.count)


def _sampling(sensors: Sensors, watch: float) -> None:
    clock = SystemClock()
    sampler = Sampler(sensors, clock, threaded=False)
    with sampler.phase("busy"):
        start = process_time()
        for _ in range(SAMPLES):
            sampler.tick()
        each = 1e6 * (process_time() - start) / SAMPLES
    print(f"a power sample of {len(sensors.rails)} rails: {each:.0f} us, {1e-4 * each / INTERVAL_S:.3f} % of a core")
    with Sampler(sensors, clock).phase("busy"):
        start = process_time()
        sleep(watch)
        share = (process_time() - start) / watch
    print(f"the sampler's thread, every {1000 * INTERVAL_S:.0f} ms: {share:.3%} of a core")


def _jetson(root: Path) -> Path:
    """The files of an Orin Nano: a monitor of three rails, and clocks and temperatures of which a sample is told."""
    monitor = f"{FOLDER}/ina3221/1-0040/hwmon/hwmon1"
    files: dict[str, object] = {}
    for channel, (name, milliamperes) in enumerate((("VDD_IN", 940), ("VDD_CPU_GPU_CV", 104), ("VDD_SOC", 288)), 1):
        files |= {
            f"{monitor}/in{channel}_label": name,
            f"{monitor}/in{channel}_input": 5000,
            f"{monitor}/curr{channel}_input": milliamperes,
        }
    for core in range(CORES):
        files[f"sys/devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"] = 1_510_400
        files[f"sys/class/thermal/thermal_zone{core}/temp"] = 48_000
    files["sys/class/devfreq/17000000.gpu/cur_freq"] = 624_750_000
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"{content}\n")
    return root


if __name__ == "__main__":
    main()
