"""`segface-edge export --web`: a page that runs the model in the browser. What is in it is `serving.web`'s."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from segface_edge.errors import UsageError

if TYPE_CHECKING:
    from segface_edge.export.config import ExportConfig
    from segface_edge.serving.web_runtime import WebRuntime

_Command = TypeVar("_Command", bound=Callable[..., Any])


def web_options(function: _Command) -> _Command:
    """`--web`, `--web-runtime`."""
    web = click.option(
        "--web",
        "web_to",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Write a page that runs the model in the browser, for any server of files.",
    )
    runtime = click.option(
        "--web-runtime",
        type=click.Path(path_type=Path),
        metavar="FOLDER",
        help="For --web: where npm put onnxruntime-web; default: ./node_modules/onnxruntime-web.",
    )
    return web(runtime(function))


def check_web(folder: Path | None, runtime: Path | None) -> WebRuntime | None:
    """What the page will run on, before the work; None as the folder is none.

    Raises:
        UsageError: a runtime is given for no page.
        MissingDependencyError: onnxruntime-web is not installed here.
        InputError: the folder cannot be written, or the runtime's lacks files.
    """
    if folder is None:
        if runtime is not None:
            raise UsageError("--web-runtime", "is for a page", "give --web DIR too")
        return None
    from segface_edge.serving.web import check_web as check_folder
    from segface_edge.serving.web_runtime import find_runtime

    found = find_runtime(runtime)
    check_folder(folder)
    return found


def check_export(config: ExportConfig) -> None:
    """Raises UsageError where the page could not show the file that will be exported."""
    from segface_edge.serving.web import not_shown

    outputs = ("logits",) if config.output == "logits" else ("labels",)
    wrong = not_shown(config.graph, outputs, None if config.dynamic else config.batch, warps=False)
    if wrong is not None:
        raise UsageError("--web", f"the file {wrong[0]}", wrong[1])


def write_web(folder: Path, model: Path, runtime: WebRuntime) -> list[str]:
    """Writes a model's page. Returns what is said of it. Raises as `serving.web.write_page`."""
    from segface_edge.serving.web import write_page

    document = write_page(model, folder, runtime)
    megabytes = sum(file["bytes"] for file in document["files"].values()) / 1e6
    devices = " and ".join({"wasm": "WASM", "webgpu": "WebGPU"}[device] for device in runtime.devices)
    return [
        f"wrote {folder}: a page of {megabytes:.0f} MB, onnxruntime-web {runtime.version} ({devices}) "
        "within, for any server of files (docs/web.md)",
        f"try it: python3 -m http.server --bind 127.0.0.1 --directory {folder}",
    ]
