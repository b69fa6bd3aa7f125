"""Albedo of faces: how far colours are from the true albedo before and after the light is divided out.

Synthetic heads with known skins are rendered under every environment map, and the light is estimated from the rendered
photo. The camera and the shape are the true ones, and no part casts a shadow, so that only the separation of light and
skin is measured. Brightness and tint of the whole face cannot be told from the light: each channel is scaled to the
true albedo by the ratio of the medians.
"""

from __future__ import annotations

import argparse
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, Float32Array, FloatArray
from facegeom.face_model import load_face_model
from facegeom.face_model.template import load_template
from facegeom.images.camera import Camera
from facegeom.images.face_maps import FaceMaps
from facegeom.images.sampling import bilinear
from facegeom.measures.report import show, table, write_json
from facegeom.networks.segmentation_crop import CLASSES, SKIN, head_affine
from facegeom.texture.appearance import View
from facegeom.texture.head_classes import HeadClasses
from facegeom.texture.light import encoded, harmonics, linear, without_light
from facegeom.training.data.assets import Assets

PIXELS, SCALE = 320, 1.2  # side of the photo in pixels, and pixels per mm
YAWS_DEG = (0.0, 25.0, -40.0)  # yaw of the heads, one after the other
SHADING = 0.05  # least irradiance of a point, relative to the mean


class AlbedoError(NamedTuple):
    """Mean absolute difference from the true albedo, 0 to 255, in the photo and after the light is divided out."""

    before: float
    after: float


def albedo_error(skin: ByteArray, light: Float32Array, identity: FloatArray, yaw_deg: float) -> AlbedoError:
    """Measure one head.

    Parameters
    ----------
    skin : (n, 3) uint8 array, albedo of the vertices of the face model
    light : (9, 3) array, light in the camera frame, in the order of `harmonics`
    identity : (k,) array, coefficients of the identity components
    yaw_deg : rotation of the head about the vertical axis, degrees
    """
    model, template = load_face_model(), load_template(head=True)
    V = template.subdivide(model.vertices(identity, np.zeros(len(model.expression)))[template.vertices])
    albedo = template.carry(skin[template.vertices].astype(np.float64))
    yaw = np.radians(yaw_deg)
    rotation = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    camera = Camera(rotation, SCALE, np.array([0.5 * PIXELS, 0.45 * PIXELS]))
    normals = geometry.vertex_normals(V, template.fine.faces) @ rotation.T
    shaded = encoded(linear(albedo) * np.maximum(harmonics(normals) @ light, SHADING))
    points = np.column_stack([camera.project(V), camera.view(V)[:, 2]])
    raster = geometry.rasterize(points, template.fine.faces, np.column_stack([shaded, V]), (PIXELS, PIXELS))
    head: BoolArray = np.asarray(raster.triangle >= 0)
    photo = np.zeros((PIXELS, PIXELS, 3), np.uint8)
    photo[head] = np.rint(np.clip(raster.attributes[head][:, :3], 0, 255)).astype(np.uint8)
    on_face: BoolArray = np.asarray(template.fine.regions["face"][template.fine.faces].all(axis=1))
    mask = head & on_face[raster.triangle]
    place = np.where(mask[..., None], raster.attributes[..., 3:], np.nan)
    maps = FaceMaps(photo, np.where(mask, raster.depth, np.nan), place, mask, (-0.5, -0.5, PIXELS - 0.5, PIXELS - 0.5))
    view = View(photo, maps, camera, V, template.fine)
    size = 128
    everywhere = np.zeros((size, size, len(CLASSES)), np.float32)
    everywhere[..., SKIN] = 1.0
    affine = head_affine(camera.rotation, camera.scale, camera.translation, size)
    classes = HeadClasses(np.zeros((size, size, 3), np.uint8), everywhere, affine)
    unlit = without_light(template, view, classes)
    fine = template.fine
    features = np.any([fine.regions[name] for name in fine.regions if name.startswith(("eyelids", "lip"))], axis=0)
    judged = (view.seen > 0.5) & (np.arange(len(V)) < fine.skin_count) & ~features
    return AlbedoError(*(_difference(bilinear(image, view.place[judged]), albedo[judged]) for image in (photo, unlit)))


def _difference(colours: FloatArray, albedo: FloatArray) -> float:
    """Return the mean absolute difference of sRGB colours (n, 3) after a scaling of each channel in linear light."""
    found, true = linear(colours), linear(albedo)
    scaled = encoded(found * (np.median(true, axis=0) / np.maximum(np.median(found, axis=0), 1e-4)))
    return float(np.abs(scaled - albedo).mean())


def evaluate(assets: Assets, heads: int, seed: int = 0) -> dict[str, AlbedoError]:
    """Return the mean error of some heads under each environment map: name of the map -> AlbedoError."""
    rng = np.random.default_rng(seed)
    found = {}
    for number, name in enumerate(tqdm(assets.light_names, desc="albedo", unit="map")):
        errors = []
        for head in range(heads):
            skin = assets.skins[rng.integers(len(assets.skins))]
            light = assets.lights[number, rng.integers(assets.lights.shape[1])]
            errors.append(albedo_error(skin, light, rng.normal(0, 1.0, 20), YAWS_DEG[head % len(YAWS_DEG)]))
        found[str(name)] = AlbedoError(*np.mean(errors, axis=0).tolist())
    return found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate albedo` to a parser."""
    parser.add_argument("--assets", required=True, metavar="FILE", help="file of `facegeom prepare assets`")
    parser.add_argument("--heads", type=int, default=3, help="heads under each map (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def run(args: argparse.Namespace) -> int:
    """Measure all maps, print the table and write the requested file; return the exit code."""
    found = evaluate(Assets.load(args.assets), args.heads)
    mean = AlbedoError(*np.mean(list(found.values()), axis=0).tolist())
    rows: list[list[str | float | int]] = [[name, *error] for name, error in {**found, "mean": mean}.items()]
    show("mean absolute difference from the true albedo, 0 to 255")
    show(table(["environment", "photo", "without light"], rows, digits=2))
    if args.json:
        write_json(args.json, {"benchmark": "albedo", **{name: error._asdict() for name, error in found.items()}})
    return 0
