"""Where hair grows on a head: what the photo shows of the scalp, and how it goes on where no photo shows it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, Float32Array, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template
from facegeom.images.camera import Camera
from facegeom.texture.appearance import OWN, View
from facegeom.texture.diffusion import diffused
from facegeom.texture.hair import CROWN, SKULL_MM, hairy_vertices, zone_of_vertices
from facegeom.texture.head_classes import HeadClasses

GROWTH_MM2 = 900.0  # diffusion time of where the photo shows hair and where a bald scalp, mm^2
USUAL_GROWTH = 0.03  # weight of hair where the photo shows neither
CAP_DEGREES = 45.0  # angle from the crown within which the scalp is bald if what the photo shows of it is bald
BACK_DEGREES, BACK_MM = 65.0, -60.0  # angle from the crown above which, and z below which, the scalp has hair
CAP_MM, MIDDLE_MM = 78.0, 40.0
"""The scalp above this y on the mean face, and within this distance from the midline, tells whether the crown is bald:
the hair above the ears of bald heads lies outside."""
TEMPLE_ZONE = 0.5  # least `zone_of_vertices` of a temple
TEMPLE_MM = (35.0, 0.0)  # |x| and y of the mean face beyond which the forehead is a temple
TEMPLE_FACING = 0.3  # least cosine to the line of sight of a vertex of a temple that tells hair from skin
LEVEL_MM = 2.5  # difference in height up to which hair is at the level of a vertex of the temple
SOFT_MM2 = 45.0  # diffusion time of the border of the hair, mm^2
SCALP_FACING = 0.1  # least cosine between normal and line of sight of a vertex that tells hair from a bald scalp


class SkinView(NamedTuple):
    """What a photo shows at the vertices of the coarse skin.

    Attributes
    ----------
    facing : (s,) float array, cosines between normal and line of sight
    own : (s, 4) float32 array, see `HeadClasses.own`
    inside : (s,) bool array, vertices inside the photo
    """

    facing: FloatArray
    own: Float32Array
    inside: BoolArray

    @classmethod
    def of(
        cls, template: Template, V: FloatArray, camera: Camera, classes: HeadClasses, photo: tuple[int, int]
    ) -> SkinView:
        """Return what a photo of some width and height shows at vertices (s, 3), mm, of the coarse skin."""
        normals, place = geometry.vertex_normals(V, template.coarse.skin_faces), camera.project(V)
        inside = ((place > 0) & (place < np.array(photo) - 1.0)).all(axis=1)
        return cls(np.asarray(normals @ camera.rotation[2]), classes.at(place), np.asarray(inside, np.bool_))

    @classmethod
    def of_view(cls, template: Template, view: View, classes: HeadClasses) -> SkinView:
        """Return the same from a View of the fine vertices, whose first ones are the coarse skin."""
        kept = slice(0, template.coarse.skin_count)
        inside = np.asarray(view.from_border[kept] > 0, np.bool_)
        return cls(view.facing[kept], classes.at(view.place[kept]), inside)

    def scalp(self, template: Template) -> BoolArray:
        """Return the vertices of the scalp that face the camera inside the photo, (s,)."""
        scalp = template.coarse.regions["scalp"][: len(self.facing)]
        return np.asarray(scalp & (self.facing > SCALP_FACING) & self.inside)

    def hair_and_skin(self, template: Template) -> tuple[BoolArray, BoolArray]:
        """Return the vertices of the scalp at which the photo shows hair, and those with skin, (s,)."""
        inner_skin, inner_hair, _, either = self.own.T
        seen = self.scalp(template) & (either > OWN)
        hair: BoolArray = np.asarray(inner_hair > inner_skin)  # both are low at the border between them
        return seen & hair, seen & ~hair


def hair_share(template: Template, seen: SkinView, raised: BoolArray | None = None) -> FloatArray:
    """Return how much hair each vertex of the coarse skin has, (s,) in [0, 1]; for a head that is not bald.

    Hair grows where the photo shows hair, not where it shows a bald scalp, and where it shows neither, as nearby. The
    crown is bald if most of the top of the head is; back and sides of the head have hair, and so has what is `raised`
    (n,).
    """
    count = template.coarse.skin_count
    hairy = hairy_vertices(template, raised)[:count]
    if not hairy.any():
        return np.zeros(count)
    with_hair, bald = seen.hair_and_skin(template)
    bald |= bald[template.coarse.mirror[:count]] & ~with_hair  # hair ends on both sides alike
    places = load_face_model().mean[template.vertices][:count]
    angle = _from_crown(template)[:count]
    top = hairy & (places[:, 1] > CAP_MM) & (np.abs(places[:, 0]) < MIDDLE_MM)
    cap = crown(template) & ~with_hair & ~bald
    grown, bare = with_hair.astype(np.float64), bald.astype(np.float64)
    if (with_hair | bald)[top].any():
        (bare if bald[top].sum() > with_hair[top].sum() else grown)[cap] = 1.0
    grown[hairy & (places[:, 2] < BACK_MM) & (angle > BACK_DEGREES) & ~bald] = 1.0
    if raised is not None:
        grown[raised[:count] & ~bald] = 1.0
    heat = diffused(template, np.column_stack([grown, bare]), GROWTH_MM2)
    share = (heat[:, 0] + USUAL_GROWTH) / (heat.sum(axis=1) + USUAL_GROWTH)
    wanted = hairy * ~bald * np.clip((share - 0.3) / 0.4, 0.0, 1.0)
    soft = diffused(template, wanted, SOFT_MM2)
    return np.asarray(np.clip(soft, 0.0, 1.0))


def hair_of_temples(template: Template, seen: SkinView) -> BoolArray:
    """Return the vertices of the coarse topology between hair that the photo shows at a temple and the scalp, (n,).

    A photo from the front shows the hair of a temple up to the outline of the head, behind which it goes on. Hair ends
    on both sides alike where the photo does not show skin.
    """
    count = template.coarse.skin_count
    places = load_face_model().mean[template.vertices][:count]
    temple = (zone_of_vertices(template)[:count] > TEMPLE_ZONE) & ~hairy_vertices(template)[:count]
    temple &= (np.abs(places[:, 0]) > TEMPLE_MM[0]) & (places[:, 1] > TEMPLE_MM[1])
    inner_skin, inner_hair, _, either = seen.own.T
    shown = temple & (seen.facing > TEMPLE_FACING) & seen.inside & (either > OWN)
    hair, skin = shown & (inner_hair > inner_skin), shown & (inner_skin > inner_hair)
    backward = np.arctan2(np.abs(places[:, 0]), places[:, 2] - SKULL_MM[2])  # angle from the front
    found = np.zeros(len(template.vertices), np.bool_)
    for side in (places[:, 0] > 0, places[:, 0] < 0):
        rows, shown_hair = np.flatnonzero(temple & side & ~skin), np.flatnonzero(hair & side)
        level = np.abs(places[rows, 1][:, None] - places[shown_hair, 1]) < LEVEL_MM
        found[rows] = (level & (backward[rows][:, None] > backward[shown_hair])).any(axis=1)
    other = found[template.coarse.mirror[:count]] & temple & ~skin
    found[:count] |= other
    return found


def crown(template: Template) -> BoolArray:
    """Return the vertices of the coarse skin around the crown, (s,)."""
    count = template.coarse.skin_count
    return np.asarray(hairy_vertices(template)[:count] & (_from_crown(template)[:count] < CAP_DEGREES))


@load_once(maxsize=2)
def _from_crown(template: Template) -> FloatArray:
    """Return the angle of each vertex of the coarse topology from the crown, (n,) degrees."""
    away = load_face_model().mean[template.vertices] - SKULL_MM
    cosine = away @ (CROWN / np.linalg.norm(CROWN)) / np.maximum(np.linalg.norm(away, axis=1), 1e-6)
    return np.asarray(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
