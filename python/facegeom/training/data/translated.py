"""Synthetic faces whose images are translated by a network to resemble photos; the labels stay exact."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np

from facegeom.networks.translator import load_translator, translate_images
from facegeom.training.data.renderer import Sample
from facegeom.training.data.samples import SyntheticSource, image_tensor


class TranslatedFaces:
    """Source of synthetic faces with translated images and unchanged labels.

    Parameters
    ----------
    source : SyntheticSource
        Source of the synthetic faces before translation.
    path : str or path
        Weight file written by `facegeom train translate`.
    """

    def __init__(self, source: SyntheticSource, path: str | os.PathLike[str]) -> None:
        self.source, self.translator = source, load_translator(path)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Sample, np.ndarray]:
        """Draw one face from the source and translate its image.

        Parameters
        ----------
        rng : Generator
            Random number generator.
        size : int
            Side length S of the square sample in pixels.

        Returns
        -------
        sample : Sample
        eyes : (2, 2) float array, pixels
            Centres of the right and the left eye.
        """
        sample, eyes = self.source(rng, size)
        shown = (
            translate_images(self.translator, image_tensor(sample.image)[None])[0].permute(1, 2, 0).contiguous().numpy()
        )
        return replace(sample, image=shown), eyes
