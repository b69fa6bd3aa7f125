"""Invalid input for the operators on meshes and points: (operator, callable, arguments, exception, message)."""

import numpy as np

from facegeom import geometry as g

V = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
F = np.array([[0, 1, 2]])
NAN = np.where(V == 1, np.nan, V)
L = g.uniform_laplacian(F, 3)

MESH_OPERATORS = {
    "face_normals": lambda V, F: g.face_normals(V, F),
    "vertex_normals": lambda V, F: g.vertex_normals(V, F),
    "cotangent_laplacian": lambda V, F: g.cotangent_laplacian(V, F),
    "mass_matrix": lambda V, F: g.mass_matrix(V, F),
    "mean_curvature_normals": lambda V, F: g.mean_curvature_normals(V, F),
    "laplacian_smooth": lambda V, F: g.laplacian_smooth(V, F),
    "heat_smooth": lambda V, F: g.heat_smooth(V, F, np.zeros(3), 1.0),
    "biharmonic_interpolation": lambda V, F: g.biharmonic_interpolation(V, F, np.zeros(3), np.ones(3), length=1.0),
    "MeshSolver": lambda V, F: g.MeshSolver(V, F, 1.0),
    "detail_displacement": lambda V, F: g.detail_displacement(V, F, np.zeros(3)),
    "subdivide": lambda V, F: g.subdivide(V, F),
}
BAD_MESHES = [
    (V[:, :2], F, ValueError, r"V must have shape \(any, 3\), got \(3, 2\)"),
    (V.ravel(), F, ValueError, r"V must have shape \(any, 3\), got \(9,\)"),
    (NAN, F, ValueError, "V must be finite"),
    (np.full((3, 3), np.inf), F, ValueError, "V must be finite"),
    (V.astype(str), F, TypeError, "V must hold numbers"),
    (V + 1j, F, TypeError, "V must hold numbers"),
    ([[0, 0, 0], [1, 0]], F, ValueError, "V must be an array"),
    (V, F[:, :2], ValueError, r"F must have shape \(any, 3\), got \(1, 2\)"),
    (V, F[0], ValueError, r"F must have shape \(any, 3\), got \(3,\)"),
    (V, F + 1, ValueError, r"F must lie in \[0, 3\), got 3"),
    (V, F - 1, ValueError, r"F must lie in \[0, 3\), got -1"),
    (V, F * 1.0, TypeError, "F must hold integers"),
    (V, F.astype(np.uint64) - 1, ValueError, r"F must lie in \[0, 3\)"),
]

ROWS = [
    (operator, call, (vertices, faces), error, words)
    for operator, call in MESH_OPERATORS.items()
    for vertices, faces, error, words in BAD_MESHES
]
ROWS += [
    ("uniform_laplacian", lambda: g.uniform_laplacian(F[:, :2], 3), (), ValueError, "F must have shape"),
    ("uniform_laplacian", lambda: g.uniform_laplacian(F, 2), (), ValueError, r"F must lie in \[0, 2\), got 2"),
    ("uniform_laplacian", lambda: g.uniform_laplacian(F, -1), (), ValueError, "n must be at least 0, got -1"),
    ("uniform_laplacian", lambda: g.uniform_laplacian(F, 3.0), (), TypeError, "n must be an integer, got float"),
    ("SparseMatrix", lambda: L @ np.ones(4), (), ValueError, r"x must have shape \(3,\), got \(4,\)"),
    ("SparseMatrix", lambda: L @ np.ones((3, 2, 2)), (), ValueError, r"x must have shape"),
    ("SparseMatrix", lambda: L @ 3.0, (), ValueError, r"x must have shape \(3,\), got \(\)"),
    (
        "laplacian_smooth",
        lambda: g.laplacian_smooth(V, F, iterations=-1),
        (),
        ValueError,
        "iterations must be at least 0",
    ),
    (
        "laplacian_smooth",
        lambda: g.laplacian_smooth(V, F, iterations=1.5),
        (),
        TypeError,
        "iterations must be an integer",
    ),
    (
        "laplacian_smooth",
        lambda: g.laplacian_smooth(V, F, step=1.1),
        (),
        ValueError,
        r"step must lie in \[0, 1\], got 1.1",
    ),
    ("laplacian_smooth", lambda: g.laplacian_smooth(V, F, step=np.nan), (), ValueError, "step must be finite"),
    ("laplacian_smooth", lambda: g.laplacian_smooth(V, F, fix_boundary=1), (), TypeError, "fix_boundary must be True"),
    ("heat_smooth", lambda: g.heat_smooth(V, F, np.ones(2), 1), (), ValueError, r"values must have shape \(3,\)"),
    (
        "heat_smooth",
        lambda: g.heat_smooth(V, F, np.ones((2, 3)), 1),
        (),
        ValueError,
        r"values must have shape \(3, any\)",
    ),
    ("heat_smooth", lambda: g.heat_smooth(V, F, 1.0, 1), (), ValueError, "values must have shape"),
    ("heat_smooth", lambda: g.heat_smooth(V, F, NAN, 1), (), ValueError, "values must be finite"),
    ("heat_smooth", lambda: g.heat_smooth(V, F, V, -1), (), ValueError, "time must be at least 0, got -1"),
    ("heat_smooth", lambda: g.heat_smooth(V, F, V, "1"), (), TypeError, "time must be a number, got str"),
    ("heat_smooth", lambda: g.heat_smooth(V, F, V, 1, tolerance=0), (), ValueError, "tolerance must be above 0"),
    (
        "biharmonic_interpolation",
        lambda: g.biharmonic_interpolation(V, F, np.ones(2), np.ones(3), length=1),
        (),
        ValueError,
        r"values must have shape \(3,\)",
    ),
    (
        "biharmonic_interpolation",
        lambda: g.biharmonic_interpolation(V, F, V, np.ones(2), length=1),
        (),
        ValueError,
        r"weight must have shape \(3,\)",
    ),
    (
        "biharmonic_interpolation",
        lambda: g.biharmonic_interpolation(V, F, V, -np.ones(3), length=1),
        (),
        ValueError,
        "weight must be at least 0, got -1",
    ),
    (
        "biharmonic_interpolation",
        lambda: g.biharmonic_interpolation(V, F, V, np.zeros(3), length=1),
        (),
        ValueError,
        "weight must contain a value above 0",
    ),
    (
        "biharmonic_interpolation",
        lambda: g.biharmonic_interpolation(V, F, V, np.ones(3), length=0),
        (),
        ValueError,
        "length must be above 0, got 0",
    ),
    (
        "biharmonic_interpolation",
        lambda: g.biharmonic_interpolation(V, F, V, np.ones(3), length=1, decay=-1),
        (),
        ValueError,
        "decay must be above 0, got -1",
    ),
    ("MeshSolver", lambda: g.MeshSolver(V, F, np.inf), (), ValueError, "time must be finite"),
    ("MeshSolver", lambda: g.MeshSolver(V, F, -1), (), ValueError, "time must be at least 0"),
    ("MeshSolver", lambda: g.MeshSolver(V, F, 1).smooth(np.ones(4)), (), ValueError, "values must have shape"),
    ("nearest", lambda: g.nearest(np.zeros((0, 3)), V), (), ValueError, "points must contain at least one point"),
    ("nearest", lambda: g.nearest(np.zeros((4, 9)), V), (), ValueError, r"d in \[1, 8\], got \(4, 9\)"),
    ("nearest", lambda: g.nearest(np.zeros((4, 0)), V), (), ValueError, r"d in \[1, 8\], got \(4, 0\)"),
    ("nearest", lambda: g.nearest(V, V[:, :2]), (), ValueError, r"queries must have shape \(any, 3\), got \(3, 2\)"),
    ("nearest", lambda: g.nearest(NAN, V), (), ValueError, "points must be finite"),
    ("nearest", lambda: g.nearest(V, NAN), (), ValueError, "queries must be finite"),
    ("NearestFinder", lambda: g.NearestFinder(V[0]), (), ValueError, "points must have shape"),
    ("NearestFinder", lambda: g.NearestFinder(V).nearest(V[0]), (), ValueError, "queries must have shape"),
    (
        "detail_displacement",
        lambda: g.detail_displacement(V, F, np.zeros(2)),
        (),
        ValueError,
        "intensity must have shape",
    ),
    ("detail_displacement", lambda: g.detail_displacement(V, F, NAN[:, 0]), (), ValueError, "intensity must be finite"),
    (
        "detail_displacement",
        lambda: g.detail_displacement(V, F, np.zeros(3), low_pass="gauss"),
        (),
        ValueError,
        "low_pass must be one of heat, image, got 'gauss'",
    ),
    ("detail_displacement", lambda: g.detail_displacement(V, F, np.zeros(3), gain=-1), (), ValueError, "gain must be"),
    (
        "detail_displacement",
        lambda: g.detail_displacement(V, F, np.zeros(3), time_mm2=-1),
        (),
        ValueError,
        "time_mm2 must be",
    ),
    (
        "detail_displacement",
        lambda: g.detail_displacement(V, F, np.zeros(3), attenuate=1),
        (),
        TypeError,
        "attenuate must be True",
    ),
    ("subdivide", lambda: g.subdivide(V, F, "butterfly"), (), ValueError, "scheme must be"),
    ("subdivide", lambda: g.subdivide(V, [[0, 1, 1]]), (), ValueError, "triangle 0 contains a vertex twice"),
    (
        "detail_displacement",
        lambda: g.detail_displacement(V, F, np.zeros(3), max_step=-1),
        (),
        ValueError,
        "max_step must",
    ),
    (
        "detail_displacement",
        lambda: g.detail_displacement(V, F, np.zeros(3), weight=np.array([0, 1, 1.5])),
        (),
        ValueError,
        r"weight must lie in \[0, 1\], got values in \[0.0, 1.5\]",
    ),
    ("image_high_pass", lambda: g.image_high_pass(np.zeros((4, 4, 3)), 1), (), ValueError, "gray must have shape"),
    ("image_high_pass", lambda: g.image_high_pass(np.full((4, 4), np.nan), 1), (), ValueError, "gray must be finite"),
    ("image_high_pass", lambda: g.image_high_pass(np.zeros((4, 4)), 0), (), ValueError, "sigma must be above 0"),
    (
        "image_high_pass",
        lambda: g.image_high_pass(np.zeros((4, 4)), 1, mask=np.ones((4, 5), bool)),
        (),
        ValueError,
        r"mask must have shape \(4, 4\), got \(4, 5\)",
    ),
    (
        "image_high_pass",
        lambda: g.image_high_pass(np.zeros((4, 4)), 1, mask=np.ones((4, 4))),
        (),
        TypeError,
        "mask must be a bool array",
    ),
]
HUGE = [
    (V * 1e31, F, ValueError, r"V must lie within 1e\+30 of 0, got 1e\+31"),
    (V * 1e300, F, ValueError, r"V must lie within 1e\+30 of 0, got 1e\+300"),
    (np.array(V, np.longdouble) * np.longdouble("1e400"), F, ValueError, "V must be finite"),
]
ROWS += [
    (operator, call, (vertices, faces), error, words)
    for operator, call in MESH_OPERATORS.items()
    for vertices, faces, error, words in HUGE
]
ROWS += [
    ("uniform_laplacian", lambda: g.uniform_laplacian(F, 2**62), (), ValueError, "n must be at most 268435456"),
    ("uniform_laplacian", lambda: g.uniform_laplacian(F, 10**400), (), ValueError, "n must be at most 268435456"),
    (
        "laplacian_smooth",
        lambda: g.laplacian_smooth(V, F, iterations=2**31),
        (),
        ValueError,
        "iterations must be at most 2147483647, got 2147483648",
    ),
    ("heat_smooth", lambda: g.heat_smooth(V, F, V * 1e31, 1), (), ValueError, "values must lie within"),
    ("heat_smooth", lambda: g.heat_smooth(V, F, V, 1e101), (), ValueError, r"time must lie within 1e\+100 of 0"),
    ("heat_smooth", lambda: g.heat_smooth(V, F, V, 10**400), (), ValueError, "time must be finite, got an integer of"),
    ("nearest", lambda: g.nearest(V * 1e160, V), (), ValueError, "points must lie within"),
    (
        "detail_displacement",
        lambda: g.detail_displacement(V, F, np.zeros(3), low_pass=np.array(["heat", "image"])),
        (),
        ValueError,
        "low_pass must be one of heat, image",
    ),
]
