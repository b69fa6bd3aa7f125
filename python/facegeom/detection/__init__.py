"""Detection of the faces in a photo: boxes with scores."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Detector: TypeAlias = Literal["yunet", "mtcnn"]
"""Name of a detector."""

DETECTORS: tuple[Detector, ...] = get_args(Detector)
"""Names of the detectors; the first one is the default."""
