"""onnxruntime-web's files, found in an installed npm package; its licence, which that does not bring."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from segface_edge.errors import InputError, MissingDependencyError

PACKAGE = "onnxruntime-web"
INSTALL = f"npm install {PACKAGE}"
# Device -> the script that a page imports. Which WASM it runs, and the script that starts that, is written in it.
_SCRIPTS = {"wasm": "ort.wasm.min.mjs", "webgpu": "ort.webgpu.min.mjs"}
_VERSION = re.compile(rb"ONNX Runtime Web v(\d+[\w.+-]*)")
_STARTS = re.compile(rb"ort-wasm-simd-threaded(?:\.\w+)?\.mjs")


@dataclass(frozen=True)
class WebRuntime:
    """What runs a model in a browser.

    Attributes:
        version: of onnxruntime-web.
        devices: `wasm`, and `webgpu` where it has it -> names of the script that a page imports, of the one that
            starts the WASM, and of that.
        folder: where they are.
    """

    version: str
    devices: dict[str, tuple[str, str, str]]
    folder: Path

    def files(self) -> list[Path]:
        """All of them."""
        return sorted({self.folder / name for names in self.devices.values() for name in names})


def find_runtime(folder: Path | None) -> WebRuntime:
    """The runtime in a folder: an npm package onnxruntime-web, or its `dist`. None: the one in `./node_modules`.

    Raises:
        MissingDependencyError: no folder is given, and none is installed here.
        InputError: the folder is none, or lacks files.
    """
    given = folder
    if given is None:
        given = Path("node_modules") / PACKAGE
        if not given.is_dir():
            raise MissingDependencyError(
                "--web", f"{PACKAGE} is not in ./node_modules", f"{INSTALL}, or name its folder: --web-runtime FOLDER"
            )
    if not given.is_dir():
        raise InputError(given, "no such folder", f"name the folder of {PACKAGE}, as {INSTALL} makes it")
    place = given / "dist" if (given / "dist").is_dir() else given
    devices = {}
    version = ""
    for device, script in _SCRIPTS.items():
        try:
            content = (place / script).read_bytes()
        except OSError:
            continue
        said, starts = _VERSION.search(content[:1000]), _STARTS.search(content)
        if said is None or starts is None:
            raise InputError(place / script, f"is no script of {PACKAGE}", INSTALL)
        start = starts[0].decode()
        names = (script, start, start.removesuffix(".mjs") + ".wasm")
        missing = next((name for name in names if not (place / name).is_file()), None)
        if missing is not None:
            raise InputError(place, f"lacks {missing}", f"{INSTALL} again")
        devices[device] = names
        version = version or said[1].decode()
    if "wasm" not in devices:
        raise InputError(given, f"is no folder of {PACKAGE} (it lacks {_SCRIPTS['wasm']})", f"{INSTALL}, name that one")
    return WebRuntime(version, devices, place)


def licences() -> dict[str, Path]:
    """Texts of ONNX Runtime's licence (MIT) and of those within it, as its Python package has them: name -> file.

    The npm package says MIT, and has no text of it; both are built from the same sources. Builds of ONNX Runtime that
    lack the texts give none.
    """
    spec = find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return {}
    folder = Path(spec.origin).parent
    return {name: folder / name for name in ("LICENSE", "ThirdPartyNotices.txt") if (folder / name).is_file()}
