"""The notebook for newcomers runs, and what it shows is kept small and names no machine's folders."""

from __future__ import annotations

import json
import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

LIMIT = 500_000
NOTEBOOK = Path(__file__).parents[2] / "docs" / "newcomer.ipynb"


def test_what_is_kept_was_run_from_top_to_bottom() -> None:
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    code = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    pictures = [one for cell in code for one in cell["outputs"] if "image/jpeg" in one.get("data", {})]
    assert len(pictures) >= 3
    assert NOTEBOOK.stat().st_size < LIMIT
    shown = json.dumps([one for cell in code for one in cell["outputs"] if one not in pictures])
    assert re.findall(r"/(?:home|root|tmp|work|usr|var|Users)/\S*", shown) == []


@pytest.mark.slow
def test_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("nbclient", "ipykernel"):
        pytest.importorskip(package, reason="notebooks need the extra notebook")
    path = NOTEBOOK.with_name("notebook.py")
    spec = spec_from_file_location("notebook", path)
    assert spec is not None
    assert spec.loader is not None
    notebook = module_from_spec(spec)
    spec.loader.exec_module(notebook)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shown = notebook.run(NOTEBOOK)
    kept = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    # What does not depend on the machine, the first cells, is what is kept.
    for cell, before in list(zip(shown.cells, kept["cells"], strict=True))[:3]:
        assert [one.get("text") for one in cell.get("outputs", ())] == [
            "".join(one["text"]) for one in before.get("outputs", ())
        ]
