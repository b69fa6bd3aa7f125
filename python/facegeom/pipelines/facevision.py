"""Pipeline facevision: a mesh of the visible surface, in the order of FaceVision-GAN's sections 3.2 and 4.

The stages are raw (Delaunay triangulation in the image plane, with the depth as z), foreground (without triangles of
the background), cleaned (without spikes), smoothed (after Laplacian smoothing) and detailed (displaced by the high-pass
filtered intensity of the photo).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from facegeom import geometry
from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray, IntArray
from facegeom.errors import NoFaceFound
from facegeom.images.crop import apply_affine, crop_image
from facegeom.images.sampling import bilinear, distance_inside
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.pipelines.interface import FaceRequest, PipelineOptions, Prediction, Stages
from facegeom.pipelines.map_prediction import MapPrediction
from facegeom.pipelines.requests import all_maps, requested_maps


@dataclass(frozen=True)
class MeshingOptions:
    """Options of the mesh that is made from the maps. The paper gives the range of vertex counts and no other value."""

    vertices: int = 6500  # target number of vertices of the face; the paper's range is 5,000 to 8,000
    smoothing_iterations: int = 6  # number of Laplacian smoothing steps; 6 remove the steps of the pixel grid
    smoothing_step: float = 0.5  # fraction of the way to the mean of the neighbours in one smoothing step
    detail_gain: float = 4.0  # mm of relief per unit of intensity (black 0, white 1); see `detail_displacement`
    detail_limit: float = 0.6  # maximum displacement in mm: moles and brows are colour, not shape
    detail_sigma_mm: float = 2.5  # standard deviation in mm of the Gaussian low-pass subtracted from the intensity
    border_mm: float = (
        6.0  # distance in mm from the silhouette within which detail is reduced: there are hair and background
    )


def predict(photo: ByteArray, request: FaceRequest) -> MapPrediction:
    """Predict the maps of the requested face with FaceVision-GAN."""
    return requested_maps(photo, request)


def predict_all(photo: ByteArray, request: FaceRequest) -> list[MapPrediction]:
    """Predict the maps of all faces, as `predict`."""
    return all_maps(photo, request)


def run(photo: ByteArray, prediction: Prediction, options: PipelineOptions) -> Stages:
    """Return the stages raw, foreground, cleaned, smoothed and detailed, in the face frame.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    prediction : Prediction
    options : PipelineOptions with `head` False; this pipeline makes no heads

    Raises
    ------
    NoFaceFound
        When the mask of the face contains no triangle.
    """
    maps, camera = prediction.maps, prediction.camera
    stages, meshing = Stages(), MeshingOptions()
    pixel_mm = maps.step / camera.scale
    origin = apply_affine(maps.affine, camera.translation[None])[0]
    crop = crop_image(photo, maps.box, 2 * maps.size)  # pixels are smaller than edges, so that colours are not blurred
    texture = None if options.texture is None else crop_image(photo, maps.box, options.texture)
    surface = _Surface(camera.rotation, maps.size, crop, texture)

    for name in ("raw", "foreground"):
        with stages.step(name):
            V, F, pixel = geometry.depth_to_mesh(
                maps.depth,
                maps.mask,
                scale=1.0 / pixel_mm,
                origin=(float(origin[0]), float(origin[1])),
                vertex_count=meshing.vertices,
                background=name == "raw",
            )
            stages.meshes[name] = surface.mesh(V, F, pixel)

    with stages.step("cleaned"):
        V, F, kept = geometry.remove_spikes(V, F)
        pixel = pixel[kept]
        if not len(F):
            raise NoFaceFound("the mask of the face contains no triangle")
        stages.meshes["cleaned"] = surface.mesh(V, F, pixel)

    with stages.step("smoothed"):
        V = geometry.laplacian_smooth(V, F, iterations=meshing.smoothing_iterations, step=meshing.smoothing_step)
        stages.meshes["smoothed"] = surface.mesh(V, F, pixel)

    with stages.step("detailed"):
        shown = crop if prediction.clean is None else crop_image(prediction.clean, maps.box, 2 * maps.size)
        intensity, weight = _detail(shown, maps.mask, pixel, pixel_mm, meshing)
        V = geometry.detail_displacement(
            V, F, intensity, low_pass="image", gain=meshing.detail_gain, max_step=meshing.detail_limit, weight=weight
        )
        stages.meshes["detailed"] = surface.mesh(V, F, pixel)
    return stages


class _Surface:
    """Converts meshes from the camera frame to the face frame and adds the colours of the photo."""

    def __init__(self, rotation: FloatArray, size: int, crop: ByteArray, texture: ByteArray | None) -> None:
        self._rotation = rotation
        self._size = size
        self._crop = crop
        self._texture = texture

    def mesh(self, V: FloatArray, F: IntArray, pixel: FloatArray) -> FaceMesh:
        """Return the mesh of vertices `V` (n, 3), mm in the camera frame, at positions `pixel` (n, 2) of the maps."""
        share = np.clip((pixel + 0.5) / self._size, 0.0, 1.0)  # position / side of the crop, x right and y down
        colors = bilinear(self._crop, share * len(self._crop) - 0.5)
        return FaceMesh(
            V @ self._rotation,
            F,
            uv=np.column_stack([share[:, 0], 1.0 - share[:, 1]]),
            texture=self._texture,
            colors=np.rint(colors).astype(np.uint8),
            regions={"face": np.ones(len(V), bool)},
        )


def _detail(
    crop: ByteArray, mask: BoolArray, pixel: FloatArray, pixel_mm: float, options: MeshingOptions
) -> tuple[FloatArray, FloatArray]:
    """Return the high-pass filtered intensity (n,) of the photo at the vertices, in units of black 0 to white 1, and a
    weight (n,) of this signal: 0 at the silhouette, 1 at `border_mm` and more from the silhouette.
    """
    finer = len(crop) / len(mask)
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) / 255.0
    inside = cv2.resize(mask.astype(np.uint8), crop.shape[:2], interpolation=cv2.INTER_NEAREST)
    fine = geometry.image_high_pass(gray, options.detail_sigma_mm / pixel_mm * finer, mask=inside.astype(bool))
    distance = distance_inside(inside.astype(bool))[1:-1, 1:-1]
    weight = np.clip(distance * (pixel_mm / finer / options.border_mm), 0.0, 1.0)
    places = np.clip(np.rint((pixel + 0.5) * finer - 0.5), 0, len(crop) - 1).astype(np.int64)
    columns, rows = places.T
    return np.asarray(fine[rows, columns]), np.asarray(weight[rows, columns], dtype=np.float64)
