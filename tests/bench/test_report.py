"""The report: its schema, its figures, its warnings, its views."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from segface_edge.bench import machine
from segface_edge.bench.clock import ManualClock
from segface_edge.bench.pipeline import Pipeline
from segface_edge.bench.report import Startup, report, row, text, to_csv, to_markdown
from segface_edge.bench.scenarios import Samples, Scenario, measure
from segface_edge.engines import FakeEngine
from segface_edge.spec import Precision

from .power.test_result import measured

QUIET: dict[str, Any] = {
    "before": {
        "cpu_mhz": 2000.0,
        "gpu_mhz": "unknown",
        "temperature_c": 40.0,
        "throttling": "unknown",
        "load": [0, 0, 0],
    },
    "after": {
        "cpu_mhz": 2000.0,
        "gpu_mhz": "unknown",
        "temperature_c": 41.0,
        "throttling": "unknown",
        "load": [0, 0, 0],
    },
    "others": 0.01,
    "stolen": 0.0,
    "seconds": 2.0,
}
Document = Callable[..., dict[str, Any]]


@pytest.fixture
def document(portrait: Path) -> Document:
    """The report of fake engines with the given delays, named a, b, …, on a small photo: the clock is a fake too."""
    photo = io.BytesIO()
    with Image.open(portrait) as picture:
        picture.resize((64, 64)).save(photo, "PNG")

    def make(
        *delays: Any,
        watched: dict[str, Any] | None = None,
        batch: int | None = None,
        precision: Precision = "fp32",
        power: dict[str, Any] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        clock = ManualClock()
        scenario = Scenario(**{"warmup_s": 0.0, "duration_s": 1.0, "openings": 6, "min_queries": 100, **options})
        pipelines = [
            Pipeline(
                FakeEngine(delay=delay, sleep=clock.sleep, batch=batch),
                photo.getvalue(),
                span="frame",
                clock=clock,
            )
            for delay in delays
        ]
        for pipeline in pipelines:
            pipeline.engine.spec = replace(pipeline.engine.spec, precision=precision)
        found = [Samples() for _ in delays]
        for _ in range(scenario.openings):
            for samples, new in zip(found, measure(pipelines, scenario.of_one_opening(), clock), strict=True):
                samples.extend(new)
        startup = Startup(import_ms=None, open_ms=12.0)
        rows = [
            row(name, pipeline, scenario, samples, startup)
            for name, pipeline, samples in zip("abc", pipelines, found, strict=False)
        ]
        return report(rows, found, machine.environment(), watched or QUIET, power)

    return make


@pytest.fixture(scope="module")
def validate() -> Callable[[object], None]:
    jsonschema = pytest.importorskip("jsonschema", reason="the schema is checked with jsonschema")
    schema = json.loads(files("segface_edge.bench").joinpath("report.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema).validate  # type: ignore[no-any-return]


def test_reports_of_every_scenario_follow_the_schema(document: Document, validate: Callable[[object], None]) -> None:
    for options in (
        {},
        {"name": "multi-stream", "frames": 3},
        {"name": "offline", "frames": 8},
        {"name": "camera", "fps": 120.0},
    ):
        for delays in ((0.01,), (0.01, 0.012)):
            found = document(*delays, duration_s=0.1, min_queries=6, **options)
            validate(found)
            validate(json.loads(json.dumps(found)))


def test_a_report_with_power_follows_the_schema_and_shows_it_in_every_view(
    document: Document, validate: Callable[[object], None], tmp_path: Path
) -> None:
    power = measured(tmp_path)
    found = document(0.010, power=power)
    validate(found)
    validate(json.loads(json.dumps(found)))
    assert found["power"] == power
    for view in (text(found), to_markdown(found)):
        assert "power: 6.800 J a photo, 34.00 W; idle 12.00 W, above it 22.00 W; power mode " in view
        assert "not read: nvml: no NVIDIA GPU" in view
    (line, *_) = csv.DictReader(io.StringIO(to_csv(found)))
    assert (float(line["watts"]), float(line["joules_per_photo"])) == pytest.approx((34, 6.8))
    assert document(0.010)["power"] is None
    assert next(csv.DictReader(io.StringIO(to_csv(document(0.010)))))["watts"] == ""
    del found["power"]["rails"][0]["busy"]
    with pytest.raises(Exception, match="busy"):
        validate(found)


def test_a_report_older_than_power_still_has_its_views(document: Document) -> None:
    found = document(0.010)
    del found["power"]
    for view in (text, to_csv, to_markdown):
        assert "J a photo" not in view(found)


def test_doubts_of_power_are_among_the_warnings(document: Document, tmp_path: Path) -> None:
    (warning,) = document(0.010, power={**measured(tmp_path), "throttling": ["GPU: power cap"]})["warnings"]
    assert warning == "power: clocks were held down: GPU: power cap"


@pytest.mark.parametrize(
    "path",
    [("environment",), ("environment", "gpu"), ("environment", "power_mode"), ("environment", "during"), ("engine",),
     ("scenario", "transfers_included"), ("latency_ms", "p99"), ("samples_ms",), ("warnings",)],
)  # fmt: skip
def test_the_schema_refuses_a_report_that_lacks_something(
    document: Document, validate: Callable[[object], None], path: tuple[str, ...]
) -> None:
    broken = deepcopy(document(0.01))
    inner = broken
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    with pytest.raises(Exception, match=path[-1]):
        validate(broken)


def test_figures_are_exact(document: Document) -> None:
    found = document(0.010)
    assert found["latency_ms"]["p99"] == pytest.approx(10)
    assert found["fps"] == pytest.approx(100)
    assert found["stages_ms"]["inference"]["mean"] == pytest.approx(10)
    assert found["startup_ms"] == {"import": None, "open": 12.0, "first": pytest.approx(10)}
    samples = found["samples_ms"]["inference"]
    assert samples == pytest.approx([10.0] * len(samples))
    assert len(samples) == found["scenario"]["queries"] >= 100
    assert found["scenario"]["transfers_included"] is True


def test_photos_a_second_count_every_photo_of_a_query(document: Document) -> None:
    assert document(0.040, name="offline", frames=8)["fps"] == pytest.approx(200)


def test_a_camera_s_rate_is_of_the_time_that_passed(document: Document) -> None:
    found = document(0.010, name="camera", fps=25.0, duration_s=2.0)
    assert found["fps"] == pytest.approx(25)
    assert found["camera"]["dropped"] == 0
    assert found["camera"]["age_ms"]["p99"] == pytest.approx(10)


def test_further_engines_are_compared_with_the_first(document: Document) -> None:
    found = document(0.020, 0.024, 0.010)
    slower, faster = found["comparisons"]
    assert (slower["engine"], slower["base"], slower["verdict"]) == ("b", "a", "slower")
    assert slower["latency_ratio"] == pytest.approx(1.2)
    assert (faster["engine"], faster["verdict"]) == ("c", "faster")
    assert [entry["engine"]["name"] for entry in found["others"]] == ["b", "c"]


def test_the_same_delay_shows_no_difference(document: Document) -> None:
    def noisy(call: int) -> float:
        return 0.02 + 0.002 * ((call * 7919) % 13)

    found = document(noisy, lambda call: noisy(call + 5))
    assert found["comparisons"][0]["verdict"] == "no difference shown"


def test_too_few_openings_are_not_judged(document: Document) -> None:
    found = document(0.020, 0.024, openings=3)
    (comparison,) = found["comparisons"]
    assert comparison["latency_ratio"] == pytest.approx(1.2)
    assert (comparison["ci95"], comparison["verdict"]) == (None, "not judged: 3 openings, 6 are needed")
    assert "not judged" in text(found)
    assert "not judged" in to_markdown(found)


@pytest.mark.parametrize(
    ("batch", "frames", "warning"),
    [(4, 1, "part of each call is wasted"), (4, 6, "part of each call is wasted"), (1, 4, "is 4 calls"), (4, 4, None)],
)
def test_a_batch_that_does_not_fit_the_query_is_said(
    document: Document, batch: int, frames: int, warning: str | None
) -> None:
    name = "single-stream" if frames == 1 else "offline"
    warnings = document(0.01, batch=batch, name=name, frames=frames)["warnings"]
    assert len(warnings) == (warning is not None)
    assert warning is None or warning in warnings[0]


def test_a_p99_of_few_queries_is_said_to_be_the_slowest(document: Document) -> None:
    (warning,) = document(0.010, duration_s=0, min_queries=12)["warnings"]
    assert "queries; p99 is the slowest" in warning


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_a_file_for_gpus_on_a_cpu_is_said_to_be_one(document: Document, precision: str) -> None:
    (warning,) = document(0.010, precision=precision)["warnings"]
    assert f"on a CPU its {precision} is widened and computed in fp32" in warning


def test_a_quiet_run_has_no_warnings(document: Document) -> None:
    assert document(0.010)["warnings"] == []


@pytest.mark.parametrize(
    ("change", "warning"),
    [
        ({"others": 0.3}, "other processes took 30%"),
        ({"stolen": 0.1}, "other machines took 10%"),
        ({"after": {**QUIET["after"], "cpu_mhz": 1500.0}}, "CPU's clock moved from 2000 to 1500 MHz"),
        ({"others": "unknown", "stolen": "unknown"}, None),
    ],
)
def test_a_machine_that_was_not_quiet_is_said_to_be_so(
    document: Document, change: dict[str, Any], warning: str | None
) -> None:
    warnings = document(0.010, watched={**QUIET, **change})["warnings"]
    assert len(warnings) == (warning is not None)
    assert warning is None or warning in warnings[0]


def test_latency_that_varies_is_said_to_do_so(document: Document) -> None:
    (warning,) = document(lambda call: 0.02 if call % 2 else 0.03)["warnings"]
    assert "varies by 20%" in warning


def test_csv_has_a_line_per_engine_and_stage(document: Document) -> None:
    lines = list(csv.DictReader(io.StringIO(to_csv(document(0.010, 0.020)))))
    assert [(line["engine"], line["stage"]) for line in lines] == [
        (engine, stage) for engine in "ab" for stage in ("all", "fit", "inference", "restore")
    ]
    assert float(lines[4]["p50"]) == pytest.approx(20)
    assert float(lines[4]["fps"]) == pytest.approx(50)


def test_text_and_markdown_tell_engines_machine_and_comparison(document: Document) -> None:
    found = document(0.010, 0.020)
    for view in (text(found), to_markdown(found)):
        assert "takes 2.000 (95 % interval 2.000 to 2.000) times" in view
        assert "slower" in view
        assert found["environment"]["cpu"] in view
    assert "| a | single-stream | 1 | 1 | 10.0 |" in to_markdown(found)
    assert "dropped 0 of 120 frames" in text(document(0.005, name="camera", fps=120.0, openings=1))
