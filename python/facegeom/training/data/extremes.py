"""Photos with closed or wide open eyes, or a wide open mouth: they are rare, so that samples choose them more often."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facegeom._internal.arrays import IntArray
from facegeom.measures.openings import Openings

EXTREME_SHARE = 0.04
"""Share of the photos that have the smallest, and the largest, opening of the eyes, and the largest of the mouth."""


def extreme_photos(openings: Sequence[Openings]) -> IntArray:
    """Return the photos with extreme openings of eyes or mouth.

    Parameters
    ----------
    openings : sequence of Openings, one for each photo

    Returns
    -------
    (e,) int array
        Indices of these photos.
    """
    values = np.asarray(openings, dtype=np.float64)
    eyes, mouth = values[:, :2].mean(1), values[:, 2]
    low, high = np.quantile(eyes, (EXTREME_SHARE, 1 - EXTREME_SHARE))
    return np.flatnonzero((eyes <= low) | (eyes >= high) | (mouth >= np.quantile(mouth, 1 - EXTREME_SHARE)))
