"""Valid arguments for every native function: the public operators and, below them, the functions of the core.

Each case is a name and a function that takes a NumPy generator and returns a callable and its arguments as a dict. The
values are small, so that a call takes milliseconds.
"""

import dataclasses

import numpy as np

import operator_meshes
from facegeom import _core
from facegeom import geometry as g

COUNTS = frozenset({"iterations", "max_iterations", "max_samples", "vertex_count", "n"})
"""Arguments for which a large valid number only takes long or uses memory."""


def surface(rng):
    """Return a small mesh: a grid, a sphere, or triangles at random."""
    kind = rng.integers(3)
    if kind == 0:
        V, F = operator_meshes.grid(int(rng.integers(2, 8)), seed=int(rng.integers(100)), relief=0.5)
    elif kind == 1:
        V, F = operator_meshes.icosphere(int(rng.integers(2)), radius=float(rng.uniform(0.5, 80)))
    else:
        V = rng.normal(size=(int(rng.integers(3, 30)), 3)) * 40
        F = np.array([rng.permutation(len(V))[:3] for _ in range(int(rng.integers(1, 40)))])
    return np.array(V, float), np.array(F, np.int64)


def call_solver(V, F, time, values):
    return g.MeshSolver(V, F, time).smooth(values)


def call_finder(points, queries):
    return g.NearestFinder(points).nearest(queries)


def call_product(indptr, indices, data, n, x):
    return g.SparseMatrix(indptr, indices, data, (n, n)) @ x


def call_register(template_V, template_F, template_E, target_V, target_F, target_E, ids, places, **options):
    landmarks = None if ids is None else (ids, places)
    chosen = g.RegistrationOptions(**options)
    return g.register_nonrigid(
        template_V, template_F, template_E, target_V, target_F, target_E, chosen, landmarks=landmarks
    )


def on_mesh(call, **more):
    """Return a builder for an operator on V and F; values of `more` are called with the generator and the mesh."""

    def build(rng):
        V, F = surface(rng)
        return call, {"V": V, "F": F, **{name: value(rng, V, F) for name, value in more.items()}}

    return build


def per_vertex(rng, V, F):
    return rng.uniform(size=len(V))


def columns(rng, V, F):
    return rng.normal(size=(len(V), int(rng.integers(1, 6))))


def number(*values):
    return lambda rng, V=None, F=None: values[int(rng.integers(len(values)))]


def points_pair(rng):
    d = int(rng.integers(1, 9))
    points = rng.normal(size=(int(rng.integers(1, 60)), d)).round(int(rng.integers(0, 6)))
    return {"points": points, "queries": rng.normal(size=(int(rng.integers(0, 30)), d))}


def affine(rng):
    P = rng.normal(size=(int(rng.integers(4, 40)), 3)) * 30
    return g.register_affine, {
        "P": P,
        "Q": P @ rng.normal(size=(3, 3)) + 5,
        "kind": ("affine", "similarity")[int(rng.integers(2))],
        "iterations": 20,
        "threshold": 3.0,
        "seed": 0,
        "min_inliers": 4,
    }


def plane(rng):
    shape = tuple(rng.integers(2, 20, 2))
    mask = rng.uniform(size=shape) < rng.choice([0.5, 0.9, 1.0])
    return g.depth_to_mesh, {
        "depth": rng.normal(size=shape),
        "mask": mask,
        "scale": 1.0,
        "origin": (2.0, 3.0),
        "vertex_count": int(rng.integers(3, 300)),
        "background": bool(rng.integers(2)),
    }


def maps(rng):
    shape = tuple(rng.integers(2, 12, 2))
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    xyz = np.stack([x, -y, rng.normal(size=shape)], axis=-1)
    return g.maps_to_mesh, {
        "xyz": xyz,
        "mask": rng.uniform(size=shape) < 0.8,
        "embedding": xyz[..., : int(rng.integers(1, 4))],
        "max_edge": 10.0,
    }


def register(rng):
    V, F = operator_meshes.grid(9, relief=1.0)
    target, target_F = operator_meshes.grid(10, seed=3, relief=1.2)
    embedded = rng.integers(2) == 0
    marked = rng.integers(2) == 0
    arguments = {
        "template_V": V,
        "template_F": F,
        "template_E": V if embedded else None,
        "target_V": target,
        "target_F": target_F,
        "target_E": target if embedded else None,
        "ids": np.array([0, 8, 40, 80]) if marked else None,
        "places": V[[0, 8, 40, 80]] + 0.1 if marked else None,
    }
    default = g.RegistrationOptions()
    fields = rng.permutation([field.name for field in dataclasses.fields(default)])[: rng.integers(3)]
    return call_register, {
        **arguments,
        "matching": ("surface", "vertex")[int(rng.integers(2))],
        "alignment": ("affine", "similarity", "rigid", "none")[int(rng.integers(4))],
        "max_iterations": 4,
        **{name: getattr(default, name) for name in fields if name not in ("matching", "alignment", "max_iterations")},
    }


def product(rng):
    V, F = surface(rng)
    indptr, indices, data, _ = g.uniform_laplacian(F, len(V))
    return call_product, {"indptr": indptr, "indices": indices, "data": data, "n": len(V), "x": columns(rng, V, F)}


def labels(rng):
    V, F = surface(rng)
    return {"F": F, "n": len(V)}


def with_pair(call):
    return lambda rng: (call, points_pair(rng))


PUBLIC = {
    "face_normals": on_mesh(g.face_normals),
    "vertex_normals": on_mesh(g.vertex_normals),
    "cotangent_laplacian": on_mesh(g.cotangent_laplacian),
    "mass_matrix": on_mesh(g.mass_matrix),
    "mean_curvature_normals": on_mesh(g.mean_curvature_normals),
    "uniform_laplacian": lambda rng: (g.uniform_laplacian, labels(rng)),
    "connected_components": lambda rng: (g.connected_components, labels(rng)),
    "SparseMatrix": product,
    "laplacian_smooth": on_mesh(
        g.laplacian_smooth, iterations=number(0, 1, 5), step=number(0.0, 0.5, 1.0), fix_boundary=number(True, False)
    ),
    "heat_smooth": on_mesh(g.heat_smooth, values=columns, time=number(0.0, 1.0, 100.0), tolerance=number(1e-8, 1e-2)),
    "MeshSolver": on_mesh(call_solver, time=number(0.0, 1.0, 100.0), values=columns),
    "biharmonic_interpolation": on_mesh(
        g.biharmonic_interpolation, values=columns, weight=per_vertex, length=number(1.0), decay=number(np.inf, 5.0)
    ),
    "detail_displacement": on_mesh(
        g.detail_displacement,
        intensity=per_vertex,
        low_pass=number("heat", "image"),
        time_mm2=number(1.5),
        gain=number(3.0),
        max_step=number(0.5),
        weight=per_vertex,
        attenuate=number(True, False),
    ),
    "remove_spikes": on_mesh(
        g.remove_spikes, area_factor=number(8.0, np.inf), edge_factor=number(6.0), min_component=number(0.05)
    ),
    "subdivide": on_mesh(g.subdivide, scheme=number("loop", "midpoint")),
    "rasterize": on_mesh(g.rasterize, attributes=columns, shape=number((1, 1), (30, 40))),
    "closest_points": on_mesh(g.closest_points, queries=lambda rng, V, F: rng.normal(size=(9, 3)) * 40),
    "nearest": with_pair(g.nearest),
    "NearestFinder": with_pair(call_finder),
    "delaunay": lambda rng: (
        g.delaunay,
        {"points": rng.normal(size=(int(rng.integers(0, 60)), 2)).round(int(rng.integers(0, 8)))},
    ),
    "depth_to_mesh": plane,
    "maps_to_mesh": maps,
    "image_high_pass": lambda rng: (
        g.image_high_pass,
        {"gray": rng.uniform(size=(6, 7)), "sigma": 2.0, "mask": rng.uniform(size=(6, 7)) < 0.9},
    ),
    "register_affine": affine,
    "register_nonrigid": register,
}
"""Builders by name in facegeom.geometry."""

CORE = {
    "face_normals": on_mesh(_core.face_normals),
    "vertex_normals": on_mesh(_core.vertex_normals),
    "cotangent_laplacian": on_mesh(_core.cotangent_laplacian),
    "mass_matrix": on_mesh(_core.mass_matrix),
    "mean_curvature_normals": on_mesh(_core.mean_curvature_normals),
    "laplacian_smooth": on_mesh(
        _core.laplacian_smooth, iterations=number(3), step=number(0.5), fix_boundary=number(True)
    ),
    "heat_smooth": on_mesh(_core.heat_smooth, values=columns, time=number(1.0), tolerance=number(1e-6)),
    "rasterize": on_mesh(_core.rasterize, attributes=columns, height=number(20), width=number(30)),
    "closest_points": on_mesh(_core.closest_points, queries=lambda rng, V, F: rng.normal(size=(9, 3))),
    "remove_spikes": on_mesh(
        _core.remove_spikes, area_factor=number(8.0), edge_factor=number(6.0), min_component=number(0.05)
    ),
    "displace_along_normals": on_mesh(
        _core.displace_along_normals,
        signal=per_vertex,
        weight=per_vertex,
        gain=number(3.0),
        max_step=number(0.5),
    ),
    "displace_by_shading": on_mesh(
        _core.displace_by_shading,
        intensity=per_vertex,
        weight=per_vertex,
        time=number(1.5),
        gain=number(3.0),
        max_step=number(0.5),
        attenuate=number(True),
    ),
    "biharmonic_interpolation": on_mesh(
        _core.biharmonic_interpolation, values=columns, weight=per_vertex, length=number(1.0), decay=number(np.inf)
    ),
}
"""Builders by name in facegeom._core, for the functions that take more than converted arrays."""
