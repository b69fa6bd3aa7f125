"""The texture of a head from the colours of a scan, completed like that of a photo where the scan has none."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from facegeom.face_model.template import Template
from facegeom.images.camera import Camera
from facegeom.images.crop import crop_image
from facegeom.images.face_maps import FaceMaps
from facegeom.images.sampling import bilinear
from facegeom.rigging.placement import Placement
from facegeom.rigging.scan import Scan
from facegeom.rigging.surface import SurfaceView, view_rotation
from facegeom.texture.appearance import View, mouth_light
from facegeom.texture.atlas_parts import atlas_of, places_of
from facegeom.texture.baking import Atlas, sample
from facegeom.texture.eye_photo import eye_pictures, painted_pictures
from facegeom.texture.eyes import Eyes, eye_colors, look, unseen_eyes
from facegeom.texture.file_texture import file_texture
from facegeom.texture.head_classes import head_classes
from facegeom.texture.painting import paint
from facegeom.texture.teeth import teeth_picture
from facegeom.texture.tongue import with_tongue

PHOTO_MM, PHOTO_SIZE = 330.0, 768
"""Side of the picture of the head from the front in mm and in pixels: the photo of the texture pipeline."""

BAKE_VIEWS = (
    SurfaceView(0, 0, (0, -20, 0), 260, 0.3),
    SurfaceView(50, 0, (0, -20, -20), 260, 0.3),
    SurfaceView(-50, 0, (0, -20, -20), 260, 0.3),
    SurfaceView(0, -55, (0, -50, -40), 260, 0.35),
    SurfaceView(105, 5, (0, -25, -70), 350, 0.4),
    SurfaceView(-105, 5, (0, -25, -70), 350, 0.4),
    SurfaceView(180, 0, (0, -25, -70), 350, 0.5),
    SurfaceView(0, 80, (0, 20, -70), 300, 0.5),
)
"""Pictures from which the colours of a scan are baked."""

ON_SCAN_MM = 3.0
"""Largest difference between the depth of a texel and that of the scan in the same pixel, mm."""

HAIR_MM = 25.0
"""Largest height of the hair of a scan above the scalp, whose texels have the colours of the hair, mm."""

LEAST_FACING = 0.2
"""Smallest cosine between normal and line of sight of a baked texel."""

SOFT = 0.008
"""Width of the border of the baked texels, relative to the side of the atlas."""

CLOSED = 0.5
"""Weight of eyeBlink from which the lids of a scan hide the eyes."""


class Colours(NamedTuple):
    """The colours (n, 3) of the fine vertices, and the texture (S, S, 3) in the atlas of files."""

    colors: ByteArray
    texture: ByteArray


def front_view(scan: Scan, placement: Placement, template: Template, V: FloatArray, mean: FloatArray) -> View:
    """Return the view of the fine vertices (n, 3), mm, in a picture of the scan from the front, without light.

    `mean` (n, 3) are the fine vertices of the mean head, the correspondence of the maps.
    """
    camera = placement.camera(np.eye(3), PHOTO_SIZE / PHOTO_MM, np.array([0.0, -20.0, 0.0]), PHOTO_SIZE)
    photo = scan.seen_by(camera, PHOTO_SIZE, lit=False).image
    middle = 0.5 * (PHOTO_SIZE - 1)
    scale = PHOTO_SIZE / PHOTO_MM
    face_camera = Camera(np.eye(3), scale, np.array([middle, middle - 20.0 * scale]))
    inside = template.fine.regions["map"]
    count = template.fine.skin_count
    F = template.fine.skin_faces
    place = face_camera.project(V[:count])
    face = place[inside[:count]]
    (x0, y0), (x1, y1) = face.min(axis=0), face.max(axis=0)
    half, x, y = 0.6 * max(x1 - x0, y1 - y0), 0.5 * (x0 + x1), 0.5 * (y0 + y1)
    box = (float(x - half), float(y - half), float(x + half), float(y + half))
    size = 160
    pixels = (place - box[:2]) * (size / (2 * half)) - 0.5
    raster = geometry.rasterize(np.column_stack([pixels, V[:count, 2]]), F, mean[:count], (size, size))
    of_face: BoolArray = np.asarray(inside[:count][F].all(axis=1), np.bool_)
    mask = (raster.triangle >= 0) & of_face[raster.triangle]
    image = crop_image(photo, box, size)
    return View(photo, FaceMaps(image, raster.depth, raster.attributes, mask, box), face_camera, V, template.fine)


def coloured(
    scan: Scan,
    placement: Placement,
    template: Template,
    view: View,
    size: int,
    weights: dict[str, float],
    eyes: Eyes,
    backend: str,
) -> Colours:
    """Return the complete texture of a head, and the colours of its fine vertices.

    Parameters
    ----------
    scan : Scan with colours
    placement : Placement
    template : Template of the whole head
    view : result of `front_view`
    size : side of the texture, texels
    weights : ARKit's weights of the expression
    eyes : Eyes in the picture
    backend : "torch" or "onnx"
    """
    classes = head_classes(view.photo, view.camera, backend=backend)
    painted = paint(template, view, classes, size, backend=backend)
    atlas = atlas_of(template, size)
    baked, share = bake_scan(scan.skin, placement, template, atlas, view.vertices)
    mixed = cv2.blendLinear(baked, painted.texture, share, 1 - share)
    texture: ByteArray = np.asarray(atlas.fill_gutter(mixed), np.uint8)
    colors = np.rint(bilinear(texture, places_of(template, size))).astype(np.uint8)
    closed = max(weights["eyeBlinkLeft"], weights["eyeBlinkRight"]) > CLOSED
    pictures = painted_pictures(eyes, size) if closed else eye_pictures(template, view, eyes, size)
    for side, shades in eye_colors(template, eyes).items():
        colors[template.fine.regions[f"eyeball_{side}"]] = shades
    teeth = teeth_picture(template, size, mouth_light(template, view))
    return Colours(colors, file_texture(with_tongue(template, texture), pictures, teeth))


def eyes_of(template: Template, view: View, weights: dict[str, float]) -> Eyes:
    """Return the eyes in a picture of a scan, or usual eyes that look ahead if the lids are closed."""
    if max(weights["eyeBlinkLeft"], weights["eyeBlinkRight"]) > CLOSED:
        return unseen_eyes()
    return look(template, view)


def bake_scan(
    scan: Scan, placement: Placement, template: Template, atlas: Atlas, V: FloatArray
) -> tuple[ByteArray, Float32Array]:
    """Return the colours (S, S, 3) of a scan in an atlas, and their share (S, S), 0 where the scan is missing.

    `V` (n, 3) are the fine vertices of the template, mm. A texel has the colour of the picture that shows it most from
    the front.
    """
    rows = np.flatnonzero(atlas.triangle < template.fine.skin_triangles)
    normals = geometry.vertex_normals(V, template.fine.faces)
    height = np.where(atlas.inside(template.fine.regions["scalp"])[rows], HAIR_MM, ON_SCAN_MM)
    best = np.full(len(rows), LEAST_FACING, np.float32)
    colors = np.zeros((len(rows), 3), np.float32)
    for own in BAKE_VIEWS:
        size = round(own.side_mm / own.pixel_mm)
        rotation = view_rotation(own.yaw, own.pitch)
        picture = scan.seen_by(
            placement.camera(rotation, 1 / own.pixel_mm, np.array(own.centre, np.float64), size), size, lit=False
        )
        turned = (V - own.centre) @ rotation.T
        middle = 0.5 * (size - 1)
        at = np.column_stack([turned[:, :2] * (1 / own.pixel_mm, -1 / own.pixel_mm) + middle, turned[:, 2]])
        facing = normals @ rotation[2]
        corners = template.fine.faces[atlas.triangle[rows]]
        wanted = rows[(facing[corners] > LEAST_FACING).any(axis=1)]
        x, y, depth, cosine = atlas.carry(np.column_stack([at, facing]), wanted).T
        column, row = (
            np.clip(np.rint(x), 0, size - 1).astype(np.int64),
            np.clip(np.rint(y), 0, size - 1).astype(np.int64),
        )
        # Depths of the picture are in units of the scan, from the frame of the camera in its own coordinates.
        offset = float((rotation @ (placement.shift - np.array(own.centre)))[2])
        theirs = picture.depth * placement.scale + offset
        above = np.nan_to_num(theirs[row, column], nan=1e9) - depth
        near = (above > -ON_SCAN_MM) & (above < height[np.searchsorted(rows, wanted)])
        place = np.searchsorted(rows, wanted)
        better = near & (cosine > best[place])
        chosen = np.flatnonzero(better)
        if not len(chosen):
            continue
        spread = _without_background(picture.image, np.isfinite(picture.depth))
        step = atlas.stretch(at[:, :2])[atlas.triangle[wanted[chosen]]]
        colors[place[chosen]] = sample(
            spread, np.column_stack([x[chosen], y[chosen]]).astype(np.float32), step.astype(np.float32)
        )
        best[place[chosen]] = cosine[chosen]
    known = np.asarray(atlas.image_of(rows, best > LEAST_FACING), np.bool_)
    texture = np.asarray(atlas.image_of(rows, np.clip(np.rint(colors), 0, 255).astype(np.uint8)), np.uint8)
    away = cv2.distanceTransform(known.astype(np.uint8), cv2.DIST_L2, 3)
    outside = np.asarray(atlas.covered & ~known)
    from_unknown = cv2.distanceTransform((~outside).astype(np.uint8), cv2.DIST_L2, 3)
    ramp = np.clip((from_unknown - 0.5) / max(1.0, SOFT * atlas.size), 0, 1) * (away > 0)
    return texture, np.asarray(ramp, np.float32)


def _without_background(image: ByteArray, shown: BoolArray) -> ByteArray:
    """Return an image (h, w, 3) whose pixels beside the mesh have the colours of the nearest pixels of the mesh."""
    if shown.all() or not shown.any():
        return image
    labels = cv2.distanceTransformWithLabels((~shown).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)[
        1
    ]
    source = np.zeros(int(labels.max()) + 1, np.int64)
    source[labels[shown]] = np.flatnonzero(shown)
    return np.ascontiguousarray(image.reshape(-1, 3)[source[labels]].reshape(image.shape))
