"""Sphinx configuration: `make docs` builds the site into build/docs, with no network and no warnings."""

import re
import sys
from pathlib import Path

from docutils import nodes

import facegeom

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generate  # noqa: E402

generate.write_all(HERE / "generated")

project = "facegeom"
copyright = "2026, the facegeom developers"
author = "The facegeom developers"
version = release = facegeom.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc", "sphinxcontrib.bibtex", "sphinx_copybutton"]
exclude_patterns = ["README.md"]
language = "en"
smartquotes = False  # they turn "--option" into a dash
root_doc = "index"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

# Docstrings state types and shapes themselves. A name in backquotes becomes a link where the reference has the name.
autodoc_typehints = "none"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
default_role = "py:obj"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

bibtex_bibfiles = ["references.bib"]
bibtex_default_style = "alpha"
bibtex_reference_style = "label"

nitpicky = True
nitpick_ignore: list[tuple[str, str]] = []

# All assets are local: the theme has no web fonts, and no page has formulas that need MathJax.
html_theme = "furo"
html_title = f"facegeom {release}"
html_static_path = ["_static"]
html_css_files = ["facegeom.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False


def plain_code(app, env, node, contnode):
    """Show a name in backquotes as code where the reference does not have it; other roles stay strict."""
    return contnode if node.get("reftype") == "obj" and isinstance(contnode, nodes.Node) else None


def escape_bars(app, what, name, obj, options, lines):
    """Escape the bars of absolute values in docstrings, which reStructuredText reads as substitutions."""
    for i, line in enumerate(lines):
        if "|" in line and not line.lstrip().startswith((">>>", "...")):
            parts = re.split(r"(`[^`]*`)", line)
            lines[i] = "".join(part if part.startswith("`") else part.replace("|", "\\|") for part in parts)


def setup(app):
    app.connect("autodoc-process-docstring", escape_bars, priority=400)  # before numpydoc
    app.connect("missing-reference", plain_code)
