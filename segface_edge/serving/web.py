"""The live page as a folder of files: the model runs in the browser, and no server but one of files is needed.

The page is that of `page/`, whose connection to a server is one to a worker instead (`web/`). In `page.json` it is told
what it has; `check.bin` is a square of a photo and the labels that ONNX Runtime has for it, with which the page
compares its own before it parses anything.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segface_edge import __version__, zoo
from segface_edge.documents import MAX_JSON, document_text
from segface_edge.engines import open_engine
from segface_edge.errors import IncompatibleEngineError, InputError, UsageError
from segface_edge.files import cannot_write, hidden_folder, make_folder
from segface_edge.pictures import fitting
from segface_edge.spec import ModelSpec

from .classes import classes_of
from .onnx_bytes import any_size, names_of
from .web_runtime import PACKAGE, WebRuntime, licences

_HERE = Path(__file__).parent
PAGE, OWN = _HERE / "page", _HERE / "web"
DOCUMENT, KIND = "page.json", "segface-edge page"
# Of the server's page, what nobody here asks for.
_LEFT_OUT = ("connection.js", "encoder.js", "encoding.js")
# Scripts of this folder and WASM alone; nothing but what the page makes or this folder has is shown or asked for.
_POLICY = (
    "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; img-src 'self' blob: data:; media-src 'self' blob:; "
    "worker-src 'self' blob:; object-src 'none'; base-uri 'none'; form-action 'none'"
)
_LICENCES = """What is in this folder, and under which terms.

model.onnx           the model: {terms}
faces.onnx           YuNet, which finds faces, changed so that it takes pictures of any size: Apache-2.0, see
                     licences-yunet.txt
runtime/             {package} {version}: MIT, Copyright (c) Microsoft Corporation, see runtime/LICENSE and
                     runtime/ThirdPartyNotices.txt, or https://github.com/microsoft/onnxruntime
sample.jpg           Eileen Collins, NASA: public domain; check.bin is made of it
everything else      segface-edge: Apache-2.0, https://www.apache.org/licenses/LICENSE-2.0
"""
# What onnxruntime-web 1.30 computes wrong on WebGPU, channels last (findings/): done by its WASM there.
_WRONG_ON_GPU = "Resize"
_CHARSET = '<meta charset="utf-8">\n'
_HEAD = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n<script src="opened.js"></script>\n'


def check_web(folder: Path) -> None:
    """Raises InputError where a page could not be written to `folder`: before long work is done for it."""
    target = folder.resolve()
    if target.exists() and not target.is_dir():
        raise InputError(folder, "is a file", "name a folder")
    if target.is_dir() and any(target.iterdir()):
        known = _known(target)
        if known is None:
            raise InputError(folder, "is a folder of other files", "name a new or an empty one")
        strange = sorted(path.name for path in target.rglob("*") if path.is_file() and _name(path, target) not in known)
        if strange:
            raise InputError(folder, f"holds {strange[0]}, which is not the page's", "move it, or name another folder")
    nearest = next(one for one in (target.parent, *target.parent.parents) if one.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        raise InputError(folder, f"cannot be made ({nearest} is not writable)", "choose another place")


def not_shown(graph: str, outputs: Sequence[str], batch: int | None, *, warps: bool) -> tuple[str, str] | None:
    """Why the page cannot show what a file takes and gives, and the cure; None: it can.

    Args:
        graph, outputs, batch: as of `ModelSpec`.
        warps: faces have to be warped by their landmarks.
    """
    problems = (
        (
            graph != "deploy",
            "is of the reference graph, which takes numbers in place of pictures",
            "export it with --graph deploy",
        ),
        ("labels" not in outputs, "gives no labels", "export it with --output labels"),
        (
            batch not in (None, 1),
            f"takes {batch} frames a call, a page has one",
            "export it with --batch 1 or --dynamic",
        ),
        (
            warps,
            "wants faces warped by their landmarks, which the page does not do",
            "use weights of CelebAMask-HQ",
        ),
    )
    return next(((problem, cure) for wrong, problem, cure in problems if wrong), None)


def write_page(model: Path, folder: Path, runtime: WebRuntime) -> dict[str, Any]:
    """Writes a model's page, whole or not at all; a page that was written there before is replaced.

    Args:
        model: an ONNX file that `segface-edge export` wrote.
        folder: of the page.
        runtime: onnxruntime-web.

    Returns:
        What is in its `page.json`.

    Raises:
        UsageError: it is another kind of file.
        IncompatibleEngineError: the page cannot show what the file takes and gives.
        InputError: a file cannot be read, the folder cannot be written or has other files.
    """
    check_web(folder)
    spec, check = _checked(model)
    target = folder.resolve()
    make_folder(target.parent)
    files = _files(model, spec, runtime, check)
    try:
        with hidden_folder(target) as work:
            new = work / "new"
            for name, content in files.items():
                place = new / name
                place.parent.mkdir(parents=True, exist_ok=True)
                if isinstance(content, Path):
                    shutil.copyfile(content, place)
                else:
                    place.write_bytes(content)
            document = _document(model, spec, runtime, new)
            (new / DOCUMENT).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
            for name in (*files, DOCUMENT):
                if not (new / name).is_file():
                    raise InputError(folder, f"lacks {name}, which was removed meanwhile", "write it again")
            new.chmod(0o755)
            if target.exists():
                target.rename(work / "old")
            try:
                new.rename(target)
            except BaseException:  # Ctrl-C too
                if (work / "old").exists():
                    (work / "old").rename(target)
                raise
    except OSError as error:
        raise cannot_write(folder, error) from error
    return document


def _checked(model: Path) -> tuple[ModelSpec, bytes]:
    """What a file says of itself, and `check.bin` of it."""
    if model.suffix.lower() != ".onnx":
        raise UsageError(model, f"'{model.suffix}' files do not run in a browser", "give an .onnx file")
    with open_engine(model) as engine:
        spec = engine.spec
        wrong = not_shown(spec.graph, spec.outputs, spec.batch, warps=spec.warp != "none")
        if wrong is not None:
            raise IncompatibleEngineError(model, *wrong)
        with Image.open(zoo.PORTRAIT) as photo:
            square = fitting.fit(np.asarray(photo.convert("RGB")), spec.size).pixels
        labels = engine.run(square[None]).labels[0]
    return spec, square.tobytes() + np.ascontiguousarray(labels, np.uint8).tobytes()


def _files(model: Path, spec: ModelSpec, runtime: WebRuntime, check: bytes) -> Mapping[str, Path | bytes]:
    """Name in the folder -> what is copied, or its bytes; all but `page.json`."""
    files: dict[str, Path | bytes] = {
        path.name: path for path in sorted(PAGE.iterdir()) if path.is_file() and path.name not in _LEFT_OUT
    }
    files |= {path.name: path for path in sorted(OWN.iterdir()) if path.is_file()}
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert html.count(_CHARSET) == 1
    files["index.html"] = html.replace(_CHARSET, _CHARSET + _HEAD).encode()
    files["faces.onnx"] = any_size(zoo.DETECTOR.read_bytes())
    files |= {"sample.jpg": zoo.PORTRAIT, "model.onnx": model, "check.bin": check}
    files |= {f"runtime/{name}": path for name, path in licences().items()}
    files["licences.txt"] = _LICENCES.format(terms=spec.terms, package=PACKAGE, version=runtime.version).encode()
    files["licences-yunet.txt"] = zoo.DETECTOR.with_name("yunet_LICENSE.txt")
    return files | {f"runtime/{path.name}": path for path in runtime.files()}


def _document(model: Path, spec: ModelSpec, runtime: WebRuntime, folder: Path) -> dict[str, Any]:
    written = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "type": KIND,
        "version": __version__,
        "model": model.name,
        "backbone": spec.backbone,
        "size": spec.size,
        "precision": spec.precision,
        "label_order": spec.label_order,
        "terms": spec.terms,
        "classes": classes_of(spec.labels),
        "runtime": {
            "version": runtime.version,
            **{device: {"script": names[0], "wasm": names[2]} for device, names in runtime.devices.items()},
        },
        "not_on_gpu": names_of(model.read_bytes(), _WRONG_ON_GPU),
        "files": {
            _name(path, folder): {
                "bytes": path.stat().st_size,
                "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            }
            for path in written
        },
    }


def _known(folder: Path) -> set[str] | None:
    """The files of a page that was written to a folder; None: none was."""
    try:
        document = json.loads(document_text(folder / DOCUMENT, MAX_JSON))
        if document["type"] != KIND:
            return None
        return {DOCUMENT, *document["files"]}
    except (InputError, OSError, ValueError, RecursionError, KeyError, TypeError):
        return None


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
