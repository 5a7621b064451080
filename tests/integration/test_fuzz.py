"""A few changed inputs of every kind that `tests/fuzz` has, in a process of their own: none may end in a traceback."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import features

from segface_edge.errors import InputError
from tests.fuzz import run, table
from tests.fuzz.child import problem_of, random_of
from tests.fuzz.mutate import changed_bytes, changed_document, changed_json, changed_toml
from tests.fuzz.table import KINDS

INPUTS, SEED = 25, 7


def test_a_few_inputs_of_every_kind(root: Path, tmp_path: Path) -> None:
    kinds = [name for name, kind in KINDS.items() if not kind.missing()]
    if "avif" not in features.get_supported():
        pytest.skip("seeds of pictures are written with Pillow 11.3 or newer")
    (tmp_path / "at").write_bytes(struct.pack("<qq", 0, 0))
    child = [sys.executable, str(root / "tests" / "fuzz" / "child.py"), ",".join(kinds), str(SEED), "0", str(INPUTS)]
    done = subprocess.run([*child, str(tmp_path)], capture_output=True, text=True, check=False, timeout=300)
    found = [json.loads(line) for line in (tmp_path / "finds").read_text().splitlines()]
    assert done.returncode == 0, (tmp_path / "crash").read_text() + done.stderr + (tmp_path / "noise").read_text()
    assert not found, "\n\n".join(
        f"{one['kind']}, input {one['index']}: {one['what']}\n{one['detail']}" for one in found
    )


def test_what_is_no_error_of_ours_is_a_find() -> None:
    assert problem_of(InputError("a", "is bad", "mend it")) is None
    assert problem_of(ValueError("x")) == "traceback"
    assert problem_of(InputError("a", "is bad", "")) == "not one line"


def test_where_nothing_can_be_tried_it_is_said(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(table.Kind, "missing", lambda _: ["pillow_heif"])
    monkeypatch.setattr(sys, "argv", ["run.py", "--kind", "heic", "--inputs", "1"])
    assert run.main() == 2
    said = capsys.readouterr()
    assert "heic             left out: pillow_heif not installed" in said.out
    assert said.err == "error: every kind is left out: install what is missing, or name another --kind\n"


def test_an_input_is_made_again_by_its_number() -> None:
    document = {"a": [1, {"b": "c"}], "d": None}
    for index in range(50):
        one, again = (
            [
                changed_bytes(random, b"some bytes"),
                changed_json(random, document),
                changed_toml(random, "a = 1\nb = 2"),
                json.dumps(changed_document(random, document)),
            ]
            for random in (random_of("x", 1, index), random_of("x", 1, index))
        )
        assert one == again
    assert document == {"a": [1, {"b": "c"}], "d": None}
