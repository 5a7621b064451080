"""RESULTS.md and the reports that it is made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from segface_edge.bench.gates import read_report
from segface_edge.bench.record import RECORD_NAME
from segface_edge.bench.report import all_rows
from segface_edge.bench.results import OTHERS, render
from segface_edge.errors import InputError


@pytest.fixture
def results(root: Path) -> Path:
    return root / "benchmarks" / "results"


def test_results_md_is_what_the_reports_say(results: Path) -> None:
    pytest.importorskip("jsonschema", reason="device records are checked with jsonschema")
    assert results.with_name("RESULTS.md").read_text(encoding="utf-8") == render(results)


def test_every_report_names_its_machine_and_keeps_its_samples(results: Path) -> None:
    reports = sorted(path for path in results.glob("*/*.json") if path.parent.name not in OTHERS)
    reports = [path for path in reports if path.name != RECORD_NAME]
    assert reports
    for path in reports:
        document = read_report(path)
        assert document["environment"]["cpu"] != "unknown"
        for entry in all_rows(document):
            assert entry["scenario"]["queries"] == len(next(iter(entry["samples_ms"].values())))
            # A file, not a folder of the machine that it ran on.
            assert "/" not in entry["engine"]["name"] + entry["engine"]["file"]


def test_a_file_that_is_no_report_is_named(tmp_path: Path) -> None:
    (tmp_path / "device").mkdir()
    (tmp_path / "device" / "notes.json").write_text("{}")
    with pytest.raises(InputError, match=r"notes\.json"):
        render(tmp_path)
