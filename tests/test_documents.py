"""Documents are read up to a bound, and what is none is said in one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segface_edge.documents import MAX_JSON, MAX_TOML, document_text, read_json, read_toml, toml_of
from segface_edge.errors import DataError, InputError


@pytest.mark.parametrize(
    ("text", "words"),
    [("a = " + "[" * 5000, "nested"), ("a = " + "9" * 5000, "digits"), ("a = ", "value"), ("\x00", "statement")],
)
def test_toml_that_is_none_is_a_value_error(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        toml_of(text)


def test_a_document_may_have_just_so_many_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_bytes(b"#" * MAX_TOML)
    assert read_toml(path) == {}
    path.write_bytes(b"#" * (MAX_TOML + 1))
    with pytest.raises(InputError, match=r"a\.toml: is larger than 1 MiB; give the file that is meant"):
        read_toml(path)


def test_of_what_has_no_end_no_more_is_read() -> None:
    """Nor is its size believed, which is 0."""
    with pytest.raises(InputError, match=r"/dev/zero: is larger than 64 MiB"):
        read_json(Path("/dev/zero"), "a report", "give one")
    with pytest.raises(InputError, match=r"/dev/zero: is larger than 1 MiB"):
        document_text(Path("/dev/zero"), MAX_TOML)


def export_recipe(path: Path) -> object:
    from segface_edge.export.config import read_recipe

    return read_recipe(path)


def training_recipe(path: Path) -> object:
    pytest.importorskip("dacite", reason="needs the extra 'train'")
    from segface_edge.training.recipe_file import read_recipe

    return read_recipe(path)


def training_record(path: Path) -> object:
    pytest.importorskip("dacite", reason="needs the extra 'train'")
    from segface_edge.training.resuming import read_record

    return read_record(path)


def suite(path: Path) -> object:
    from segface_edge.bench.suite import read_suite

    return read_suite(path, ["mobilenet"])


def report(path: Path) -> object:
    from segface_edge.bench.gates import read_report

    return read_report(path)


def device_record(path: Path) -> object:
    pytest.importorskip("jsonschema", reason="needs the extra 'dev'")
    from segface_edge.bench.record import read_record

    return read_record(path)


def manifest(path: Path) -> object:
    pytest.importorskip("pyarrow", reason="needs the extra 'label'")
    from segface_edge.labelling.parts import Parts
    from segface_edge.labelling.places import Places

    return Parts(str(path.parent), Places(), rows=1).read(path.name)


@pytest.mark.parametrize(
    ("read", "largest"),
    [
        (export_recipe, MAX_TOML),
        (training_recipe, MAX_TOML),
        (suite, MAX_TOML),
        (training_record, MAX_JSON),
        (report, MAX_JSON),
        (device_record, MAX_JSON),
        (manifest, MAX_JSON),
    ],
)
def test_every_reader_of_documents_is_bounded(read: Callable[[Path], Any], largest: int, tmp_path: Path) -> None:
    path = tmp_path / "a"
    with path.open("wb") as file:
        file.truncate(largest + 1)
    with pytest.raises(InputError, match=rf"/a: is larger than {largest // 2**20} MiB; ") as caught:
        read(path)
    assert "\n" not in str(caught.value)


def test_the_settings_of_a_data_set_are_bounded_too(tmp_path: Path) -> None:
    from segface_edge.datasets.opening import open_dataset

    for name in ("images/a.jpg", "labels/a.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "dataset.toml").write_bytes(b"#" * (MAX_TOML + 1))
    with pytest.raises(DataError, match=r"dataset\.toml: is larger than 1 MiB"):
        open_dataset(tmp_path)


def test_there_is_no_other_reader_of_documents(root: Path) -> None:
    """But of what is ours: ONNX Runtime's account of a run that we have just made, and a file of the package."""
    reads = re.compile(r"json\.loads?\([^\n]*(?:read_text|read_bytes|\.open)|tomllib\.load")
    found = {path.name for path in (root / "segface_edge").rglob("*.py") if reads.search(path.read_text())}
    assert found == {"documents.py", "profile.py", "openapi.py"}


def test_what_tells_of_a_plan_is_bounded_too(tmp_path: Path) -> None:
    from segface_edge.engines.nvidia.spec_file import read_spec

    (tmp_path / "a.plan.json").symlink_to("/dev/zero")
    with pytest.raises(InputError, match=r"a\.plan\.json: is larger than 64 MiB"):
        read_spec(tmp_path / "a.plan.json")


def test_the_document_beside_a_model_is_bounded_too(tmp_path: Path) -> None:
    from segface_edge.engines.sidecar import read_sidecar
    from segface_edge.errors import IncompatibleEngineError

    (tmp_path / "a.tflite").touch()
    (tmp_path / "a.tflite.json").symlink_to("/dev/zero")
    with pytest.raises(IncompatibleEngineError, match=r"a\.tflite\.json: is larger than 1 MiB"):
        read_sidecar(tmp_path / "a.tflite")
