"""The lids of a person: how far the fit closes them in the blinks of the video, and the weights that this makes.

The contour network and the fit shrink the movement of the lids, differently for each person. People close their eyes
in most blinks, so that the usual height of the blinks in a video is a weight of 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from facegeom._internal.arrays import FloatArray
from facegeom.face_model.blendshapes import ARKIT_NAMES

BLINKS = [ARKIT_NAMES.index(f"eyeBlink{side}") for side in ("Left", "Right")]

LEAST = 0.2
"""Smallest height of a blink above the weight of open eyes."""

LONGEST = 0.5
"""Longest time for which a blink is above half its height, seconds; eyes that are closed for longer do not count."""

USUAL = 0.75
"""Height of the blinks of a person of whom none was seen, and its weight as a number of blinks."""

USUAL_COUNT = 0.5
QUANTILE = 0.8
"""Quantile of the heights that counts as closed: at 30 frames a second many blinks are not seen at their peak."""

MOST_GAIN = 2.5
OPEN_SHARE = 0.02
"""Least share by which a frame moves the weight of open eyes; in the first frames it is their mean."""


@dataclass
class Lids:
    """The lids of a person, as the frames show them.

    Attributes
    ----------
    opened : (2,) float array, weights of the blinks while the eyes are open
    heights : for each blink, its height above these for both eyes
    """

    opened: FloatArray | None = None
    heights: list[FloatArray] = field(default_factory=list)
    _peak: FloatArray | None = None
    _since: float = 0.0
    _frames: int = 1

    def see(self, time: float, blinks: FloatArray) -> None:
        """Add the weights (2,) of a frame, later than that of the last call."""
        if self.opened is None:
            self.opened = blinks.copy()
        above = blinks - self.opened
        if self._peak is None:
            if above.mean() >= LEAST:
                self._peak, self._since = above, time
            else:
                self._frames += 1
                self.opened = self.opened + max(OPEN_SHARE, 1.0 / self._frames) * above
            return
        self._peak = np.maximum(self._peak, above)
        if above.mean() < 0.5 * self._peak.mean():
            if time - self._since <= LONGEST:
                self.heights.append(self._peak)
            self._peak = None
        elif time - self._since > 4 * LONGEST:  # narrow eyes, which are open
            self.opened, self._peak = blinks.copy(), None

    def weights(self, blinks: FloatArray) -> FloatArray:
        """Return the weights (..., 2) of lids that close completely in blinks, for those of fits (..., 2)."""
        if self.opened is None:
            return blinks
        seen = np.quantile(self.heights, QUANTILE, axis=0) if self.heights else np.full(2, USUAL)
        count = len(self.heights)
        usual = np.maximum(USUAL - self.opened, LEAST)
        height = (count * seen + USUAL_COUNT * usual) / (count + USUAL_COUNT)
        gain = np.clip((1.0 - self.opened) / height, 1.0, MOST_GAIN)
        above = np.maximum(blinks - self.opened, 0.0)
        return np.asarray(np.where(above > 0, np.minimum(self.opened + gain * above, np.maximum(blinks, 1.0)), blinks))
