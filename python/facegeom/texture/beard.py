"""Full beards: where a photo shows one, and no shadow of the jaw, which the network often takes for one."""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template
from facegeom.texture.appearance import View
from facegeom.texture.head_classes import HeadClasses, lab

MOUSTACHE_MM, MOUSTACHE_X_MM = (
    (1.0, 9.0),
    20.0,
)  # heights above the lips on the mean face, and largest |x|, of a moustache
CHEEK_MM, CHEEK_Y_MM = (25.0, 50.0), (-45.0, -15.0)  # |x| and y on the mean face of the cheeks beside the nose
FACING = 0.4  # least cosine to the line of sight of both
DARK = 0.7  # largest L* of a moustache relative to the cheeks
BLUE = -3.0  # b* below which a beard is the light of a shirt on the chin
LEAST_SHOWN = 20  # minimum number of vertices of each


def full_beard(template: Template, view: View, classes: HeadClasses) -> FloatArray:
    """Return the probability of a full beard at the vertices of the coarse skin, (s,).

    It is 0 for a face without one: what the network calls facial hair has to be as rough as hair, and there has to be
    a moustache, on which the jaw casts no shadow.

    Parameters
    ----------
    template : Template
    view : View of the fine vertices of the template
    classes : HeadClasses of the photo
    """
    count = template.coarse.skin_count
    nothing = np.zeros(count)
    if not classes.rough_beard:
        return nothing
    shown = view.facing[:count] > FACING
    moustache, cheeks = (part & shown for part in _parts(template))
    if min(moustache.sum(), cheeks.sum()) < LEAST_SHOWN:
        return nothing
    light, _, yellow = lab(view.colors[:count][None])[0].T
    if np.median(light[moustache]) > DARK * np.median(light[cheeks]):
        return nothing
    return np.asarray(classes.facial_hair(view.place[:count]) * (yellow > BLUE))


@load_once(maxsize=2)
def _parts(template: Template) -> tuple[BoolArray, BoolArray]:
    """Return the vertices of the coarse skin, (s,), on which a moustache grows, and those of the cheeks beside."""
    count = template.coarse.skin_count
    x, y, _ = load_face_model().mean[template.vertices][:count].T
    lips, nose = (template.coarse.regions[name][:count] for name in ("lips", "nose"))
    above, side = y - y[lips].max(), np.abs(x)
    moustache = (above > MOUSTACHE_MM[0]) & (above < MOUSTACHE_MM[1]) & (side < MOUSTACHE_X_MM) & ~nose
    cheeks = (side > CHEEK_MM[0]) & (side < CHEEK_MM[1]) & (y > CHEEK_Y_MM[0]) & (y < CHEEK_Y_MM[1])
    return np.asarray(moustache, np.bool_), np.asarray(cheeks, np.bool_)
