"""The site's settings, for Sphinx: `make docs`.

Its sources are the pages as they lie in the repository, so that their links work on a code host as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from segface_edge import __version__  # noqa: E402

project = "segface-edge"
copyright = "the authors of segface-edge, Apache-2.0"
version = release = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "repository", "generated", "flowchart"]
root_doc = "docs/index"
include_patterns = ["docs/**.md", "models/**.md", "benchmarks/*.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
exclude_patterns = [".*", "build", "shared", "segface_edge", "tests", "node_modules", "docs/site/build"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
myst_links_external_new_tab = False
nitpicky = False

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = f"segface-edge {version}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {"navigation_with_keys": True}
# Nothing that is code to be shown is guessed at.
highlight_language = "none"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# `word` in a docstring is code, as in Markdown.
default_role = "code"
napoleon_use_ivar = True
