"""A single HTML file that displays a mesh in a browser; it contains the model and the program and needs no network."""

from __future__ import annotations

import base64
import html
import re
from importlib.util import find_spec
from pathlib import Path

from facegeom.errors import FacegeomError
from facegeom.mesh import gltf
from facegeom.mesh.mesh_arrays import MeshArrays

__all__ = ["is_bundled", "page"]

FOLDER = Path(__file__).parent
BUNDLE = FOLDER / "bundle.js"
"""three.js and the program of the page (`src/`) as one script, built by `make viewer`."""


def page(mesh: MeshArrays, title: str = "facegeom") -> str:
    """Return an HTML page that displays the mesh, with mouse, touch and keyboard control and a slider for each
    blendshape.

    Parameters
    ----------
    mesh : MeshArrays
    title : str, heading of the page, plain text

    Returns
    -------
    str
        The complete page. It contains the mesh as a base64-encoded GLB file, compressed by meshopt if that is
        installed, and loads nothing from other places; its Content-Security-Policy forbids it.

    Raises
    ------
    FacegeomError
        If the mesh has no triangles, or this installation has no bundle. Released wheels contain the bundle; in a
        source tree, `make viewer` builds it with npm.

    Examples
    --------
    >>> page(mesh, "Eileen").startswith("<!doctype html>")  # doctest: +SKIP
    True
    """
    if not len(mesh.faces):
        raise FacegeomError("the page needs a mesh with triangles, got a mesh without triangles")
    parts = {
        "title": html.escape(title),
        "style": (FOLDER / "style.css").read_text(encoding="utf-8"),
        "bundle": _bundle(),
        "model": base64.b64encode(gltf.encode(mesh, _compression())).decode("ascii"),
    }
    template = (FOLDER / "page.html").read_text(encoding="utf-8")
    # A single pass, so that text in a part that looks like a placeholder is not replaced.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], template)


def _compression() -> str:
    """Return the strongest compression of this installation that the page can read."""
    return "meshopt" if find_spec("meshopt") else "quantize"


def is_bundled() -> bool:
    """Return whether this installation contains the bundle."""
    return BUNDLE.is_file()


def _bundle() -> str:
    try:
        return BUNDLE.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FacegeomError(
            "this installation has no viewer bundle: run `make viewer` (needs npm) in the source tree of facegeom and "
            "install again"
        ) from error
