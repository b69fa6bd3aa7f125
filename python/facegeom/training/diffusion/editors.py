"""The two ways in which a photo of a head is changed: DDIM inversion with a latent diffusion model, and Pix2Pix."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, Float32Array
from facegeom.face_model import FaceModel, load_face_model
from facegeom.networks.diffusion.latent_diffusion import (
    Condition,
    DiffusionConfig,
    LatentDiffusion,
    load_diffusion,
)
from facegeom.networks.pix2pix import Pix2Pix, load_pix2pix
from facegeom.networks.weights import has_config
from facegeom.training.diffusion.conditions import HeadMaps
from facegeom.training.diffusion.edits import KINDS, Edit
from facegeom.training.diffusion.head_photos import HeadCrop


@dataclass(frozen=True)
class SamplingOptions:
    """How a latent diffusion model draws images."""

    steps: int = 20  # steps of DDIM, also of its inversion
    guidance: float = 2.0  # weight of the condition, see `LatentDiffusion.sample`
    eta: float = 0.0  # share of random noise in each step, in [0, 1]

    def __post_init__(self) -> None:
        check.count(self.steps, "steps", 2, 1000)
        check.positive(self.guidance, "guidance", zero=True)
        check.in_range(self.eta, "eta", 0.0, 1.0)


class Editor(Protocol):
    """A network that changes photos of heads.

    Attributes
    ----------
    method : name of the method, as it is written into the files
    size : side of the photos in pixels
    kinds : changes that the network can make
    """

    method: str
    size: int
    kinds: tuple[str, ...]

    def edit(self, crop: HeadCrop, attributes: Float32Array, edits: Sequence[Edit], seed: int) -> list[ByteArray]:
        """Return the changed photos (S, S, 3), one for each of `edits`.

        Parameters
        ----------
        crop : HeadCrop with `size` pixels
        attributes : (a,) float array of the photo
        edits : changes, all of `kinds`
        seed : of the noise, if there is any
        """


class DiffusionEditor:
    """Changes photos by DDIM: noise is found from which the photo is made, and an image is made of it that is changed.

    Another person ("person") is made of new noise. See `Editor`.
    """

    method = "latent diffusion"
    kinds: tuple[str, ...] = KINDS

    def __init__(self, diffusion: LatentDiffusion, model: FaceModel, options: SamplingOptions) -> None:
        self.diffusion, self.options = diffusion, options
        self.maps, self.size = HeadMaps(model), diffusion.size

    def condition(self, edits: Sequence[Edit]) -> Condition:
        """Return the condition of changed photos."""
        maps = np.stack([self.maps.reduced(edit.fit, self.size) for edit in edits])
        return Condition(maps, np.stack([edit.attributes for edit in edits]))

    def edit(self, crop: HeadCrop, attributes: Float32Array, edits: Sequence[Edit], seed: int) -> list[ByteArray]:
        """Return the changed photos; see `Editor.edit`."""
        o, diffusion = self.options, self.diffusion
        fresh = diffusion.noise([zlib.crc32(f"{seed} {number}".encode()) for number in range(len(edits))])
        if any(edit.kind != "person" for edit in edits):
            same = self.condition([Edit("photo", crop.fit, attributes)])
            own = diffusion.invert(crop.image[None], same, steps=o.steps)[0]
            fresh = torch.stack([fresh[n] if edit.kind == "person" else own for n, edit in enumerate(edits)])
        made = diffusion.sample(self.condition(edits), fresh, steps=o.steps, guidance=o.guidance, eta=o.eta, seed=seed)
        return list(made)


class Pix2PixEditor:
    """Changes photos by Pix2Pix; see `Editor`."""

    method = "pix2pix"
    kinds: tuple[str, ...] = tuple(kind for kind in KINDS if kind != "person")

    def __init__(self, network: Pix2Pix, model: FaceModel) -> None:
        self.network, self.maps, self.size = network, HeadMaps(model), network.size

    def edit(self, crop: HeadCrop, attributes: Float32Array, edits: Sequence[Edit], seed: int) -> list[ByteArray]:
        """Return the changed photos; see `Editor.edit`."""
        maps = np.stack([self.maps.full(edit.fit, self.size) for edit in edits])
        photos = np.repeat(crop.image[None], len(edits), 0)
        return list(self.network.predict(photos, maps, np.stack([edit.attributes for edit in edits])))


def load_editor(path: str | os.PathLike[str], options: SamplingOptions, device: str = "cpu") -> Editor:
    """Load a weight file of `facegeom train diffusion` or `facegeom train pix2pix`.

    Raises
    ------
    WeightsError
        If the file is missing or damaged, or belongs to another network.
    """
    model = load_face_model()
    if has_config(path, DiffusionConfig) or not os.path.isfile(path):
        return DiffusionEditor(load_diffusion(path, device), model, options)
    return Pix2PixEditor(load_pix2pix(path, device), model)
