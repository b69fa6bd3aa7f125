"""`facegeom evaluate hair`: distance between the outline of the hair in a photo and the outline of the head.

The outline of the hair is the border between hair and background: that of the segmentation network, and on the photos
of `segmentation_polygons.json` also the one that was drawn by hand. It counts above the lower end of the hair of a head
(`hair_outline.AXIS_MM`), and not near the border of the photo. The distance is measured in the view of the photo, from
each pixel of this outline to the nearest pixel of the outline of the head: of the completed head, after skull and ears
are moved to their outline, and with hair as shape. The distance of free ears (`fitted_outline.ear_distances`) is that
of the outline of their skin across the head, before and after this move, on photos of heads that look ahead.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from facegeom import geometry
from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError
from facegeom.evaluation.segmentation import drawn_classes, read_polygons
from facegeom.face_model.template import Template, load_template
from facegeom.images.camera import Camera
from facegeom.images.crop import apply_affine
from facegeom.images.image_files import load_image, save_image
from facegeom.measures.report import sheet, show, table, write_json
from facegeom.networks.segmentation_crop import CLASSES, COVER, EYEWEAR, FACIAL_HAIR, HEAD_HAIR, SKIN
from facegeom.reconstruction import Reconstruction, reconstruct
from facegeom.render import Frame, render_mesh, turn
from facegeom.texture.fitted_outline import TURNED, ear_distances
from facegeom.texture.hair_outline import AXIS_MM
from facegeom.texture.head_classes import HeadClasses, head_classes
from facegeom.training.data.labels import find_photos
from facegeom.training.data.split import split_names
from facegeom.training.segmentation.portrait_labels import UNKNOWN

PLANE_MM = 440.0
"""Side of the square around the head in the plane of the photo in which outlines are compared; its pixels are 1 mm."""

BORDER_MM = 5.0
"""Distance from the border of the photo within which an outline does not count."""

LEAST_PIXELS = 30
"""Smallest number of pixels of an outline that is measured."""

CLOSE_MM = 4.0
"""Distance that the table counts as close."""

SIDES = {"front": 0.0, "three-quarter": 40.0, "profile": 85.0, "back": 180.0}
"""Caption of a picture -> yaw of the head in degrees."""


@dataclass(frozen=True)
class HairDistance:
    """Mean distance in mm of the outline of the hair from the outline of the head; NaN where there is no outline.

    Attributes
    ----------
    name : file name of the photo
    raised : whether the head has hair as shape
    completed, before, after : with the outline of the segmentation network: of the completed head, of the head without
        hair as shape, and with it
    drawn_completed, drawn_before, drawn_after : with the drawn outline
    ears_completed, ears, drawn_ears_completed, drawn_ears : (2,) signed distances of the left and the right ear in the
        photo from those of the completed head and of the head, with both outlines
    """

    name: str
    raised: bool
    completed: float
    before: float
    after: float
    drawn_completed: float
    drawn_before: float
    drawn_after: float
    ears_completed: list[float]
    ears: list[float]
    drawn_ears_completed: list[float]
    drawn_ears: list[float]


def in_plane(camera: Camera, image: ByteArray, photo_to_image: FloatArray, missing: int) -> ByteArray:
    """Return classes (P, P) in the plane of the photo, 1 mm per pixel, around the projected middle of the skull.

    Parameters
    ----------
    camera : Camera
    image : (h, w) uint8 array, classes
    photo_to_image : (2, 3) float array, from pixels of the photo to pixels of `image`
    missing : class outside the image
    """
    size = int(PLANE_MM)
    columns, rows = np.meshgrid(np.arange(size), np.arange(size))
    across = np.column_stack([columns.ravel() - 0.5 * size, 0.5 * size - rows.ravel()])
    pixels = (across + camera.view(AXIS_MM[:1])[0, :2]) * (camera.scale, -camera.scale) + camera.translation
    place = apply_affine(photo_to_image, pixels).reshape(size, size, 2).astype(np.float32)
    found = cv2.remap(
        image, place[..., 0], place[..., 1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=missing
    )
    return np.asarray(found, np.uint8)


def hair_border(classes: ByteArray, camera: Camera) -> BoolArray:
    """Return the pixels (P, P) of the border between hair and background in classes of `in_plane`."""
    unknown = classes == UNKNOWN
    person = np.isin(classes, (SKIN, HEAD_HAIR, FACIAL_HAIR, EYEWEAR))
    labels, stats = cv2.connectedComponentsWithStats(person.astype(np.uint8), connectivity=4)[1:3]
    if len(stats) > 1:
        person &= labels == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())
    beside = cv2.dilate((~person & ~unknown & (classes != COVER)).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    reach = 2 * int(BORDER_MM) + 1
    near_end = cv2.dilate((unknown | (classes == COVER)).astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    top, bottom = camera.view(AXIS_MM)[:, :2]
    down = (bottom - top) / np.linalg.norm(bottom - top)
    rows, columns = np.indices(classes.shape)
    along = (columns - 0.5 * PLANE_MM) * down[0] + (0.5 * PLANE_MM - rows) * down[1]
    above = along < np.linalg.norm(bottom - top)
    return np.asarray(person & (classes == HEAD_HAIR) & beside & ~near_end & above, np.bool_)


def border_distance(border: BoolArray, V: FloatArray, faces: IntArray, camera: Camera) -> float:
    """Return the mean distance, mm, of pixels (P, P) of the plane from the outline of a head; NaN for too few pixels.

    Parameters
    ----------
    border : (P, P) bool array, of `hair_border`
    V : (n, 3) float array, mm, vertices of the head
    faces : (m, 3) int array
    camera : Camera
    """
    if border.sum() < LEAST_PIXELS:
        return float("nan")
    size = len(border)
    points = camera.view(V)
    points[:, :2] = (points[:, :2] - camera.view(AXIS_MM[:1])[0, :2]) * (1.0, -1.0) + 0.5 * size
    covered = geometry.rasterize(points, faces, None, border.shape).triangle >= 0
    inside = cv2.distanceTransform(covered.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform((~covered).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return float(np.abs(np.maximum(inside - 1.0, 0.0) + outside)[border].mean())


def measure(name: str, photo: ByteArray, rec: Reconstruction) -> HairDistance:
    """Return the distances for a head with its hair."""
    template, camera = load_template(head=True), rec.camera
    height, width = photo.shape[:2]
    faces = template.fine.faces
    coarse = [rec.stages[name].vertices for name in ("completed", "outlined")]
    heads = (*(template.subdivide(V) for V in coarse), rec.mesh.vertices)
    raised = not np.array_equal(coarse[1], rec.stages["hair"].vertices)
    classes = head_classes(photo, camera, wide=True)
    found = np.asarray(classes.probability.argmax(-1), np.uint8)
    in_photo = in_plane(camera, np.zeros((height, width), np.uint8), np.eye(2, 3), UNKNOWN)
    border = hair_border(np.maximum(in_plane(camera, found, classes.affine, UNKNOWN), in_photo), camera)
    values = [border_distance(border, V, faces, camera) for V in heads]
    ears = _ears(template, coarse, camera, classes, (width, height))
    shapes = read_polygons().get(name)
    if shapes is None:
        values += [float("nan")] * 3
        ears += 2 * [[float("nan")] * 2]
    else:
        picture = drawn_classes(shapes, (height, width))
        drawn = in_plane(camera, picture, np.eye(2, 3), UNKNOWN)
        values += [border_distance(hair_border(drawn, camera), V, faces, camera) for V in heads]
        near = cv2.warpAffine(picture, classes.affine, found.shape, flags=cv2.INTER_NEAREST, borderValue=UNKNOWN)
        near = np.where(near == UNKNOWN, COVER, near)  # rays that meet it tell nothing
        exact = replace(classes, probability=np.eye(len(CLASSES), dtype=np.float32)[near])
        ears += _ears(template, coarse, camera, exact, (width, height))
    completed, before, after, *drawn_distances = values
    drawn_completed, drawn_before, drawn_after = drawn_distances
    return HairDistance(
        name,
        raised,
        completed,
        before,
        after,
        drawn_completed,
        drawn_before,
        drawn_after,
        ears[0],
        ears[1],
        ears[2],
        ears[3],
    )


def _ears(
    template: Template, heads: Sequence[FloatArray], camera: Camera, classes: HeadClasses, photo: tuple[int, int]
) -> list[list[float]]:
    """Return the distances of both ears for each head; NaN for a head that does not look ahead."""
    if abs(camera.rotation[2, 0]) > TURNED:
        return [[float("nan")] * 2 for _ in heads]
    return [ear_distances(template, V, camera, classes, photo).tolist() for V in heads]


def summary(found: Sequence[HairDistance]) -> list[list[str | float | int]]:
    """Return the rows of the table: outline, number of heads or ears, means before and after, shares of close ones.

    Heads that stay as they are count with their outline, too.
    """
    raised = [one for one in found if one.raised]
    groups = {
        "skull moved, network": [(one.completed, one.before) for one in found],
        "skull moved, drawn": [(one.drawn_completed, one.drawn_before) for one in found],
        "hair, network": [(one.before, one.after) for one in found],
        "hair, network, raised heads": [(one.before, one.after) for one in raised],
        "hair, drawn": [(one.drawn_before, one.drawn_after) for one in found],
        "hair, drawn, raised heads": [(one.drawn_before, one.drawn_after) for one in raised],
        "ears, network": [pair for one in found for pair in zip(one.ears_completed, one.ears, strict=True)],
        "ears, drawn": [pair for one in found for pair in zip(one.drawn_ears_completed, one.drawn_ears, strict=True)],
    }
    rows: list[list[str | float | int]] = []
    for caption, pairs in groups.items():
        values = np.abs(np.array(pairs, np.float64).reshape(-1, 2))
        values = values[~np.isnan(values).any(axis=1)]
        if len(values):
            within = (values <= CLOSE_MM).mean(axis=0)
            rows.append([caption, len(values), *values.mean(axis=0).tolist(), *within.tolist()])
    return rows


def pictures(photo: ByteArray, heads: Sequence[Reconstruction], size: int) -> list[ByteArray]:
    """Return the photo and a head from several sides, for each head of the photo."""
    out = []
    frame = Frame((0.0, -15.0, -75.0), 310.0)
    for rec in heads:
        side = 1.0 if rec.pose.yaw >= 0 else -1.0
        views = [rec.camera.rotation, *(turn(side * yaw) for yaw in SIDES.values())]
        out += [photo, *(render_mesh(rec.mesh, view, size=size, frame=frame, colors=True) for view in views)]
    return out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate hair` to a parser."""
    parser.add_argument("photos", metavar="PHOTOS", help="folder of the portraits; those of the test part are used")
    parser.add_argument("--limit", type=int, metavar="N", help="measure N photos (default: all of the test part)")
    parser.add_argument("--sheet", metavar="FILE", help="write a picture of the heads without and with hair")
    parser.add_argument(
        "--texture", type=int, metavar="N", help="side length of the textures in this picture (default: vertex colours)"
    )
    parser.add_argument(
        "--size", type=int, default=240, help="side length of each square picture in pixels (default: %(default)s)"
    )
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def output_files(args: argparse.Namespace) -> list[Path]:
    """Return the picture, if it is requested."""
    return [Path(args.sheet)] if args.sheet else []


def chosen(names: Sequence[str], limit: int | None) -> list[str]:
    """Return the names of the photos to measure: those with drawn outlines, then others of the test part."""
    test = [names[row] for row in split_names(names).test]
    drawn = [name for name in test if name in read_polygons()]
    rest = [name for name in test if name not in read_polygons()]
    order = [*drawn, *(rest[row] for row in np.random.default_rng(0).permutation(len(rest)))]
    return order if limit is None else order[: check.count(limit, "limit", 1)]


def run(args: argparse.Namespace) -> int:
    """Measure the photos, print the table and write the requested files; return 1 if a photo failed, else 0."""
    photos = find_photos(args.photos)
    found: list[HairDistance] = []
    tiles: list[ByteArray] = []
    failures = []
    names = chosen(sorted(photos), args.limit)
    for name in tqdm(names, desc="hair", unit="photo"):
        photo = load_image(photos[name])
        try:
            with_hair = reconstruct(photo, head=True, texture=args.texture)
            found.append(measure(name, photo, with_hair))
            if args.sheet:
                without = reconstruct(photo, head=True, texture=args.texture, hair=False)
                tiles += pictures(photo, [without, with_hair], args.size)
        except FacegeomError as error:
            failures.append(f"{name}: {error}")
    if not found:
        raise FacegeomError(f"no face was found in the photos of {args.photos}")
    raised = sum(one.raised for one in found)
    lines = [
        *failures,
        f"{len(found)} photos, {raised} heads raised; distance in mm, share within {CLOSE_MM:.0f} mm",
    ]
    columns = ["outline", "number", "before", "after", "share before", "share after"]
    show("\n".join([*lines, table(columns, summary(found))]))
    if args.sheet:
        captions = ["photo", "as photographed", *SIDES] * (2 * len(found))
        save_image(sheet(tiles, 2 * (len(SIDES) + 2), args.size, captions), args.sheet)
    if args.json:
        write_json(args.json, {"benchmark": "hair", "photos": found})
    return 1 if failures else 0
