"""The surface of a head is closed and manifold, and so is its STL file for printing."""

from __future__ import annotations

import io

import numpy as np
import pytest
import trimesh

from facegeom import FacegeomError, FaceMesh, load_face_model
from facegeom.face_model.template import Topology, load_template

HEAD = load_template(head=True)
BEHIND = ("eyeball_left", "eyeball_right", "teeth", "gums_and_tongue")


def heads(count: int) -> list[np.ndarray]:
    """Return the fine vertices of random identities."""
    model, rng = load_face_model(), np.random.default_rng(0)
    identities = rng.normal(0, 1, (count, len(model.identity)))
    return [HEAD.subdivide(model.vertices(identity)[HEAD.vertices]) for identity in identities]


def edge_counts(faces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    assert len(np.unique(edges, axis=0)) == len(edges)  # neighbours have the same orientation
    found, counts = np.unique(np.sort(edges, axis=1), axis=0, return_counts=True)
    return found, counts


def without_parts_inside(topology: Topology) -> np.ndarray:
    inside = np.any([topology.regions[name] for name in BEHIND], axis=0)
    faces = topology.faces[~inside[topology.faces].any(axis=1)]
    return np.unique(faces, return_inverse=True)[1].reshape(-1, 3)


@pytest.mark.parametrize("topology", [HEAD.coarse, HEAD.fine], ids=["coarse", "fine"])
def test_skin_sockets_mouth_and_neck_are_one_closed_manifold_surface(topology: Topology) -> None:
    faces = without_parts_inside(topology)
    _, counts = edge_counts(faces)
    assert (counts == 2).all()
    surface = trimesh.Trimesh(np.zeros((faces.max() + 1, 3)), faces, process=False)
    assert surface.body_count == 1
    used = np.unique(faces)
    assert len(used) - len(counts) + len(faces) == 2  # Euler's formula: a sphere
    # Each vertex has one fan of triangles: the edges opposite to it form one loop.
    rows = np.concatenate(
        [np.column_stack([faces[:, i], faces[:, (i + 1) % 3], faces[:, (i + 2) % 3]]) for i in range(3)]
    )
    after = {(vertex, a): b for vertex, a, b in rows.tolist()}
    fans: dict[int, list[int]] = {}
    for vertex, a, _ in rows.tolist():
        fans.setdefault(vertex, []).append(a)
    for vertex, around in fans.items():
        at, steps = after[vertex, around[0]], 1
        while at != around[0]:
            at, steps = after[vertex, at], steps + 1
        assert steps == len(around)


@pytest.mark.parametrize("topology", [load_template().coarse, load_template().fine], ids=["coarse", "fine"])
def test_a_face_is_open_at_its_outline_only(topology: Topology) -> None:
    inside = np.any([topology.regions[name] for name in BEHIND], axis=0)
    edges, counts = edge_counts(topology.faces[~inside[topology.faces].any(axis=1)])
    open_edges = edges[counts == 1]
    for name in ("eye_rims", "lip_rim", "eye_sockets", "mouth_interior"):
        assert not topology.regions[name][open_edges].any(), name


@pytest.mark.parametrize("topology", [HEAD.coarse, HEAD.fine], ids=["coarse", "fine"])
def test_the_neck_cap_is_a_region_of_its_own(topology: Topology) -> None:
    cap = topology.regions["neck_cap"][topology.faces].all(axis=1)
    assert np.array_equal(np.flatnonzero(cap), np.arange(len(cap) - cap.sum(), len(cap)))
    assert cap.sum() == topology.regions["neck_cap"].sum() - 2


def printed(vertices: np.ndarray) -> trimesh.Trimesh:
    mesh = FaceMesh(vertices, HEAD.fine.faces, regions=HEAD.fine.regions)
    return trimesh.load_mesh(io.BytesIO(mesh.to_bytes("stl", watertight=True)), file_type="stl")


def test_the_file_of_a_head_for_printing_is_watertight() -> None:
    for vertices in heads(3):
        solid = printed(vertices)
        assert solid.is_watertight
        assert solid.is_winding_consistent
        assert 2.5e6 < solid.volume < 8e6  # mm³


def test_the_surfaces_of_different_people_enclose_a_volume() -> None:
    """All people have the closed surface that the tests above check, so that its volume is left to check."""
    inside = np.any([HEAD.fine.regions[name] for name in BEHIND], axis=0)
    corners = HEAD.fine.faces[~inside[HEAD.fine.faces].any(axis=1)].T
    for vertices in heads(50):
        a, b, c = (vertices[corner] for corner in corners)
        assert 2.5e6 < np.einsum("ij,ij->", a, np.cross(b, c)) / 6.0 < 8e6  # mm³


@pytest.mark.slow
def test_the_files_of_many_heads_for_printing_are_watertight() -> None:
    for vertices in heads(200):
        solid = printed(vertices)
        assert solid.is_watertight
        assert solid.volume > 0


def test_a_file_for_printing_needs_a_head_and_the_format_stl() -> None:
    template = load_template()
    vertices = template.subdivide(load_face_model().mean[template.vertices])
    face = FaceMesh(vertices, template.fine.faces, regions=template.fine.regions)
    with pytest.raises(FacegeomError, match="watertight=True needs a whole head"):
        face.to_bytes("stl", watertight=True)
    with pytest.raises(ValueError, match=r"watertight is an option of \.stl files"):
        face.to_bytes("ply", watertight=True)
