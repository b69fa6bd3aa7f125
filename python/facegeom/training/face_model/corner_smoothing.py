"""Triangles at the corners of lids and mouth that turn over in random heads, and the least change that stops it.

There ICT's components differ from vertex to vertex by as much as the triangles are wide, and most of what turns over in
our mesh turns over at the same place in ICT's own. The repair makes the components, identities and expressions, of the
few vertices around such triangles vary less from vertex to vertex. ModelTopology, mean and all other vertices stay.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from facegeom._internal.arrays import BoolArray, FloatArray, IntArray
from facegeom._internal.files import write_atomically
from facegeom.face_model.model import read_face_model
from facegeom.training.face_model.components import quantise

log = logging.getLogger("facegeom")

_CHUNK = 100  # heads at a time
_EXPRESSIONS = 4  # expressions that take part in a random face


@dataclass(frozen=True)
class CornerOptions:
    """How heads are drawn and how strongly the components are smoothed."""

    heads: int = 4000  # drawn to find the triangles, and again in each round
    rings: int = 2  # of triangles around those that turn over, whose vertices may change
    first_weight: float = 2e-3  # mm^2, of a triangle's squared gradient beside the squared change in mm
    factor: float = 2.0  # by which a triangle's weight grows in each round in which it turns over
    rounds: int = 16  # at most
    patience: int = 2  # rounds that may pass without a better one: too much smoothing folds what lies around
    seed: int = 7


@dataclass(frozen=True)
class _Patch:
    """The vertices that may change, and what is needed to judge the triangles around them."""

    vertices: IntArray  # (p,) rows of the model: corners of the judged triangles and of those around them
    free: IntArray  # (f,) places in `vertices` of those that may change
    context: IntArray  # (c, 3) triangles of places in `vertices`
    judged: IntArray  # (j,) rows of `context`: the triangles with a free corner
    twins: IntArray  # (j,) the mirror image of each judged triangle, its place among them


def random_expression(count: int, generator: np.random.Generator) -> FloatArray:
    """Return the weights (count,) of a random face: four expressions take part, each in [0, 1]."""
    weights = np.zeros(count)
    taking_part = min(_EXPRESSIONS, count)
    weights[generator.choice(count, taking_part, replace=False)] = generator.random(taking_part)
    return weights


def inverted_triangles(V: FloatArray, F: IntArray) -> BoolArray:
    """Return which triangles look away from the surface around all three of their corners.

    Parameters
    ----------
    V : (..., n, 3) float array, of one head or of many
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
    """Return components with which no triangle of the heads drawn turns over, or fewer do.

    Parameters
    ----------
    mean : (n, 3) float array, mm
    faces : (m, 3) int array, the triangles of the face
    mirror : (n,) int array, the vertex at the mirrored place
    identity : (k, n, 3) float array, mm per sigma
    expression : (e, n, 3) float array, mm at weight 1
    options : CornerOptions

    Returns
    -------
    (k, n, 3) and (e, n, 3) float arrays

    Notes
    -----
    A component d of the free vertices, given as d0, is the least-squares solution of

        sum_i |d_i - d0_i|^2 + sum_t w_t |grad_t d|^2

    with the gradient over triangle t of the mean. All weights begin at zero. In each round heads are drawn with
    coefficients from N(0, 1) and the expressions of `random_expression`, and the weight of a triangle that turns over
    in one of them grows, that of its mirror image with it, so that components stay as symmetric as they were.
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
            log.info("corners, round %d: %.4f triangles a head turn over", number, bad.sum() / options.heads)
            fewest, best, since = (bad.sum(), smooth, 0) if bad.sum() < fewest else (fewest, best, since + 1)
            if not bad.any() or since == options.patience:
                break
            worse = bad + bad[patch.twins] > 0
            weight[worse] = np.maximum(options.factor * weight[worse], options.first_weight)
            smooth = _smoothed(given, triangles, weight[:, None, None] * stiffness, patch.free)
        components[:, patch.vertices] = best
    return components[:count], components[count:]


def smooth_face_model(path: str | Path, output: str | Path, options: CornerOptions = CornerOptions()) -> Path:
    """Write a face model whose components are smoothed at the corners; all else stays as it is.

    Parameters
    ----------
    path : str or Path
        A face model, as `build_face_model` wrote it.
    output : str or Path
        The `.npz` to write.
    options : CornerOptions

    Returns
    -------
    Path
        Where the model was written.
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
    write_atomically(output, lambda target: np.savez_compressed(target, allow_pickle=False, **arrays))
    return output


def _count(
    mean: FloatArray,
    faces: IntArray,
    components: FloatArray,
    identities: int,
    generator: np.random.Generator,
    options: CornerOptions,
) -> IntArray:
    """Return in how many random heads each triangle, (m,), turns over; the first `identities` components are such."""
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
    """Return what lies around the triangles that turn over in random heads, the same on both sides."""
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
    log.info("corners: %d triangles turn over, %d vertices may change", bad.sum(), free.sum())
    return _Patch(
        vertices,
        place[np.flatnonzero(free)],
        place[faces[context]],
        np.searchsorted(context, judged),
        np.array(twins, dtype=np.int64),
    )


def _stiffness(V: FloatArray, F: IntArray) -> FloatArray:
    """Return for each triangle the form of its corners' values that is the squared gradient, (m, 3, 3) mm^-2."""
    edges = V[F[:, [2, 0, 1]]] - V[F[:, [1, 2, 0]]]  # opposite to each corner
    double_area = np.linalg.norm(np.cross(edges[:, 0], edges[:, 1]), axis=1)
    return np.asarray(np.einsum("tic,tjc->tij", edges, edges) / double_area[:, None, None] ** 2)


def _smoothed(given: FloatArray, triangles: IntArray, forms: FloatArray, free: IntArray) -> FloatArray:
    """Return components (k, p, 3), changed at the free vertices to the minimum of `smooth_corners`."""
    count = given.shape[1]
    form = np.zeros((count, count))
    np.add.at(form, (triangles[:, :, None], triangles[:, None, :]), forms)
    values = given.transpose(1, 0, 2).reshape(count, -1)
    result = values.copy()
    result[free] -= np.linalg.solve(np.eye(len(free)) + form[np.ix_(free, free)], (form @ values)[free])
    return result.reshape(count, len(given), 3).transpose(1, 0, 2)
