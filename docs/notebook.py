"""Runs docs/newcomer.ipynb and keeps what it shows: `python docs/notebook.py` (pip install '.[notebook]')."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client import AsyncKernelManager
from nbclient import NotebookClient

from segface_edge.files import write_whole

NOTEBOOK = Path(__file__).with_name("newcomer.ipynb")
TIMEOUT_S = 240


def run(path: Path) -> nbformat.NotebookNode:
    """The notebook with the outputs that it has now, run in a folder of its own.

    Raises:
        CellExecutionError: a cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    # `segface-edge` is that of this Python, also where its environment is not activated.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    with TemporaryDirectory() as folder:
        # Through files that this user alone can open, not through ports.
        kernel = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=f"{folder}/kernel")
        client = NotebookClient(notebook, km=kernel, timeout=TIMEOUT_S, record_timing=False, coalesce_streams=True)
        client.execute(cwd=folder, cleanup_kc=True)
    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return notebook


if __name__ == "__main__":
    write_whole(NOTEBOOK, nbformat.writes(run(NOTEBOOK)).encode() + b"\n")
