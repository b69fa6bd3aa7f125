"""True positions of the semi-sphere on the face model: boundaries, coverage, symmetry, no flipped triangles."""

import numpy as np
import pytest

from facegeom.face_model import load_face_model
from facegeom.face_model.face_region import face_region
from facegeom.geometry import closest_points, face_normals, nearest
from facegeom.geometry.boundary import boundary_loops
from facegeom.networks.semi_sphere import in_sphere_frame, mean_face, semi_sphere
from facegeom.training.meshes.semi_sphere_truth import TURN, corners_unrolled, semi_sphere_on, unrolled


@pytest.fixture(scope="module")
def model():
    return load_face_model()


@pytest.fixture(scope="module")
def mean(model):
    return semi_sphere_on(model)(model.mean)


def test_the_package_file_contains_the_mean_face(model, mean):
    np.testing.assert_allclose(mean_face(), in_sphere_frame(model, mean), atol=1e-6)


def test_the_outline_is_smooth(mean):
    outline = boundary_loops(semi_sphere().levels[-1].faces)
    loop = max(outline, key=len)
    along = np.roll(mean[loop], -1, axis=0) - mean[loop]
    along /= np.linalg.norm(along, axis=1, keepdims=True)
    cosine = (along * np.roll(along, 1, axis=0)).sum(axis=1)
    assert cosine.min() > np.cos(np.radians(10))


def fine_semi_sphere():
    V = semi_sphere().vertices
    for level in semi_sphere().levels:
        V = V[level.parents].mean(axis=1)
    return V


def test_boundaries_of_a_square_with_a_hole():
    squares = [(0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (4, 5, 9, 8), (6, 7, 11, 10), (8, 9, 13, 12), (9, 10, 14, 13),
               (10, 11, 15, 14)]  # fmt: skip
    F = np.array([t for a, b, c, d in squares for t in ((a, b, c), (a, c, d))])
    loops = {tuple(np.roll(loop, -int(np.argmin(loop)))) for loop in boundary_loops(F)}
    assert loops == {(0, 1, 2, 3, 7, 11, 15, 14, 13, 12, 8, 4), (5, 9, 10, 6)}


def test_the_unrolled_semi_sphere_has_no_flipped_triangle():
    faces = semi_sphere().levels[-1].faces
    places = unrolled(fine_semi_sphere(), faces)
    corners = corners_unrolled(places, faces)
    u, v = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    assert (area > 0).all() or (area < 0).all()
    assert np.abs(area).sum() / 2 == pytest.approx(TURN)  # the triangles cover the cylinder once
    assert places[:, 1].min() == 0.0
    assert places[:, 1].max() == 1.0


def test_true_positions_lie_on_the_face_and_follow_its_shape(model, mean):
    place = semi_sphere_on(model)
    assert place.ids.shape == place.weights.shape == (7008, 3)
    np.testing.assert_allclose(place.weights.sum(axis=1), 1.0, atol=1e-9)
    assert place.weights.min() > -1e-9
    region = {tuple(sorted(face)) for face in face_region(model).tolist()}
    beyond = np.flatnonzero([tuple(sorted(ids)) not in region for ids in place.ids.tolist()])
    assert set(beyond) <= set(max(boundary_loops(semi_sphere().levels[-1].faces), key=len))
    assert 0 < len(beyond) < 250  # in the gaps of the jagged outline of the region
    shift = np.array([1.0, 2.0, 3.0])
    np.testing.assert_allclose(place(model.mean + shift), mean + shift, atol=1e-9)


def test_true_positions_cover_the_face_and_its_landmarks(model, mean):
    """The mean distance is 0.42 mm, most of it along the jagged jaw; vertices of coarser levels come first."""
    region = face_region(model)
    points = model.mean[np.unique(region)]
    for level, most in zip(semi_sphere().levels, (2.5, 1.2, 0.8, 0.5), strict=True):
        V = mean[: level.count]
        found = closest_points(V, level.faces, points)
        on = np.einsum("pcd,pc->pd", V[level.faces[found.face]], found.weights)
        assert np.linalg.norm(on - points, axis=1).mean() < most
    tip = model.mean[model.landmarks68[30]]
    assert nearest(mean, tip[None])[1][0] < 3.0
    for eye in ("eyeball_left", "eyeball_right"):
        assert model.regions[eye][semi_sphere_on(model).ids].all(axis=1).sum() > 5


def test_the_hole_of_the_mouth_is_between_the_lips(model, mean):
    faces = semi_sphere().levels[-1].faces
    loops = sorted(boundary_loops(faces), key=len)
    mouth = mean[loops[0]]
    corners = model.mean[model.landmarks68[[48, 54]]]
    assert mouth[:, 0].min() == pytest.approx(corners[0, 0], abs=4.0)
    assert mouth[:, 0].max() == pytest.approx(corners[1, 0], abs=4.0)
    assert np.ptp(mouth[:, 1]) < 13.0


def test_triangles_are_oriented_outward_and_symmetric(mean):
    normals = face_normals(mean, semi_sphere().levels[-1].faces)
    assert (normals[:, 2] > 0).mean() > 0.8  # except at the sides, the nostrils and the inside of the lips
    assert nearest(mean, mean * (-1, 1, 1))[1].mean() < 0.5
