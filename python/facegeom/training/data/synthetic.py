"""Synthetic faces with exact labels, for training and for `facegeom prepare synthetic`.

Random heads of the face model with random expression and texture are rendered in random poses and lighting on random
backgrounds (Sela, Richardson & Kimmel 2017, section 3.1, after Richardson, Sela & Kimmel 2016). Shading is computed per
pixel from interpolated normals, with one to three directional lights or second-order spherical harmonics, diffuse
reflection and Blinn-Phong highlights. Depth, correspondence and mask come from the same rasterisation as the image and
are exact.
"""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from scipy.spatial import cKDTree
from tqdm import tqdm

from facegeom._internal import check
from facegeom._internal.arrays import AnyArray, BoolArray, ByteArray, Float32Array, FloatArray
from facegeom._internal.files import write_bytes, write_npz
from facegeom.face_model import FaceModel, load_face_model
from facegeom.geometry import Raster, rasterize
from facegeom.images.crop import apply_affine
from facegeom.training.data.assets import Assets, add_assets, load_assets
from facegeom.training.data.eyewear import Eyewear, EyewearPixels, eyewear_pixels
from facegeom.training.data.hair_drawing import HairPixels, hair_pixels
from facegeom.training.data.hair_meshes import HairMesh
from facegeom.training.data.pose import Pose
from facegeom.training.data.random_crops import MixOptions, random_affine
from facegeom.training.data.random_expressions import RandomExpressions
from facegeom.training.data.random_light import RandomLight
from facegeom.training.data.random_surroundings import Pictures, grey_or_tinted, paint_surroundings, random_backdrop
from facegeom.training.data.renderer import Renderer, Sample
from facegeom.training.data.samples import EYES_MM
from facegeom.training.data.texture_model import NormalOperator, TextureModel, plain_colours, skin_vertices

log = logging.getLogger("facegeom")

SKIN, SCALP, EYE_LEFT, EYE_RIGHT, MOUTH, EYE_SOCKET = range(6)  # parts of the head with different materials
GLOSS = np.array([1, 0.5, 2.5, 2.5, 1.5, 0.5], np.float32)  # specular reflectance of each part, relative to the skin
GRAIN = np.array([1, 2.5, 1, 1, 1, 1], np.float32)  # amplitude of the pixel noise of each part, relative to the skin
FLIP = np.array([1.0, -1.0, 1.0])  # factors that convert between y up (camera frame) and y down (pixels)
IRIS_MM = 5.9  # radius of the iris, mm
SKULL_CENTRE = np.array([0.0, 15.0, -75.0], np.float32)  # mm; hair raises the scalp away from this point
HAIR_EDGE_MM = 30.0  # distance from the hairline at which hair has its full height, mm
UNDER_HAIR = np.float32(0.6)  # brightness of the scalp under a hair mesh, relative to the hair
HAIR_RAISED_MM = 6.0  # largest distance by which a hair mesh is raised
MOST_HIDDEN = 0.55  # share of the face up to which hair hides it
SHADOW = 0.03  # width of the shadow of hair, standard deviation relative to the size of the image
SKINS = 0.5  # share of faces with painted skins, if there are any
SHARD = 500  # number of samples in one file of `facegeom prepare synthetic`
PLAIN_SKIN = np.array(
    [(236, 196, 176), (222, 172, 146), (198, 144, 112), (160, 106, 78), (112, 72, 52), (72, 46, 36)], np.float32
)
IRIS = np.array([(74, 48, 30), (98, 70, 42), (104, 104, 62), (86, 112, 128), (112, 122, 128)], np.float32)
HAIR = np.array(
    [(28, 24, 22), (52, 36, 26), (92, 62, 40), (150, 110, 66), (196, 166, 112), (128, 124, 120), (206, 204, 200)],
    np.float32,
)


@dataclass(frozen=True)
class SyntheticOptions:
    """Random distributions of synthetic faces; `MixOptions` has the distributions of the yaw and the crop."""

    identity_sigma: float = 1.0  # standard deviation of the identity coefficients
    texture_sigma: float = 1.1  # standard deviation of the texture coefficients; above 1 for more skin tones
    pitch_deg: float = 12.0  # standard deviation of the pitch, degrees
    neutral: float = 0.15  # share of faces without expression
    closed_eyes: float = 0.12  # share of faces whose eyes are closed
    open_mouth: float = 0.12  # share of faces whose mouth is opened wide
    harmonics: float = 0.4  # share of faces lit by environment maps or random spherical harmonics
    even_light: float = 0.08  # share of faces with uniform light, unshaded; the remaining faces have directional lights
    hair: float = 0.75  # share of faces with hair, a cap or a scarf painted on the scalp
    beard: float = 0.25  # share of faces with a beard
    hair_mesh: float = 0.6  # share of faces with a hair mesh instead, if there are any
    eyewear: float = 0.18  # share of faces with glasses
    hair_volume: float = 0.6  # share of faces without hair mesh whose scalp is raised to the height of hair
    pixel_noise: float = 3.0  # standard deviation of the pixel noise on the skin, grey levels


class DrawnLayers(NamedTuple):
    """What the pixels of a synthetic face show.

    Attributes
    ----------
    raster : Raster of the head
    head : (S, S) bool array, pixels of the head
    clothes, hair_behind : (S, S) float32 arrays, shares of clothes and painted hair behind the head
    eyewear : (S, S) float32 array, share hidden by glasses
    strands : (S, S) float32 array, share hidden by a hair mesh
    """

    raster: Raster
    head: BoolArray
    clothes: Float32Array
    hair_behind: Float32Array
    eyewear: Float32Array
    strands: Float32Array


_MIX = MixOptions()
_OPTIONS = SyntheticOptions()


class SyntheticFaces:
    """Random synthetic faces; the same random state gives the same sample.

    Parameters
    ----------
    model : FaceModel
    mix : MixOptions
        Distributions of the yaw and the crop; the shares of the kinds of samples are not used.
    texture_path : str or path, optional
        File of a texture model. By default the skin has one random colour.
    backgrounds : sequence of (h, w, 3) uint8 arrays, optional
        Images without faces. By default, the backgrounds of the texture model.
    options : SyntheticOptions
    assets : Assets, optional
        Skins, lights and hair that are used beside those of the texture model and the painted hair, and more
        backgrounds.

    Raises
    ------
    ValueError
        If the texture model or the assets belong to another face model.
    """

    def __init__(
        self,
        model: FaceModel,
        mix: MixOptions = _MIX,
        texture_path: str | os.PathLike[str] | None = None,
        backgrounds: Pictures | Sequence[ByteArray] | None = None,
        options: SyntheticOptions = _OPTIONS,
        assets: Assets | None = None,
    ) -> None:
        self.model, self.mix, self.options = model, mix, options
        self.renderer = Renderer(model)
        self.in_map: BoolArray = np.asarray(self.renderer.in_map)  # (m,) triangles that are part of the maps
        self.texture = None if texture_path is None else TextureModel.load(texture_path)
        if self.texture is not None and self.texture.mean.shape != model.mean.shape:
            raise ValueError(
                f"the texture model has {len(self.texture.mean)} vertices, the face model {len(model.mean)}: "
                "make a new one with `facegeom prepare texture-model`"
            )
        if assets is not None and assets.skins.shape[1:] != model.mean.shape:
            raise ValueError(
                f"the skins have {assets.skins.shape[1]} vertices, the face model {len(model.mean)}: "
                "make new ones with `facegeom prepare assets`"
            )
        if backgrounds is None and self.texture is not None:
            backgrounds = list(self.texture.backgrounds)
        self.backgrounds: Pictures | Sequence[ByteArray] = [] if backgrounds is None else backgrounds
        if assets is not None:
            cut = assets.backdrops.reshape(-1, *assets.backdrops.shape[2:])
            self.backgrounds = [*(self.backgrounds[i] for i in range(len(self.backgrounds))), *cut]
        self.assets = assets
        self.hair: list[HairMesh] = []
        if assets is not None:
            self.hair = [mesh for one in assets.hair for mesh in (one, one.mirrored(model))]
        self.mean32 = model.mean.astype(np.float32)
        self.normals = NormalOperator(model.faces, len(model.mean))
        self.plain = plain_colours(model)
        self.skin = skin_vertices(model)
        self.parts = self._triangle_parts()
        self.eye_spheres = [_sphere(model.mean[model.regions[side]]) for side in ("eyeball_left", "eyeball_right")]
        self.attributes = np.concatenate([model.mean, np.zeros((len(model.mean), 6))], axis=1)
        self.hair_rows, self.hair_ramp = self._hair()
        self.waves = _wave_bank(self.mean32)
        self.eyewear = Eyewear(model)
        self.painted_hair: Float32Array = np.zeros(len(model.mean), np.float32)  # of the last face, (n,)
        self.painted_beard: Float32Array = self.painted_hair
        self.expressions = RandomExpressions(model, options.neutral, options.closed_eyes, options.open_mouth)
        self.light = RandomLight(options.harmonics, options.even_light, None if assets is None else assets.lights)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Sample, np.ndarray]:
        """Draw one face.

        Parameters
        ----------
        rng : Generator
            Random number generator.
        size : int
            Side length S of the square sample in pixels, at least 16.

        Returns
        -------
        sample : Sample
            Sample without augmentation.
        eyes : (2, 2) float array, pixels
            Centres of the right and the left eye.
        """
        sample, eyes, _ = self._draw(rng, size)
        return sample, eyes

    def draw_with_vertices(self, rng: np.random.Generator, size: int) -> tuple[Sample, FloatArray]:
        """Draw one face as `draw` does, and return the projected vertices instead of the eyes.

        Parameters
        ----------
        rng : Generator
            Random number generator.
        size : int
            Side length S of the square sample in pixels, at least 16.

        Returns
        -------
        sample : Sample
        points : (n, 3) float array
            Pixel x, pixel y, and depth in mm of every vertex.
        """
        sample, _, points = self._draw(rng, size)
        return sample, points

    def _draw(self, rng: np.random.Generator, size: int) -> tuple[Sample, np.ndarray, FloatArray]:
        size = check.count(size, "size", 16)
        worn = self._worn_hair(rng)
        vertices, rotation = self._vertices(rng, raised=worn is None), self._rotation(rng)
        vertices = self._in_view(vertices, rotation, rng)
        pose = Pose(vertices, rotation, 1.0, np.zeros(2))
        points = pose.pixels()
        affine = self._crop(pose, rng, size)
        normals = self.normals((points * FLIP).astype(np.float32))
        natural = HAIR[rng.integers(len(HAIR))] * np.float32(rng.uniform(0.7, 1.2)) + grey_or_tinted(rng, 0, 8)
        hair = natural
        if worn is None and rng.random() < 0.12:
            hair = grey_or_tinted(rng, rng.uniform(20, 230), 35)  # a cap or scarf
        self.attributes[:, 3:6] = normals
        self.attributes[:, 6:] = self._colours(rng, hair, natural, None if worn is None else worn.cover)
        points[:, :2] = apply_affine(affine, points[:, :2])
        raster = rasterize(points, self.model.faces, self.attributes, (size, size))

        head = np.greater_equal(raster.triangle, 0)
        mask = self.in_map[raster.triangle] & head
        part = np.where(head, self.parts[raster.triangle], -1)
        surface = raster.attributes[head].astype(np.float32)  # (p, 9): correspondence, normal, colour
        colour = self._material(surface, part[head], rng)
        layers = [(colour, surface[:, 3:6], GLOSS[part[head]])]
        depth, glasses, strands = raster.depth, None, None
        if rng.random() < self.options.eyewear:
            glasses = eyewear_pixels(self.eyewear.draw(vertices, rng), pose, affine, depth)
        if glasses is not None:
            depth = np.fmax(depth, glasses.depth)
            layers.append(_frame_material(glasses, rng))
        if worn is not None:
            strands = self._strands(worn, pose, affine, depth, rng)
            strands = strands if strands.share(mask) <= MOST_HIDDEN else None  # nobody could tell the face then
        if strands is not None:
            pattern = (strands.pattern ** rng.uniform(0.5, 1.3))[:, None]
            shine = np.full(len(pattern), rng.uniform(0.3, 2.0), np.float32)
            layers.append((hair * pattern, strands.normal, shine))
        lit = self._lit(layers, rng)
        image: AnyArray = random_backdrop(self.backgrounds, rng, size)
        neck = points[self.model.regions["neck"], :2].mean(0) if "neck" in self.model.regions else None
        behind = paint_surroundings(image, points[:, :2], neck, hair if worn is None else None, rng)
        face = image.copy()
        face[head] = lit[0]
        alpha = cv2.GaussianBlur(head.astype(np.float32), (0, 0), 0.6)[..., None] * head[..., None]
        image = face * alpha + image * (1 - alpha)
        hidden = strand_share = np.zeros((size, size), np.float32)
        if glasses is not None:
            image, hidden = glasses.paint(image, lit[1], self.backgrounds, rng)
        if strands is not None:
            shown = strands.picture(lit[-1], (size, size))
            strand_share = shown[..., 3]
            near = cv2.GaussianBlur(shown[..., 3], (0, 0), SHADOW * size)
            image *= (1 - rng.uniform(0.1, 0.7) * near * head)[..., None]  # hair keeps light from the skin near it
            image = image * (1 - shown[..., 3:]) + shown[..., :3]
        image = self._in_front(image, pose, affine, depth, rng)
        if rng.random() < 0.7:  # renderings are sharper than photos
            image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 0.7) * size / 128)
        self._note(DrawnLayers(raster, head, *behind, hidden, strand_share))

        sample = Sample(
            np.clip(image + 0.5, 0, 255).astype(np.uint8),
            np.where(mask, raster.depth, 0).astype(np.float32),
            np.where(mask[..., None], raster.attributes[..., :3], 0).astype(np.float32),
            mask,
            *pose.origin_and_scale(affine),
        )
        eyes = Pose(EYES_MM, pose.rotation, 1.0, pose.translation).pixels()[:, :2]
        return sample, apply_affine(affine, eyes), points

    def _in_front(
        self, image: AnyArray, pose: Pose, affine: FloatArray, depth: FloatArray, rng: np.random.Generator
    ) -> AnyArray:
        """Return the image with objects in front of the head: none here."""
        return image

    def _note(self, layers: DrawnLayers) -> None:
        """Receive the layers of the face that was drawn last; nothing here needs them."""

    def _lit(
        self, layers: list[tuple[Float32Array, Float32Array, Float32Array]], rng: np.random.Generator
    ) -> list[Float32Array]:
        """Return the shaded colours of layers of pixels, each given by colours, normals and gloss, under one light."""
        colour, normal, gloss = (np.concatenate(parts) for parts in zip(*layers, strict=True))
        ends = np.cumsum([len(parts[0]) for parts in layers])[:-1]
        return np.split(self.light.shade(colour, normal, gloss, rng), ends)

    def _worn_hair(self, rng: np.random.Generator) -> HairMesh | None:
        """Return a random hair mesh, mirrored at random; None for a head whose hair is painted."""
        if not self.hair or rng.random() >= self.options.hair_mesh:
            return None
        return self.hair[rng.integers(len(self.hair))]

    def _strands(
        self, worn: HairMesh, pose: Pose, affine: FloatArray, depth: FloatArray, rng: np.random.Generator
    ) -> HairPixels:
        """Return the pixels of hair on a head, raised a little at random; `depth` (h, w) is that of the head."""
        vertices = worn.on_head((pose.vertices - self.mean32).astype(np.float32))
        vertices += np.float32(rng.uniform(0, HAIR_RAISED_MM)) * worn.N
        points = Pose(vertices.astype(np.float64), pose.rotation, pose.scale, pose.translation).pixels()
        points[:, :2] = apply_affine(affine, points[:, :2])
        return hair_pixels(worn, points, worn.N @ pose.rotation.T.astype(np.float32), depth)

    def _triangle_parts(self) -> np.ndarray:
        """Return the part of each triangle, (m + 1,) int8; the last entry is for pixels without a triangle."""
        regions, faces = self.model.regions, self.model.faces
        parts = np.full(len(faces) + 1, SKIN, np.int8)
        for part, names in (
            (SCALP, ("scalp",)),
            (EYE_LEFT, ("eyeball_left",)),
            (EYE_RIGHT, ("eyeball_right",)),
            (MOUTH, ("mouth_interior",)),
            (EYE_SOCKET, ("eye_sockets",)),
        ):
            for name in names:
                if name in regions:
                    parts[:-1][regions[name][faces].all(1)] = part
        return parts

    def _hair(self) -> tuple[np.ndarray, Float32Array]:
        """Return the vertices of the scalp, (s,), and their hair height, (s,) in [0, 1]: 0 at the hairline."""
        scalp = self.model.regions.get("scalp", np.zeros(len(self.mean32), bool))
        rows, others = np.flatnonzero(scalp), np.flatnonzero(self.skin & ~scalp)
        if not len(rows):
            return rows, np.zeros(0, np.float32)
        away = cKDTree(self.mean32[others]).query(self.mean32[rows])[0]
        return rows, np.clip((away - 2) / HAIR_EDGE_MM, 0, 1).astype(np.float32)

    def _identity(self, rng: np.random.Generator) -> Float32Array:
        """Return random identity coefficients, (k,) float32, in standard deviations."""
        return rng.standard_normal(len(self.model.identity), np.float32) * np.float32(self.options.identity_sigma)

    def _vertices(self, rng: np.random.Generator, *, raised: bool = True) -> FloatArray:
        """Return the vertices of a random head, (n, 3) mm: random identity, expression and, if raised, hair volume."""
        model = self.model
        identity = self._identity(rng)
        vertices = self.mean32 + (identity @ model.identity.reshape(len(identity), -1)).reshape(-1, 3)
        weights = self._expression(rng)
        for row in np.flatnonzero(weights):
            vertices += np.float32(weights[row]) * model.expression[row]
        if raised and rng.random() < self.options.hair_volume:
            height = rng.uniform(5, 40) * np.maximum(1 + 0.3 * self._waves(rng)[self.hair_rows], 0.2) * self.hair_ramp
            outward = vertices[self.hair_rows] - SKULL_CENTRE
            outward /= np.sqrt(np.einsum("ij,ij->i", outward, outward))[:, None]
            vertices[self.hair_rows] += height[:, None] * outward
        return vertices.astype(np.float64)

    def _in_view(self, vertices: FloatArray, rotation: FloatArray, rng: np.random.Generator) -> FloatArray:
        """Return the vertices whose orthographic projection is that of the head's camera; here it is orthographic."""
        return vertices

    def _expression(self, rng: np.random.Generator) -> FloatArray:
        """Return random expression weights, (e,)."""
        return self.expressions.draw(rng)

    def _rotation(self, rng: np.random.Generator) -> FloatArray:
        """Return a random rotation: yaw with more large angles than a uniform distribution, and pitch.

        The in-plane rotation (roll) is part of the crop.
        """
        yaw = rng.choice([-1.0, 1.0]) * self.mix.max_yaw_deg * rng.random() ** 0.75
        y, p = np.radians([yaw, rng.normal(0, self.options.pitch_deg)])
        turn = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
        nod = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
        return turn @ nod if rng.random() < 0.5 else nod @ turn

    def _crop(self, pose: Pose, rng: np.random.Generator, size: int) -> FloatArray:
        """Return a random crop, (2, 3); the camera of the pose has one pixel per mm and the face origin at (0, 0)."""
        return random_affine(self.mix, self.renderer, pose, rng, size)

    def _colours(
        self, rng: np.random.Generator, hair: Float32Array, beard: Float32Array, covered: ByteArray | None = None
    ) -> Float32Array:
        """Return the colour of every vertex without shading, (n, 3) in [4, 252]: texture, hair and beard.

        A hair mesh covers vertices by (n,) uint8; without one the hair is painted.
        """
        o = self.options
        colours: np.ndarray = self._albedo(rng)
        x, y, z = self.mean32.T
        self.painted_hair, self.painted_beard = np.zeros((2, len(x)), np.float32)
        if covered is not None:
            under = covered[:, None] / np.float32(255)
            self.painted_hair = np.asarray(under[:, 0], np.float32)
            colours = colours * (1 - under) + UNDER_HAIR * hair * under
        elif rng.random() < o.hair:
            # Hair covers the area above and behind a line from the forehead over the temple to behind the ear.
            line = (y - rng.uniform(52, 82)) / 12 + np.maximum(0, 10 - z) / rng.uniform(14, 30) * 1.2
            line -= 6.0 * np.maximum(0, (rng.uniform(-70, 10) - y) / 60)
            cover = _sigmoid(line * rng.uniform(1, 3) + 1.5 * self._waves(rng) - 1)[:, None]
            streaks = 1 + 0.18 * self._waves(rng)[:, None]
            cover = cover * self.skin[:, None]
            colours = colours * (1 - cover) + hair * streaks * cover
            self.painted_hair = np.asarray(cover[:, 0], np.float32)
        if rng.random() < o.beard:
            low = _sigmoid((-38 + rng.normal(0, 6) - y) / 5 + 0.8 * self._waves(rng) + np.abs(x) / 60 - 0.5)
            upper_lip = np.exp(-(((y + 58) / 6) ** 2) - (x / 26) ** 2)
            cover = np.maximum(low * (z < 60), upper_lip * rng.random()) * rng.uniform(0.15, 0.9)
            if "lips" in self.model.regions:
                cover = np.where(self.model.regions["lips"], cover * 0.1, cover)
            cover = (cover * self.skin)[:, None].astype(np.float32)
            colours = colours * (1 - cover) + beard * 0.9 * cover
            self.painted_beard = np.asarray(cover[:, 0], np.float32)
        if rng.random() < 0.3:
            colours = colours + (rng.uniform(2, 10) * self._waves(rng))[:, None] * self.skin[:, None]
        return np.clip(colours, 4, 252)

    def _albedo(self, rng: np.random.Generator) -> Float32Array:
        """Return the colour of every vertex without shading, hair and beard, (n, 3) float32."""
        if self.assets is not None and rng.random() < SKINS:
            return _mixed_skin(self.assets.skins, rng)
        if self.texture is None:
            tone = PLAIN_SKIN[rng.integers(len(PLAIN_SKIN))] * rng.uniform(0.85, 1.1) + rng.normal(0, 6, 3)
            colours = np.where(self.skin[:, None], tone.astype(np.float32), self.plain)
            for name, factor in (("lips", (0.85, 0.62, 0.62)), ("brow_left", 0.45), ("brow_right", 0.45)):
                if name in self.model.regions:
                    colours[self.model.regions[name]] *= np.asarray(factor, np.float32)
        else:
            coefficients = rng.standard_normal(len(self.texture.components), np.float32)
            colours = self.texture.colours(np.clip(coefficients * self.options.texture_sigma, -2, 2))
        return colours

    def _waves(self, rng: np.random.Generator, count: int = 4) -> Float32Array:
        """Return smooth noise of unit standard deviation on the vertices, (n,): a random mixture of stored waves."""
        rows = rng.integers(len(self.waves), size=count)
        weights = rng.standard_normal(count, np.float32) / np.float32(np.sqrt(count))
        return np.asarray(weights @ self.waves[rows])

    def _material(self, surface: Float32Array, part: np.ndarray, rng: np.random.Generator) -> Float32Array:
        """Return the colours of pixels, (p, 3), with details finer than the mesh: irises, dark mouth, pixel noise."""
        colour = surface[:, 6:].copy()
        iris = IRIS[rng.integers(len(IRIS))] * rng.uniform(0.6, 1.3) + rng.normal(0, 6, 3)
        pupil, white = rng.uniform(1.5, 3.4), rng.uniform(0.75, 1.02)
        phase = rng.uniform(0, 6)
        for eye, (centre, radius) in zip((EYE_LEFT, EYE_RIGHT), self.eye_spheres, strict=True):
            at = part == eye
            if not at.any():
                continue
            offset = surface[at, :3] - centre
            off_axis = np.hypot(offset[:, 0], offset[:, 1])  # distance from the gaze axis, mm
            angle = np.arctan2(offset[:, 1], offset[:, 0])
            pattern = 1 + 0.2 * np.sin(11 * angle + phase) * np.sin(2.3 * off_axis + phase)
            edge = np.clip((IRIS_MM - off_axis) / 1.2, 0, 1)
            ring = iris * pattern[:, None] * (0.55 + 0.45 * edge[:, None])
            ring = ring * np.clip((off_axis - pupil) / 0.6, 0.08, 1)[:, None]
            cover = np.clip((IRIS_MM - off_axis) / 0.6 + 0.5, 0, 1)[:, None]
            lid = np.clip(1 - (surface[at, 1] - centre[1] - 1) / 12, 0.55, 1)[:, None]  # shadow of the upper lid
            corner = np.clip(1.25 - off_axis / radius * 0.6, 0.6, 1)[:, None]
            colour[at] = (colour[at] * white * corner * (1 - cover) + ring * cover) * lid * (offset[:, 2:] > 0)
        mouth = part == MOUTH
        colour[mouth] *= rng.uniform(0.3, 1.0) * rng.uniform([0.95, 0.9, 0.8], [1.05, 1.0, 1.0])
        colour[part == EYE_SOCKET] *= 0.6
        grain = rng.standard_normal((len(colour), 1), np.float32) * np.float32(self.options.pixel_noise)
        colour += grain * GRAIN[part][:, None]
        return np.asarray(colour, dtype=np.float32)


def _sphere(points: FloatArray) -> tuple[Float32Array, float]:
    """Return the centre and the radius of the least-squares sphere of points (n, 3)."""
    system = np.column_stack([2 * points, np.ones(len(points))])
    solution = np.linalg.lstsq(system, (points**2).sum(1), rcond=None)[0]
    centre = solution[:3]
    return centre.astype(np.float32), float(np.sqrt(solution[3] + centre @ centre))


def _sigmoid(x: Float32Array) -> Float32Array:
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x), dtype=np.float32)


def _frame_material(
    glasses: EyewearPixels, rng: np.random.Generator
) -> tuple[Float32Array, Float32Array, Float32Array]:
    """Return colours, normals and gloss of the pixels of a frame: dark, metal or of any colour."""
    level, tint, low, high = ((30, 15, 2, 6), (150, 25, 4, 10), (110, 60, 1, 6))[rng.choice(3, p=(0.6, 0.25, 0.15))]
    count = len(glasses.place)
    colour = np.clip(grey_or_tinted(rng, level * rng.uniform(0.5, 1.4), tint), 4, 245)
    return (
        np.tile(colour.astype(np.float32), (count, 1)),
        glasses.normal,
        np.full(count, rng.uniform(low, high), np.float32),
    )


def _mixed_skin(skins: ByteArray, rng: np.random.Generator) -> Float32Array:
    """Return vertex colours, (n, 3): a random mixture of two of the skins (s, n, 3), lighter or darker and tinted."""
    first, second = skins[rng.integers(len(skins), size=2)].astype(np.float32)
    share = rng.beta(0.6, 0.6)
    colours = share * first + (1 - share) * second
    gain = np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.04, 3))
    return np.asarray(255 * (colours / 255) ** np.exp(rng.normal(0, 0.15)) * gain, dtype=np.float32)


def _wave_bank(points: Float32Array, count: int = 48) -> Float32Array:
    """Return sine waves (count, n) of unit standard deviation at points (n, 3): wavelength 25 to 150 mm, fixed seed."""
    rng = np.random.default_rng(0)
    frequency = rng.standard_normal((3, count)) * 2 * np.pi / np.sqrt(3) / rng.uniform(25, 150, count)
    phase = rng.uniform(0, 2 * np.pi, count)
    return np.asarray(np.sqrt(2) * np.sin(points @ frequency + phase).T, dtype=np.float32)


def make_sheet(samples: Sequence[Sample], columns: int = 8) -> ByteArray:
    """Return a picture of samples, (h, w, 3) uint8: in each column an image, its depth map and its correspondence map.

    Parameters
    ----------
    samples : sequence of Sample
    columns : int
        Number of samples in one row.
    """
    cells = []
    for sample in samples:
        depth = np.clip((sample.depth + 100) * 1.2, 0, 255) * sample.mask
        correspondence = np.clip(sample.correspondence + 128, 0, 255) * sample.mask[..., None]
        maps = [np.repeat(depth[..., None], 3, 2).astype(np.uint8), correspondence.astype(np.uint8)]
        cells.append(np.vstack([sample.image, *maps]))
    while len(cells) % columns:
        cells.append(np.zeros_like(cells[0]))
    return np.vstack([np.hstack(cells[i : i + columns]) for i in range(0, len(cells), columns)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom prepare synthetic` to a parser."""
    parser.add_argument(
        "--texture-model", help="file written by `facegeom prepare texture-model` (default: skin of one random colour)"
    )
    add_assets(parser)
    parser.add_argument(
        "--out", "-o", default="runs/synthetic", help="folder for the written files (default: %(default)s)"
    )
    parser.add_argument("--count", type=int, default=64, help="number of synthetic faces (default: %(default)s)")
    parser.add_argument(
        "--size", type=int, default=128, help="side length of the square images in pixels (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of all random numbers (default: %(default)s)")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the files that the command writes to the folder `--out`."""
    shards = range(-(-args.count // SHARD))
    return [Path(args.out) / name for name in ("sheet.png", *(f"samples_{number:03d}.npz" for number in shards))]


def run(args: argparse.Namespace) -> int:
    """Write sheet.png and samples_NNN.npz (image, depth, correspondence, mask, eyes); face i has the seed (seed, i)."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    count = check.count(args.count, "--count", 1)
    out = Path(args.out)
    out.mkdir(parents=True, exist_ok=True)
    assets = load_assets(args.assets, held_out=False)
    faces = SyntheticFaces(load_face_model(), MixOptions(), args.texture_model, assets=assets)
    for start in range(0, count, SHARD):
        numbers = range(start, min(count, start + SHARD))
        drawn = [faces.draw(np.random.default_rng([args.seed, i]), args.size) for i in tqdm(numbers, unit="face")]
        samples = [sample for sample, _ in drawn]
        if start == 0:
            sheet = np.asarray(cv2.cvtColor(make_sheet(samples[:32]), cv2.COLOR_RGB2BGR), np.uint8)
            write_bytes(out / "sheet.png", cv2.imencode(".png", sheet)[1].tobytes())
        arrays = {
            name: np.array([getattr(sample, name) for sample in samples])
            for name in ("image", "depth", "correspondence", "mask")
        }
        arrays["eyes"] = np.array([eyes for _, eyes in drawn])
        write_npz(out / f"samples_{start // SHARD:03d}.npz", arrays)
    log.info("%d faces in %s", count, out)
    return 0
