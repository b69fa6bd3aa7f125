"""Prediction of the meshes of a graph network from a photo, and the fit of the face model to the finest mesh.

The network predicts meshes in the frame of the crop. Camera, landmarks, maps and the face frame come from the face
model fitted to the finest mesh, not from the landmarks that are an input of the network.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import numpy.typing as npt

from facegeom import geometry
from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, ByteArray, FloatArray, IntArray
from facegeom._internal.stopwatch import stopwatch
from facegeom._internal.threads import load_once, one_thread
from facegeom.detection import Detector, detector, yunet
from facegeom.detection.detector import MIN_SCORE
from facegeom.detection.found_face import FoundFace
from facegeom.errors import NoFaceFound
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.face_region import face_surface, mean_depth
from facegeom.face_model.fitting import fit_landmarks68
from facegeom.face_model.mesh_fitting import fit_mesh
from facegeom.face_model.point_fit import Fit, similarity
from facegeom.images.boxes import Box, BoxLike, Detection, box_iou
from facegeom.images.camera import Camera, roll_deg
from facegeom.images.crop import Crop, apply_affine, crop_affine
from facegeom.images.face_maps import FaceMaps
from facegeom.networks.backends import DEFAULT_BACKEND
from facegeom.networks.interface import MeshNetwork
from facegeom.networks.loaders import load_mesh_network
from facegeom.networks.semi_sphere import CROP_FACTOR, mirror_images, semi_sphere
from facegeom.pipelines.map_prediction import MapPrediction, predict_all_maps, predict_maps
from facegeom.pipelines.noise_removal import NEVER, NoiseRemoval


@dataclass(frozen=True)
class MeshOptions:
    """Options of the crop that is the input of a mesh network.

    The detector gives the box of the 68 landmarks; the crop of the network is defined by the box of the whole face.
    On 1,800 views of fitted training photos, turned by up to 95 degrees, the longer side of the face's box is 1.351
    times the height of the landmarks' box (standard deviation 0.017), and its centre is higher than that of the
    landmarks' box by 0.136 times this height (standard deviation 0.013).
    """

    crop_factor: float = CROP_FACTOR  # side length of the crop / longer side of the face's box
    face_side: float = 1.351  # longer side of the face's box / height of the landmarks' box
    face_rise: float = 0.136  # height of the face's centre above the landmarks' centre / height of the landmarks' box
    stable_iou: float = 0.75  # minimum IoU of the crop and the crop around its mesh; else one more pass follows
    upright_deg: float = 15.0  # maximum roll of a face that is not turned upright; standard deviation in training: 12
    average_face: tuple[float, float, float] = (0.498, 0.487, 0.614)
    """Box of the face if nothing is detected: centre x / photo width, centre y / photo height, and longer side of the
    box / shorter side of the photo. The values are means over training photos."""


@dataclass(frozen=True)
class MeshPrediction:
    """Meshes, camera and landmarks of one face of a photo.

    Attributes
    ----------
    vertices : tuple of four (n, 3) float arrays
        The mesh after each deformation, coarse to fine, mm in the face frame; triangles as in `semi_sphere().levels`.
    maps : FaceMaps, rendered from the finest mesh, in a crop around it
    camera : Camera, face frame -> photo
    landmarks : (68, 3) float array, mm in the face frame, on the finest mesh
    fit : Fit, the face model fitted to the finest mesh, in pixels of the photo
    score : float in [0, 1]: the score of the maps if the network needs landmarks, else the score of the detector; 1 if
        the caller gave the box or the landmarks, 0 if nothing was detected
    detections : boxes of the detector, best first; empty if the caller gave the box
    timings : dict from step name to milliseconds
    clean : (h, w, 3) uint8 array or None
        The photo without noise around the face, which the networks saw; None if they saw the photo itself.
    """

    vertices: tuple[FloatArray, ...]
    maps: FaceMaps
    camera: Camera
    landmarks: FloatArray
    fit: Fit
    score: float
    detections: tuple[Detection, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)
    clean: ByteArray | None = None

    @property
    def landmarks468(self) -> FloatArray:
        """The 468 FaceMesh points (468, 3), mm in the face frame, on the finest mesh."""
        model = load_face_model()
        points = model.landmarks468(self.fit.vertices(model))
        return _closest(self.vertices[-1], semi_sphere().levels[-1].faces, points)


@dataclass(frozen=True)
class _FirstCrop:
    """The first crop, and the 68 landmarks in pixels of the photo, with z relative to the mean depth of the face."""

    square: Box
    roll: float  # roll of the face, degrees counter-clockwise in the photo; the crop is turned by -roll
    landmarks: FloatArray | None
    score: float
    detections: tuple[Detection, ...]
    clean: ByteArray | None = None  # see `MeshPrediction`


@load_once(maxsize=4)
def mesh_network(name: str, device: str, backend: str = DEFAULT_BACKEND) -> MeshNetwork:
    """Return the named mesh network of facegeom on `device`; it is loaded once per process."""
    return load_mesh_network(name, device, backend=backend)


def predict_mesh(
    photo: ByteArray,
    network: MeshNetwork,
    box: BoxLike | None = None,
    device: str = "cpu",
    face_index: int = 0,
    *,
    landmarks: npt.ArrayLike | None = None,
    options: MeshOptions = MeshOptions(),
    detector: Detector = "yunet",
    min_face: float | None = None,
    backend: str = DEFAULT_BACKEND,
    removal: NoiseRemoval = NEVER,
) -> MeshPrediction:
    """Predict the meshes, the camera and the landmarks of a face.

    Parameters
    ----------
    photo : (h, w, 3) uint8 array
    network : MeshNetwork, a result of `mesh_network`
    box : x0, y0, x1, y1 of the face in pixels of the photo (a score may follow); None: detect faces
    device : device of the map network, which predicts the landmarks if the mesh network needs landmarks
    face_index : index of the face among the detections, best first; for a network with landmarks, as in `predict_maps`
    landmarks : (68, 3) array for a network that needs them: pixel x, pixel y and depth in pixels, greater is nearer;
        None: the landmarks come from the maps of FaceVision-GAN
    options : MeshOptions
    detector, min_face : as in `facegeom.detect`
    backend : "torch" or "onnx", in which the map network runs
    removal : whether the networks see the photo without noise

    Returns
    -------
    MeshPrediction

    Raises
    ------
    NoFaceFound
        When fewer than `face_index` + 1 faces are found, or the box lies outside the photo. For a network without
        landmarks there is no other check: if nothing is detected, an average crop is used, as in the paper.
    ValueError
        When landmarks are given to a network that takes none, or beside a box or a face_index.
    """
    if landmarks is not None and not network.needs_landmarks:
        raise ValueError(f"{network.name} takes no landmarks")
    if landmarks is not None and (box is not None or face_index):
        raise ValueError("landmarks already select a face: omit box and face_index")
    timings: dict[str, float] = {}
    model = load_face_model()
    if not network.needs_landmarks:
        first = _crop_by_detector(photo, box, face_index, options, timings, detector, min_face, removal)
    elif landmarks is None:
        seen = predict_maps(
            photo, box, device, face_index, detector=detector, min_face=min_face, backend=backend, removal=removal
        )
        first = _crop_by_maps(model, seen, options, timings)
    else:
        first = _crop_by_landmarks(model, check.float_array(landmarks, "landmarks", (68, 3)), options)
    return _predicted(network, photo, first, options, timings)


def predict_all_meshes(
    photo: ByteArray,
    network: MeshNetwork,
    device: str = "cpu",
    *,
    options: MeshOptions = MeshOptions(),
    detector: Detector = "yunet",
    min_face: float | None = None,
    backend: str = DEFAULT_BACKEND,
    removal: NoiseRemoval = NEVER,
) -> list[MeshPrediction]:
    """Predict the meshes of all faces in a photo, in the order of `face_index` of `predict_mesh`.

    The list is empty if the photo shows no face: no average crop is used.
    """
    model, predictions = load_face_model(), []
    if network.needs_landmarks:
        for seen in predict_all_maps(
            photo, device, detector=detector, min_face=min_face, backend=backend, removal=removal
        ):
            timings: dict[str, float] = {}
            first = _crop_by_maps(model, seen, options, timings)
            predictions.append(_predicted(network, photo, first, options, timings))
        return predictions
    shared: dict[str, float] = {}
    faces = _detected(photo, detector, min_face, shared, removal)
    firsts = [_crop_of_face(photo, face, options, faces, removal) for face in faces]
    return [_predicted(network, photo, first, options, dict(shared)) for first in firsts]


def _predicted(
    network: MeshNetwork, photo: ByteArray, first: _FirstCrop, options: MeshOptions, timings: dict[str, float]
) -> MeshPrediction:
    """Return the prediction for a first crop, and add the time of each step to `timings`."""
    model = load_face_model()
    photo = photo if first.clean is None else first.clean
    with stopwatch(timings, "network"), one_thread():
        meshes = _predict_crop(network, photo, first)
        roll = first.roll + _mesh_roll_deg(meshes[0], first.roll)
        if abs(roll - first.roll) <= options.upright_deg:
            roll = first.roll
        asked = square_around(meshes[-1][:, :2], options, roll)
        if roll != first.roll or box_iou(asked, first.square) < options.stable_iou:
            meshes = _predict_crop(network, photo, replace(first, square=asked, roll=roll))
    with stopwatch(timings, "fit"), one_thread():
        fit = _fit_rolled(model, meshes[-1], roll)
        camera = Camera(fit.rotation, fit.scale, fit.translation)
        vertices = tuple(camera.unproject(V[:, :2], V[:, 2] / fit.scale - fit.depth_offset) for V in meshes)
        fitted = fit.vertices(model)
        landmarks_on = _closest(vertices[-1], semi_sphere().levels[-1].faces, fitted[model.landmarks68])
    with stopwatch(timings, "maps"), one_thread():
        square = square_around(meshes[-1][:, :2], options)
        maps = _maps(model, fitted, vertices[-1], camera, Crop.of(photo, square, network.size))
    return MeshPrediction(
        vertices, maps, camera, landmarks_on, fit, first.score, first.detections, timings, first.clean
    )


def face_square(box: BoxLike, options: MeshOptions = MeshOptions(), roll_deg: float = 0.0) -> Box:
    """Return the box of the crop for a face from the box (4,) of its 68 landmarks.

    Parameters
    ----------
    box : x0, y0, x1, y1 in pixels; of a rolled face: after the photo is turned upright about the centre of the box
    options : MeshOptions
    roll_deg : roll of the face in degrees, counter-clockwise in the photo

    Examples
    --------
    >>> [round(side, 1) for side in face_square((0, 0, 90, 100))]
    [-29.3, -37.9, 119.3, 110.7]
    """
    x0, y0, x1, y1 = (float(side) for side in box[:4])
    height = y1 - y0
    half = 0.5 * options.crop_factor * options.face_side * height
    right, down = (_turn_matrix(roll_deg) @ (0.0, -options.face_rise * height)).tolist()
    x, y = 0.5 * (x0 + x1) + right, 0.5 * (y0 + y1) + down
    return x - half, y - half, x + half, y + half


def square_around(pixels: FloatArray, options: MeshOptions = MeshOptions(), roll_deg: float = 0.0) -> Box:
    """Return the box of the crop for a face whose surface projects to `pixels` (n, 2) of the photo.

    The crop is turned about its centre by `roll_deg`, the roll of the face in degrees; see `crop_affine`.
    """
    turn = _turn_matrix(-roll_deg)
    turned = pixels @ turn.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    x, y = (0.5 * (low + high) @ turn).tolist()
    half = 0.5 * options.crop_factor * float((high - low).max())
    return x - half, y - half, x + half, y + half


def _crop_by_detector(
    photo: ByteArray,
    box: BoxLike | None,
    face_index: int,
    options: MeshOptions,
    timings: dict[str, float],
    name: Detector,
    min_face: float | None,
    removal: NoiseRemoval,
) -> _FirstCrop:
    """Return the crop of a detection or of the given box; without a detection, the average crop."""
    height, width = photo.shape[:2]
    if box is not None:
        with one_thread():
            clean = _clean(photo, box, removal)
            seen = yunet.find_in_box(photo if clean is None else clean, box)
        given = FoundFace.of_box(box, roll_deg=0.0 if seen is None else _crop_roll(seen.roll_deg, options))
        square = face_square(given.upright, options, given.roll_deg)
        if square[2] <= 0 or square[3] <= 0 or square[0] >= width - 1 or square[1] >= height - 1:
            raise NoFaceFound("the given box lies outside the photo")
        return _FirstCrop(square, given.roll_deg, None, 1.0, (), clean)
    faces = _detected(photo, name, min_face, timings, removal)
    if face_index < len(faces):
        return _crop_of_face(photo, faces[face_index], options, faces, removal)
    if face_index:
        raise NoFaceFound(f"face_index is {face_index}, but the photo has {len(faces)} detections")
    x, y, side = options.average_face
    x, y, half = x * width - 0.5, y * height - 0.5, 0.5 * options.crop_factor * side * min(width, height)
    square = (x - half, y - half, x + half, y + half)
    return _FirstCrop(square, 0.0, None, 0.0, (), _clean(photo, square, removal))


def _clean(photo: ByteArray, box: BoxLike, removal: NoiseRemoval) -> ByteArray | None:
    """Return the photo without noise around a face; None if no noise is removed."""
    shown = removal.around(photo, box)
    return None if shown is photo else shown


def _detected(
    photo: ByteArray, name: Detector, min_face: float | None, timings: dict[str, float], removal: NoiseRemoval
) -> list[FoundFace]:
    """Return the faces with the scores that `facegeom.detect` asks for: no other check follows."""
    least = MIN_SCORE[name]
    with stopwatch(timings, "detection"):
        found = detector.find_faces(photo, min_face=min_face, min_score=least, detector=name)
        return found or removal.search(photo, name, min_face, least)


def _crop_of_face(
    photo: ByteArray, face: FoundFace, options: MeshOptions, faces: list[FoundFace], removal: NoiseRemoval
) -> _FirstCrop:
    """Return the crop of one of the detected `faces`."""
    roll = _crop_roll(face.roll_deg, options)
    square = face_square(face.upright if roll else face.box, options, roll)
    detections = tuple(each.detection for each in faces)
    return _FirstCrop(square, roll, None, face.score, detections, _clean(photo, face.box, removal))


def _crop_by_maps(model: FaceModel, seen: MapPrediction, options: MeshOptions, timings: dict[str, float]) -> _FirstCrop:
    """Return the crop around the face in the maps of FaceVision-GAN, with the landmarks of the maps."""
    for name, spent in seen.timings.items():
        step = "detection" if name == "detection" else "landmarks"
        timings[step] = timings.get(step, 0.0) + spent
    fitted, camera = seen.fit.vertices(model), seen.camera
    pixels = camera.project(seen.landmarks)
    depth = camera.view(seen.landmarks)[:, 2] - mean_depth(model, camera.view(fitted))
    surface = camera.project(fitted[face_surface(model)].reshape(-1, 3))
    roll = _crop_roll(roll_deg(camera.rotation), options)
    points = np.column_stack([pixels, depth * camera.scale])
    return _FirstCrop(square_around(surface, options, roll), roll, points, seen.score, seen.detections, seen.clean)


def _crop_by_landmarks(model: FaceModel, landmarks: FloatArray, options: MeshOptions) -> _FirstCrop:
    """Return the crop around the face model fitted to given landmarks (68, 3)."""
    fit = fit_landmarks68(model, landmarks)
    placed = fit.vertices(model) @ fit.rotation.T * fit.scale
    depth = landmarks[:, 2] - mean_depth(model, placed) - fit.depth_offset * fit.scale
    pixels = placed[face_surface(model)].reshape(-1, 3)[:, :2] * (1, -1) + fit.translation
    roll = _crop_roll(roll_deg(fit.rotation), options)
    return _FirstCrop(square_around(pixels, options, roll), roll, np.column_stack([landmarks[:, :2], depth]), 1.0, ())


@load_once(maxsize=1)
def _mirrored_landmarks(model: FaceModel) -> IntArray:
    """Return for each of the 68 landmarks the index of the mirrored landmark, (68,)."""
    ids = model.landmarks68
    order = np.argsort(ids)
    return np.asarray(order[np.searchsorted(ids, model.mirror[ids], sorter=order)])


def _predict_crop(network: MeshNetwork, photo: ByteArray, first: _FirstCrop) -> list[FloatArray]:
    """Return the four meshes (n, 3) of a crop: pixel x, pixel y and depth in pixels of the photo.

    Each mesh is the mean of the prediction for the crop and of the mirrored prediction for the mirrored crop.
    """
    size = network.size
    crop = Crop.of(photo, first.square, size, -first.roll)
    half = 0.5 * (first.square[2] - first.square[0])  # length of one unit of the crop frame, in pixels of the photo

    placed = None
    if first.landmarks is not None:
        column, row = crop.to_crop(first.landmarks[:, :2]).T
        frame = [(2 * column + 1) / size - 1, 1 - (2 * row + 1) / size, first.landmarks[:, 2] / half]
        placed = np.stack(frame, axis=1)
        placed = np.stack([placed, placed[_mirrored_landmarks(load_face_model())] * (-1, 1, 1)]).astype(np.float32)
    both = network.predict(np.stack([crop.image, crop.image[:, ::-1]]), placed)
    meshes = [
        0.5 * (own + other[mirror] * (-1, 1, 1)) for (own, other), mirror in zip(both, mirror_images(), strict=True)
    ]
    back = np.asarray(cv2.invertAffineTransform(crop.affine), np.float64)
    found = []
    for mesh in meshes:
        x, y, z = mesh.astype(np.float64).T
        pixels = apply_affine(back, np.column_stack([((x + 1) * size - 1) / 2, ((1 - y) * size - 1) / 2]))
        found.append(np.column_stack([pixels, z * half]))
    return found


def _mesh_roll_deg(mesh: FloatArray, turned_deg: float) -> float:
    """Return the roll, from -180 to 180 degrees, of the coarsest mesh (141, 3) relative to a crop that was turned by
    `turned_deg`.
    """
    rotation = similarity(semi_sphere().vertices, mesh * (1.0, -1.0, 1.0))[0]
    return (roll_deg(rotation) - turned_deg + 180.0) % 360.0 - 180.0


def _turn_matrix(degrees: float) -> FloatArray:
    """Return the (2, 2) matrix that turns pixel coordinates as `crop_affine` turns the image."""
    return crop_affine((-1.0, -1.0, 1.0, 1.0), 2, degrees)[:, :2]


def _fit_rolled(model: FaceModel, mesh: FloatArray, roll: float) -> Fit:
    """Return the fit of the face model to the finest mesh (7008, 3).

    The mesh is turned upright by `roll` (degrees) before the fit, because the search of closest points starts from
    upright faces. The fit is turned back.
    """
    turn = _turn_matrix(-roll)
    fit = fit_mesh(model, np.column_stack([mesh[:, :2] @ turn.T, mesh[:, 2]]), semi_sphere().levels[-1].faces)
    back = np.eye(3)
    back[:2, :2] = _turn_matrix(-roll) * [[1, -1], [-1, 1]]  # y up
    return replace(fit, rotation=back.T @ fit.rotation, translation=turn.T @ fit.translation)


def _crop_roll(roll: float, options: MeshOptions) -> float:
    """Return the roll in degrees by which a crop is turned: 0 for small angles, to which the networks are robust."""
    return roll if abs(roll) > options.upright_deg else 0.0


def _closest(V: FloatArray, F: IntArray, points: FloatArray) -> FloatArray:
    """Return for each of the k `points` (k, 3) the closest point of the surface of triangles `F`, (k, 3)."""
    found = geometry.closest_points(V, F, points)
    return np.asarray(np.einsum("pcd,pc->pd", V[F[found.face]], found.weights))


def _maps(model: FaceModel, fitted: FloatArray, V: FloatArray, camera: Camera, crop: Crop) -> FaceMaps:
    """Return the maps of the mesh `V` (n, 3), mm in the face frame.

    The correspondence of a vertex is the point of the mean face that corresponds to the closest point of the fitted
    model `fitted`.
    """
    surface = face_surface(model)
    found = geometry.closest_points(fitted[: model.face_vertex_count], surface, V)
    place = np.einsum("pcd,pc->pd", model.mean[surface[found.face]], found.weights)
    pixels = crop.to_crop(camera.project(V))
    faces = semi_sphere().levels[-1].faces
    raster = geometry.rasterize(np.column_stack([pixels, camera.view(V)[:, 2]]), faces, place, crop.image.shape[:2])
    outside = geometry.face_normals(camera.view(V), faces)[:, 2] > 0  # through the open mouth, back faces are visible
    mask: BoolArray = np.asarray((raster.triangle >= 0) & outside[raster.triangle])
    return FaceMaps(crop.image, raster.depth, raster.attributes, mask, crop.box)
