"""The part of the head that each texel of an atlas belongs to."""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import ByteArray
from facegeom._internal.threads import load_once
from facegeom.face_model.template import Template
from facegeom.texture.baking import Atlas

PARTS = ("none", "face", "ear", "neck", "scalp")
"""Parts of the head. Face: the skin that depth maps contain. Neck: also the underside of the jaw. None: eyes, mouth."""
NONE, FACE, EAR, NECK, SCALP = range(len(PARTS))


@load_once(maxsize=4)
def texel_parts(template: Template, atlas: Atlas) -> ByteArray:
    """Return the part of the head of each texel, (S, S) uint8, a row of `PARTS`; for a template of the whole head."""
    fine = template.fine
    part = np.full(len(fine.mirror), FACE, np.uint8)
    part[fine.regions["face"] & ~fine.regions["map"]] = NECK
    for value, names in ((EAR, ("ear_left", "ear_right")), (NECK, ("neck",)), (SCALP, ("scalp",))):
        for name in names:
            part[fine.regions[name]] = value
    of_triangle = np.sort(part[fine.faces], axis=1)[:, 1]  # the part of most of its corners
    of_triangle[fine.skin_triangles :] = NONE
    return np.asarray(atlas.image(of_triangle[atlas.triangle]), np.uint8)
