"""Smoothing of curves over time: of a whole video, and live.

Noise is small and in every frame; movements are large and rare. The smoother of whole videos therefore takes the second
differences of a curve as draws from Student's t distribution with one degree of freedom, whose tails are heavy: at rest
the curve is smoothed over about half a second, and a blink or a syllable is left as it is. It uses the frames before
and after each frame alike and has no lag.

References
----------
Aravkin, Burke, Pillonetto (2014), "Robust and trend-following Student's t Kalman smoothers", SIAM Journal on Control
and Optimization 52(5).
Casiez, Roussel, Vogel (2012), "1 Euro filter: a simple speed-based low-pass filter for noisy input in interactive
systems", CHI 2012.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from facegeom._internal import check
from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom._internal.threads import one_thread

REFERENCE = 1.0 / 30.0
"""Interval of frames for which the options of the smoother hold, seconds; they are converted to other intervals."""


@dataclass(frozen=True)
class SmoothOptions:
    """Options of the smoother; chosen on synthetic videos of validation portraits, see `facegeom evaluate track`."""

    rest: float = 0.5  # scale of second differences at rest / standard deviation of the noise
    iterations: int = 12  # number of reweighted least-squares problems
    quantile: float = 0.3  # quantile of absolute second differences from which the noise is estimated


@one_thread()
def smooth(
    times: npt.ArrayLike,
    values: npt.ArrayLike,
    seen: npt.ArrayLike | None = None,
    *,
    groups: bool = False,
    noise: tuple[float, float] = (1e-4, np.inf),
    options: SmoothOptions = SmoothOptions(),
) -> FloatArray:
    """Return smoothed curves.

    Parameters
    ----------
    times : (n,) float array, seconds, increasing
    values : (n, c) float array, c curves
    seen : (n,) bool array, optional
        False for frames whose values do not count; the result there is interpolated. By default all count.
    groups : True: all columns are one curve in c dimensions, whose weights are common
    noise : smallest and largest standard deviation of the noise; between them it is estimated from the curve, whose
        movements would be taken for noise if it never rests
    options : SmoothOptions

    Returns
    -------
    (n, c) float array

    Raises
    ------
    ValueError, TypeError
        If the shapes differ, the times do not increase, or no frame counts.

    Notes
    -----
    The result minimises the sum over frames of ((y - x) / sigma)^2 plus the sum of (1 + d) log(1 + |x''|^2 / s^2),
    where x'' is the second difference for an interval of `REFERENCE`, d the dimension of the curve, sigma the noise,
    and s is `rest` times sigma. It is found by reweighted least squares from x = y, each time with a pentadiagonal
    matrix. The time is proportional to n.
    """
    t = check.float_array(times, "times", (None,))
    y = check.float_array(values, "values", (len(t), None))
    if (np.diff(t) <= 0).any():
        raise ValueError("times must increase")
    counted = np.ones(len(t), bool) if seen is None else check.bool_array(seen, "seen", (len(t),))
    if not counted.any():
        raise ValueError("seen must have at least one True value")
    filled = np.column_stack([np.interp(t, t[counted], y[counted, i]) for i in range(y.shape[1])])
    if len(t) < 3:
        return filled
    sigma = _noise(t[counted], y[counted], groups, noise, options)
    left, middle, right = _second_difference(t)
    step = np.minimum(0.5 * (t[2:] - t[:-2]), 4 * REFERENCE) / REFERENCE
    scale = options.rest * sigma
    dimension = y.shape[1] if groups else 1
    x = filled.copy()
    for _ in range(options.iterations):
        bend = left[:, None] * x[:-2] + middle[:, None] * x[1:-1] + right[:, None] * x[2:]
        size = (bend**2).sum(axis=1, keepdims=True) if groups else bend**2
        weight = step[:, None] * (1.0 + dimension) * sigma**2 / (scale**2 + size)
        x = _solve(counted, filled, np.broadcast_to(weight, bend.shape), (left, middle, right))
    return x


def smooth_rotations(
    times: npt.ArrayLike,
    rotations: npt.ArrayLike,
    seen: npt.ArrayLike | None = None,
    *,
    noise: tuple[float, float] = (1e-4, np.inf),
    options: SmoothOptions = SmoothOptions(),
) -> FloatArray:
    """Return smoothed rotations (n, 3, 3), as `smooth` for curves.

    The unit quaternions of the rotations are smoothed as one curve in four dimensions, then normalised. For rotations
    that are not far apart, this is the mean in the chordal metric, and it does not depend on the axes.
    """
    count = len(check.float_array(times, "times", (None,)))
    R = check.float_array(rotations, "rotations", (count, 3, 3))
    counted = np.ones(count, bool) if seen is None else check.bool_array(seen, "seen", (count,))
    q = np.tile([1.0, 0.0, 0.0, 0.0], (count, 1))
    q[counted] = unwrapped(quaternions(R[counted]))
    found = smooth(times, q, counted, groups=True, noise=noise, options=options)
    return rotation_matrices(found / np.linalg.norm(found, axis=1, keepdims=True))


def _noise(
    t: FloatArray, y: FloatArray, groups: bool, noise: tuple[float, float], options: SmoothOptions
) -> FloatArray:
    """Return the standard deviation of the noise of each curve, (1, c) or (1, 1), from the frames at rest."""
    if len(y) < 3:
        return np.full((1, 1 if groups else y.shape[1]), noise[0])
    factors = np.stack(_second_difference(t))
    factors /= np.linalg.norm(factors, axis=0)  # noise of independent values then has its own size
    left, middle, right = factors[:, :, None]
    bend = left * y[:-2] + middle * y[1:-1] + right * y[2:]
    size = np.sqrt((bend**2).mean(axis=1, keepdims=True)) if groups else np.abs(bend)
    draws = np.random.default_rng(0).normal(size=(4000, y.shape[1] if groups else 1))
    unit = np.quantile(np.sqrt((draws**2).mean(axis=1)), options.quantile)
    return np.asarray(np.clip(np.quantile(size, options.quantile, axis=0, keepdims=True) / unit, *noise))


def _second_difference(t: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the factors (n - 2,) of three values in the second difference for an interval of `REFERENCE`."""
    before, after = t[1:-1] - t[:-2], t[2:] - t[1:-1]
    both = 0.5 * (before + after)
    left, right = REFERENCE**2 / (before * both), REFERENCE**2 / (after * both)
    return left, -(left + right), right


def _solve(
    counted: BoolArray, y: FloatArray, weight: FloatArray, factors: tuple[FloatArray, FloatArray, FloatArray]
) -> FloatArray:
    """Return x (n, c) that minimises sum counted (y - x)^2 + sum weight (second difference of x)^2.

    The matrix is symmetric and has five diagonals; it is factorised as L D L^T for all curves at a time.
    """
    left, middle, right = (factor[:, None] for factor in factors)
    n, c = y.shape
    diagonal = np.repeat(counted.astype(np.float64)[:, None], c, axis=1) + 1e-9
    diagonal[:-2] += weight * left**2
    diagonal[1:-1] += weight * middle**2
    diagonal[2:] += weight * right**2
    first, second = np.zeros((n, c)), np.zeros((n, c))  # entries (i, i + 1) and (i, i + 2)
    first[:-2] += weight * left * middle
    first[1:-1] += weight * middle * right
    second[:-2] = weight * left * right
    x = y * (counted[:, None] + 1e-9)
    for i in range(n):
        if i > 0:
            diagonal[i] -= first[i - 1] ** 2 * diagonal[i - 1]
            first[i] -= first[i - 1] * diagonal[i - 1] * second[i - 1]
            x[i] -= first[i - 1] * x[i - 1]
        if i > 1:
            diagonal[i] -= second[i - 2] ** 2 * diagonal[i - 2]
            x[i] -= second[i - 2] * x[i - 2]
        first[i] /= diagonal[i]
        second[i] /= diagonal[i]
    x /= diagonal
    for i in range(n - 2, -1, -1):
        x[i] -= first[i] * x[i + 1]
        if i + 2 < n:
            x[i] -= second[i] * x[i + 2]
    return x


def quaternions(rotations: FloatArray) -> FloatArray:
    """Return unit quaternions (n, 4), w x y z, of rotations (n, 3, 3); w is at least 0."""
    R = np.asarray(rotations, np.float64)
    trace = np.einsum("nii->n", R)
    # K has the quaternion as the eigenvector of its largest eigenvalue (Bar-Itzhack 2000).
    K = np.empty((len(R), 4, 4))
    K[:, 1:, 1:] = R + R.transpose(0, 2, 1) - trace[:, None, None] * np.eye(3)
    K[:, 0, 0] = trace
    K[:, 0, 1:] = K[:, 1:, 0] = np.stack(
        [R[:, 2, 1] - R[:, 1, 2], R[:, 0, 2] - R[:, 2, 0], R[:, 1, 0] - R[:, 0, 1]], axis=1
    )
    q = np.linalg.eigh(K)[1][:, :, -1]
    return np.asarray(q * np.where(q[:, :1] < 0, -1.0, 1.0))


def unwrapped(q: FloatArray) -> FloatArray:
    """Return quaternions (n, 4) with the signs that make neighbours near each other; q and -q are one rotation."""
    if not len(q):
        return q
    turned = np.where((q[1:] * q[:-1]).sum(axis=1) < 0, -1.0, 1.0)
    return np.asarray(q * np.concatenate([[1.0], np.cumprod(turned)])[:, None])


def rotation_matrices(q: FloatArray) -> FloatArray:
    """Return the rotations (n, 3, 3) of unit quaternions (n, 4), w x y z."""
    w, x, y, z = np.moveaxis(np.asarray(q, np.float64), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), (0, 1), (-2, -1))


@dataclass(frozen=True)
class OneEuroOptions:
    """Options of the One Euro filter."""

    cutoff_hz: float  # cut-off frequency at rest
    speed: float  # rise of the cut-off frequency in Hz for a speed of one unit a second
    speed_cutoff_hz: float = 1.0  # cut-off frequency of the speed, as in the paper


class OneEuro:
    """The One Euro filter: a low-pass filter of first order whose cut-off frequency rises with the speed.

    Parameters
    ----------
    options : OneEuroOptions
    rotation : True: the values are unit quaternions (4,), which are smoothed along great circles with one speed for
        all components, in radians a second; False: values (c,) with a speed of their own
    """

    def __init__(self, options: OneEuroOptions, *, rotation: bool = False) -> None:
        self.options, self.rotation = options, rotation
        self.reset()

    def reset(self) -> None:
        """Forget the past, as at a cut."""
        self._time = 0.0
        self._value: FloatArray | None = None
        self._raw: FloatArray | None = None
        self._speed: FloatArray | float = 0.0

    def __call__(self, time: float, value: FloatArray) -> FloatArray:
        """Return the filtered value at a time, seconds, later than that of the last call."""
        value = np.asarray(value, np.float64)
        if self._value is None or self._raw is None:
            self._time, self._value, self._raw = time, value, value
            self._speed = 0.0 if self.rotation else np.zeros_like(value)
            return value
        interval = max(time - self._time, 1e-6)
        if self.rotation and float(value @ self._value) < 0:
            value = -value
        if self.rotation:
            moved: FloatArray | float = 2.0 * float(np.arccos(np.clip(abs(value @ self._raw), 0.0, 1.0)))
        else:
            moved = value - self._raw
        share = _share(self.options.speed_cutoff_hz, interval)
        self._speed = share * (moved / interval) + (1.0 - share) * self._speed
        part = _share(self.options.cutoff_hz + self.options.speed * np.abs(self._speed), interval)
        mixed = part * value + (1.0 - part) * self._value
        if self.rotation:
            mixed = mixed / np.linalg.norm(mixed)
        self._time, self._raw, self._value = time, value, np.asarray(mixed)
        return self._value


def _share(cutoff_hz: FloatArray | float, interval: float) -> FloatArray | float:
    """Return the share of a new value in a low-pass filter of first order."""
    return 1.0 / (1.0 + 1.0 / (2.0 * np.pi * cutoff_hz * interval))
