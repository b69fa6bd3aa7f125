"""The semi-sphere: counts, one hole, symmetry, angles; and the command that makes its layout."""

import doctest
import itertools

import numpy as np
import pytest

from facegeom.networks import semi_sphere as module
from facegeom.networks.semi_sphere import FILE, build_semi_sphere, semi_sphere, triangle_angles
from facegeom.training.meshes import semi_sphere_layout
from facegeom.training.meshes.semi_sphere_layout import CANDIDATES, LONGEST_EDGE, TRIANGLES, LayoutSearch, centred, draw
from meshes import check_mesh, euler_characteristic


def boundary_edges(F):
    sides = np.concatenate([F[:, [0, 1]], F[:, [1, 2]], F[:, [2, 0]]])
    reverse = {(b, a) for a, b in sides.tolist()}
    return [side for side in map(tuple, sides.tolist()) if side not in reverse]


def loops(F):
    """Return the lengths of the boundary loops."""
    follow = dict(boundary_edges(F))
    lengths = []
    while follow:
        start, at = follow.popitem()
        length = 1
        while at != start:
            at = follow.pop(at)
            length += 1
        lengths.append(length)
    return sorted(lengths)


def refined(sphere):
    """Return the vertices of all levels, with new vertices at the midpoints of edges."""
    V = [sphere.vertices]
    for level in sphere.levels[1:]:
        V.append(V[-1][level.parents].mean(axis=1))
    return V


def test_docstring_examples():
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0


def test_counts_are_those_of_a_disk_with_one_hole():
    sphere = semi_sphere()
    assert [level.count for level in sphere.levels] == [141, 492, 1824, 7008]
    assert [len(level.faces) for level in sphere.levels] == [210, 840, 3360, 13440]
    assert [len(level.edges) for level in sphere.levels] == [351, 1332, 5184, 20448]
    assert [len(boundary_edges(level.faces)) for level in sphere.levels] == [72, 144, 288, 576]
    for level, V in zip(sphere.levels, refined(sphere), strict=True):
        assert len(V) == level.count
        assert euler_characteristic(V, level.faces) == 0
        check_mesh(V, level.faces, closed=False, facing=(0, 0, 1))
        assert len(loops(level.faces)) == 2
    assert sum(loops(sphere.levels[0].faces)) == 72


def test_new_vertices_are_midpoints_of_the_previous_level():
    levels = semi_sphere().levels
    for coarse, fine in itertools.pairwise(levels):
        old = np.arange(coarse.count)
        np.testing.assert_array_equal(fine.parents[: coarse.count], np.stack([old, old], axis=1))
        np.testing.assert_array_equal(fine.parents[coarse.count :], coarse.edges)


def test_position_is_that_of_a_face_and_symmetric():
    sphere = semi_sphere()
    V, F = sphere.vertices, sphere.levels[0].faces
    assert np.abs(V[:, 0]).max() == pytest.approx(0.78, abs=1e-3)
    assert np.abs(V[:, 1]).max() == pytest.approx(0.91, abs=1e-3)
    np.testing.assert_allclose(centred(V, F), V, atol=1e-12)
    other = ((V[:, None] * (-1, 1, 1) - V[None]) ** 2).sum(2).argmin(1)
    np.testing.assert_allclose(V[other], V * (-1, 1, 1), atol=1e-12)
    assert {frozenset(face) for face in F.tolist()} == {frozenset(face) for face in other[F].tolist()}


def test_triangles_are_neither_thin_nor_large():
    sphere = semi_sphere()
    V, F = sphere.vertices, sphere.levels[0].faces
    assert triangle_angles(V, F).min() > 20
    edges = sphere.levels[0].edges
    assert np.linalg.norm(V[edges[:, 0]] - V[edges[:, 1]], axis=1).max() <= LONGEST_EDGE + 1e-9


def test_uv_triangles_are_not_flipped():
    sphere = semi_sphere()
    assert sphere.uv.shape == (7008, 2)
    assert sphere.uv.min(axis=0).tolist() == [0, 0]
    assert sphere.uv.max(axis=0).tolist() == [1, 1]
    check_mesh(sphere.uv, sphere.levels[-1].faces, closed=False)
    np.testing.assert_allclose(np.corrcoef(sphere.uv[:, 1], refined(sphere)[-1][:, 1])[0, 1], 1)


def test_cached_arrays_are_read_only():
    assert semi_sphere() is semi_sphere()
    with pytest.raises(ValueError, match="read-only"):
        semi_sphere().vertices[0] = 0


def test_angles_of_known_triangles():
    V = np.array([[0, 0, 0], [3, 0, 0], [0, 3 * np.sqrt(3), 0], [1.5, 1.5 * np.sqrt(3), 0]])
    np.testing.assert_allclose(triangle_angles(V, [[0, 1, 2], [0, 1, 3]]), [[90, 60, 30], [60, 60, 60]])


def test_any_triangulated_disk_with_a_hole_can_be_refined():
    from meshes import ring

    V, F = ring()
    sphere = build_semi_sphere(V, F)
    assert [level.count for level in sphere.levels] == [40, 40 + 80, 120 + 280, 400 + 1040]


def test_the_command_writes_the_best_candidate_and_its_picture(tmp_path, monkeypatch, capsys):
    from facegeom.cli import main

    with np.load(FILE) as data:
        shipped = {name: data[name] for name in data.files}
    good = [c for c in CANDIDATES if LayoutSearch(c).layout(*LayoutSearch(c).start).angle > -1000][:2]
    monkeypatch.setattr(semi_sphere_layout, "CANDIDATES", tuple(good))
    monkeypatch.setattr(semi_sphere_layout, "RELAXATIONS", 2)
    monkeypatch.setattr(semi_sphere_layout, "TRIALS", 3)
    assert main(["prepare", "semi-sphere", "-o", str(tmp_path / "sphere.npz")]) == 0
    lines = capsys.readouterr().out.splitlines()
    angles = [float(line.split()[0]) for line in lines]
    assert angles == sorted(angles, reverse=True)
    assert (tmp_path / "sphere.preview.png").is_file()
    with np.load(tmp_path / "sphere.npz") as data:
        assert {name: data[name].shape for name in data.files} == {name: a.shape for name, a in shipped.items()}
        assert len(data["faces"]) == TRIANGLES


def test_an_asymmetric_layout_is_rejected(monkeypatch):
    layouts = LayoutSearch(CANDIDATES[0])
    layout = layouts.layout(*layouts.start)
    assert draw(layout, 64).shape == (64, 64, 3)
    assert layouts.layout(*layouts.start).angle > -1000
    assert not semi_sphere_layout.is_symmetric(layout.plane, layout.faces[:-1])
    monkeypatch.setattr(semi_sphere_layout.geometry, "delaunay", lambda plane: layout.faces[:-1])
    assert layouts.layout(*layouts.start).angle == -1000
