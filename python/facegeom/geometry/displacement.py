"""Fine surface detail from the shading of a photo."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray


def image_high_pass(gray: npt.ArrayLike, sigma: float, *, mask: npt.ArrayLike | None = None) -> FloatArray:
    """Subtract the Gaussian low-pass from a grey image; the result is the fine detail, positive where brighter.

    Parameters
    ----------
    gray : (h, w) float array
        Grey values in any unit, usually from 0 to 1.
    sigma : float, pixels, above 0 and at most 1e6
        Standard deviation of the Gaussian, which is truncated at 4 sigma.
    mask : (h, w) bool array or None
        Pixels to use. Pixels outside the mask do not enter the low-pass, and their result is 0, so that no artificial
        edge appears between face and background.

    Returns
    -------
    (h, w) float array
        In the unit of `gray`; 0 outside the mask.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, or a value that is not finite.

    Notes
    -----
    At the border of the image and of the mask, the remaining kernel weights are rescaled to sum to 1 (normalised
    convolution). A constant image therefore gives 0 everywhere.

    References
    ----------
    FaceVision-GAN, section 4.2.

    Examples
    --------
    >>> image_high_pass([[0.0, 0.0, 1.0, 0.0, 0.0]], 1.0).round(2)
    array([[-0.08, -0.26,  0.6 , -0.26, -0.08]])
    """
    gray = check.float_array(gray, "gray", (None, None))
    sigma = check.in_range(check.positive(sigma, "sigma"), "sigma", 0.0, 1e6)
    used = np.ones(gray.shape) if mask is None else check.bool_array(mask, "mask", gray.shape).astype(np.float64)

    # Subtracting one grey value of the image before the blur makes the result of a constant image exactly 0.
    level = float(gray[used > 0][0]) if used.any() else 0.0
    offset = (gray - level) * used
    weights = _gaussian_blur(used, sigma)
    low = np.divide(_gaussian_blur(offset, sigma), weights, out=np.zeros_like(offset), where=used > 0)
    return (offset - low) * used


def detail_displacement(
    V: npt.ArrayLike,
    F: npt.ArrayLike,
    intensity: npt.ArrayLike,
    *,
    low_pass: str = "heat",
    time_mm2: float = 1.5,
    gain: float = 3.0,
    max_step: float = 0.5,
    weight: npt.ArrayLike | None = None,
    attenuate: bool = True,
) -> FloatArray:
    """Add fine detail: move each vertex along its normal by the high frequencies of the photo; a bright vertex moves
    outward.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array, counter-clockwise from outside
    intensity : (n,) float array
        With low_pass="heat": the grey value of the photo in [0, 1] at each vertex. With "image": the value of
        `image_high_pass` at each vertex, 0 where the photo does not show the vertex.
    low_pass : {"heat", "image"}
        How low and high frequencies are separated: by heat diffusion on the surface (pix2vertex), or in the image
        before this call (FaceVision-GAN).
    time_mm2 : float, mm^2, at least 0; used with "heat"
        Diffusion time. Features smaller than sqrt(2 time_mm2) mm are detail.
    gain : float, mm per unit of intensity, at least 0
        Factor from high-pass intensity to displacement. Neither paper gives a value. With "image" and the default, a
        wrinkle that is darker than its surroundings by 0.05 becomes 0.15 mm deep. From 5 upwards, lashes and teeth
        become visible ridges.
    max_step : float, mm, at least 0
        Upper limit of the displacement. It limits the relief of moles, brows and highlights, whose contrast is not
        caused by relief.
    weight : (n,) float array in [0, 1] or None
        Factor on the displacement of each vertex, for example below 1 near the border and in hair. None: 1 everywhere.
        With "heat", a weight of 0 also marks a vertex as not visible: the intensity of this vertex is ignored.
    attenuate : bool; used with "heat"
        True: less detail where the surface is curved (equation 13). False: equation 12, whose second term moves a
        vertex towards the tangent planes of its neighbours.

    Returns
    -------
    (n, 3) float array
        New positions, mm.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, a value that is not finite, or an index out of range.
    SolverError
        If the linear solve of the diffusion fails.

    Notes
    -----
    The normals are those of `vertex_normals`. A vertex without triangles does not move.

    "heat" is equations 9 to 14 of pix2vertex. mu = tau - (I - dt Laplacian)^-1 tau with the cotangent Laplacian over
    mixed Voronoi areas, so that dt is a squared length and independent of the mesh resolution. The paper gives dt = 0.2
    without a unit; 0.2 mm^2 would keep only features smaller than 0.6 mm, less than a pixel of most photos. Then

        step(v) = eta delta_mu(v) + (1 - eta) delta_s(v),    eta = 0.2,
        delta_mu(v) = weight(v) gain sum_j a_j (mu(v) - mu(j)) (1 - |<v - v_j, n>| / |v - v_j|) / sum_j a_j

    with sums over the one-ring and a_j = exp(-|v - v_j|), lengths in mm. The gain appears in equation 11 of the paper
    and is missing in equation 13; in equation 12 it would also multiply lengths, so here it is applied as in equation
    11. delta_s is half of the step along the normal to the cotangent-weighted mean of the neighbours (one explicit step
    of mean curvature flow); it is 0 on the border. Where a triangle would turn by more than 60 degrees, the steps of
    its corners are halved until the triangle turns by less.

    "image": the paper computes the step from features of the one-ring and gives no formula. Here

        step(v) = gain weight(v) sum_j a_j intensity(j) / sum_j a_j,    a_j = exp(-|v - v_j| / l(v)),

    with sums over v and its one-ring and l(v) the mean length of the edges at v; the step is clipped to max_step. A
    neighbour has about a third of the weight of v itself, so that noise in a single pixel does not become a spike. The
    exponential weight is the weight of equation 4 of the pix2vertex paper, with lengths relative to l(v), so that the
    result does not depend on the unit.

    References
    ----------
    FaceVision-GAN, section 4.2; Sela, Richardson and Kimmel, "Unrestricted facial geometry reconstruction using
    image-to-image translation", 2017, section 4.2 and supplement B.2.

    Examples
    --------
    >>> V, F = [[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]]
    >>> detail_displacement(V, F, [0.1, 0.1, 0.1], low_pass="image", gain=5.0)[0].round(6)
    array([0. , 0. , 0.5])
    """
    V, F = check.mesh(V, F)
    intensity = check.float_array(intensity, "intensity", (len(V),))
    check.choice(low_pass, "low_pass", ("heat", "image"))
    time = check.positive(time_mm2, "time_mm2", zero=True)
    gain = check.positive(gain, "gain", zero=True)
    max_step = check.positive(max_step, "max_step", zero=True)
    attenuate = check.flag(attenuate, "attenuate")
    factor = np.ones(len(V)) if weight is None else check.float_array(weight, "weight", (len(V),))
    if factor.size and not (factor.min() >= 0 and factor.max() <= 1):
        raise ValueError(f"weight must lie in [0, 1], got values in [{factor.min()}, {factor.max()}]")

    if low_pass == "heat":
        return _core.displace_by_shading(V, F, intensity, factor, time, gain, max_step, attenuate)
    return _core.displace_along_normals(V, F, intensity, factor, gain, max_step)


def _gaussian_blur(image: FloatArray, sigma: float) -> FloatArray:
    """Convolve an image (h, w) with a Gaussian truncated at 4 sigma; values outside the image are 0."""
    radius = max(1, round(4 * sigma))
    with np.errstate(over="ignore"):  # of a very small sigma; the weight is then 0
        kernel = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    kernel /= 2 * kernel.sum() - kernel[0]
    for axis in (0, 1):
        length = image.shape[axis]
        blurred = kernel[0] * image
        for shift in range(1, min(radius, length - 1) + 1):
            later = [slice(None), slice(None)]
            earlier = [slice(None), slice(None)]
            later[axis], earlier[axis] = slice(shift, None), slice(None, length - shift)
            blurred[tuple(earlier)] += kernel[shift] * image[tuple(later)]
            blurred[tuple(later)] += kernel[shift] * image[tuple(earlier)]
        image = blurred
    return image
