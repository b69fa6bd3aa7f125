"""The page that shows a mesh in any browser, with no network: one HTML file that carries model and program."""

from __future__ import annotations

import base64
import html
import re
from pathlib import Path

from facegeom.errors import FacegeomError
from facegeom.mesh import gltf as _glb
from facegeom.mesh.mesh_arrays import MeshArrays

__all__ = ["is_bundled", "page"]

FOLDER = Path(__file__).parent
BUNDLE = FOLDER / "bundle.js"
"""three.js and the page's own program (`src/`) as one script; `make viewer` makes it."""


def page(mesh: MeshArrays, title: str = "facegeom") -> str:
    """Return an HTML page that shows the mesh: turned by mouse, touch or keys, with sliders for its blendshapes.

    Parameters
    ----------
    mesh : MeshArrays
        With a texture or colours, or neither; without blendshapes the page has no sliders.
    title : heading of the page, plain text

    Returns
    -------
    str
        The whole page. It holds the mesh as the bytes of a GLB file in base64, loads nothing from elsewhere, and its
        Content-Security-Policy forbids it to.

    Raises
    ------
    FacegeomError
        When the mesh has no triangles, or this installation has no bundle: `make viewer` builds it with npm, in the
        source tree; released wheels carry it.

    Examples
    --------
    >>> page(mesh, "Eileen").startswith("<!doctype html>")  # doctest: +SKIP
    True
    """
    if not len(mesh.faces):
        raise FacegeomError("a page needs a mesh with triangles, got one without")
    parts = {
        "title": html.escape(title),
        "style": (FOLDER / "style.css").read_text(encoding="utf-8"),
        "bundle": _bundle(),
        "model": base64.b64encode(_glb.encode(mesh)).decode("ascii"),
    }
    template = (FOLDER / "page.html").read_text(encoding="utf-8")
    # In one pass, so that nothing that looks like a placeholder within a part is replaced.
    return re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match.group(1)], template)


def is_bundled() -> bool:
    """Return whether this installation has the page's program."""
    return BUNDLE.is_file()


def _bundle() -> str:
    try:
        return BUNDLE.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FacegeomError(
            "this installation has no viewer page: run `make viewer` (it needs npm) in facegeom's source tree and "
            "install again"
        ) from error
