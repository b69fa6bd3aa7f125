"""Partial textures of whole heads, baked from labelled photos with the fitted head and the segmentation of the photo.

What counts as seen is decided as in a reconstruction (`facegeom.texture.shown_texels`): skin on face, ears and
neck, hair or skin on the scalp, and nothing from background, clothes or what covers the face.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from facegeom._internal.arrays import BoolArray, ByteArray
from facegeom._internal.threads import load_once
from facegeom.face_model import load_face_model
from facegeom.face_model.template import Template, load_template
from facegeom.geometry import rasterize
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine, crop_affine, crop_image
from facegeom.images.face_maps import FaceMaps
from facegeom.images.image_files import load_image
from facegeom.networks.interface import SegmentationPredictor
from facegeom.texture.appearance import OWN, View
from facegeom.texture.baking import Atlas, Projection
from facegeom.texture.blending import Layer
from facegeom.texture.head_classes import HeadClasses, head_classes
from facegeom.texture.shown_texels import BARE_EAR, EAR_MARGIN, LEAST_SEEN, shown_texels, unlike
from facegeom.texture.texel_classes import EAR, FACE, NONE, SCALP, texel_parts
from facegeom.training.data.labels import Labels
from facegeom.training.data.pose import Pose
from facegeom.training.data.renderer import Renderer, crop_square
from facegeom.training.segmentation.crops import listed

SIZE = 192
"""Side length of the square textures in texels, as in the thesis on fully textured heads."""

MASK_SIZE = 128  # side of the rendered mask of a head in pixels
CROP_FACTOR = 1.15  # side of its crop divided by the longer side of the box of the face
EAR_BOX_MM = 320.0  # side of a square around the origin of the face that contains the ears
EAR_SCALES = np.arange(1.0, 0.84, -0.025)  # scales of the projection of ears relative to that of the face
EAR_SLACK = 0.03  # how far the share of skin at the vertices of an ear may be below the largest of all scales
EAR_FACING, LEAST_EAR = 0.3, 40  # least cosine between normal and line of sight of these vertices, and their number

REJECTIONS = ("kept", "small", "exposure", "covered", "little")


@dataclass(frozen=True)
class HeadTextureOptions:
    """Limits beyond which a photo is rejected."""

    least_scale: float = 0.4  # smallest scale, pixels per mm; at a smaller scale a face is narrower than 60 pixels
    least_brightness: float = 25.0  # smallest median of the seen texels of the face, in [0, 255]
    most_brightness: float = 235.0  # largest median of the seen texels of the face, in [0, 255]
    most_covered: float = 0.5  # largest share of the visible texels of the face that do not show it
    least_seen: float = 0.35  # smallest seen share of the texels of the face


class HeadAtlas(NamedTuple):
    """The template of the whole head, the atlas of its fine topology, and the part of the head of each texel."""

    template: Template
    atlas: Atlas
    part: ByteArray  # (S, S) uint8, rows of `texel_classes.PARTS`


@load_once(maxsize=2)
def head_atlas(size: int) -> HeadAtlas:
    """Return the atlas of whole heads with `size` texels a side."""
    template = load_template(head=True)
    atlas = Atlas(template.fine.faces, template.fine.uv, template.fine.uv_faces, size)
    return HeadAtlas(template, atlas, texel_parts(template, atlas))


class HeadTexture(NamedTuple):
    """Partial texture of one photo.

    Attributes
    ----------
    layer : Layer
        The texture and its seen texels.
    hair : (S, S) bool array
        Seen texels at which the photo shows hair.
    refused : (S, S) bool array
        Visible texels at which the photo shows something else than their own class.
    reason : int
        Index into `REJECTIONS`: 0 for a usable texture, otherwise the reason for which the texture was rejected.
    """

    layer: Layer
    hair: BoolArray
    refused: BoolArray
    reason: int


class HeadBaker:
    """Baker of partial textures of labelled photos in the atlas of the whole head.

    Parameters
    ----------
    photos : dict of str to Path
        File name of a photo -> path.
    labels : Labels
        Fits of the photos.
    options : HeadTextureOptions
    size : int
        Side length S of the square textures in texels.
    network : SegmentationPredictor, optional
        By default the network that comes with facegeom.

    Attributes
    ----------
    part : (S, S) uint8 array, part of the head of each texel, a row of `texel_classes.PARTS`
    """

    def __init__(
        self,
        photos: dict[str, Path],
        labels: Labels,
        options: HeadTextureOptions = HeadTextureOptions(),
        size: int = SIZE,
        network: SegmentationPredictor | None = None,
    ) -> None:
        self.photos, self.labels, self.options, self.network = photos, labels, options, network
        self.renderer = Renderer(load_face_model())
        self.template, self.atlas, self.part = head_atlas(size)
        self.capped = listed("headgear")

    def bake(self, row: int) -> HeadTexture:
        """Return the partial texture of a row of the labels.

        The scalp of people in the list of headgear counts as covered: segmentation may take a hat for hair.
        """
        name = str(self.labels.names[row])
        photo = load_image(self.photos[name])
        pose = self.renderer.pose(self.labels.fit(row))
        camera = Camera(pose.rotation, pose.scale, pose.translation)
        view = View(photo, self._maps(photo, pose), camera, self._vertices(pose), self.template.fine)
        classes = head_classes(photo, camera, network=self.network)
        shown = shown_texels(self.template, self.atlas, view, classes)
        ears, colours = self._ears(photo, view, classes)
        texture = np.where(ears[..., None], colours, shown.texture)
        seen = np.where(self.part == EAR, ears, shown.known)  # ears that are not moved are elsewhere in the photo
        hair = seen & shown.is_hair
        refused = shown.refused & ~ears
        if name.rsplit(".", 1)[0] in self.capped:
            hat = hair | (seen & (self.part == SCALP))
            seen, hair, refused = seen & ~hat, hair & ~hat, refused | hat
        return HeadTexture(Layer(texture, seen), hair, refused, self._reason(texture, seen, refused, pose))

    def _ears(self, photo: ByteArray, view: View, classes: HeadClasses) -> tuple[BoolArray, ByteArray]:
        """Return the texels of the ears at which the photo shows skin, (S, S) bool, and their colours (S, S, 3).

        The camera of a fit has no perspective, so that it places the ears, which lie 100 mm behind the face, up to 13
        mm too far from its middle. Here each ear is projected with a smaller scale, the largest with which the photo
        shows skin at nearly as many of its vertices as with any. A reconstruction moves the ears instead.
        """
        atlas, camera, fine = self.atlas, view.camera, self.template.fine
        seen, colours = np.zeros(self.part.shape, np.bool_), np.zeros((*self.part.shape, 3), np.uint8)
        bare, inner = replace(classes, margin=1), replace(classes, margin=EAR_MARGIN)
        for name in ("ear_left", "ear_right"):
            front = fine.regions[name] & (view.facing > EAR_FACING)
            if front.sum() < LEAST_EAR:
                continue
            cameras = [Camera(camera.rotation, camera.scale * share, camera.translation) for share in EAR_SCALES]
            scores = np.array([float(bare.at(one.project(view.vertices[front]))[:, 0].mean()) for one in cameras])
            if scores.max() < BARE_EAR:
                continue
            placed = cameras[int(np.argmax(scores >= scores.max() - EAR_SLACK))]
            projection = Projection(atlas, photo, placed, view.vertices)
            rows = projection.shown(*self._around(placed), atlas.inside(fine.regions[name]))[0]
            found = inner.at(atlas.carry(projection.pixel, rows))
            shades = projection.colors(rows)
            shown = (found[:, 0] > OWN) & ~unlike(shades, classes.skin)
            seen |= np.asarray(atlas.image_of(rows, shown), np.bool_)
            colours = np.maximum(colours, np.asarray(atlas.image_of(rows, shades), np.uint8))
        return seen & (self.part == EAR), colours

    def _around(self, camera: Camera) -> tuple[BoolArray, Box]:
        """Return a mask of everything and its box, a square around the head in the photo."""
        (x, y), half = camera.translation, 0.5 * EAR_BOX_MM * camera.scale
        return np.ones((MASK_SIZE, MASK_SIZE), np.bool_), (x - half, y - half, x + half, y + half)

    def visible(self, pose: Pose) -> BoolArray:
        """Return the texels, (S, S) bool, that a photo of the head without occluders would show."""
        side = picture_side(pose.scale)
        blank, everywhere = np.zeros((side, side, 3), np.uint8), np.ones((MASK_SIZE, MASK_SIZE), np.bool_)
        camera = Camera(pose.rotation, pose.scale, pose.translation)
        projection = Projection(self.atlas, blank, camera, self._vertices(pose))
        rows, seen = projection.shown(everywhere, (-0.5, -0.5, side - 0.5, side - 0.5))
        return np.asarray(self.atlas.image_of(rows, seen > LEAST_SEEN) & (self.part != NONE), np.bool_)

    def head_at(self, row: int, yaw_deg: float, pitch_deg: float, scale: float) -> Pose:
        """Return the fitted head of a row of the labels in another pose, in the middle of an image of
        `picture_side(scale)`.
        """
        upright = Pose(self.renderer.pose(self.labels.fit(row)).vertices, np.eye(3), scale, np.zeros(2))
        pose = upright.turned(yaw_deg, pitch_deg)
        return Pose(pose.vertices, pose.rotation, scale, np.full(2, picture_side(scale) / 2))

    def _vertices(self, pose: Pose) -> np.ndarray:
        return self.template.subdivide(pose.vertices[self.template.vertices])

    def _maps(self, photo: ByteArray, pose: Pose) -> FaceMaps:
        """Return maps of which only crop, box and mask, that of the whole head, are used."""
        box: Box = crop_square(self.renderer.face_box(pose), factor=CROP_FACTOR, shift=(0.0, 0.0))
        points = pose.pixels()
        points[:, :2] = apply_affine(crop_affine(box, MASK_SIZE), points[:, :2])
        mask = rasterize(points, self.renderer.faces, None, (MASK_SIZE, MASK_SIZE)).triangle >= 0
        nothing = np.zeros((MASK_SIZE, MASK_SIZE, 3))
        return FaceMaps(crop_image(photo, box, MASK_SIZE), nothing[..., 0], nothing, mask, box)

    def _reason(self, texture: ByteArray, seen: BoolArray, refused: BoolArray, pose: Pose) -> int:
        options, face = self.options, self.part == FACE
        count, covered = int((seen & face).sum()), int((refused & face).sum())
        brightness = float(np.median(texture[seen & face])) if count else 0.0
        failures = {
            "small": pose.scale < options.least_scale,
            "exposure": not options.least_brightness <= brightness <= options.most_brightness,
            "covered": covered > options.most_covered * (count + covered),
            "little": count < options.least_seen * int(face.sum()),
        }
        return next((REJECTIONS.index(name) for name, failed in failures.items() if failed), 0)


def picture_side(scale: float) -> int:
    """Return the side length in pixels of a square image that contains any head at `scale` pixels per mm."""
    return round(480 * scale)


def ears_seen(seen: BoolArray, part: ByteArray, share: float = 0.25) -> BoolArray:
    """Return which textures show at least a share of the texels of one ear, (n,), from their seen texels (n, S, S)."""
    half = part.shape[1] // 2
    sides = (slice(half), slice(half, None))
    shown = [seen[:, :, side][:, part[:, side] == EAR].mean(axis=1) for side in sides]
    return np.asarray(np.maximum(*shown) >= share, np.bool_)
