"""What Pixel2Mesh and GCN-IGAN have in common: four blocks deform the semi-sphere by what vertices read of a photo.

A block is given the features under each vertex, its position, the hidden features of the block before, whence the
camera looks and, but for the finest level, learned features of the vertex's own; it gives displacements and hidden
features. Between blocks the mesh is refined, positions and hidden features alike.

Of the finest mesh, what is not the mean face is smoothed. Faces differ smoothly; a network that is not sure where a
surface lies is told by the chamfer distance to crumple it, since the nearest of many vertices counts. At the outline,
whose neighbours all lie to one side, this takes a little from the difference too; with an outline that is smoothed by
itself the trained networks are 0.07 and 0.04 mm farther from the truth (60 validation photos). The mean face's own
detail, which its coarser meshes lack, is added as an offset of each vertex: else these are seen as facets.

The semi-sphere is first placed: turned, scaled and shifted to where the face is. Blocks are given positions in the
semi-sphere's own frame, and give displacements in it. The papers have all in the camera's frame, where a network of
sums and rectified units must learn the same face anew at every angle.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from facegeom._internal import check
from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray
from facegeom.networks.facevision import channels_last, crops_as_batch
from facegeom.networks.graph import Deformation, Graph, VertexCodes, pool_features, unpoolings
from facegeom.networks.semi_sphere import mean_face, semi_sphere

LANDMARKS = 68

SMOOTHING = 45
"""Steps, each halfway to the mean of the neighbours, of what is not the mean face. From 10 to 60, on 60 validation
photos, pixel2mesh gains 0.02 mm of chamfer distance and gcn_igan loses 0.02; waves from mouth to jaw, which are plain
with 10, are gone or faint."""


class Placement(NamedTuple):
    """Where the semi-sphere is put, for b crops: a similarity from its own frame to the crop frame.

    Attributes
    ----------
    rotation : (b, 3, 3)
    scale : (b, 1)
    shift : (b, 3)
    """

    rotation: Tensor
    scale: Tensor
    shift: Tensor

    def turned(self, vectors: Tensor) -> Tensor:
        """Return vectors (n, b, 3) of the own frame in the crop frame."""
        return self.scale * _combined(vectors, self.rotation.transpose(1, 2))

    def to_crop(self, position: Tensor) -> Tensor:
        """Return positions (n, b, 3) in the crop frame."""
        return self.turned(position) + self.shift

    def to_own(self, position: Tensor) -> Tensor:
        """Return positions (n, b, 3) of the crop frame in the own frame."""
        return _combined(position - self.shift, self.rotation) / self.scale

    @property
    def view(self) -> Tensor:
        """Where the camera is, as a unit vector (b, 3) of the own frame."""
        return self.rotation[:, 2]


def _combined(vectors: Tensor, rows: Tensor) -> Tensor:
    """Return vectors (n, b, 3) times matrices (b, 3, 3), in their own precision also where products are autocast."""
    x, y, z = vectors.split(1, -1)
    return x * rows[:, 0] + y * rows[:, 1] + z * rows[:, 2]


def unplaced(image: Tensor) -> Placement:
    """Return the placement that leaves the semi-sphere where it is, for crops (b, 3, S, S)."""
    count, device = len(image), image.device
    turn = torch.eye(3, device=device).expand(count, 3, 3)
    return Placement(turn, torch.ones(count, 1, device=device), torch.zeros(count, 3, device=device))


class SemiSphereNetwork(nn.Module):
    """Deforms the semi-sphere to meshes of 141, 492, 1,824 and 7,008 vertices.

    Parameters
    ----------
    pooled : channels that vertices read
    widths : of the hidden features of each block
    codes : learned features of each vertex of all levels but the finest
    adaptive : whether places of new vertices are learned
    """

    start: Tensor  # (141, 1, 3)
    mean: Tensor  # (7008, 1, 3), the mean face in the own frame
    offsets: Tensor  # (7008, 1, 3), of the finest vertices own frame: the mean face's detail, more in gcn_igan's file
    encoder: nn.Module
    blocks: nn.ModuleList
    size: int  # side of the crops, pixels
    needs_landmarks: bool

    def __init__(self, pooled: int, widths: Sequence[int], codes: int, *, adaptive: bool) -> None:
        super().__init__()
        sphere = semi_sphere()
        self.register_buffer("start", _as_row(sphere.vertices), persistent=False)
        self.graphs = nn.ModuleList(Graph(level.edges, level.count) for level in sphere.levels)
        self.unpoolings = unpoolings(sphere.levels, adaptive)
        self.codes = nn.ModuleList(VertexCodes(level.count, codes) for level in sphere.levels[:-1])
        mean = mean_face()
        self.register_buffer("mean", _as_row(mean), persistent=False)
        self.register_buffer("offsets", _as_row(mean - mean[sphere.levels[-1].parents].mean(axis=1)))
        before = (0, *widths[:-1])
        named = (*[codes] * len(self.codes), 0)
        self.inputs = [pooled + 3 + hidden + own + 3 for hidden, own in zip(before, named, strict=True)]

    def look(self, image: Tensor, landmarks: Tensor | None) -> tuple[Tensor, Placement]:
        """Return the map (b, pooled, h, w) that vertices read from, and where the semi-sphere begins."""
        raise NotImplementedError

    def read(self, features: Tensor, position: Tensor) -> Tensor:
        """Return what vertices at positions (n, b, 3) read of the map, (n, b, pooled)."""
        return pool_features([features], position)

    def displace(self, level: int, inputs: Tensor, landmarks: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what a block makes of its inputs (n, b, c): displacements (n, b, 3) and hidden features.

        Displacements and landmarks (b, 68, 3) are in the semi-sphere's own frame.
        """
        raise NotImplementedError

    def forward(self, image: Tensor, landmarks: Tensor | None = None) -> list[Deformation]:
        """Return the four deformations.

        Parameters
        ----------
        image : (b, 3, S, S), in [-1, 1]
        landmarks : (b, 68, 3) in the crop frame; a network that needs none does not look at them
        """
        return self.deform_placed(*self.look(image, landmarks), landmarks)

    def deform_placed(
        self, features: Tensor, placement: Placement, landmarks: Tensor | None = None
    ) -> list[Deformation]:
        """Return the four deformations of semi-spheres that are placed, by what is to be read; see `forward`."""
        own = None if landmarks is None else placement.to_own(landmarks.transpose(0, 1)).transpose(0, 1)
        deformations: list[Deformation] = []
        position, hidden = placement.to_crop(self.start.expand(-1, len(features), -1)), None
        for level in range(len(self.blocks)):
            if level:
                position, hidden = self.unpool(level, position, hidden)
            after, hidden = self.deform(level, features, placement, position, hidden, own)
            deformations.append(Deformation(position, after))
            position = after
        return deformations

    def unpool(self, level: int, position: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return positions and hidden features of a level, from those of the one before."""
        unpooling = self.unpoolings[level - 1]
        return unpooling(position), None if hidden is None else unpooling(hidden)

    def deform(
        self,
        level: int,
        features: Tensor,
        placement: Placement,
        position: Tensor,
        hidden: Tensor | None,
        landmarks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the positions (n, b, 3) after a block, and its hidden features (n, b, width).

        Positions are in the crop frame; landmarks (b, 68, 3) in the semi-sphere's own.
        """
        read, own = self.read(features, position), placement.to_own(position)
        finest = level == len(self.codes)
        parts = [read, own] + ([] if hidden is None else [hidden])
        parts += [] if finest else [self.codes[level](read)]
        parts.append(placement.view.expand(len(position), -1, -1))
        inputs = torch.cat([part.to(read.dtype) for part in parts], -1)
        displacement, hidden = self.displace(level, inputs, landmarks)
        if not finest:
            return position + placement.turned(displacement), hidden
        different = own + displacement + self.offsets - self.mean
        graph = cast("Graph", self.graphs[level])
        return placement.to_crop(self.mean + graph.smoothed(different, SMOOTHING)), hidden


def _as_row(V: FloatArray) -> Tensor:
    """Return vertices (n, 3) as those of one mesh, (n, 1, 3) float32."""
    return torch.from_numpy(V[:, None].astype(np.float32))


def fold_batch_norms(module: nn.Module) -> None:
    """Fold each batch normalisation into the convolution before it, of a module that is no longer trained."""
    for child in module.modules():
        if isinstance(child, nn.Sequential):
            for place, (layer, after) in enumerate(itertools.pairwise(list(child))):
                if isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                    child[place], child[place + 1] = fuse_conv_bn_eval(layer, after), nn.Identity()


class SemiSpherePredictor:
    """A trained network, ready to look at crops; see `MeshNetwork`."""

    def __init__(self, name: str, network: SemiSphereNetwork, device: str = "cpu") -> None:
        self.name = name
        self.device = torch.device(device)
        self.network = network.eval().requires_grad_(False).to(self.device)
        fold_batch_norms(self.network.encoder)
        channels_last(self.network.encoder)
        self.size, self.needs_landmarks = network.size, network.needs_landmarks

    def predict(self, crops: ByteArray, landmarks: npt.NDArray[np.floating] | None = None) -> list[Float32Array]:
        """Return the mesh after each deformation, four of (b, n, 3), in the crop frame; see `MeshNetwork.predict`."""
        image = crops_as_batch(crops, self.size, self.device)
        given = None
        if self.needs_landmarks:
            if landmarks is None:
                raise ValueError(f"{self.name} needs landmarks")
            checked = check.float_array(landmarks, "landmarks", (len(crops), LANDMARKS, 3))
            given = torch.from_numpy(checked.astype(np.float32)).to(self.device)
        elif landmarks is not None:
            raise ValueError(f"{self.name} takes no landmarks")
        with torch.inference_mode():
            deformations = self.network(image, given)
        return [deformation.after.transpose(0, 1).contiguous().cpu().numpy() for deformation in deformations]
