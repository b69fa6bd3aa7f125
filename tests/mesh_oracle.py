"""A fake mesh network that decodes the true mesh from a coded photo, and the true semi-sphere of a face."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from coded_photos import CodedFace, decode
from facegeom._internal.arrays import Float32Array
from facegeom.face_model import load_face_model
from facegeom.face_model.face_region import face_surface
from facegeom.geometry import closest_points
from facegeom.networks.semi_sphere import mirror_images, semi_sphere

CURVE_MM = 60.0  # distance of the unrolling axis behind the origin of the face frame


def semi_sphere_on(vertices: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the vertices (7008, 3) of the finest semi-sphere on a face of the model (n, 3), mm in the face frame.

    The skin of the mean face is unrolled around a vertical axis. A vertex of the semi-sphere corresponds to the point
    of the skin with the same texture coordinates.
    """
    model, surface = load_face_model(), face_surface(load_face_model())
    skin = model.mean[: model.face_vertex_count]
    flat = np.column_stack([CURVE_MM * np.arctan2(skin[:, 0], skin[:, 2] + CURVE_MM), skin[:, 1]])
    low, high = (f(flat[np.unique(surface)], axis=0) for f in (np.min, np.max))
    found = closest_points(flat, surface, low + semi_sphere().uv * (high - low))
    return np.einsum("pcd,pc->pd", vertices[surface[found.face]], found.weights)


class OracleMeshNetwork:
    """A fake of a mesh network: aligns the true mesh to the colours of a `CodedFace` in the crop.

    Attributes
    ----------
    landmarks : list of the landmarks that each call of `predict` got
    """

    name = "oracle"

    def __init__(self, face: CodedFace, size: int = 96, needs_landmarks: bool = False) -> None:
        self.size, self.needs_landmarks = size, needs_landmarks
        self.rotation = face.camera.rotation
        self.points = semi_sphere_on(load_face_model().mean) @ self.rotation.T
        self.landmarks: list[Float32Array | None] = []

    def predict(self, crops: npt.NDArray[np.uint8], landmarks: Float32Array | None = None) -> list[Float32Array]:
        assert crops.shape == (2, self.size, self.size, 3)
        np.testing.assert_array_equal(crops[1], crops[0, :, ::-1])  # the second crop is the mirror image of the first
        self.landmarks.append(landmarks)
        rows, columns = np.nonzero(cv2.erode((crops[0].max(axis=2) > 60).astype(np.uint8), np.ones((5, 5), np.uint8)))
        turn, shift = np.eye(2) / 95.0, np.zeros(2)
        if len(rows) > 100:
            seen = (decode(crops[0, rows, columns]) @ self.rotation.T)[:, :2]
            at = np.column_stack([(2 * columns + 1) / self.size - 1, 1 - (2 * rows + 1) / self.size])
            spread = seen - seen.mean(axis=0)
            along, aside = (spread * at).sum(), (spread[:, 0] * at[:, 1] - spread[:, 1] * at[:, 0]).sum()
            turn = np.array([[along, -aside], [aside, along]]) / (spread * spread).sum()  # least-squares similarity
            shift = np.median(at - seen @ turn.T, axis=0)
        scale = np.sqrt(np.linalg.det(turn))
        depth = scale * (self.points[:, 2] - self.points[:, 2].mean())
        mesh = np.column_stack([self.points[:, :2] @ turn.T + shift, depth])
        return [
            np.stack([mesh[: level.count], mesh[mirror] * (-1, 1, 1)]).astype(np.float32)
            for level, mirror in zip(semi_sphere().levels, mirror_images(), strict=True)
        ]
