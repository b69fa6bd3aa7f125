"""Whole textures of the CC0 skins of `facegeom prepare assets`: the only ones that show all of ears, neck and scalp."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template
from facegeom.texture.baking import Atlas
from facegeom.texture.light import encoded, harmonics, linear
from facegeom.texture.texel_classes import FACE, SCALP, texel_parts
from facegeom.training.data.assets import Assets

LIGHTS = 4  # textures of each skin: one in even light, the others under environment maps
LEAST_SHADING = 0.15  # lower limit of the shading relative to the mean light
PAINTED_HAIR = 0.5  # grey level relative to the median of the face below which a scalp has painted hair
GREY = np.array([0.299, 0.587, 0.114])  # weights of the channels, ITU-R BT.601


class SkinTextures(NamedTuple):
    """Textures of skins.

    Attributes
    ----------
    textures : (n, S, S, 3) uint8 array
    hair : (n, S, S) bool array, texels of the scalp with painted hair; some skins have it
    names : (n,) str array, names of the skins
    """

    textures: ByteArray
    hair: BoolArray
    names: np.ndarray


def skin_textures(template: Template, atlas: Atlas, assets: Assets, seed: int = 0) -> SkinTextures:
    """Return the textures of all skins under some lights.

    Parameters
    ----------
    template : Template of the whole head
    atlas : Atlas of its fine topology
    assets : Assets
        The skins, and the environment maps from which lights are drawn.
    seed : int
    """
    rng = np.random.default_rng(seed)
    V = template.subdivide(load_face_model().mean[template.vertices])
    terms = harmonics(geometry.vertex_normals(V, template.fine.faces))
    part = texel_parts(template, atlas)
    textures: list[ByteArray] = []
    hair: list[BoolArray] = []
    for skin in assets.skins:
        albedo = linear(template.carry(skin[template.vertices].astype(np.float64)))
        for number in range(LIGHTS):
            shading = np.ones((len(V), 3))
            if number and len(assets.lights):
                light = assets.lights[rng.integers(len(assets.lights)), rng.integers(assets.lights.shape[1])]
                shading = np.maximum(terms @ light, LEAST_SHADING)
            texels = atlas.image(atlas.carry(encoded(albedo * shading)))
            textures.append(np.rint(np.clip(atlas.fill_gutter(texels), 0, 255)).astype(np.uint8))
        grey = textures[-LIGHTS] @ GREY
        painted = (part == SCALP) & (grey < PAINTED_HAIR * float(np.median(grey[part == FACE])))
        hair += LIGHTS * [np.asarray(painted, np.bool_)]
    return SkinTextures(np.array(textures, np.uint8), np.array(hair, np.bool_), np.repeat(assets.skin_names, LIGHTS))
