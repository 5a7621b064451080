"""Whether the benchmark can be trusted on this machine: `python benchmarks/trust.py`.

Three experiments, each a known truth:

- the same file against itself: the 95 % interval of the ratio should hold 1 in about 19 of 20 trials;
- the same file made slower by a busy-wait of a tenth of its latency: it should be found slower;
- an engine that does nothing: what is left is the harness's own cost per query.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from time import perf_counter

import click

from segface_edge import zoo
from segface_edge.bench.clock import SystemClock
from segface_edge.bench.machine import Watch, environment
from segface_edge.bench.pipeline import Pipeline
from segface_edge.bench.report import machine_lines
from segface_edge.bench.scenarios import Scenario, measure
from segface_edge.bench.statistics import Ratio, paired_ratio
from segface_edge.engines import FakeEngine
from segface_edge.engines.base import Output
from segface_edge.engines.ort import OrtEngine
from segface_edge.imaging import UInt8Array


class Slowed(OrtEngine):
    """The same model, followed by a busy-wait."""

    wait_s = 0.0

    def run(self, frames: UInt8Array) -> Output:
        output = super().run(frames)
        end = perf_counter() + self.wait_s
        while perf_counter() < end:
            pass
        return output


@click.command()
@click.option("--trials", default=20, show_default=True)
@click.option("--duration", default=5.0, show_default=True, help="Seconds per engine and trial.")
@click.option("--model", type=click.Path(path_type=Path), default=zoo.DEFAULT_MODEL)
def main(trials: int, duration: float, model: Path) -> None:
    """Run all three."""
    watch = Watch()
    _harness_cost()
    with OrtEngine(model) as base, Slowed(model) as other:
        median = statistics.median(_measure(base, base, 2.0)[0])
        print(f"median latency {median:.1f} ms; {trials} trials of {duration:g} s per engine")
        for name, wait_ms in (("the same file twice", 0.0), ("one slower by a tenth", median / 10)):
            other.wait_s = wait_ms / 1000
            ratios = [_ratio(base, other, duration) for _ in range(trials)]
            held = sum(ratio.low <= 1 <= ratio.high for ratio in ratios)
            slower = sum(ratio.low > 1 for ratio in ratios)
            print(f"{name}: interval holds 1 in {held} of {trials}, found slower in {slower} of {trials}")
            print("  " + " ".join(f"{r.ratio:.3f}[{r.low:.3f},{r.high:.3f}]" for r in ratios))
    print("\n".join(machine_lines({**environment(), "load": watch.stop()["before"]["load"], "during": watch.stop()})))


def _measure(first: OrtEngine, second: OrtEngine, duration: float) -> list[list[float]]:
    clock = SystemClock()
    pipelines = [Pipeline(engine, zoo.PORTRAIT.read_bytes(), span="frame", clock=clock) for engine in (first, second)]
    return [samples.rounds for samples in measure(pipelines, Scenario(warmup_s=0.5, duration_s=duration), clock)]


def _ratio(base: OrtEngine, other: OrtEngine, duration: float) -> Ratio:
    first, second = _measure(base, other, duration)
    return paired_ratio(second, first)


def _harness_cost() -> None:
    """Time per query that no stage accounts for, and the whole query of an engine that does nothing."""
    clock = SystemClock()
    pipeline = Pipeline(FakeEngine(), zoo.PORTRAIT.read_bytes(), span="engine", clock=clock)
    scenario = Scenario(warmup_s=0.5, duration_s=3.0)
    (samples,) = measure([pipeline], scenario, clock)
    queries = len(samples.queries)
    total = 1e6 * samples.seconds / queries
    inside = 1e3 * statistics.fmean(samples.queries)
    print(
        f"harness: {total - inside:.1f} us a query outside its stages, {total:.1f} us with an engine that does nothing"
    )


if __name__ == "__main__":
    main()
