"""Invalid input for maps_to_mesh, closest_points and registration: (operator, callable, arguments, error, message)."""

import numpy as np

from facegeom import geometry as g

V = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
F = np.array([[0, 1, 2], [0, 3, 1], [0, 2, 3], [1, 3, 2]])
NAN = np.where(V == 1, np.nan, V)
XYZ, MASK = np.zeros((4, 5, 3)), np.ones((4, 5), bool)


def mesh(xyz=XYZ, mask=MASK, embedding=XYZ, max_edge=10.0):
    return g.maps_to_mesh(xyz, mask, embedding, max_edge)


def closest(V=V, F=F, queries=V):
    return g.closest_points(V, F, queries)


def affine(P=V, Q=V, **options):
    return g.register_affine(P, Q, **options)


def warp(V=V, F=F, E=V, TV=V, TF=F, TE=V, options=None, **more):
    chosen = g.RegistrationOptions() if options is None else options
    return g.register_nonrigid(V, F, E, TV, TF, TE, chosen, **more)


def option(**fields):
    return {"options": g.RegistrationOptions(**fields)}


FAR = np.random.default_rng(0).normal(size=(40, 3)) * 100

CASES = {
    "maps_to_mesh": [
        (mesh, {"xyz": XYZ[:3]}, ValueError, r"xyz must have shape \(4, 5, 3\), got \(3, 5, 3\)"),
        (mesh, {"xyz": XYZ[..., 0]}, ValueError, "xyz must have shape"),
        (mesh, {"xyz": XYZ * np.nan}, ValueError, "xyz must be finite inside the mask"),
        (mesh, {"xyz": XYZ.astype(str)}, TypeError, "xyz must hold numbers"),
        (mesh, {"mask": MASK * 1}, TypeError, "mask must be a bool array"),
        (mesh, {"mask": MASK[0]}, ValueError, "mask must have shape"),
        (mesh, {"embedding": XYZ[:, :3]}, ValueError, r"embedding must have shape \(4, 5, any\)"),
        (mesh, {"embedding": XYZ + np.inf}, ValueError, "embedding must be finite inside the mask"),
        (mesh, {"embedding": XYZ[..., :0]}, ValueError, "embedding must have at least 1 coordinate"),
        (mesh, {"xyz": XYZ + 1e40}, ValueError, "xyz and embedding must be finite and within 1e30 of 0"),
        (mesh, {"max_edge": 0}, ValueError, "max_edge must be above 0, got 0"),
        (mesh, {"max_edge": np.nan}, ValueError, "max_edge must be finite"),
        (mesh, {"max_edge": "1"}, TypeError, "max_edge must be a number"),
    ],
    "closest_points": [
        (closest, {"V": NAN}, ValueError, "V must be finite"),
        (closest, {"V": np.zeros((4, 9))}, ValueError, r"d in \[1, 8\], got \(4, 9\)"),
        (closest, {"V": V[0]}, ValueError, "V must have shape"),
        (closest, {"F": F + 1}, ValueError, r"F must lie in \[0, 4\), got 4"),
        (closest, {"F": F[:0]}, ValueError, "F must contain at least one triangle"),
        (closest, {"F": F * 1.0}, TypeError, "F must hold integers"),
        (closest, {"queries": V[:, :2]}, ValueError, r"queries must have shape \(any, 3\)"),
        (closest, {"queries": NAN}, ValueError, "queries must be finite"),
    ],
    "register_affine": [
        (affine, {"P": V[:, :2]}, ValueError, r"P must have shape \(any, 3\)"),
        (affine, {"P": NAN}, ValueError, "P must be finite"),
        (affine, {"Q": V[:3]}, ValueError, r"Q must have shape \(4, 3\), got \(3, 3\)"),
        (affine, {"Q": NAN}, ValueError, "Q must be finite"),
        (affine, {"kind": "rigid"}, ValueError, "kind must be one of affine, similarity, got 'rigid'"),
        (affine, {"iterations": 0}, ValueError, "iterations must be at least 1"),
        (affine, {"threshold": 0}, ValueError, "threshold must be above 0"),
        (affine, {"seed": -1}, ValueError, "seed must be at least 0"),
        (affine, {"seed": 1.0}, TypeError, "seed must be an integer"),
        (affine, {"seed": 2**64}, ValueError, "seed must be at most 18446744073709551615"),
        (affine, {"min_inliers": 2}, ValueError, "min_inliers must be at least 3"),
        (affine, {"P": V[:3], "Q": V[:3]}, ValueError, "at least 4 pairs are needed, got 3"),
        (affine, {"P": V[:0], "Q": V[:0]}, ValueError, "at least 4 pairs are needed, got 0"),
        (affine, {"min_inliers": 10}, ValueError, "only 4 of 4 pairs agree within 3, but at least 10 are required"),
        (affine, {"P": FAR, "Q": FAR[::-1] * 9}, ValueError, r"only \d+ of 40 pairs agree within 3"),
        (affine, {"P": FAR * [1, 1, 0], "Q": FAR}, ValueError, "the points lie in a plane or on a line"),
        (
            affine,
            {"P": FAR[:, :1] * [1, 2, 3], "Q": FAR, "kind": "similarity"},
            ValueError,
            "the points lie on a line: they do not determine a rotation",
        ),
    ],
    "register_nonrigid": [
        (warp, {"V": V[:, :2]}, ValueError, r"template_V must have shape \(any, 3\)"),
        (warp, {"V": NAN}, ValueError, "template_V must be finite"),
        (warp, {"F": F + 1}, ValueError, r"template_F must lie in \[0, 4\), got 4"),
        (warp, {"F": F[:0]}, ValueError, "the template has no triangles"),
        (warp, {"TF": F[:0]}, ValueError, "the target has no triangles"),
        (warp, {"TV": NAN}, ValueError, "target_V must be finite"),
        (warp, {"TF": F * 1.0}, TypeError, "target_F must hold integers"),
        (warp, {"E": None}, ValueError, "template_E and target_E must both be given, or neither"),
        (warp, {"TE": None}, ValueError, "template_E and target_E must both be given, or neither"),
        (warp, {"E": V[:3]}, ValueError, r"template_E must have shape \(4, any\)"),
        (warp, {"E": np.zeros((4, 9))}, ValueError, r"d in \[1, 8\], got \(4, 9\)"),
        (warp, {"TE": V[:, :2]}, ValueError, r"target_E must have shape \(4, 3\)"),
        (warp, {"TE": NAN}, ValueError, "target_E must be finite"),
        (warp, {"F": F[:1], "TE": V + 1e6}, ValueError, "fewer than 4 target vertices correspond"),
        (warp, {"options": {}}, TypeError, "options must be RegistrationOptions, got dict"),
        (warp, {"landmarks": 3}, ValueError, r"landmarks must be a pair \(ids, positions\)"),
        (warp, {"landmarks": ([4], [[0, 0, 0]])}, ValueError, r"landmark ids must lie in \[0, 4\), got 4"),
        (warp, {"landmarks": ([0], V)}, ValueError, r"landmark positions must have shape \(1, 3\)"),
        (warp, {"landmark_weight": 0}, ValueError, "landmark_weight must be above 0"),
        (warp, {"weights": np.ones(3)}, ValueError, r"weights must have shape \(4,\)"),
        (warp, {"weights": -np.ones(4)}, ValueError, "weights must be at least 0, got -1.0"),
        (warp, {"progress": 3}, TypeError, "progress must be callable, got int"),
        (warp, option(matching="x"), ValueError, "matching must be one of surface, vertex, got 'x'"),
        (warp, option(alignment="x"), ValueError, "alignment must be one of"),
        (warp, option(stiffness=0), ValueError, "stiffness must be above 0"),
        (warp, option(point_weight=-1), ValueError, "point_weight must be above 0"),
        (warp, option(reach_decay=1), ValueError, r"reach_decay must lie in \[0.1, 0.999\]"),
        (warp, option(max_angle_deg=181), ValueError, "max_angle_deg must lie in"),
        (warp, option(max_distance=np.nan), ValueError, "max_distance must be finite"),
        (warp, option(max_iterations=0), ValueError, "max_iterations must be at least 1"),
        (warp, option(solver_tolerance=0), ValueError, "solver_tolerance must lie in"),
    ],
}
ROWS = [
    (operator, lambda call=call, arguments=arguments: call(**arguments), (), error, words)
    for operator, rows in CASES.items()
    for call, arguments, error, words in rows
]
