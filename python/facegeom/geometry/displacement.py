"""Fine detail from the shading of a photograph."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from facegeom import _core
from facegeom._internal import check
from facegeom._internal.arrays import FloatArray


def image_high_pass(gray: npt.ArrayLike, sigma: float, *, mask: npt.ArrayLike | None = None) -> FloatArray:
    """Gray image minus its Gaussian low-pass: the fine detail of section 4.2 of the FaceVision-GAN paper.

    Parameters
    ----------
    gray : (h, w) float array
        Gray values in any unit, usually 0 to 1.
    sigma : float, pixels, above 0
        Standard deviation of the Gaussian; it is cut off at four of them.
    mask : (h, w) bool array or None
        Pixels to use. The others neither enter the low-pass nor get a value other than zero, so that the edge between
        face and background leaves no rim.

    Returns
    -------
    (h, w) float array
        In the unit of `gray`; zero outside the mask.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, or a value that is not finite.

    Notes
    -----
    Beyond the image and the mask the kernel's remaining weights are scaled up to one (normalised convolution), so a
    constant image gives zero up to the border.

    Examples
    --------
    >>> image_high_pass([[0.0, 0.0, 1.0, 0.0, 0.0]], 1.0).round(2)
    array([[-0.08, -0.26,  0.6 , -0.26, -0.08]])
    """
    gray = check.float_array(gray, "gray", (None, None))
    sigma = check.positive(sigma, "sigma")
    used = np.ones(gray.shape) if mask is None else check.bool_array(mask, "mask", gray.shape).astype(np.float64)

    # Blurring differences to one gray value of the image keeps a constant image exactly at zero.
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
    """Add fine detail: move each vertex along its normal by the high frequencies of the photo around it.

    Parameters
    ----------
    V : (n, 3) float array, mm
    F : (m, 3) int array, counter-clockwise from outside
    intensity : (n,) float array
        With "heat": the photo's gray value in [0, 1] where each vertex falls. With "image": the value of
        `image_high_pass` there, zero where the photo does not show it.
    low_pass : {"heat", "image"}
        How low frequencies are told from high ones: by diffusion over the surface (pix2vertex), or in the image before
        this call (FaceVision-GAN).
    time_mm2 : float, at least 0, with "heat"
        Time of the diffusion: detail is what is finer than sqrt(2 time_mm2) mm.
    gain : float, mm per unit of intensity, at least 0
        Neither paper gives a value. With "image" a wrinkle darker than its surroundings by 0.05 becomes 0.15 mm deep by
        the default; at 5 and more, lashes and teeth stand out as ridges.
    max_step : float, mm, at least 0
        No vertex moves farther. Keeps moles, brows and highlights, whose contrast is not relief, in bounds.
    weight : (n,) float array in [0, 1] or None
        Factor on each vertex's detail, to fade it out (towards the border, in hair); None: one everywhere. With "heat"
        zero also means that the vertex is not seen: its intensity counts nowhere.
    attenuate : bool, with "heat"
        True: less detail where the surface is curved (equation 13). False: equation 12, whose second term draws a
        vertex into the planes of its neighbours.

    Returns
    -------
    (n, 3) float array
        New positions, bright outward and dark inward.

    Raises
    ------
    ValueError, TypeError
        On a wrong shape, dtype or option, a value that is not finite, or an index out of range.
    SolverError
        If the diffusion's linear solve fails.

    Notes
    -----
    Normals are those of `vertex_normals`; a vertex without triangles stays.

    "heat": equations 9 to 14 of pix2vertex. mu = tau - (I - dt Laplacian)^-1 tau with the cotangent Laplacian over the
    mixed Voronoi areas, so that dt is a squared length and does not depend on the mesh. The paper's dt = 0.2 has no
    unit; as 0.2 mm^2 it would keep only what is finer than 0.6 mm, less than a pixel of most photos. Then

        step(v) = eta delta_mu(v) + (1 - eta) delta_s(v),    eta = 0.2,
        delta_mu(v) = weight(v) gain sum_j a_j (mu(v) - mu(j)) (1 - |<v - v_j, n>| / |v - v_j|) / sum_j a_j

    over the one-ring, a_j = exp(-|v - v_j|) with lengths in mm; gain stands in equation 11 and is left out of 13. In
    equation 12 it would multiply lengths as well: here it has the place of equation 11. delta_s is half the way along
    the normal to the cotangent-weighted mean of the neighbours, one explicit step of fairing; zero on borders. Where a
    triangle would turn by more than 60 degrees, the steps of its corners are halved until it does not.

    "image": the paper takes the step from the features of the vertices of the one-ring and gives no formula. Here

        step(v) = gain weight(v) sum_j a_j intensity(j) / sum_j a_j,    a_j = exp(-|v - v_j| / l(v)),

    over j = v and its one-ring, with l(v) the mean length of the edges at v, clipped to max_step: a mean in which a
    neighbour counts about a third of the vertex itself, so that the noise of a single pixel does not become a spike.
    The exponential weight is that of equation 4 of the pix2vertex paper with the length made relative to the mesh, so
    that the result does not depend on the unit.

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
    """Convolve with a Gaussian cut off at four sigma, taking zero beyond the border."""
    radius = max(1, round(4 * sigma))
    kernel = np.exp(-0.5 * (np.arange(radius + 1) / sigma) ** 2)
    kernel /= 2 * kernel.sum() - kernel[0]
    for axis in (0, 1):
        length = image.shape[axis]
        blurred = kernel[0] * image
        for shift in range(1, min(radius, length - 1) + 1):
            ahead = [slice(None), slice(None)]
            behind = [slice(None), slice(None)]
            ahead[axis], behind[axis] = slice(shift, None), slice(None, length - shift)
            blurred[tuple(behind)] += kernel[shift] * image[tuple(ahead)]
            blurred[tuple(ahead)] += kernel[shift] * image[tuple(behind)]
        image = blurred
    return image
