"""Non-rigid registration of a template mesh to a target mesh."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray, IntArray

MATCHINGS = ("surface", "vertex")
ALIGNMENTS = ("affine", "similarity", "rigid", "none")
KIND_NAMES = ("none", "embedding", "physical")
MAX_DIMENSION = 8


@dataclass(frozen=True)
class RegistrationOptions:
    """How `register_nonrigid` works; `paper()` gives pix2vertex to the letter.

    The differences from the paper, each measured on three ICT faces at 256 px (bench/bench_registration.py):

    - Target points are paired with points on the template's triangles, not template vertices with target vertices: five
      times as many measurements, none rounded to a pixel.
    - Pairs are weighted by the inverse of the noise along and across the surface, which is estimated from how far each
      displacement lies from its neighbours', and by a Geman-McClure weight, not kept or dropped at 1 mm and 5 degrees.
      One stiffness then serves clean and noisy maps; halving from 1e8 is not needed.
    - Lengths are shares of the template's size or edges, so that neither its unit nor its resolution matters.
    - Triangles that the deformation has folded over are laid flat.
    """

    matching: str = "surface"
    """"surface": points of one surface to the other; "vertex": the loop of the paper."""
    alignment: str = "affine"
    """Before the deformation; "none" takes the template as aligned. Without embeddings "affine" is a similarity and
    then a bend of the whole shape by polynomials up to the third degree."""
    point_weight: float = 0.1
    """Of squared distances (paper: 0.1). With embeddings and "surface" the noise decides instead."""
    plane_weight: float = 1.0
    """Of squared distances to the tangent plane (paper: 1); as above."""
    stiffness: float = 10.0
    """Weight of the membrane. With "surface" and embeddings: of the integral of the squared Laplacian of the
    displacement, against residuals in numbers of their noise (no unit). With "vertex": the
    first weight, in `stiffness_unit` (paper: 1e8)."""
    least_stiffness: float = 1e6
    """With "vertex": halving ends below it (paper: 1e6)."""
    stiffness_unit: float = 1e-6
    """With "vertex", mm^2: a stiffness of 1. The paper states no unit. In square micrometres, the square of the unit of
    the Basel model that its faces were drawn from, 1e8 to 1e6 smooths over about 5 to 1.6 mm; in mm^2 not even a jaw
    could open."""
    reach: float = 0.2
    """Without embeddings: length over which the membrane smooths at first, as a share of the template's diagonal."""
    least_reach: float = 0.03
    """The same at last."""
    reach_decay: float = 0.88
    """Factor of the reach from one iteration to the next."""
    max_distance: float = np.inf
    """mm, pairs farther apart are dropped (paper: 1; with embeddings and "surface" robust weights do this)."""
    max_angle_deg: float = 60.0
    """Pairs whose normals differ by more are dropped (paper: 5, which leaves a tenth to a third of a face)."""
    motion_tolerance: float = 1e-3
    """Root mean square motion of the vertices at which an iteration counts as at rest: with "surface" as a share of the
    template's mean edge, with "vertex" in mm (paper: 0.1, read so; the norm over all vertices stays at 4 to 5 mm, since
    pairs at the limit of 5 degrees come and go for ever, moving 0.05 mm a vertex)."""
    inner_tolerance: float = 0.01
    """With "vertex", mm: the inner loop ends when the 2-norm of the whole change is below it (paper: 0.01)."""
    switch_matches: int = 500
    """With "vertex": a smaller change of the number of matches switches to physical neighbours for good (paper: 500, on
    meshes of about 50,000 vertices; a template of 6,706 switches after one or two iterations)."""
    noise_floor: float = 0.05
    """Least noise, as a share of the template's mean edge: data are not believed to more."""
    max_samples: int = 40_000
    """With "surface": a target of more vertices is thinned out to at least half of this."""
    max_iterations: int = 60
    """Outer iterations."""
    solver_tolerance: float = 1e-3
    """Relative residual of the conjugate gradients."""
    seed: int = 0
    """Of the paper's RANSAC alignment."""

    @classmethod
    def paper(cls) -> RegistrationOptions:
        """Return the settings of Sela et al., supplement B.1."""
        return cls(
            matching="vertex",
            stiffness=1e8,
            max_distance=1.0,
            max_angle_deg=5.0,
            motion_tolerance=0.1,
            max_iterations=300,
            solver_tolerance=1e-6,
        )


class RegistrationStep(NamedTuple):
    """One outer iteration.

    Attributes
    ----------
    kind : "embedding" or "physical", what the matches were found by
    matches : number of pairs
    stiffness : of the membrane; without embeddings and with "surface" the reach
    point_energy, plane_energy : weighted squared distances to the places and to their tangent planes, mm^2
    membrane_energy : integral of the squared Laplacian of the displacement
    motion : root mean square over the vertices, mm
    solver_iterations : of the conjugate gradients
    """

    kind: str
    matches: int
    stiffness: float
    point_energy: float
    plane_energy: float
    membrane_energy: float
    motion: float
    solver_iterations: int


class Matches(NamedTuple):
    """What the template's vertices were matched with in the last iteration.

    Attributes
    ----------
    target : (n,) int64 array, target vertex, -1 for none
    kind : (n,) int32 array, index in `KIND_NAMES`: 0 none, 1 embedding, 2 physical
    """

    target: IntArray
    kind: npt.NDArray[np.int32]


class Registration(NamedTuple):
    """Result of `register_nonrigid`.

    Attributes
    ----------
    vertices : (n, 3) float array, mm, the deformed template
    matches : Matches
    history : tuple of RegistrationStep
    converged : bool
    reason : str, why the loop ended
    """

    vertices: FloatArray
    matches: Matches
    history: tuple[RegistrationStep, ...]
    converged: bool
    reason: str


def register_nonrigid(
    template_V: npt.ArrayLike,
    template_F: npt.ArrayLike,
    template_E: npt.ArrayLike | None,
    target_V: npt.ArrayLike,
    target_F: npt.ArrayLike,
    target_E: npt.ArrayLike | None,
    options: RegistrationOptions = RegistrationOptions(),
    *,
    landmarks: tuple[npt.ArrayLike, npt.ArrayLike] | None = None,
    landmark_weight: float = 100.0,
    weights: npt.ArrayLike | None = None,
    progress: Callable[[RegistrationStep], bool | None] | None = None,
) -> Registration:
    """Deform a template mesh so that it lies on a target mesh.

    Parameters
    ----------
    template_V : (n, 3) float array, mm
    template_F : (m, 3) int array
    template_E : (n, d) float array, d from 1 to 8, or None
        Embedding: where a template vertex and a target vertex have the same, they belong together. For faces the
        neutral position, which a network predicts for each pixel. None (for both meshes): by shape alone.
    target_V : (k, 3) float array, mm
    target_F : (l, 3) int array; holes and borders are allowed
    target_E : (k, d) float array, or None
    options : RegistrationOptions
    landmarks : (ids (j,), places (j, 3)), template vertices and where they must come to lie
    landmark_weight : pull of a landmark, in numbers of ordinary matches
    weights : (n,) float array, at least 0: how much the matches of each template vertex count; 0 leaves it to the
        membrane
    progress : called with the RegistrationStep of each iteration; returning False ends the loop

    Returns
    -------
    Registration
        vertices, matches, history, converged and reason. `converged` is False when the limit of iterations or the
        callback ended the loop.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, values that are not finite, an index out of range, meshes without triangles,
        embeddings of which one is missing or that differ in dimension, or too few points that correspond.
    SolverError
        If a linear solve fails.

    Notes
    -----
    The energy is that of equation 8 on displacements from the aligned template (on positions, as printed, the membrane
    would shrink it to a point), with the membrane's matrix L^T M^-1 L of the cotangent Laplacian and the mixed Voronoi
    areas: the integral of the squared Laplacian, which smooths over the length (stiffness / matches per area)^(1/4). It
    is minimised by conjugate gradients on all 3 n unknowns, preconditioned by one Cholesky factor of an n x n matrix
    that the three coordinates share.

    With embeddings every target vertex is projected once onto the template's triangles in the embedding's space, and
    reweighted least squares follow: two to five iterations. Target points that fall on the template's border are
    dropped: they show what the template has not. Without embeddings, a similarity is found by closest points both ways,
    the whole shape is bent by polynomials, and then the reach of the membrane shrinks from a fifth of the template to a
    few edges while the pairs are found anew; pairs on borders are dropped. The shapes must overlap within about 25
    degrees, and where a shape is smooth, nothing says where along the surface a point belongs: such parts slide.

    Vertices without matches follow the membrane. Sequential: the same bits whatever the number of threads. The GIL is
    released but for the callback.

    References
    ----------
    Sela, Richardson and Kimmel, 2017, section 4.1 and supplement B.1; Helenbrook, "Mesh deformation using
    the biharmonic operator", 2003; Rusinkiewicz, "A symmetric objective function for ICP", 2019 (the mean
    of both normals).

    Examples
    --------
    >>> x, y = np.meshgrid(np.arange(12.0), np.arange(12.0))
    >>> a = (np.arange(12) + 12 * np.arange(12)[:, None])[:-1, :-1].ravel()
    >>> F = np.concatenate([np.stack([a, a + 1, a + 13], 1), np.stack([a, a + 13, a + 12], 1)])
    >>> V = np.stack([x, y, 0 * x], axis=-1).reshape(-1, 3)
    >>> target = V + np.stack([0 * x, 0 * x, 0.02 * x * y], axis=-1).reshape(-1, 3)
    >>> found = register_nonrigid(V, F, V, target, F, V, RegistrationOptions(alignment="similarity"))
    >>> bool(np.abs(found.vertices - target).mean() < 0.05), found.converged
    (True, True)
    """
    V = check.vertices(template_V, "template_V")
    F = check.faces(template_F, len(V), "template_F")
    target_V = check.vertices(target_V, "target_V")
    target_F = check.faces(target_F, len(target_V), "target_F")
    E, target_E = _embeddings(template_E, target_E, len(V), len(target_V))
    ids, places = _landmarks(landmarks, len(V))
    strength = check.positive(landmark_weight, "landmark_weight")
    weight = np.ones(len(V)) if weights is None else check.float_array(weights, "weights", (len(V),))
    if weight.size and weight.min() < 0:
        raise ValueError(f"weights must be at least 0, got {weight.min()}")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable, got {type(progress).__name__}")

    notify = None if progress is None else lambda step: progress(_step(step))
    pull = np.full(len(ids), strength)
    found = _core.register_nonrigid(
        V, F, E, target_V, target_F, target_E, _core_options(options), ids, places, pull, weight, notify
    )
    history = tuple(_step(step) for step in found.history)
    return Registration(found.V, Matches(found.match, found.kind), history, found.converged, found.reason)


def _embeddings(
    template_E: npt.ArrayLike | None, target_E: npt.ArrayLike | None, n: int, k: int
) -> tuple[FloatArray, FloatArray]:
    if template_E is None and target_E is None:
        return np.zeros((n, 0)), np.zeros((k, 0))
    if template_E is None or target_E is None:
        raise ValueError("template_E and target_E must both be given, or neither")
    E = check.float_array(template_E, "template_E", (n, None))
    if not 1 <= E.shape[1] <= MAX_DIMENSION:
        raise ValueError(f"template_E must have shape (n, d) with d in [1, {MAX_DIMENSION}], got {E.shape}")
    return E, check.float_array(target_E, "target_E", (k, E.shape[1]))


def _landmarks(landmarks: tuple[npt.ArrayLike, npt.ArrayLike] | None, n: int) -> tuple[IntArray, FloatArray]:
    if landmarks is None:
        return np.zeros(0, np.int64), np.zeros((0, 3))
    try:
        ids, places = landmarks
    except (TypeError, ValueError) as error:
        raise ValueError("landmarks must be a pair (ids, places)") from error
    ids = check.index_array(ids, "landmark ids", (None,), n)
    return ids, check.float_array(places, "landmark places", (len(ids), 3))


def _core_options(options: RegistrationOptions) -> _core.RegistrationOptions:
    if not isinstance(options, RegistrationOptions):
        raise TypeError(f"options must be RegistrationOptions, got {type(options).__name__}")
    core = _core.RegistrationOptions()
    matching = check.choice(options.matching, "matching", MATCHINGS)
    core.matching = _core.Matching.surface if matching == "surface" else _core.Matching.vertex
    core.alignment = getattr(_core.StartAlignment, check.choice(options.alignment, "alignment", ALIGNMENTS))
    core.point_weight = check.positive(options.point_weight, "point_weight")
    core.plane_weight = check.positive(options.plane_weight, "plane_weight", zero=True)
    core.stiffness = check.positive(options.stiffness, "stiffness")
    core.least_stiffness = check.positive(options.least_stiffness, "least_stiffness")
    core.stiffness_unit = check.positive(options.stiffness_unit, "stiffness_unit")
    core.reach = check.positive(options.reach, "reach")
    core.least_reach = check.positive(options.least_reach, "least_reach")
    core.reach_decay = check.in_range(options.reach_decay, "reach_decay", 0.1, 0.999)
    core.max_distance = check.positive(options.max_distance, "max_distance", infinite=True)
    core.max_angle = float(np.radians(check.in_range(options.max_angle_deg, "max_angle_deg", 0.0, 180.0)))
    core.motion_tolerance = check.positive(options.motion_tolerance, "motion_tolerance")
    core.inner_tolerance = check.positive(options.inner_tolerance, "inner_tolerance")
    core.switch_matches = check.count(options.switch_matches, "switch_matches")
    core.noise_floor = check.positive(options.noise_floor, "noise_floor")
    core.max_samples = check.count(options.max_samples, "max_samples", 1)
    core.max_iterations = check.count(options.max_iterations, "max_iterations", 1)
    core.solver_tolerance = check.in_range(options.solver_tolerance, "solver_tolerance", 1e-12, 0.5)
    core.seed = check.count(options.seed, "seed")
    return core


def _step(step: _core.RegistrationStep) -> RegistrationStep:
    return RegistrationStep(
        KIND_NAMES[step.kind],
        step.matches,
        step.stiffness,
        step.point_energy,
        step.plane_energy,
        step.membrane_energy,
        step.motion,
        step.solver_iterations,
    )
