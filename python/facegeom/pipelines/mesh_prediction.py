"""From a photo to a face that a graph network has made of the semi-sphere, with the face model fitted to it.

What the network says of the crop is a mesh and nothing else: camera, landmarks, maps and the face's own frame all come
from the face model fitted to its finest mesh, not from landmarks that the network was given.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

from facegeom import geometry
from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom._internal.stopwatch import stopwatch
from facegeom._internal.threads import one_thread
from facegeom.detection import detector as detection
from facegeom.errors import NoFaceFound
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.face_region import face_surface, mean_depth
from facegeom.face_model.fitting import Fit, fit_landmarks68, similarity
from facegeom.face_model.mesh_fitting import fit_mesh
from facegeom.images.camera import Camera, roll_deg
from facegeom.images.crop import Box, apply_affine, crop_affine, crop_image, warp_image
from facegeom.images.face_maps import FaceMaps
from facegeom.images.image_files import ImageSource, load_image
from facegeom.networks.mesh_network import MeshNetwork, load_mesh_network
from facegeom.networks.semi_sphere import CROP_FACTOR, mirror_images, semi_sphere
from facegeom.pipelines.map_prediction import Detection, overlap, predict


@dataclass(frozen=True)
class MeshLookOptions:
    """Where a mesh network looks. The paper's detector frames whole faces, facegeom's the 68 landmarks in them.

    The face's box from that of the landmarks: on 1,800 views of fitted training photos, turned by up to 95 degrees, its
    longer side is 1.351 times their height (standard deviation 0.017), its centre 0.136 of the height above theirs
    (0.013).
    """

    look: float = CROP_FACTOR
    face_side: float = 1.351
    face_rise: float = 0.136
    steady: float = 0.75  # overlap (IoU) of the crop with the one that its mesh asks for; below it, one more is made
    upright_deg: float = 15.0  # the networks were trained on faces rolled by 12 degrees (standard deviation)
    detection_score: float = 0.4  # of the detections of which the best is taken
    average: tuple[float, float, float] = (0.498, 0.487, 0.614)
    """Of the face's box where nothing was detected, centre over the photo's sides and longer side over the shorter one:
    means over training photos."""


@dataclass(frozen=True)
class MeshPrediction:
    """What a mesh network says about one face of a photo.

    Attributes
    ----------
    vertices : tuple of four (n, 3) float arrays
        The mesh after each deformation, coarse to fine, mm in the face frame; triangles as in `semi_sphere().levels`.
    maps : FaceMaps, those of the finest mesh, in a crop around it
    camera : Camera, face frame -> photo
    landmarks : (68, 3) float array, mm in the face frame, on the finest mesh
    fit : Fit, the face model fitted to the finest mesh, in pixels of the photo
    score : float in [0, 1], how plausible the face is: by the maps where the network needs landmarks, else by the
        detector; 1 for what was given, 0 where nothing was detected
    detections : the detector's boxes, best first; empty when the box was given
    timings : milliseconds of each step
    """

    vertices: tuple[FloatArray, ...]
    maps: FaceMaps
    camera: Camera
    landmarks: FloatArray
    fit: Fit
    score: float
    detections: tuple[Detection, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class _View:
    """Where to look first, and the 68 landmarks in pixels of the photo, z with the face's mean depth at 0."""

    square: Box
    roll: float  # degrees by which the face is turned there, anticlockwise as seen
    landmarks: FloatArray | None
    score: float
    detections: tuple[Detection, ...]


@lru_cache(maxsize=4)
def mesh_network(name: str, device: str) -> MeshNetwork:
    """Return a shipped mesh network on `device`, loaded once a process."""
    return load_mesh_network(name, device)


def predict_mesh(
    image: ImageSource,
    network: MeshNetwork,
    box: npt.ArrayLike | None = None,
    device: str = "cpu",
    face_index: int = 0,
    *,
    landmarks: npt.ArrayLike | None = None,
    options: MeshLookOptions = MeshLookOptions(),
) -> MeshPrediction:
    """Return the mesh, the camera and the landmarks of a face.

    Parameters
    ----------
    image : path, bytes, PIL image or (h, w, 3) uint8 RGB array
    network : as `mesh_network` returns it
    box : (4,) or (5,) array, x0, y0, x1, y1 of the face in pixels of the photo (a score may follow); None: detect
    device : where the network of maps runs that finds the landmarks, if the mesh network needs them
    face_index : which face when there are several, 0 being the best
    landmarks : (68, 3) array for a network that needs them: pixel x, pixel y and depth in pixels, greater is nearer;
        None: those of our maps
    options : MeshLookOptions

    Returns
    -------
    MeshPrediction

    Raises
    ------
    NoFaceFound
        When the photo has no face `face_index`, or the box lies outside it. A network without landmarks judges nothing
        else: in a photo in which nothing is detected it looks at the middle (the paper's average crop).
    ImageError, FileNotFoundError
        When the image cannot be read.
    """
    face_index = check.count(face_index, "face_index")
    if landmarks is not None and not network.needs_landmarks:
        raise ValueError(f"{network.name} takes no landmarks")
    if landmarks is not None and (box is not None or face_index):
        raise ValueError("landmarks say which face is meant: give no box and no face_index beside them")
    photo = load_image(image)
    timings: dict[str, float] = {}
    model = load_face_model()
    if not network.needs_landmarks:
        view = _detected(photo, box, face_index, options, timings)
    elif landmarks is None:
        view = _mapped(model, photo, box, device, face_index, options, timings)
    else:
        view = _given(model, check.float_array(landmarks, "landmarks", (68, 3)), options)

    with stopwatch(timings, "network"), one_thread():
        meshes = _look(network, photo, view)
        roll = view.roll + _roll_deg(meshes[0], view.roll)
        if abs(roll - view.roll) <= options.upright_deg:
            roll = view.roll
        asked = square_around(meshes[-1][:, :2], options, roll)
        if roll != view.roll or overlap(asked, view.square) < options.steady:
            meshes = _look(network, photo, replace(view, square=asked, roll=roll))
    with stopwatch(timings, "fit"), one_thread():
        fit = _fit_rolled(model, meshes[-1], roll)
        camera = Camera(fit.rotation, fit.scale, fit.translation)
        vertices = tuple(camera.unproject(V[:, :2], V[:, 2] / fit.scale - fit.depth_offset) for V in meshes)
        fitted = fit.vertices(model)
        landmarks_on = _closest(vertices[-1], semi_sphere().levels[-1].faces, fitted[model.landmarks68])
    with stopwatch(timings, "maps"), one_thread():
        square = square_around(meshes[-1][:, :2], options)
        maps = _maps(model, fitted, vertices[-1], camera, crop_image(photo, square, network.size), square)
    return MeshPrediction(vertices, maps, camera, landmarks_on, fit, view.score, view.detections, timings)


def face_square(box: npt.ArrayLike, options: MeshLookOptions = MeshLookOptions()) -> Box:
    """Return the crop of the face whose 68 landmarks have the box (4,), upright or nearly so.

    Examples
    --------
    >>> [round(side, 1) for side in face_square((0, 0, 90, 100))]
    [-29.3, -37.9, 119.3, 110.7]
    """
    x0, y0, x1, y1 = check.box(box).tolist()
    height = y1 - y0
    half = 0.5 * options.look * options.face_side * height
    x, y = 0.5 * (x0 + x1), 0.5 * (y0 + y1) - options.face_rise * height
    return x - half, y - half, x + half, y + half


def square_around(pixels: FloatArray, options: MeshLookOptions = MeshLookOptions(), roll_deg: float = 0.0) -> Box:
    """Return the crop of a face whose surface falls onto `pixels` (n, 2) of the photo.

    `roll_deg` is that of the face, by which the crop is turned about its centre, see `crop_affine`.
    """
    turn = _turn(-roll_deg)
    turned = pixels @ turn.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    x, y = (0.5 * (low + high) @ turn).tolist()
    half = 0.5 * options.look * float((high - low).max())
    return x - half, y - half, x + half, y + half


def _detected(
    photo: ByteArray,
    box: npt.ArrayLike | None,
    face_index: int,
    options: MeshLookOptions,
    timings: dict[str, float],
) -> _View:
    """Look where the detector has found the face, or in the middle where it has found none."""
    if box is not None:
        square = face_square(box, options)
        height, width = photo.shape[:2]
        if square[2] <= 0 or square[3] <= 0 or square[0] >= width - 1 or square[1] >= height - 1:
            raise NoFaceFound("the given box lies outside the photo")
        return _View(square, 0.0, None, 1.0, ())
    with stopwatch(timings, "detection"):
        found = tuple(detection.detect(photo, min_score=options.detection_score))
    if face_index < len(found):
        return _View(face_square(found[face_index], options), 0.0, None, found[face_index][4], found)
    if face_index:
        raise NoFaceFound(f"face_index is {face_index}, but the photo has {len(found)} detections")
    height, width = photo.shape[:2]
    x, y, side = options.average
    x, y, half = x * width - 0.5, y * height - 0.5, 0.5 * options.look * side * min(width, height)
    return _View((x - half, y - half, x + half, y + half), 0.0, None, 0.0, ())


def _mapped(
    model: FaceModel,
    photo: ByteArray,
    box: npt.ArrayLike | None,
    device: str,
    face_index: int,
    options: MeshLookOptions,
    timings: dict[str, float],
) -> _View:
    """Look where our maps say that the face is, with their landmarks."""
    seen = predict(photo, box, device, face_index)
    for name, spent in seen.timings.items():
        step = "detection" if name == "detection" else "landmarks"
        timings[step] = timings.get(step, 0.0) + spent
    fitted, camera = seen.fit.vertices(model), seen.camera
    pixels = camera.project(seen.landmarks)
    depth = camera.view(seen.landmarks)[:, 2] - mean_depth(model, camera.view(fitted))
    surface = camera.project(fitted[face_surface(model)].reshape(-1, 3))
    roll = _worth_turning(roll_deg(camera.rotation), options)
    points = np.column_stack([pixels, depth * camera.scale])
    return _View(square_around(surface, options, roll), roll, points, seen.score, seen.detections)


def _given(model: FaceModel, landmarks: FloatArray, options: MeshLookOptions) -> _View:
    """Look where given landmarks say that the face is."""
    fit = fit_landmarks68(model, landmarks)
    placed = fit.vertices(model) @ fit.rotation.T * fit.scale
    depth = landmarks[:, 2] - mean_depth(model, placed) - fit.depth_offset * fit.scale
    pixels = placed[face_surface(model)].reshape(-1, 3)[:, :2] * (1, -1) + fit.translation
    roll = _worth_turning(roll_deg(fit.rotation), options)
    return _View(square_around(pixels, options, roll), roll, np.column_stack([landmarks[:, :2], depth]), 1.0, ())


@lru_cache(maxsize=1)
def _mirrored_landmarks(model: FaceModel) -> IntArray:
    """Return which of the 68 landmarks is the mirror image of each."""
    ids = model.landmarks68
    order = np.argsort(ids)
    return np.asarray(order[np.searchsorted(ids, model.mirror[ids], sorter=order)])


def _look(network: MeshNetwork, photo: ByteArray, view: _View) -> list[FloatArray]:
    """Return the meshes of a crop, pixel x, pixel y and depth in pixels of the photo.

    They are the means of those of the crop and of its mirror image.
    """
    size = network.size
    affine = crop_affine(view.square, size, -view.roll)
    half = 0.5 * (view.square[2] - view.square[0])  # the crop frame's unit, in pixels of the photo

    placed = None
    if view.landmarks is not None:
        column, row = apply_affine(affine, view.landmarks[:, :2]).T
        frame = [(2 * column + 1) / size - 1, 1 - (2 * row + 1) / size, view.landmarks[:, 2] / half]
        placed = np.stack(frame, axis=1)
        placed = np.stack([placed, placed[_mirrored_landmarks(load_face_model())] * (-1, 1, 1)]).astype(np.float32)
    crop = warp_image(photo, affine, size)
    both = network.predict(np.stack([crop, crop[:, ::-1]]), placed)
    meshes = [
        0.5 * (own + other[mirror] * (-1, 1, 1)) for (own, other), mirror in zip(both, mirror_images(), strict=True)
    ]
    back = cv2.invertAffineTransform(affine)
    found = []
    for mesh in meshes:
        x, y, z = mesh.astype(np.float64).T
        pixels = apply_affine(back, np.column_stack([((x + 1) * size - 1) / 2, ((1 - y) * size - 1) / 2]))
        found.append(np.column_stack([pixels, z * half]))
    return found


def _roll_deg(mesh: FloatArray, turned_deg: float) -> float:
    """Return how far the coarsest mesh (141, 3), of a crop turned upright by some angle, is rolled in that crop."""
    rotation = similarity(semi_sphere().vertices, mesh * (1.0, -1.0, 1.0))[0]
    return (roll_deg(rotation) - turned_deg + 180.0) % 360.0 - 180.0


def _turn(degrees: float) -> FloatArray:
    """Return the (2, 2) matrix that turns pixel coordinates as `crop_affine` turns content."""
    return crop_affine((-1.0, -1.0, 1.0, 1.0), 2, degrees)[:, :2]


def _fit_rolled(model: FaceModel, mesh: FloatArray, roll: float) -> Fit:
    """Fit the model to the finest mesh (7008, 3) of a face of known roll: closest points begin upright."""
    turn = _turn(-roll)
    fit = fit_mesh(model, np.column_stack([mesh[:, :2] @ turn.T, mesh[:, 2]]), semi_sphere().levels[-1].faces)
    back = np.eye(3)
    back[:2, :2] = _turn(-roll) * [[1, -1], [-1, 1]]  # y up
    return replace(fit, rotation=back.T @ fit.rotation, translation=turn.T @ fit.translation)


def _worth_turning(roll: float, options: MeshLookOptions) -> float:
    """Return the roll by which a crop is turned: none where the networks do not mind."""
    return roll if abs(roll) > options.upright_deg else 0.0


def _closest(V: FloatArray, F: IntArray, points: FloatArray) -> FloatArray:
    """Return the closest points (k, 3) of a surface to `points` (k, 3)."""
    found = geometry.closest_points(V, F, points)
    return np.asarray(np.einsum("pcd,pc->pd", V[F[found.face]], found.weights))


def _maps(
    model: FaceModel,
    fitted: FloatArray,
    V: FloatArray,
    camera: Camera,
    crop: ByteArray,
    square: Box,
) -> FaceMaps:
    """Return the maps of a mesh (n, 3) in the face frame; its correspondence is that of the fitted model's points."""
    surface = face_surface(model)
    found = geometry.closest_points(fitted[: model.face_vertex_count], surface, V)
    place = np.einsum("pcd,pc->pd", model.mean[surface[found.face]], found.weights)
    pixels = apply_affine(crop_affine(square, len(crop)), camera.project(V))
    faces = semi_sphere().levels[-1].faces
    raster = geometry.rasterize(np.column_stack([pixels, camera.view(V)[:, 2]]), faces, place, crop.shape[:2])
    outside = geometry.face_normals(camera.view(V), faces)[:, 2] > 0  # through the mouth the far cheek's inside is seen
    return FaceMaps(crop, raster.depth, raster.attributes, (raster.triangle >= 0) & outside[raster.triangle], square)
