"""Smoothing of the components at the corners of lids and mouth, so that triangles do not invert in random heads.

At these corners the ICT components of neighbouring vertices differ by as much as the width of a triangle; most
inverted triangles are inverted in the ICT mesh, too. The identity and expression components of the vertices around such
triangles are smoothed. Triangles, mean and all other vertices do not change.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom._internal.files import write_npz
from facegeom.face_model.model import read_face_model
from facegeom.training.face_model.components import quantise

log = logging.getLogger("facegeom")

_CHUNK = 100  # number of heads processed together
_EXPRESSIONS = 4  # number of expressions with a weight above 0 in a random face


@dataclass(frozen=True)
class CornerOptions:
    """Number of random heads, and weights of the smoothing."""

    heads: int = 4000  # number of random heads drawn to find inverted triangles, initially and in each round
    rings: int = 2  # number of triangle rings around inverted triangles whose vertices may change
    first_weight: float = 2e-3  # first smoothing weight of a triangle, mm^2, see `smooth_corners`
    factor: float = 2.0  # factor by which the weight of an inverted triangle increases in each round
    rounds: int = 16  # largest number of smoothing rounds
    patience: int = 2  # stop after this many rounds without improvement; too much smoothing inverts other triangles
    seed: int = 7


@dataclass(frozen=True)
class _Patch:
    """The vertices that may change, and the triangles around these vertices."""

    vertices: IntArray  # (p,) vertices of the model: corners of the tested triangles and of their neighbours
    free: IntArray  # (f,) indices into `vertices` of the vertices that may change
    context: IntArray  # (c, 3) tested triangles and their neighbours, as indices into `vertices`
    judged: IntArray  # (j,) indices into `context` of the tested triangles: those with a free corner
    twins: IntArray  # (j,) index into `judged` of the mirror image of each tested triangle


def random_expression(count: int, generator: np.random.Generator) -> FloatArray:
    """Return the expression weights of a random face, (count,): four random weights in [0, 1], the others 0."""
    weights = np.zeros(count)
    taking_part = min(_EXPRESSIONS, count)
    weights[generator.choice(count, taking_part, replace=False)] = generator.random(taking_part)
    return weights


def inverted_triangles(V: FloatArray, F: IntArray) -> BoolArray:
    """Return whether the normal of each triangle is opposite to the vertex normals at all three corners.

    Parameters
    ----------
    V : (..., n, 3) float array
        Vertices of one or several heads.
    F : (m, 3) int array

    Returns
    -------
    (..., m) bool array
    """
    corners = V[..., F, :]
    cross = np.cross(corners[..., 1, :] - corners[..., 0, :], corners[..., 2, :] - corners[..., 0, :])
    count, number = V.shape[-2], len(F)
    around = csr_array((np.ones(3 * number), (F.ravel(), np.repeat(np.arange(number), 3))), shape=(count, number))
    flat = np.moveaxis(cross, -2, 0).reshape(number, -1)
    normal = np.moveaxis((around @ flat).reshape(count, *V.shape[:-2], 3), 0, -2)
    return np.asarray((np.einsum("...tc,...tkc->...tk", cross, normal[..., F, :]) < 0).all(axis=-1))


def smooth_corners(
    mean: FloatArray,
    faces: IntArray,
    mirror: IntArray,
    identity: FloatArray,
    expression: FloatArray,
    options: CornerOptions = CornerOptions(),
) -> tuple[FloatArray, FloatArray]:
    """Return smoothed components that give fewer inverted triangles in random heads, or none.

    Parameters
    ----------
    mean : (n, 3) float array, mm
        Vertices of the mean head.
    faces : (m, 3) int array
        Triangles of the face.
    mirror : (n,) int array
        Symmetric counterpart of each vertex.
    identity : (k, n, 3) float array
        Identity components, mm per standard deviation.
    expression : (e, n, 3) float array
        Expression components, mm at weight 1.
    options : CornerOptions

    Returns
    -------
    identity : (k, n, 3) float array
        Smoothed identity components, mm per standard deviation.
    expression : (e, n, 3) float array
        Smoothed expression components, mm at weight 1.

    Notes
    -----
    Each given component d0 is replaced at the free vertices by the component d that minimises

        sum_i |d_i - d0_i|^2 + sum_t w_t |grad_t d|^2,

    where grad_t is the gradient over triangle t of the mean. All weights w_t are initially 0. In each round, random
    heads are drawn with identity coefficients from N(0, 1) and the weights of `random_expression`. The weights of
    each triangle that is inverted in one of these heads, and of its mirror image, are increased. The components
    therefore stay symmetric.
    """
    generator = np.random.default_rng(options.seed)
    components, count = np.concatenate([identity, expression]), len(identity)
    patch = _find_patch(mean, faces, mirror, components, count, generator, options)
    if len(patch.free):
        place, given = mean[patch.vertices], components[:, patch.vertices]
        triangles = patch.context[patch.judged]
        stiffness = _stiffness(place, triangles)
        weight = np.zeros(len(triangles))
        smooth = best = given
        fewest, since = np.inf, 0
        for number in range(options.rounds):
            bad = _count(place, patch.context, smooth, count, generator, options)[patch.judged]
            log.info("corners, round %d: %.4f inverted triangles per head", number, bad.sum() / options.heads)
            fewest, best, since = (bad.sum(), smooth, 0) if bad.sum() < fewest else (fewest, best, since + 1)
            if not bad.any() or since == options.patience:
                break
            worse = bad + bad[patch.twins] > 0
            weight[worse] = np.maximum(options.factor * weight[worse], options.first_weight)
            smooth = _smoothed(given, triangles, weight[:, None, None] * stiffness, patch.free)
        components[:, patch.vertices] = best
    return components[:count], components[count:]


def smooth_face_model(path: str | Path, output: str | Path, options: CornerOptions = CornerOptions()) -> Path:
    """Write a copy of a face model with smoothed components, see `smooth_corners`.

    Parameters
    ----------
    path : str or Path
        The face model, as `build_face_model` wrote it.
    output : str or Path
        The .npz file to write.
    options : CornerOptions

    Returns
    -------
    Path
        The argument `output`.
    """
    model = read_face_model(path)
    with np.load(Path(path)) as data:
        arrays = dict(data)
    count = model.face_vertex_count
    identity, expression = model.identity.astype(np.float64), model.expression.astype(np.float64)
    identity[:, :count], expression[:, :count] = smooth_corners(
        model.mean[:count],
        model.faces[: model.face_triangle_count],
        model.mirror[:count],
        identity[:, :count],
        expression[:, :count],
        options,
    )
    arrays["identity"] = quantise(identity, float(arrays["identity_step"]))
    arrays["expression"] = quantise(expression, float(arrays["expression_step"]))
    output = Path(output)
    write_npz(output, arrays)
    return output


def _count(
    mean: FloatArray,
    faces: IntArray,
    components: FloatArray,
    identities: int,
    generator: np.random.Generator,
    options: CornerOptions,
) -> IntArray:
    """Return the number of random heads in which each triangle is inverted, (m,).

    The first `identities` components are identity components, the others expression components.
    """
    count = np.zeros(len(faces), dtype=np.int64)
    expressions = len(components) - identities
    for start in range(0, options.heads, _CHUNK):
        number = min(_CHUNK, options.heads - start)
        faces_drawn = [random_expression(expressions, generator) for _ in range(number)]
        coefficients = np.column_stack([generator.standard_normal((number, identities)), faces_drawn])
        count += inverted_triangles(mean + np.tensordot(coefficients, components, axes=1), faces).sum(axis=0)
    return count


def _find_patch(
    mean: FloatArray,
    faces: IntArray,
    mirror: IntArray,
    components: FloatArray,
    identities: int,
    generator: np.random.Generator,
    options: CornerOptions,
) -> _Patch:
    """Return the symmetric patch of vertices and triangles around the triangles that are inverted in random heads."""
    bad = _count(mean, faces, components, identities, generator, options) > 0
    free = np.zeros(len(mean), bool)
    free[faces[bad]] = True
    for _ in range(options.rings):
        free[faces[free[faces].any(axis=1)]] = True
    free |= free[mirror]
    judged = np.flatnonzero(free[faces].any(axis=1))
    near = np.zeros(len(mean), bool)
    near[faces[judged]] = True
    context = np.flatnonzero(near[faces].any(axis=1))
    vertices = np.unique(faces[context])
    place = np.full(len(mean), -1)
    place[vertices] = np.arange(len(vertices))
    row = {tuple(sorted(corners)): number for number, corners in enumerate(faces[judged].tolist())}
    twins = [row[tuple(sorted(corners))] for corners in mirror[faces[judged]].tolist()]
    log.info("corners: %d inverted triangles, %d vertices may change", bad.sum(), free.sum())
    return _Patch(
        vertices,
        place[np.flatnonzero(free)],
        place[faces[context]],
        np.searchsorted(context, judged),
        np.array(twins, dtype=np.int64),
    )


def _stiffness(V: FloatArray, F: IntArray) -> FloatArray:
    """Return the quadratic form of each triangle that gives the squared gradient of corner values, (m, 3, 3) mm^-2."""
    edges = V[F[:, [2, 0, 1]]] - V[F[:, [1, 2, 0]]]  # edge opposite to each corner
    double_area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    return np.asarray(np.einsum("tic,tjc->tij", edges, edges) / double_area[:, None, None] ** 2)


def _smoothed(given: FloatArray, triangles: IntArray, forms: FloatArray, free: IntArray) -> FloatArray:
    """Return components (k, p, 3) that minimise the sum in `smooth_corners` over the free vertices."""
    count = given.shape[1]
    form = np.zeros((count, count))
    np.add.at(form, (triangles[:, :, None], triangles[:, None, :]), forms)
    values = given.transpose(1, 0, 2).reshape(count, -1)
    result = values.copy()
    result[free] -= np.linalg.solve(np.eye(len(free)) + form[np.ix_(free, free)], (form @ values)[free])
    return result.reshape(count, len(given), 3).transpose(1, 0, 2)
