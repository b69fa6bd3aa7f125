"""Diffusion of values over the skin of a template, with the distances of the mean head.

The skin of all people has one topology, and the distances between its vertices differ little between people. The matrix
of the diffusion is therefore that of the mean head: it is factorised once in a process.
"""

from __future__ import annotations

from facegeom import geometry
from facegeom._internal.arrays import FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template


def diffused(template: Template, values: FloatArray, time: float) -> FloatArray:
    """Diffuse values over the coarse skin of a template; see `facegeom.geometry.heat_smooth`.

    Parameters
    ----------
    template : Template
    values : (s,) or (s, k) float array, at the s vertices of the coarse skin
    time : diffusion time on the mean head, mm^2

    Returns
    -------
    float array of the shape of `values`
    """
    return _solver(template, time).smooth(values)


@load_once(maxsize=16)
def _solver(template: Template, time: float) -> geometry.MeshSolver:
    coarse = template.coarse
    places = load_face_model().mean[template.vertices][: coarse.skin_count]
    return geometry.MeshSolver(places, coarse.skin_faces, time)
