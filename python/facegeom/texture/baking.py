"""Baking: transfer of a photo to the texture atlas of a mesh, and the mask of the texels that the photo shows."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from facegeom import geometry
from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray, IntArray
from facegeom.images.boxes import Box
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine, crop_affine
from facegeom.images.sampling import distance_inside, looked_up, nearest_known

SIZES = (16, 2048)
"""Minimum and maximum side length of an atlas in texels."""

PART = 2**15
"""Number of texels that are computed at a time."""


@dataclass(frozen=True)
class BakeOptions:
    """Limits that decide which texels the photo shows."""

    least_facing: float = 0.25  # minimum cosine between normal and line of sight; 0.25 stretches a photo pixel fourfold
    full_facing: float = 0.6  # cosine between normal and line of sight above which visibility is 1
    hidden_mm: float = 0.8  # distance in mm behind the visible surface beyond which a point is hidden (lids: 1 mm)
    contour_mm: float = 8.0  # a point is unknown if, within `contour_reach_mm`, the surface is this many mm nearer
    contour_reach_mm: float = 1.4  # error in mm of a fitted contour, such as a nose in front of a cheek
    depth_step_mm: float = 0.7  # pixel size in mm of the depth map for the visibility test
    silhouette_pixels: float = 2.0  # width in pixels of the border of the mask that is left out: it may show background
    sure_pixels: float = 5.0  # distance in pixels from the outline of the mask above which visibility is 1


class Baked(NamedTuple):
    """The texture of an atlas baked from one photo.

    Attributes
    ----------
    texture : (S, S, 3) uint8 array
        Colours of the photo at known texels, black at unknown texels; outside the charts, the colour of the nearest
        texel of a chart.
    known : (S, S) bool array
        Texels of a chart that the photo shows.
    seen : (S, S) float32 array in [0, 1]
        Visibility of each texel: 0 at unknown texels, 1 at fully visible texels.
    """

    texture: ByteArray
    known: BoolArray
    seen: Float32Array


class Atlas:
    """The texels of the texture atlas of a mesh, with the triangle and the barycentric coordinates of each texel.

    Parameters
    ----------
    faces : (m, 3) int array, triangles of n vertices
    uv : (k, 2) float array, u to the right and v up
    uv_faces : (m, 3) int array, rows of `uv`
    size : side length S in texels, 16 to 2048

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, an index or size out of range, or charts that cover no texel.

    Attributes
    ----------
    covered : (S, S) bool array, texels whose centre lies in a chart
    triangle : (t,) int array, row of `faces` at each covered texel, in the order of `covered.nonzero()`
    barycentric : (t, 2) float32 array, the first two barycentric coordinates of the centre of each covered texel in its
        triangle; the third is what they lack to 1

    Notes
    -----
    Texel (row i, column j) is centred on u = (j + 0.5) / S, v = 1 - (i + 0.5) / S.

    Examples
    --------
    >>> atlas = Atlas([[0, 1, 2]], [[0, 0], [1, 0], [0, 1.0]], [[0, 1, 2]], 16)
    >>> atlas.carry(np.array([[0.0], [1.0], [0.0]]))[0]  # u of the first covered texel, in the corner above
    array([0.03125], dtype=float32)
    """

    def __init__(self, faces: npt.ArrayLike, uv: npt.ArrayLike, uv_faces: npt.ArrayLike, size: int) -> None:
        self.uv = check.float_array(uv, "uv", (None, 2))
        self.uv_faces = check.index_array(uv_faces, "uv_faces", (None, 3), len(self.uv))
        self.faces = check.index_array(faces, "faces", (len(self.uv_faces), 3), np.iinfo(np.int64).max)
        self.size = check.count(size, "size", SIZES[0])
        if size > SIZES[1]:
            raise ValueError(f"size must be at most {SIZES[1]}, got {size}")
        corners = self.uv[self.uv_faces.ravel()] * (size, -size) + (-0.5, size - 0.5)
        places = np.column_stack([corners, np.zeros(len(corners))])
        ones = np.tile(np.eye(3)[:, :2], (len(self.faces), 1))
        raster = geometry.rasterize(places, np.arange(len(corners)).reshape(-1, 3), ones, (size, size))
        self.covered: BoolArray = np.asarray(raster.triangle >= 0)
        if not self.covered.any():
            raise ValueError(f"the charts cover no texel of an atlas of size {size}")
        self._texel = np.flatnonzero(self.covered).astype(np.int32)
        self.triangle = raster.triangle.ravel()[self._texel].astype(np.int32)
        self.barycentric: Float32Array = raster.attributes.reshape(-1, 2)[self._texel].astype(np.float32)
        del raster
        self._corners = corners.reshape(-1, 3, 2)
        self._vertices = np.ascontiguousarray(self.faces.T)
        self._gutter = np.flatnonzero(~self.covered).astype(np.int32)
        self._source = nearest_known(self.covered).ravel()[self._gutter].astype(np.int32)

    def carry(
        self, values: npt.NDArray[np.floating], rows: npt.NDArray[np.integer] | slice = slice(None)
    ) -> Float32Array:
        """Interpolate vertex values (n, k) at the covered texels, or at some rows of them; return an array (t, k)."""
        values = np.asarray(values, np.float32)
        triangle, barycentric = self.triangle[rows], self.barycentric[rows]
        out = np.empty((len(triangle), values.shape[1]), np.float32)
        many = len(triangle) > len(self.faces)
        corners = [values.take(vertex, axis=0) for vertex in self._vertices] if many else []
        for part in parts(len(triangle)):
            weight, of = barycentric[part], triangle[part]
            sums = np.zeros((len(of), values.shape[1]), np.float32)
            shares = weight[:, 0], weight[:, 1], 1 - weight[:, 0] - weight[:, 1]
            for i, (vertex, share) in enumerate(zip(self._vertices, shares, strict=True)):
                at_corner = corners[i].take(of, axis=0) if many else values.take(vertex.take(of), axis=0)
                at_corner *= share[:, None]
                sums += at_corner
            out[part] = sums
        return out

    def image(self, values: npt.NDArray[np.generic], missing: float = 0) -> npt.NDArray[np.generic]:
        """Return an image (S, S, ...) with values (t, ...) at the covered texels and `missing` elsewhere."""
        out = np.full((self.size**2, *values.shape[1:]), missing, values.dtype)
        out[self._texel] = values
        return out.reshape(self.size, self.size, *values.shape[1:])

    def image_of(self, rows: IntArray, values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Return an image (S, S, ...) with values (r, ...) at some rows of the covered texels and 0 elsewhere."""
        out = np.zeros((self.size**2, *values.shape[1:]), values.dtype)
        out[self._texel[rows]] = values
        return out.reshape(self.size, self.size, *values.shape[1:])

    def window(
        self, rows: IntArray, values: npt.NDArray[np.generic]
    ) -> tuple[slice, slice, npt.NDArray[np.generic], BoolArray]:
        """Return the smallest window of the atlas with some covered texels, given by their rows (r,), at least one.

        Returns
        -------
        its rows and its columns; an image (h, w, ...) with the values (r, ...), and 0 at other texels; and the mask
        (h, w) of the given texels
        """
        y, x = np.divmod(self._texel[rows], self.size)
        top, left = int(y.min()), int(x.min())
        height, width = int(y.max()) + 1 - top, int(x.max()) + 1 - left
        out, given = np.zeros((height, width, *values.shape[1:]), values.dtype), np.zeros((height, width), np.bool_)
        out[y - top, x - left], given[y - top, x - left] = values, True
        return slice(top, top + height), slice(left, left + width), out, given

    def texels(self, picture: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the values (t, ...) of an image (S, S, ...) at the covered texels."""
        return np.asarray(picture.reshape(self.size**2, *picture.shape[2:]).take(self._texel, axis=0))

    def fill_gutter(self, texture: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Copy to each texel outside the charts the nearest texel of a chart; return the texture (S, S, ...).

        Filtering or reducing the texture then mixes no background colour into the charts.
        """
        out = texture.reshape(self.size**2, *texture.shape[2:]).copy()
        out[self._gutter] = out[self._source]
        return out.reshape(texture.shape)

    def region(self, members: BoolArray) -> BoolArray:
        """Return the mask (S, S) of the texels of all triangles whose three vertices are True in `members` (n,)."""
        return np.asarray(self.image(self.inside(members)), np.bool_)

    def inside(self, members: BoolArray) -> BoolArray:
        """Return which covered texels, (t,), belong to triangles whose three vertices are True in `members` (n,)."""
        return np.asarray(np.all([members[vertex] for vertex in self._vertices], axis=0)[self.triangle], np.bool_)

    def stretch(self, pixel: FloatArray) -> Float32Array:
        """Return the length in photo pixels of a texel of each triangle, (m,), in the direction in which it is longer.

        Parameters
        ----------
        pixel : (n, 2) float array, pixels x, y of the photo to which the vertices project
        """
        (x1, y1), (x2, y2) = (self._corners[:, i].T - self._corners[:, 0].T for i in (1, 2))
        first, second, third = (pixel.take(vertex, axis=0).T for vertex in self._vertices)
        (u1, v1), (u2, v2) = second - first, third - first
        area = x1 * y2 - y1 * x2
        area = np.where(np.abs(area) > 1e-9, area, np.inf)
        along_x = np.hypot(u1 * y2 - u2 * y1, v1 * y2 - v2 * y1)
        along_y = np.hypot(u2 * x1 - u1 * x2, v2 * x1 - v1 * x2)
        return np.asarray(np.maximum(along_x, along_y) / np.abs(area), np.float32)


def parts(count: int) -> list[slice]:
    """Return slices that divide `count` rows into parts whose arrays fit into the cache of a processor."""
    return [slice(start, start + PART) for start in range(0, count, PART)]


def bake(
    atlas: Atlas,
    photo: npt.ArrayLike,
    camera: Camera,
    V: npt.ArrayLike,
    mask: npt.ArrayLike,
    box: npt.ArrayLike,
    options: BakeOptions = BakeOptions(),
) -> Baked:
    """Copy the colours of a photo to the texels of a mesh that the photo shows.

    Parameters
    ----------
    atlas : Atlas
    photo : (h, w, 3) uint8 array
    camera : Camera, projection from the face frame to the photo
    V : (n, 3) float array, vertices of the mesh, mm in the face frame
    mask : (s, s) bool array, pixels of the crop of `box` that show the face (`FaceMaps.mask`)
    box : (4,) float array, x0, y0, x1, y1 of the crop in pixels of the photo (`FaceMaps.box`)
    options : BakeOptions

    Returns
    -------
    Baked
        The texture, the mask of known texels, and the visibility of each texel.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape or dtype, or when the atlas refers to vertices that V does not have.

    Notes
    -----
    Colours are interpolated bilinearly. Where the atlas is coarser than the photo, the colours come from two levels of
    an image pyramid, blended according to the length of the texel in photo pixels, as in trilinear mipmapping. A texel
    is unknown when its surface point is hidden, at a grazing angle or outside the photo, or when the pixel of this
    point is outside the mask or near the outline of the mask.

    References
    ----------
    The thesis on full textured heads, section 3.4, masks occluders in the same way.
    """
    photo = check.rgb_image(photo)
    V = check.vertices(V)
    face_mask = check.bool_array(mask, "mask", (None, None))
    if face_mask.shape[0] != face_mask.shape[1]:
        raise ValueError(f"mask must be square, got shape {face_mask.shape}")
    x0, y0, x1, y1 = (float(v) for v in check.box(box))
    if int(atlas.faces.max()) >= len(V):
        raise ValueError(f"V must have the {int(atlas.faces.max()) + 1} vertices of the atlas, got {len(V)}")

    count = len(atlas.triangle)
    projection = Projection(atlas, photo, camera, V, options)
    rows, seen = projection.shown(face_mask, (x0, y0, x1, y1))
    known, quality = np.zeros(count, np.bool_), np.zeros(count, np.float32)
    colors = np.zeros((count, 3), np.uint8)
    known[rows], quality[rows] = True, seen
    colors[rows] = projection.colors(rows)
    return Baked(
        np.asarray(atlas.fill_gutter(atlas.image(colors)), np.uint8),
        np.asarray(atlas.image(known), np.bool_),
        np.asarray(atlas.image(quality), np.float32),
    )


class Projection:
    """The projection of the texels of a mesh to a photo.

    Parameters
    ----------
    atlas, photo, camera, V, options : as in `bake`

    Attributes
    ----------
    pixel : (n, 2) float array, pixels x, y of the photo to which the vertices project
    """

    def __init__(
        self, atlas: Atlas, photo: ByteArray, camera: Camera, V: FloatArray, options: BakeOptions = BakeOptions()
    ) -> None:
        self.pixel = camera.project(V)
        self._atlas, self._photo, self._scale, self._options = atlas, photo, camera.scale, options
        self._depth = camera.view(V)[:, 2]
        self._facing = geometry.vertex_normals(V, atlas.faces) @ camera.rotation[2]
        self._stretch = atlas.stretch(self.pixel) * np.float32(atlas.size)  # length of the whole atlas, in photo pixels
        self._surfaces: dict[Box, _Surface] = {}

    def on(self, atlas: Atlas) -> Projection:
        """Return the projection of the texels of another atlas of the same mesh."""
        other = copy(self)
        other._atlas = atlas
        return other

    def shown(self, mask: BoolArray, box: Box, texels: BoolArray | None = None) -> tuple[IntArray, Float32Array]:
        """Return the texels that a crop of the photo shows.

        Parameters
        ----------
        mask : (s, s) bool array, pixels of the crop that show the face
        box : x0, y0, x1, y1 of the crop in pixels of the photo
        texels : (t,) bool array, the covered texels of the atlas in question; None: all

        Returns
        -------
        (r,) int array, rows of the covered texels; and (r,) float32 array, their visibility in [0, 1]
        """
        atlas, options = self._atlas, self._options
        inside: BoolArray = np.asarray(((self.pixel >= box[:2]) & (self.pixel <= box[2:])).all(axis=1), np.bool_)
        corners = np.ascontiguousarray(atlas.faces.T)
        toward = np.any([self._facing[corner] > options.least_facing for corner in corners], axis=0)
        worth: BoolArray = np.asarray(toward & np.any([inside[corner] for corner in corners], axis=0), np.bool_)
        wanted: BoolArray = worth[atlas.triangle]  # all other texels are certainly unknown
        if texels is not None:
            wanted &= texels
        rows = np.flatnonzero(wanted)
        texel = atlas.carry(np.column_stack([self.pixel, self._depth, self._facing]), rows)
        if box not in self._surfaces:
            points = np.column_stack([self.pixel, self._depth])
            self._surfaces[box] = _Surface(box, self._scale, points, atlas.faces, options)
        look = _Look(mask, self._surfaces[box])
        known, seen = np.zeros(len(rows), np.bool_), np.zeros(len(rows), np.float32)
        limit = self._photo.shape[1] - 1, self._photo.shape[0] - 1
        for part in parts(len(rows)):
            x, y, depth, facing = (np.ascontiguousarray(values) for values in texel[part].T)
            known[part], seen[part] = look.at(x, y, depth, facing)
            known[part] &= (x >= 0) & (x <= limit[0]) & (y >= 0) & (y <= limit[1])
        return rows[known], seen[known]

    def colors(self, rows: IntArray) -> ByteArray:
        """Return the colours (r, 3) of the photo at covered texels that it shows."""
        if not len(rows):
            return np.zeros((0, 3), np.uint8)
        footprint = self._stretch[self._atlas.triangle[rows]] / np.float32(self._atlas.size)
        shades = sample(self._photo, self._atlas.carry(self.pixel, rows), footprint)
        return np.rint(np.clip(shades, 0, 255, out=shades), out=shades).astype(np.uint8)


def sample(photo: ByteArray, points: Float32Array, footprint: Float32Array) -> Float32Array:
    """Return the colours (t, 3) of a photo at points x, y (t, 2), each averaged over about `footprint` (t,) pixels."""
    level = np.log2(np.maximum(footprint, 1.0))
    levels = int(np.ceil(float(level.max())))
    block = 2**levels
    # Column by column, which is 20 times as fast as along axis 0.
    lowest, highest = (np.array([end(points[:, 0]), end(points[:, 1])]) for end in (np.min, np.max))
    low = np.maximum((np.floor(lowest).astype(int) - block) // block, 0) * block
    high = np.ceil(highest).astype(int) + 2 * block + 1
    image: npt.NDArray[Any] = photo[low[1] : high[1], low[0] : high[0]].astype(np.float32)
    places = points - low.astype(np.float32)
    if not levels:
        return looked_up(image, places)
    down, right = (-image.shape[0]) % block, (-image.shape[1]) % block  # so that every level has whole pixels
    pyramid = [cv2.copyMakeBorder(image, 0, down, 0, right, cv2.BORDER_REPLICATE)]
    for _ in range(levels):
        pyramid.append(cv2.resize(pyramid[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    out = np.empty((len(points), 3), np.float32)
    for part in parts(len(points)):
        place, own = places[part] + np.float32(0.5), level[part]
        finer = np.minimum(own.astype(np.int8), levels - 1)
        for i in range(levels):
            rows = np.flatnonzero(finer == i)
            if not len(rows):
                continue
            at = place[rows]
            fine, coarse = (looked_up(pyramid[k], at * np.float32(0.5**k) - np.float32(0.5)) for k in (i, i + 1))
            coarse -= fine
            coarse *= (own[rows] - i)[:, None]
            fine += coarse
            out[part][rows] = fine
    return out


def fill_smoothly(texture: npt.NDArray[np.generic], known: BoolArray) -> Float32Array:
    """Extend the known texels smoothly to the unknown texels by a pull-push pyramid; return (S, S, k) float32.

    Parameters
    ----------
    texture : (S, S, k) array
    known : (S, S) bool array

    Raises
    ------
    ValueError
        When no texel is known.

    References
    ----------
    Gortler et al., The Lumigraph, 1996, section 3.4.3 (pull and push).
    """
    if not known.any():
        raise ValueError("known must have a known texel, got none")
    return _filled(np.where(known[..., None], texture, 0).astype(np.float32), known.astype(np.float32))


def _filled(values: Float32Array, weight: Float32Array) -> Float32Array:
    """Blend values (h, w, k) with the next coarser level where the weight (h, w) is below 1; return (h, w, k)."""
    height, width = weight.shape
    if (weight >= 1).all() or max(height, width) == 1:
        return values
    wide = cv2.copyMakeBorder(weight, 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT)
    sums = cv2.copyMakeBorder(values * weight[..., None], 0, height % 2, 0, width % 2, cv2.BORDER_CONSTANT)
    half = (wide.shape[1] // 2, wide.shape[0] // 2)
    weight_above = cv2.resize(wide, half, interpolation=cv2.INTER_AREA)
    above = cv2.resize(sums, half, interpolation=cv2.INTER_AREA).reshape(half[1], half[0], -1)
    above = above / np.maximum(weight_above, 1e-12)[..., None]
    coarse = _filled(above.astype(np.float32), np.minimum(4 * weight_above, 1).astype(np.float32))
    fine = cv2.resize(coarse, (wide.shape[1], wide.shape[0]), interpolation=cv2.INTER_LINEAR)
    fine = fine.reshape(*wide.shape, -1)[:height, :width]
    return np.asarray(weight[..., None] * values + (1 - weight[..., None]) * fine, np.float32)


class _Surface:
    """The depth of a surface in a crop of a photo.

    Parameters
    ----------
    box : x0, y0, x1, y1 of the crop in pixels of the photo
    scale : pixels of the photo in a mm
    points : (n, 3) float array, x and y in pixels of the photo and depth in mm of the vertices
    faces : (m, 3) int array
    options : BakeOptions

    Attributes
    ----------
    nearest : (s, s) float32 array, depth in mm of the visible surface
    around : (s, s) float32 array, largest depth within `contour_reach_mm`
    to_depth : (2, 3) float array, affine map from the photo to the pixels of these arrays
    step : size of such a pixel in mm
    """

    def __init__(self, box: Box, scale: float, points: FloatArray, faces: IntArray, options: BakeOptions) -> None:
        self.box, self.options = box, options
        side_mm = (box[2] - box[0]) / scale
        self.size = int(np.clip(round(side_mm / options.depth_step_mm), 64, 1024))
        self.to_depth = crop_affine(box, self.size)
        self.step = np.float32(side_mm / self.size)
        flat = np.column_stack([apply_affine(self.to_depth, points[:, :2]), points[:, 2]])
        nearest = geometry.rasterize(flat, faces, None, (self.size, self.size)).depth
        self.nearest = np.nan_to_num(nearest, nan=-1e4).astype(np.float32)
        reach = 2 * round(options.contour_reach_mm * self.size / side_mm) + 1
        self.around = cv2.dilate(self.nearest, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach)))


class _Look:
    """What a crop of a photo shows of a surface, where a mask (s, s) of the crop is True."""

    def __init__(self, mask: BoolArray, surface: _Surface) -> None:
        self.surface = surface
        self.inside = distance_inside(mask).astype(np.float32)[..., None]
        self.to_mask = crop_affine(surface.box, len(mask))

    def at(
        self, x: Float32Array, y: Float32Array, depth: Float32Array, facing: Float32Array
    ) -> tuple[BoolArray, Float32Array]:
        """Return for points at pixels x, y (r,) of the photo whether the crop shows them, and their visibility (r,)."""
        surface, options = self.surface, self.surface.options
        column, row = (
            np.clip(np.rint(place), 0, surface.size - 1).astype(np.int32) for place in _moved(surface.to_depth, x, y)
        )
        at = row * surface.size + column
        cosine = np.clip(facing, options.least_facing, 1)
        slope = np.sqrt(1 - cosine**2) / cosine * surface.step  # between the centres of the depth map's pixels
        known: BoolArray = np.asarray(depth > surface.nearest.ravel()[at] - options.hidden_mm - slope)
        known &= depth > surface.around.ravel()[at] - options.contour_mm
        known &= facing > options.least_facing
        within = looked_up(self.inside, np.column_stack(_moved(self.to_mask, x, y)) + np.float32(1))[:, 0]
        known &= within > options.silhouette_pixels
        seen = np.clip((facing - options.least_facing) / (options.full_facing - options.least_facing), 0, 1)
        sure = (within - options.silhouette_pixels) / (options.sure_pixels - options.silhouette_pixels)
        return known, np.asarray(seen * np.clip(sure, 0, 1), np.float32)


def _moved(affine: FloatArray, x: Float32Array, y: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return the places (r,) and (r,) to which an affine map moves the points x, y (r,)."""
    (a, b, right), (c, d, down) = affine.astype(np.float32)
    return a * x + b * y + right, c * x + d * y + down
