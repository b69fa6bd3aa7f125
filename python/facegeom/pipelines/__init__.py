"""From a photo to the stages of a mesh: one module for each published method, and the table of them.

Importing this package loads none of the pipelines, and neither OpenCV nor torch.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from facegeom.pipelines.interface import Pipeline


@dataclass(frozen=True)
class PipelineEntry:
    """A row of the table of pipelines."""

    module: str  # imported when the pipeline is first used
    heads: bool  # whether it can complete a head
    template: bool  # whether its meshes have the face model's topology without a head, too

    def load(self) -> Pipeline:
        """Return the module, whose `predict` and `run` are the pipeline."""
        return cast("Pipeline", importlib.import_module(self.module))


PIPELINES = {
    "pix2vertex": PipelineEntry("facegeom.pipelines.pix2vertex", heads=True, template=True),
    "facevision": PipelineEntry("facegeom.pipelines.facevision", heads=False, template=False),
    "pixel2mesh": PipelineEntry("facegeom.pipelines.pixel2mesh", heads=True, template=False),
    "gcn_igan": PipelineEntry("facegeom.pipelines.gcn_igan", heads=True, template=False),
}
"""The pipelines by name; the first is the default."""

DEFAULT_PIPELINE = next(iter(PIPELINES))
