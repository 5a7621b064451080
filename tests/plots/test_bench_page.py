"""The page of a benchmark: complete, self-contained, escaped, and of a bounded size."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="figures need matplotlib")
pytest.importorskip("jinja2", reason="the page needs jinja2")

from segface_edge import zoo
from segface_edge.bench.machine import Watch, environment
from segface_edge.bench.report import Startup, report, row
from segface_edge.bench.scenarios import Samples, Scenario
from segface_edge.plots import latency
from segface_edge.plots.bench_page import bench_page

HOSTILE = 'a<script>alert("x")</script>&$x_1$--!><img src=x onerror=y>\udcff\x01.onnx'


class Page(HTMLParser):
    """What a page consists of: its elements with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += data

    def tags(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def documents(engine: Callable[..., Any], names: list[str], queries: int = 120, **scenario: Any) -> dict[str, Any]:
    """A report on engines that were not run, with made-up samples: most alike, a few far longer."""
    from segface_edge.bench.clock import ManualClock
    from segface_edge.bench.pipeline import Pipeline

    pipeline = Pipeline(engine(np.zeros((32, 32))), zoo.PORTRAIT.read_bytes(), span="frame", clock=ManualClock())
    random = np.random.default_rng(0)
    rows, found = [], []
    watched = Watch().stop()
    for place, name in enumerate(names):
        samples = Samples()
        for _ in range(queries):
            middle = (10 + place) * random.lognormal(0, 0.05) * (9 if random.random() < 0.005 else 1)
            samples.add({"fit": 0.1 * middle, "inference": 0.8 * middle, "restore": 0.1 * middle})
        samples.openings = [samples.queries[start::6] for start in range(6)]
        samples.seconds = 1.0
        found.append(samples)
        rows.append(row(name, pipeline, Scenario(**scenario), samples, Startup(import_ms=None, open_ms=5.0)))
    return report(rows, found, environment(), watched)


def check_self_contained(page: Page, text: str) -> None:
    for tag, attributes in page.elements:
        assert tag not in ("script", "iframe", "object", "embed", "base", "form", "img", "image", "foreignobject"), tag
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        for name in ("src", "href", "xlink:href", "srcset", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith("#") or value == "data:,", (tag, value)
    assert not re.search(r"https?:|//\w|@import|url\((?!#)", text)
    (policy,) = (one["content"] for one in page.tags("meta") if one.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))


def figures(page: Page) -> list[str]:
    """The keys of the figures, each of which is there in two widths; every one has a name and a description."""
    found = []
    ids = {attributes.get("id") for _, attributes in page.elements}
    for svg in page.tags("svg"):
        names = (svg["aria-labelledby"] or "").split()
        assert svg["role"] == "img"
        assert len(names) == 2
        assert set(names) <= ids
        found.append(names[0].removesuffix("-title"))
    keys = [name.removesuffix("-wide") for name in found if name.endswith("-wide")]
    assert sorted(found) == sorted(f"{key}-{width}" for key in keys for width in ("wide", "narrow"))
    return keys


@pytest.mark.parametrize("profile", [False, True], ids=["plain", "profile"])
def test_the_page_of_a_brief_run(cli: Callable[..., Any], tmp_path: Path, profile: bool) -> None:
    target, one = tmp_path / "bench.html", str(zoo.DEFAULT_MODEL)
    options = ("--warmup", 0, "--duration", 0, "--min-queries", 3, "--threads", 1, "--openings", 1)
    two = f"{one}@threads=2"
    command = ("bench", "--engine", one, "--engine", two, *options, "--html", target, "--json", tmp_path / "b.json")
    result = cli(*command, *(["--profile"] if profile else []))
    assert result.code == 0, result.err
    text = target.read_text(encoding="utf-8")
    page = Page(text)
    check_self_contained(page, text)
    assert len(text.encode()) < 1_000_000
    blocks = ["blocks-0", "blocks-1"] if profile else []
    assert figures(page) == ["comparison", "distribution", "timeline", "stages", *blocks]
    for words in (one, two, "Warnings", "not judged", "inference", "Machine", "ms, median"):
        assert words in page.text
    assert ("The 12 slowest of" in page.text) == profile
    assert all(one.get("scope") in ("col", "row") for one in page.tags("th"))
    assert {"lang": "en"} in page.tags("html")
    assert [one for one in page.tags("meta") if one.get("name") == "viewport"]


def test_a_profile_of_one_engine_has_a_figure_and_a_table(constant_engine: Callable[..., Any]) -> None:
    document = documents(constant_engine, ["one.onnx"])
    part = {"ms": 1.0, "share": 0.5, "macs": 2_000_000, "bytes": 1, "roof_ms": 0.25}
    document["layers"] = {
        "runs": 3,
        "run_ms": 2.1,
        "layers_ms": 2.0,
        "roofline": {
            "device": "d",
            "title": "a device",
            "operations_per_second": {"fp32": 4e9},
            "bytes_per_second": 1e9,
        },
        "blocks": [{**part, "block": "backbone"}, {**part, "block": "head", "macs": None, "roof_ms": None}],
        "kinds": [{**part, "kind": "Conv"}, {**part, "kind": "Gemm"}],
        "layers": [
            {**part, "name": "<b>first</b>", "kind": "Conv", "block": "backbone", "nodes": []},
            {**part, "name": "second", "kind": "Gemm", "block": "head", "nodes": [], "macs": None},
        ],
    }
    text = bench_page(document)
    page = Page(text)
    assert figures(page) == ["distribution", "timeline", "stages", "blocks-0"]
    assert "<b>first</b>" in page.text
    assert "The 2 slowest of 2 layers" in page.text
    assert "25 %" in page.text
    assert "The roof is what a device can do at best: 4 G operations a second in fp32" in page.text


def test_what_a_report_says_is_escaped(constant_engine: Callable[..., Any]) -> None:
    document = documents(constant_engine, [HOSTILE, HOSTILE + "2"])
    document["warnings"].append(HOSTILE)
    document["environment"]["cpu"] = HOSTILE
    document["environment"]["packages"] = {HOSTILE: HOSTILE}
    text = bench_page(document)
    page = Page(text)
    check_self_contained(page, text.replace("</script>", ""))
    assert "<script" not in text
    shown = HOSTILE.replace("\udcff", "?").replace("\x01", "�")
    # In a tile, tables, warnings, the machine, and what describes figures.
    assert page.text.count(shown) >= 10
    text.encode()


def test_the_page_stays_small_and_says_what_it_leaves_out(constant_engine: Callable[..., Any]) -> None:
    names = [f"{name}.onnx" for name in "abcdef"]
    few, many = (bench_page(documents(constant_engine, names, queries)) for queries in (100, 5000))
    assert len(many.encode()) < 1_000_000
    assert "samples of" not in few
    assert "Of the 5000 samples of a.onnx, 1000 are drawn" in " ".join(Page(many).text.split())


def test_thinning_keeps_the_longest_and_the_order() -> None:
    values = np.ones(10_000)
    values[[17, 5000, 9999]] = 9, 8, 7
    at = latency.thinned(values, 500)
    assert len(at) <= 500
    assert list(at) == sorted(set(at))
    assert {17, 5000, 9999} <= set(at)
    assert list(latency.thinned(values[:10], 10)) == list(range(10))


def test_engines_of_very_different_speed_have_scales_of_their_own(constant_engine: Callable[..., Any]) -> None:
    document = documents(constant_engine, ["a.onnx", "b.onnx"])
    alike = latency._scales([document, *document["others"]])
    assert alike[0] == alike[1]
    other = document["others"][0]
    other["samples_ms"] = {name: [10 * value for value in values] for name, values in other["samples_ms"].items()}
    other["latency_ms"] = {name: 10 * value for name, value in other["latency_ms"].items()}
    apart = latency._scales([document, other])
    assert apart[0][1] < apart[1][1] / 4


def test_a_camera_and_times_that_are_all_equal(constant_engine: Callable[..., Any]) -> None:
    document = documents(constant_engine, ["a.onnx"], name="single-stream")
    document["camera"] = {
        "frames": 9,
        "dropped": 4,
        "dropped_share": 4 / 9,
        "age_ms": {"p50": 40.0, "p99": 90.0},
        "ages_ms": [40.0],
    }
    document["samples_ms"] = {"inference": [0.0, 0.0]}
    document["latency_ms"] = dict.fromkeys(document["latency_ms"], 0.0)
    text = " ".join(Page(bench_page(document)).text.split())
    assert "Camera of 30 FPS: 4 of 9 frames dropped" in text


@pytest.mark.parametrize(
    "power",
    [
        {"samples": [{"seconds": 0.1 * i, "watts": [5.0, 3.0], "temperature_c": 40 + i} for i in range(5)],
         "rails": [{"total": True}, {"total": False}]},
        {"samples": [{"seconds": i, "watts": 5.0, "cpu_mhz": "unknown"} for i in range(5)]},
    ],
    ids=["rails", "a number"],
)  # fmt: skip
def test_samples_of_power_become_a_figure(constant_engine: Callable[..., Any], power: dict[str, Any]) -> None:
    document = {**documents(constant_engine, ["a.onnx"]), "power": power}
    page = Page(bench_page(document))
    assert "state-0" in figures(page)
    assert page.text.count("power, W") >= 2
    assert page.text.count("temperature, °C") >= (2 if "rails" in power else 0)
    assert "CPU clock, MHz" not in [text for text in page.text.splitlines() if text.startswith("power")]


@pytest.mark.parametrize("power", [None, {}, {"samples": None}, {"samples": [{"seconds": None}, {"watts": [None]}]}])
def test_absent_samples_of_power_do_no_harm(constant_engine: Callable[..., Any], power: Any) -> None:
    page = Page(bench_page({**documents(constant_engine, ["a.onnx"]), "power": power}))
    assert figures(page) == ["distribution", "timeline", "stages"]


@pytest.mark.slow
@pytest.mark.parametrize("size", ["1100,900", "500,900"])
def test_a_browser_has_nothing_to_complain_of(constant_engine: Callable[..., Any], tmp_path: Path, size: str) -> None:
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("no Chromium here")
    target, picture, log = tmp_path / "bench.html", tmp_path / "page.png", tmp_path / "net.json"
    target.write_text(bench_page(documents(constant_engine, ["a.onnx", HOSTILE])), encoding="utf-8")
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--hide-scrollbars"]
    command += [f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={size}", f"--log-net-log={log}"]
    done = subprocess.run(
        [*command, f"--screenshot={picture}", target.as_uri()], capture_output=True, text=True, check=False, timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert picture.stat().st_size > 20_000
    assert "CONSOLE" not in done.stderr
    # The browser itself may ask for its updates; what a page of a file asks for has an origin without a name.
    assert '"initiator":"null"' not in log.read_text(encoding="utf-8", errors="replace")
