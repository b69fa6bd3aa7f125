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
MATCH_KINDS = ("none", "embedding", "physical")


@dataclass(frozen=True)
class RegistrationOptions:
    """Options of `register_nonrigid`; `paper()` returns the exact settings of pix2vertex.

    The defaults differ from the paper (Sela et al., 2017) as follows. The effect of each difference was measured on
    three ICT faces with maps of 256 x 256 pixels (bench/bench_registration.py):

    - Target vertices are matched with points on the template's triangles. The paper matches template vertices with
      target vertices. Points on triangles give five times as many matches, and no match is rounded to a pixel.
    - Matches are weighted by a Geman-McClure weight and by the inverse of the noise along and across the surface, not
      accepted or rejected at 1 mm and 5 degrees. The noise is estimated from the difference between each displacement
      and the displacements of the neighbouring points. One stiffness is then suitable for clean and for noisy maps; the
      paper reduces the stiffness from 1e8 in steps.
    - Lengths are fractions of the template's diagonal or of its mean edge length, so that the options do not depend on
      the unit or the resolution of the template.
    - Triangles that the deformation has folded over are flattened.
    """

    matching: str = "surface"
    """Algorithm. "surface": points on one surface are matched with points on the other surface. "vertex": vertices are
    matched with vertices, as in the paper."""
    alignment: str = "affine"
    """Alignment before the deformation; "none": the template is already aligned. Without embeddings, "affine" is a
    similarity followed by a deformation of the whole shape with polynomials of degree 1 to 3; if the target covers only
    a part of the template, "rigid" is more accurate (for a partly visible face, the mean error is 2.1 mm instead of 5.1
    mm)."""
    point_weight: float = 0.1
    """Weight of the squared point-to-point distances (paper: 0.1). Not used with "surface" and embeddings, where the
    estimated noise gives the weights."""
    plane_weight: float = 1.0
    """Weight of the squared point-to-plane distances (paper: 1). Not used with "surface" and embeddings."""
    stiffness: float = 10.0
    """Weight of the thin-plate energy (the paper's membrane term). With "surface" and embeddings: weight of the
    integral of the squared Laplacian of the displacement, relative to residuals divided by their noise (no unit).
    With "vertex": the initial weight, in units of `stiffness_unit` (paper: 1e8). With "surface" and no embeddings:
    not used, see `reach`."""
    least_stiffness: float = 1e6
    """With "vertex": final stiffness. The stiffness is halved repeatedly; the iteration ends when it is below this
    value (paper: 1e6)."""
    stiffness_unit: float = 1e-6
    """With "vertex": unit of the stiffness, in mm^2. The paper states no unit. In square micrometres (the training
    faces of the paper come from the Basel model, which is in micrometres), a stiffness of 1e8 to 1e6 smooths over
    lengths of about 5 to 1.6 mm. In mm^2, the template would be too stiff to fit an open jaw."""
    reach: float = 0.2
    """Without embeddings: initial smoothing length of the thin-plate energy, as a fraction of the template's
    diagonal."""
    least_reach: float = 0.03
    """Without embeddings: final smoothing length, as a fraction of the template's diagonal."""
    reach_decay: float = 0.88
    """Without embeddings: ratio of the smoothing lengths of two successive iterations."""
    max_distance: float = np.inf
    """Maximum distance between the two points of a match, in mm (paper: 1). Not used with "surface" and embeddings,
    where robust weights replace the limit."""
    max_angle_deg: float = 60.0
    """Maximum angle between the two normals of a match, in degrees (paper: 5, which accepts matches on only a tenth to
    a third of a face)."""
    motion_tolerance: float = 1e-3
    """Maximum root mean square motion of the vertices in a converged iteration: with "surface" as a fraction of the
    mean edge length of the aligned template, with "vertex" in mm (paper: 0.1). The paper's limit cannot be the norm
    over all vertices, which stays at 4 to 5 mm: matches near the limit of 5 degrees alternate between accepted and
    rejected and move each vertex by 0.05 mm."""
    inner_tolerance: float = 0.01
    """With "vertex": maximum 2-norm of the change of all vertices at which the inner iteration ends, in mm (paper:
    0.01)."""
    switch_matches: int = 500
    """With "vertex": minimum change of the number of matches. After a smaller change, all later iterations match the
    nearest points in space instead of the nearest points in the embedding (paper: 500, for meshes of about 50,000
    vertices; with a template of 6,706 vertices the change happens after one or two iterations)."""
    noise_floor: float = 0.05
    """Lower limit of the estimated noise, as a fraction of the mean edge length of the aligned template."""
    max_samples: int = 40_000
    """With "surface": number of target vertices after subsampling. A target with at least twice as many vertices is
    subsampled to about this number; without embeddings, to this number or to twice the number of template vertices,
    whichever is smaller."""
    max_iterations: int = 60
    """Maximum number of outer iterations."""
    solver_tolerance: float = 1e-3
    """Relative residual at which the conjugate gradient solver stops."""
    seed: int = 0
    """With "vertex": seed of the random samples of the RANSAC alignment."""

    @classmethod
    def paper(cls) -> RegistrationOptions:
        """Return the options of Sela et al., 2017, supplement B.1."""
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
    """Statistics of one outer iteration.

    Attributes
    ----------
    kind : "embedding" or "physical": the space in which the matches were found
    matches : number of matches
    stiffness : weight of the thin-plate energy; with "surface" and no embeddings, the smoothing length `reach`
    point_energy : weighted sum of squared point-to-point distances, mm^2
    plane_energy : weighted sum of squared point-to-plane distances, mm^2
    thin_plate_energy : the integral of the squared Laplacian of the displacement, no unit
    motion : root mean square motion of the vertices, mm
    solver_iterations : number of conjugate gradient iterations
    """

    kind: str
    matches: int
    stiffness: float
    point_energy: float
    plane_energy: float
    thin_plate_energy: float
    motion: float
    solver_iterations: int


class Matches(NamedTuple):
    """The target vertex that each template vertex was matched with in the last iteration.

    Attributes
    ----------
    target : (n,) int64 array, index of the target vertex, -1 for none
    kind : (n,) int32 array: 0 no match, 1 match in the embedding space, 2 match in physical space
    """

    target: IntArray
    kind: npt.NDArray[np.int32]


class Registration(NamedTuple):
    """Result of `register_nonrigid`.

    Attributes
    ----------
    vertices : (n, 3) float array, mm, the deformed template
    matches : Matches
    history : tuple of RegistrationStep, one for each outer iteration
    converged : bool, True if the iteration converged before `max_iterations`, was not ended by the callback, and every
        landmark ended within a twentieth of the template's diagonal of its position
    reason : str, why the iteration ended, or how far a landmark is from its position
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
    """Deform a template mesh to fit a target mesh (non-rigid registration).

    Parameters
    ----------
    template_V : (n, 3) float array, mm
    template_F : (m, 3) int array
    template_E : (n, d) float array, d from 1 to 8, or None
        Embedding: a template point and a target point with equal embeddings correspond. The embedding of a face is the
        position on the neutral mean face, which a network predicts for each pixel. None (for both meshes): registration
        by shape alone.
    target_V : (k, 3) float array, mm
    target_F : (l, 3) int array; holes and borders are allowed
    target_E : (k, d) float array, embedding of the target, or None
    options : RegistrationOptions
    landmarks : (ids, positions) or None
        Template vertices (j,) and their target positions (j, 3), mm; an empty sequence is the same as None. With three
        or more and no embeddings, the registration starts from the similarity that maps the vertices to the positions
        (a rigid motion if `alignment` is "rigid").
    landmark_weight : float, weight of a landmark relative to an ordinary match
    weights : (n,) float array, at least 0, or None
        Weight of the matches of each template vertex. A vertex with weight 0 has no matches and is moved only by the
        thin-plate energy. None: all weights are 1.
    progress : callable or None
        Called with the RegistrationStep of each iteration; returning False ends the registration.

    Returns
    -------
    Registration
        The deformed vertices, matches, history, and why the iteration ended. `converged` is False if `max_iterations`
        or the callback ended the registration, or if a landmark ended farther from its position than a twentieth of the
        template's diagonal.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option; values that are not finite; an index out of range; meshes without triangles;
        only one embedding, or embeddings of different dimensions; a landmark that is in no triangle; too few
        corresponding points; or normals that are opposed, because the triangles have opposite winding or the meshes are
        turned by more than 90 degrees.
    SolverError
        If a linear solve fails.

    Notes
    -----
    The energy is equation 8 of the paper. The last term of the energy is applied to the displacements from the aligned
    template; applied to the positions, as printed, it would shrink the template to a point. The paper calls this term a
    membrane, but it is a thin-plate energy, the integral of the squared Laplacian: its matrix is L^T M^-1 L with the
    cotangent Laplacian L and the mixed Voronoi areas M. The term smooths over the length (stiffness / matches per
    area)^(1/4). The energy is minimised by conjugate gradients on all 3 n unknowns, preconditioned by one Cholesky
    factor of an n x n matrix for all three coordinates.

    With embeddings, every target vertex is projected once onto the template's triangles in the embedding space; then
    two to five iterations of reweighted least squares follow. Target points that project onto the template's border are
    rejected, because they may lie outside the template.

    Without embeddings, a similarity is found from the closest points in both directions, the whole shape is deformed by
    polynomials, and then the smoothing length decreases from a fifth of the template's diagonal to a few edges while
    the matches are updated. Matches on borders are rejected. The initial orientations must agree within about 25
    degrees, unless three landmarks give the orientation. If the sizes of the meshes differ by more than a factor of 3,
    as in other units, the similarity starts from equal sizes. In smooth, featureless regions the shape does not
    determine the tangential position of a point, so the template may slide there.

    Vertices without matches are moved by the thin-plate energy alone. Vertices at exactly the same position (a file
    without shared vertices, such as STL, or a seam of texture coordinates) are welded for the computation and move as
    one, so that the surface is not torn; the largest of their weights counts. Vertices that are in no triangle have no
    influence, and follow the alignment. The computation is sequential: the result is
    bit-identical for any number of threads. The GIL is released except during the callback.

    References
    ----------
    Sela, Richardson and Kimmel, 2017, section 4.1 and supplement B.1; Helenbrook, "Mesh deformation using the
    biharmonic operator", 2003; Rusinkiewicz, "A symmetric objective function for ICP", 2019 (the mean of both normals).

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
    ids, positions = _landmarks(landmarks, len(V))
    landmark_weight = check.positive(landmark_weight, "landmark_weight")
    weight = np.ones(len(V)) if weights is None else check.float_array(weights, "weights", (len(V),))
    if weight.size and weight.min() < 0:
        raise ValueError(f"weights must be at least 0, got {weight.min()}")
    if progress is not None and not callable(progress):
        raise TypeError(f"progress must be callable, got {type(progress).__name__}")

    notify = None if progress is None else lambda step: progress(_step(step))
    landmark_weights = np.full(len(ids), landmark_weight)
    found = _core.register_nonrigid(
        V, F, E, target_V, target_F, target_E, _core_options(options), ids, positions, landmark_weights, weight, notify
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
    E = check.points(template_E, "template_E", n)
    return E, check.float_array(target_E, "target_E", (k, E.shape[1]))


def _landmarks(landmarks: tuple[npt.ArrayLike, npt.ArrayLike] | None, n: int) -> tuple[IntArray, FloatArray]:
    if landmarks is None or (isinstance(landmarks, (list, tuple)) and len(landmarks) == 0):
        return np.zeros(0, np.int64), np.zeros((0, 3))
    try:
        ids, positions = landmarks
    except (TypeError, ValueError) as error:
        raise ValueError("landmarks must be a pair (ids, positions)") from error
    if np.size(ids) == 0 and np.size(positions) == 0:
        return np.zeros(0, np.int64), np.zeros((0, 3))
    ids = check.index_array(ids, "landmark ids", (None,), n)
    return ids, check.float_array(positions, "landmark positions", (len(ids), 3))


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
    core.seed = check.count(options.seed, "seed", most=2**64 - 1)
    return core


def _step(step: _core.RegistrationStep) -> RegistrationStep:
    return RegistrationStep(
        MATCH_KINDS[step.kind],
        step.matches,
        step.stiffness,
        step.point_energy,
        step.plane_energy,
        step.thin_plate_energy,
        step.motion,
        step.solver_iterations,
    )
