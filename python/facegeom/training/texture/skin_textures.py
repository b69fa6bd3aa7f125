"""Whole textures of the CC0 skins of `facegeom prepare assets`: the only ones that show all of ears, neck and scalp."""

from __future__ import annotations

import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import ByteArray
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template
from facegeom.texture.baking import Atlas
from facegeom.texture.light import encoded, harmonics, linear
from facegeom.training.data.assets import Assets

LIGHTS = 4  # textures of each skin: one in even light, the others under environment maps
LEAST_SHADING = 0.15  # lower limit of the shading relative to the mean light


def skin_textures(template: Template, atlas: Atlas, assets: Assets, seed: int = 0) -> tuple[ByteArray, np.ndarray]:
    """Return the textures of all skins under some lights, and the names of the skins.

    Parameters
    ----------
    template : Template of the whole head
    atlas : Atlas of its fine topology
    assets : Assets
        The skins, and the environment maps from which lights are drawn.
    seed : int

    Returns
    -------
    textures : (n, S, S, 3) uint8 array
    names : (n,) str array
    """
    rng = np.random.default_rng(seed)
    V = template.subdivide(load_face_model().mean[template.vertices])
    terms = harmonics(geometry.vertex_normals(V, template.fine.faces))
    textures = []
    for skin in assets.skins:
        albedo = linear(template.carry(skin[template.vertices].astype(np.float64)))
        for number in range(LIGHTS):
            shading = np.ones((len(V), 3))
            if number and len(assets.lights):
                light = assets.lights[rng.integers(len(assets.lights)), rng.integers(assets.lights.shape[1])]
                shading = np.maximum(terms @ light, LEAST_SHADING)
            texels = atlas.image(atlas.carry(encoded(albedo * shading)))
            textures.append(np.rint(np.clip(atlas.fill_gutter(texels), 0, 255)).astype(np.uint8))
    return np.array(textures, np.uint8).reshape(-1, atlas.size, atlas.size, 3), np.repeat(assets.skin_names, LIGHTS)
