"""The bill of materials: what an installation brings, and what travels in the wheel. CycloneDX, by its makers' tool."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from segface_edge.files import sha256_of

_RESEARCH = {"name": "CelebAMask-HQ: non-commercial research only (NOTICE)"}
_PUBLIC = {"name": "public domain (NASA)"}
# How a file of the zoo begins -> its terms, as in NOTICE.
TERMS: dict[str, dict[str, str]] = {
    "segface_": _RESEARCH,
    "yunet_": {"id": "Apache-2.0"},
    "astronaut": _PUBLIC,
    "portrait": _PUBLIC,
}
_MODELS = (".onnx", ".safetensors")


def bill_of_materials(python: Path, pyproject: Path, travelling: Sequence[Path], epoch: str) -> str:
    """The document, as JSON of CycloneDX 1.6, checked against its schema.

    Args:
        python: of an environment with the wheel and nothing else.
        pyproject: names the root.
        travelling: files of others' work, or under terms of their own, that lie in the wheel.
        epoch: seconds since 1970 that it is dated.

    Raises:
        ValueError: a file is of no known terms, or the document is not what the schema says.
    """
    tool = (sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--of", "JSON")
    done = subprocess.run(
        [*tool, "--mc-type", "library", "--pyproject", str(pyproject), str(python)],
        env={"SOURCE_DATE_EPOCH": epoch, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    document: dict[str, Any] = json.loads(done.stdout)
    # pip came with the environment, and the package itself is the root.
    components = [one for one in document["components"] if one["name"] not in ("pip", "setuptools", "segface-edge")]
    _name_licences(components, python)
    document["components"] = sorted(
        [*components, *map(_component, travelling)], key=lambda component: str(component["bom-ref"])
    )
    kept = {component["bom-ref"] for component in document["components"]} | {"root-component"}
    document["dependencies"] = [
        {**entry, "dependsOn": sorted(set(entry.get("dependsOn", ())) & kept)}
        for entry in document["dependencies"]
        if entry["ref"] in kept
    ]
    text = json.dumps(document, indent=2) + "\n"
    _check(text)
    return text


# The tool leaves out what is neither SPDX's word nor a classifier: "3-Clause BSD License" (findings/).
_FREE = "import importlib.metadata as m, sys; print(m.metadata(sys.argv[1]).get('License', '').partition('\\n')[0])"


def _name_licences(components: list[dict[str, Any]], python: Path) -> None:
    """Names the licence of components without one as the package's metadata does.

    Raises:
        ValueError: they say nothing either.
    """
    for component in components:
        if "licenses" not in component:
            program = [str(python), "-c", _FREE, str(component["name"])]
            name = subprocess.run(program, capture_output=True, text=True, check=True).stdout.strip()
            if not name:
                raise ValueError(f"{component['name']}: its metadata say nothing of a licence")
            component["licenses"] = [{"license": {"name": name}}]


def _component(path: Path) -> dict[str, Any]:
    terms = [value for begin, value in TERMS.items() if path.name.startswith(begin)]
    if len(terms) != 1:
        raise ValueError(f"{path.name}: is of no known terms, give it a row in {Path(__file__).name}")
    return {
        "bom-ref": f"zoo/{path.name}",
        "type": "machine-learning-model" if path.suffix in _MODELS else "data",
        "name": path.name,
        "hashes": [{"alg": "SHA-256", "content": sha256_of(path)}],
        "licenses": [{"license": terms[0]}],
    }


def _check(text: str) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    problem = JsonStrictValidator(SchemaVersion.V1_6).validate_str(text)
    if problem is not None:
        raise ValueError(f"the bill of materials is not CycloneDX 1.6: {problem}")
