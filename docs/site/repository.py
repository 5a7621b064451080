"""What the pages take for granted of a code host, for Sphinx: links to folders and to files by their names, a first
page."""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

PAGE = re.compile(r"(?<!!)\[[\w./-]+\.md\]\(([^)\s]+\.md(?:#[^)\s]*)?)\)")
LINK = re.compile(r"(?<!!)\[([^\]]+)\]\(([^)#\s]+)\)")
FIRST = """<!doctype html>
<meta charset="utf-8">
<title>segface-edge</title>
<meta http-equiv="refresh" content="0; url={page}.html">
"""


def folders_named(app: Sphinx, docname: str, source: list[str]) -> None:
    """Names a folder where a page links to one: a site of pages has none to open."""
    page = Path(app.env.doc2path(docname))

    def named(link: re.Match[str]) -> str:
        folder = page.parent / link[2]
        if not folder.is_dir():
            return link[0]
        path = folder.resolve().relative_to(app.srcdir)
        return link[1] if f"{path}" in link[1] else f"{link[1]} (`{path}/`)"

    source[0] = LINK.sub(named, source[0])


def pages_titled(app: Sphinx, docname: str, source: list[str]) -> None:  # noqa: ARG001 - Sphinx calls it so
    """Shows a page's title where a link shows its file's name."""
    source[0] = PAGE.sub(r"[](\1)", source[0])


def first_page(app: Sphinx, error: Exception | None) -> None:
    """Leads from the folder to the first page."""
    if error is None and app.builder.name == "html":
        (Path(app.outdir) / "index.html").write_text(FIRST.format(page=app.config.root_doc))


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.connect("source-read", folders_named)
    app.connect("source-read", pages_titled)
    app.connect("build-finished", first_page)
    return {"parallel_read_safe": True}
