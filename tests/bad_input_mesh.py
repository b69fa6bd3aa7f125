"""Invalid input for delaunay, depth_to_mesh, cleanup and rasterize: (operator, callable, arguments, error, message)."""

import numpy as np

from facegeom import geometry as g

V = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]])
F = np.array([[0, 1, 2]])
P = V[:, :2]
NAN = np.where(V == 1, np.nan, V)
SPREAD = 10.0 ** np.random.default_rng(0).uniform(-100, 1, (40, 2))
DEPTH, MASK = np.zeros((4, 5)), np.ones((4, 5), bool)


def plane(depth=DEPTH, mask=MASK, **options):
    return g.depth_to_mesh(depth, mask, **options)


def clean(**options):
    return g.remove_spikes(V, F, **options)


def draw(V=V, F=F, attributes=None, shape=(4, 4)):
    return g.rasterize(V, F, attributes, shape)


def bad_meshes(call):
    return [
        (call, {"V": P}, ValueError, r"V must have shape \(any, 3\), got \(3, 2\)"),
        (call, {"V": NAN}, ValueError, "V must be finite"),
        (call, {"V": V + np.inf}, ValueError, "V must be finite"),
        (call, {"V": V.astype(str)}, TypeError, "V must hold numbers"),
        (call, {"V": V + 1j}, TypeError, "V must hold numbers"),
        (call, {"V": [[0, 0, 0], [1, 0]]}, ValueError, "V must be an array"),
        (call, {"F": F[0]}, ValueError, r"F must have shape \(any, 3\), got \(3,\)"),
        (call, {"F": F[:, :2]}, ValueError, r"F must have shape \(any, 3\), got \(1, 2\)"),
        (call, {"F": F + 1}, ValueError, r"F must lie in \[0, 3\), got 3"),
        (call, {"F": F - 1}, ValueError, r"F must lie in \[0, 3\), got -1"),
        (call, {"F": F * 1.0}, TypeError, "F must hold integers"),
    ]


def parts(F=F, n=3):
    return g.connected_components(F, n)


def spikes(V=V, F=F):
    return g.remove_spikes(V, F)


CASES = {
    "delaunay": [
        (g.delaunay, {"points": V}, ValueError, r"points must have shape \(any, 2\), got \(3, 3\)"),
        (g.delaunay, {"points": P.ravel()}, ValueError, "points must have shape"),
        (g.delaunay, {"points": NAN[:, :2]}, ValueError, "points must be finite"),
        (g.delaunay, {"points": P + np.inf}, ValueError, "points must be finite"),
        (g.delaunay, {"points": P.astype(str)}, TypeError, "points must hold numbers"),
        (g.delaunay, {"points": [[0, 0], [1]]}, ValueError, "points must be an array"),
        (g.delaunay, {"points": None}, TypeError, "points must hold numbers"),
        (g.delaunay, {"points": SPREAD}, ValueError, "coordinates must be 0 or at least 1e-50 times the largest"),
        (g.delaunay, {"points": P * 1e31}, ValueError, "points must lie within"),
    ],
    "depth_to_mesh": [
        (plane, {"depth": DEPTH[0]}, ValueError, r"depth must have shape \(any, any\), got \(5,\)"),
        (plane, {"depth": DEPTH.astype(str)}, TypeError, "depth must hold numbers"),
        (plane, {"depth": DEPTH + np.nan}, ValueError, "depth must be finite inside the mask"),
        (plane, {"depth": DEPTH + np.inf}, ValueError, "depth must be finite inside the mask"),
        (plane, {"mask": MASK.T}, ValueError, r"mask must have shape \(4, 5\), got \(5, 4\)"),
        (plane, {"mask": MASK * 1.0}, TypeError, "mask must be a bool array"),
        (plane, {"scale": 0}, ValueError, "scale must be above 0"),
        (plane, {"scale": -2.0}, ValueError, "scale must be above 0"),
        (plane, {"scale": np.nan}, ValueError, "scale must be finite"),
        (plane, {"scale": "1"}, TypeError, "scale must be a number"),
        (plane, {"scale": 1e-300}, ValueError, "scale must lie in"),
        (plane, {"depth": DEPTH + 1e40}, ValueError, "depth must be finite and within 1e30 of 0 inside the mask"),
        (plane, {"origin": (0, 0, 0)}, ValueError, r"origin must have shape \(2,\)"),
        (plane, {"origin": (0, np.nan)}, ValueError, "origin must be finite"),
        (plane, {"vertex_count": 2}, ValueError, "vertex_count must be at least 3"),
        (plane, {"vertex_count": 6500.0}, TypeError, "vertex_count must be an integer"),
        (plane, {"background": 1}, TypeError, "background must be True or False"),
    ],
    "connected_components": [
        (parts, {"F": F[0]}, ValueError, r"F must have shape \(any, 3\), got \(3,\)"),
        (parts, {"F": F - 1}, ValueError, r"F must lie in \[0, 3\), got -1"),
        (parts, {"F": F + 1}, ValueError, r"F must lie in \[0, 3\), got 3"),
        (parts, {"F": F * 1.0}, TypeError, "F must hold integers"),
        (parts, {"n": -1}, ValueError, "n must be at least 0"),
        (parts, {"n": 3.0}, TypeError, "n must be an integer"),
        (parts, {"n": 10**18}, ValueError, "n must be at most 268435456"),
    ],
    "remove_spikes": [
        *bad_meshes(spikes),
        (clean, {"area_factor": 0}, ValueError, "area_factor must be above 0"),
        (clean, {"area_factor": np.nan}, ValueError, "area_factor must be finite"),
        (clean, {"edge_factor": -np.inf}, ValueError, "edge_factor must be finite"),
        (clean, {"edge_factor": "9"}, TypeError, "edge_factor must be a number"),
        (clean, {"min_component": 1.5}, ValueError, r"min_component must lie in \[0.0, 1.0\]"),
        (clean, {"min_component": None}, TypeError, "min_component must be a number"),
    ],
    "rasterize": [
        *bad_meshes(draw),
        (draw, {"attributes": V[:2]}, ValueError, r"attributes must have shape \(3, any\), got \(2, 3\)"),
        (draw, {"attributes": V[:, 0]}, ValueError, "attributes must have shape"),
        (draw, {"attributes": NAN}, ValueError, "attributes must be finite"),
        (draw, {"attributes": V.astype(str)}, TypeError, "attributes must hold numbers"),
        (draw, {"shape": (0, 4)}, ValueError, r"shape must be at least \(1, 1\)"),
        (draw, {"shape": (4,)}, ValueError, r"shape must be \(height, width\)"),
        (draw, {"shape": 4}, ValueError, r"shape must be \(height, width\)"),
        (draw, {"shape": (4.0, 4)}, ValueError, r"shape must be \(height, width\), two integers, got \(4.0, 4\)"),
        (draw, {"shape": (np.inf, 4)}, ValueError, r"shape must be \(height, width\), two integers"),
        (draw, {"shape": (2**32, 2**32)}, ValueError, "shape must have at most 268435456 pixels, got 4294967296 x"),
        (draw, {"shape": (2**62, 2)}, ValueError, "shape must have at most 268435456 pixels"),
        (
            draw,
            {"attributes": np.zeros((3, 5)), "shape": (2**14, 2**14)},
            ValueError,
            r"at most 2\^30 attribute values",
        ),
        (draw, {"V": V * 1e31}, ValueError, "V must lie within"),
    ],
}
ROWS = [
    (
        operator,
        lambda *values, call=call, names=tuple(named): call(**dict(zip(names, values, strict=True))),
        tuple(named.values()),
        error,
        words,
    )
    for operator, rows in CASES.items()
    for call, named, error, words in rows
]
