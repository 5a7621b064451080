"""A whole benchmark of fake engines on the machine's own clock: what is opened, closed and reported."""

from __future__ import annotations

from pathlib import Path

import pytest

from segface_edge.bench.power.table import open_sensors
from segface_edge.bench.report import Startup
from segface_edge.bench.run import bench
from segface_edge.bench.scenarios import Scenario
from segface_edge.engines import Engine, FakeEngine
from segface_edge.errors import UsageError


class Maker:
    """Opens fake engines and remembers them."""

    def __init__(self, log: list[str], name: str) -> None:
        self.log, self.name = log, name
        self.made: list[FakeEngine] = []

    def __call__(self) -> tuple[Engine, Startup]:
        self.log.append(self.name)
        self.made.append(FakeEngine())
        return self.made[-1], Startup(import_ms=float(len(self.made)), open_ms=1.0)


def test_engines_are_opened_anew_in_alternating_order_and_closed(portrait: Path) -> None:
    log: list[str] = []
    makers = {name: Maker(log, name) for name in "ab"}
    shares: list[float] = []
    scenario = Scenario(warmup_s=0, duration_s=0, min_queries=4, openings=4)
    document = bench(makers, portrait.read_bytes(), scenario, span="engine", progress=shares.append)
    assert "".join(log) == "ab" + "ba" + "ab" + "ba"
    for maker in makers.values():
        assert len(maker.made) == 4
        assert all(engine.closed for engine in maker.made)
    assert document["engine"]["name"] == "a"
    assert document["startup_ms"]["import"] == 1.0
    (comparison,) = document["comparisons"]
    assert (comparison["engine"], comparison["base"], comparison["openings"]) == ("b", "a", 4)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_an_engine_that_fails_leaves_none_open(portrait: Path) -> None:
    log: list[str] = []
    good = Maker(log, "good")

    def fails() -> tuple[Engine, Startup]:
        raise OSError("no such engine")

    try:
        bench({"good": good, "bad": fails}, portrait.read_bytes(), Scenario())
    except OSError:
        assert [engine.closed for engine in good.made] == [True]
    else:
        raise AssertionError("the failure was swallowed")


def test_power_is_measured_idle_first_then_while_measuring_alone(portrait: Path, orin_nano: Path) -> None:
    log: list[str] = []
    scenario = Scenario(warmup_s=0.3, duration_s=0.6, min_queries=4, openings=2)
    with open_sensors(orin_nano) as sensors:
        document = bench(
            {"a": Maker(log, "a")},
            portrait.read_bytes(),
            scenario,
            span="engine",
            sensors=sensors,
            interval_s=0.1,
            idle_s=0.4,
        )
    power = document["power"]
    assert log == ["a", "a"]
    assert (power["watts"], power["idle_watts"]) == (pytest.approx(4.7), pytest.approx(4.7))
    assert power["watts_above_idle"] == pytest.approx(0, abs=1e-9)
    # No upper limits: a busy machine takes as long as it likes.
    assert power["idle_s"] >= 0.35
    assert power["seconds"] >= 0.55
    idle, busy = ([one["seconds"] for one in power["samples"] if one["phase"] == name] for name in ("idle", "busy"))
    assert min(busy) - max(idle) > 0.1  # the warm-up is part of neither
    assert power["photos"] == document["scenario"]["queries"]
    assert power["joules_per_photo"] == pytest.approx(4.7 * power["seconds"] / power["photos"])
    assert [(rail["name"], rail["total"]) for rail in power["rails"]] == [
        ("VDD_IN", True), ("VDD_CPU_GPU_CV", False), ("VDD_SOC", False),
    ]  # fmt: skip
    assert {sample["phase"] for sample in power["samples"]} == {"idle", "busy"}


def test_power_of_several_engines_is_refused_before_any_is_opened(portrait: Path, orin_nano: Path) -> None:
    log: list[str] = []
    with (
        open_sensors(orin_nano) as sensors,
        pytest.raises(UsageError, match="--power: cannot tell 2 engines apart that are measured in turn"),
    ):
        bench({name: Maker(log, name) for name in "ab"}, portrait.read_bytes(), Scenario(), sensors=sensors)
    assert log == []
