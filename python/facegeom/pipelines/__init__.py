"""The pipelines from a photo to a mesh: one module for each published method, and the table of all pipelines.

The import of this package loads no pipeline, and neither OpenCV nor torch.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from facegeom.pipelines.interface import Pipeline


@dataclass(frozen=True)
class PipelineEntry:
    """A row of the table of pipelines."""

    module: str  # name of the module, which is imported at the first use of the pipeline
    heads: bool  # True: the pipeline can complete a face to a head
    template: bool  # True: the meshes have the face model's topology, with and without a head

    def load(self) -> Pipeline:
        """Import and return the module whose functions `predict` and `run` implement the pipeline."""
        return cast("Pipeline", importlib.import_module(self.module))


PIPELINES = {
    "pix2vertex": PipelineEntry("facegeom.pipelines.pix2vertex", heads=True, template=True),
    "facevision": PipelineEntry("facegeom.pipelines.facevision", heads=False, template=False),
    "pixel2mesh": PipelineEntry("facegeom.pipelines.pixel2mesh", heads=True, template=False),
    "gcn_igan": PipelineEntry("facegeom.pipelines.gcn_igan", heads=True, template=False),
}
"""The pipelines by name; the first pipeline is the default."""

DEFAULT_PIPELINE = next(iter(PIPELINES))

EXPRESSIONS = ("weights", "baked")
"""How files with blendshapes can store the expression of the photo."""

EYEWEAR = ("keep", "remove")
"""What can happen to glasses in the photo."""

DENOISE: dict[str, Literal["auto", True, False]] = {"auto": "auto", "on": True, "off": False}
"""When noise is removed: the words of the command line, and the values of the argument `denoise`."""
