"""The bound on a device, against numbers computed by hand; the table of devices."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segface_edge.bench.bound import bound, row, unfused
from segface_edge.bench.devices import PRECISIONS, Device, Figure, device, devices, read_devices
from segface_edge.errors import InputError, UsageError


def figure(value: float) -> Figure:
    return Figure(value=value, source="https://example.com")


def made(peaks: dict[str, float], bandwidth: float = 50e9, cache: float | None = 0.0) -> Device:
    return Device(
        name="mine",
        title="Mine",
        peaks={name: figure(value) for name, value in peaks.items()},
        bandwidth=figure(bandwidth),
        cache=None if cache is None else figure(cache),
    )


def test_the_larger_of_arithmetic_and_memory_bounds() -> None:
    # 4 G operations at 2 TOPS: 2 ms; 25 MB at 50 GB/s: 0.5 ms.
    found = bound(made({"fp16": 2e12}), {"fp16": 4e9}, 25e6)
    assert (found.arithmetic, found.memory, found.seconds) == pytest.approx((2e-3, 0.5e-3, 2e-3))
    # A tenth of the operations: memory is the larger.
    assert bound(made({"fp16": 2e12}), {"fp16": 4e8}, 25e6).seconds == pytest.approx(0.5e-3)


def test_what_caches_can_hold_need_not_be_fetched() -> None:
    def memory(cache: float | None) -> float:
        return bound(made({"fp16": 2e12}, cache=cache), {}, 25e6).memory

    assert memory(5e6) == pytest.approx(0.4e-3)
    assert memory(30e6) == 0
    assert memory(None) == 0, "caches of unknown size may hold everything"


def test_units_of_two_types_may_work_side_by_side() -> None:
    # 1 ms of fp16, 3 ms of int8: not 4 ms.
    found = bound(made({"fp16": 1e12, "int8": 2e12}), {"fp16": 1e9, "int8": 6e9}, 0)
    assert found.seconds == pytest.approx(3e-3)


def test_the_peak_of_a_narrower_type_stands_in_and_is_named() -> None:
    found = bound(made({"int8": 4e12}), {"fp32": 4e9}, 0)
    assert found.seconds == pytest.approx(1e-3)
    assert found.stand_ins == {"fp32": "int8"}
    assert bound(made({"fp32": 1e12, "int8": 4e12}), {"fp32": 4e9}, 0).stand_ins == {}


def test_a_precision_without_a_peak_is_an_error_that_names_those_with_one() -> None:
    with pytest.raises(
        UsageError, match=r"device 'mine': has no published peak of int8.*; use --precision fp32 or fp16"
    ):
        bound(made({"fp32": 1e12, "fp16": 2e12}), {"int8": 1}, 0)


def test_unfused_adds_up_what_each_operator_takes() -> None:
    # 1 ms of products (0.2 ms of memory), then 0.6 ms of memory alone.
    passes = [("fp16", 2e9, 10e6), ("fp16", 0.0, 30e6)]
    assert unfused(made({"fp16": 2e12}), passes) == pytest.approx(1.6e-3)


@given(
    peak=st.floats(1e9, 1e15),
    other=st.floats(1e9, 1e15),
    bandwidth=st.floats(1e9, 1e13),
    operations=st.floats(1, 1e13),
    traffic=st.floats(1, 1e10),
)
def test_the_bound_falls_when_a_peak_rises(
    peak: float, other: float, bandwidth: float, operations: float, traffic: float
) -> None:
    low, high = sorted((peak, other))
    slow, quick = (bound(made({"fp16": value}, bandwidth), {"fp16": operations}, traffic) for value in (low, high))
    assert quick.seconds <= slow.seconds
    assert quick.arithmetic * high == pytest.approx(operations)
    wider = bound(made({"fp16": low}, 2 * bandwidth), {"fp16": operations}, traffic)
    assert wider.memory == pytest.approx(slow.memory / 2)
    assert wider.seconds <= slow.seconds


def test_no_operator_by_itself_goes_below_the_bound() -> None:
    """Of the same graph, unfused is no less than the bound."""
    mine = made({"fp16": 2e12})
    passes = [("fp16", 2e9, 10e6), ("fp16", 6e9, 30e6)]
    assert unfused(mine, passes) >= bound(mine, {"fp16": 8e9}, 12e6).seconds


def test_a_rate_that_is_just_reached_may_be() -> None:
    mine = made({"fp16": 2e12})
    one, two = (bound(mine, {"fp16": count * 2e9}, 0) for count in (1, 2))
    found = row(mine, one, two, fps=500, loose=5e-3)
    assert found["bound_ms"] == pytest.approx(1)
    assert found["fps_at_best"] == pytest.approx(500)
    assert found["verdict"] == "may"
    assert row(mine, one, two, fps=501, loose=5e-3)["verdict"] == "cannot"


def test_an_unknown_device_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"device 'jetson': is unknown; use one of: .*orin-nano-8gb.*h200"):
        device("jetson")


def test_every_row_is_whole_and_says_where_its_figures_are_from() -> None:
    assert len(devices()) >= 10
    for name, found in devices().items():
        assert name == found.name
        assert found.title
        assert set(found.peaks) <= set(PRECISIONS)
        for one in (*found.peaks.values(), found.bandwidth, *([found.cache] if found.cache else [])):
            assert one.value > 0
            assert one.source.startswith("https://")


def test_a_figure_for_sparse_matrices_is_halved() -> None:
    assert device("l4").peaks["int8"] == Figure(
        value=485e12 / 2, source="https://www.nvidia.com/en-us/data-center/l4/", halved=True
    )
    assert device("orin-nano-8gb").peaks["fp16"].value == 10e12


GOOD = 'title = "A"\nfp16 = { tops = 1, source = "s" }\nbandwidth = { gb_s = 1, source = "s" }\n'


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (GOOD + "colour = 1", "unknown key 'colour'"),
        (GOOD + 'int8 = { tops = 0.5, source = "s" }', "a narrow type with a lower one"),
        (GOOD + "int8 = { tops = 2 }", "without 'tops' and 'source'"),
        (GOOD + 'int8 = { gb_s = 2, source = "s" }', "without 'tops' and 'source'"),
        ('title = "A"\nbandwidth = { gb_s = 1, source = "s" }', "has no peak"),
        ('title = "A"\nfp16 = { tops = 1, source = "s" }', "has no 'bandwidth'"),
        (GOOD.replace('title = "A"', ""), "has no 'title'"),
    ],
)
def test_a_wrong_row_is_named(text: str, problem: str) -> None:
    assert read_devices(f"[mine]\n{GOOD}")["mine"].peaks["fp16"].value == 1e12
    with pytest.raises(InputError, match="device 'mine'") as caught:
        read_devices(f"[mine]\n{text}")
    assert problem in str(caught.value)
