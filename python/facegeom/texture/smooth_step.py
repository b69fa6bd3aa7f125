"""A smooth transition between two values, for weights of colours."""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import Float32Array, FloatArray


def smooth_step(values: FloatArray | Float32Array, low: float, high: float) -> FloatArray:
    """Return 0 below `low`, 1 above `high`, and a smooth step between."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(share**2 * (3.0 - 2.0 * share))
