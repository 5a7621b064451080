"""A device record: what a suite found on a device, as one document that can be sent in (`record.schema.json`)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from segface_edge import __version__
from segface_edge.documents import read_json
from segface_edge.errors import InputError, missing_extra

RECORD_VERSION = 1
KIND = "segface-edge device record"
# What a folder of results calls it.
RECORD_NAME = "record.json"
# A path from the root, up to its last part. Addresses (https://…) are none.
_FOLDERS = re.compile(r"(?<![\w.:/~-])/(?:[^\s/:;,'\"]+/)+")


def now() -> str:
    """The time in UTC, to the second."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def record(
    suite_sha256: str,
    reports: Sequence[Mapping[str, Any]],
    *,
    machine: dict[str, Any],
    began: str,
    failed: Mapping[str, str],
    left_out: Mapping[str, str],
    folders: Mapping[str, str],
) -> dict[str, Any]:
    """The document.

    Args:
        suite_sha256: of the suite's file.
        reports: of the rows, as `suite_run` keeps them.
        machine: from `machine.environment`.
        began: when this run began; rows of earlier runs may have begun before.
        failed, left_out: {row's name: why, in one line}.
        folders: {folder of this machine: what stands for it}, see `without_folders`.
    """
    rows = [_row(report) for report in reports]
    document = {
        "kind": KIND,
        "version": RECORD_VERSION,
        "segface_edge": __version__,
        "suite_sha256": suite_sha256,
        "began": min([began, *(row["began"] for row in rows)]),
        "ended": now(),
        "environment": machine,
        "rows": rows,
        "failed": [{"name": name, "error": error} for name, error in failed.items()],
        "left_out": [{"name": name, "reason": reason} for name, reason in left_out.items()],
    }
    found: dict[str, Any] = without_folders(document, folders)
    return found


def read_record(path: Path) -> dict[str, Any]:
    """A record that `segface-edge bench --suite` wrote, perhaps on another device: checked by its schema.

    Raises:
        InputError: no such file, or not a record.
        MissingDependencyError: jsonschema is not installed.
    """
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match
    except ModuleNotFoundError as error:
        raise missing_extra("jsonschema", "dev", "reading a device record") from error
    found = read_json(path, "a device record", f"give the {RECORD_NAME} that `segface-edge bench --suite` wrote")
    fault = best_match(Draft202012Validator(record_schema()).iter_errors(found))
    if fault is not None:
        place = f"{fault.json_path.removeprefix('$.')}: " if fault.json_path != "$" else ""
        problem = f"is not a device record of version {RECORD_VERSION} ({place}{fault.message})"
        raise InputError(path, problem, f"give the {RECORD_NAME} that `segface-edge bench --suite` wrote")
    document: dict[str, Any] = found
    return document


@cache
def record_schema() -> dict[str, Any]:
    """The JSON Schema."""
    found: dict[str, Any] = json.loads(
        files("segface_edge.bench").joinpath("record.schema.json").read_text(encoding="utf-8")
    )
    return found


def without_folders(value: Any, folders: Mapping[str, str]) -> Any:
    """A JSON document whose texts name no folder of the machine: they may hold its user's name.

    Args:
        value: the document.
        folders: {folder: what stands for it}; of other paths from the root, the last part is kept.
    """
    if isinstance(value, dict):
        return {key: without_folders(item, folders) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(item, folders) for item in value]
    if not isinstance(value, str):
        return value
    # The longest first: one may lie in another.
    for folder in sorted(folders, key=len, reverse=True):
        name = folders[folder]
        # Where it begins a word, so that a folder `out` does not take the end of `about`.
        value = re.sub(rf"(?<![\w./-]){re.escape(folder)}/", f"{name}/" if name else "", value)
        value = re.sub(rf"(?<![\w./-]){re.escape(folder)}(?![\w.-])", name or ".", value)
    return _FOLDERS.sub("", value)


def _row(report: Mapping[str, Any]) -> dict[str, Any]:
    """A row's report without its samples and without what all rows have in common."""
    about = report["suite"]
    kept = ("engine", "scenario", "latency_ms", "fps", "stages_ms", "startup_ms", "warnings")
    return {
        "name": report["engine"]["name"],
        **{key: about[key] for key in ("row", "file", "began", "ended")},
        **{key: report[key] for key in kept},
        "during": report["environment"]["during"],
    }
