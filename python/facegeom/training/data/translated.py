"""Synthetic faces whose images went through a translator: renders with exact labels that look more like photos."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from facegeom.networks.translator import load_translator, translate_images
from facegeom.training.data.renderer import Sample
from facegeom.training.data.samples import SyntheticSource, image_tensor


class TranslatedFaces:
    """A source of synthetic faces behind a translator; the labels stay as they are.

    Parameters
    ----------
    source : the synthetic faces
    path : weight file of `facegeom train translate`
    """

    def __init__(self, source: SyntheticSource, path: str | os.PathLike[str]) -> None:
        self.source, self.translator = source, load_translator(path)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Sample, np.ndarray]:
        """Draw one face, as the source does, and translate its image."""
        sample, eyes = self.source(rng, size)
        shown = (
            translate_images(self.translator, image_tensor(sample.image)[None])[0].permute(1, 2, 0).contiguous().numpy()
        )
        return replace(sample, image=shown), eyes
