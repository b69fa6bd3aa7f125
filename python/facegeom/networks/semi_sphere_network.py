"""The common part of Pixel2Mesh and GCN-IGAN: four blocks deform the semi-sphere with image features at its vertices.

The input of a block for each vertex consists of the image features at the projection of the vertex, the position, the
hidden features of the previous block, the direction to the camera and, except on the finest level, learned features of
the vertex. The output consists of displacements and hidden features. Between two blocks the mesh is refined; positions
and hidden features are interpolated.

On the finest level, the difference from the mean face is smoothed. Differences between faces are smooth, but the
chamfer distance only compares nearest vertices, so a network with large errors may fold and crumple the surface. At the
outline, where all neighbours are on one side, the smoothing also shrinks the difference a little. Smoothing the outline
along itself instead increases the error of the trained networks by 0.07 and 0.04 mm (60 validation photos). The detail
of the mean face, which the coarser levels cannot represent, is added as an offset of each vertex; otherwise the
triangles of the coarser levels would be visible as facets.

The semi-sphere is first placed: rotated, scaled and translated to the face. Positions and displacements of the blocks
are in the semi-sphere's frame. In the papers they are in the camera frame, where a network of sums and rectified units
would have to learn each face separately for every rotation.
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

from facegeom._internal.arrays import ByteArray, Float32Array, FloatArray
from facegeom._internal.threads import one_thread
from facegeom.networks.facevision import channels_last, crops_to_tensor
from facegeom.networks.graph import Deformation, Graph, VertexCodes, pool_features, unpoolings
from facegeom.networks.interface import check_mesh_input
from facegeom.networks.semi_sphere import mean_face, semi_sphere

SMOOTHING = 45
"""Number of smoothing steps of the difference from the mean face; see `Graph.smoothed`. With 60 steps instead of 10, on
60 validation photos, the chamfer distance of pixel2mesh improves by 0.02 mm and that of gcn_igan worsens by 0.02 mm.
Waves between mouth and jaw, which are clearly visible with 10 steps, disappear or become faint."""


class SemiSpherePlacement(NamedTuple):
    """The placement of the semi-sphere for b crops: a similarity from the semi-sphere's frame to the crop frame.

    Attributes
    ----------
    rotation : (b, 3, 3)
    scale : (b, 1)
    shift : (b, 3)
    """

    rotation: Tensor
    scale: Tensor
    shift: Tensor

    def vectors_to_crop(self, vectors: Tensor) -> Tensor:
        """Rotate and scale vectors (n, b, 3) from the semi-sphere's frame to the crop frame."""
        return self.scale * _multiply_rows(vectors, self.rotation.transpose(1, 2))

    def to_crop(self, position: Tensor) -> Tensor:
        """Transform positions (n, b, 3) from the semi-sphere's frame to the crop frame."""
        return self.vectors_to_crop(position) + self.shift

    def to_sphere(self, position: Tensor) -> Tensor:
        """Transform positions (n, b, 3) from the crop frame to the semi-sphere's frame."""
        return _multiply_rows(position - self.shift, self.rotation) / self.scale

    @property
    def view_direction(self) -> Tensor:
        """The direction to the camera, a unit vector (b, 3) in the semi-sphere's frame."""
        return self.rotation[:, 2]


def _multiply_rows(vectors: Tensor, rows: Tensor) -> Tensor:
    """Multiply vectors (n, b, 3) by matrices (b, 3, 3), in the precision of the inputs also under autocast."""
    x, y, z = vectors.split(1, -1)
    return x * rows[:, 0] + y * rows[:, 1] + z * rows[:, 2]


def identity_placement(image: Tensor) -> SemiSpherePlacement:
    """Return the identity placement for crops (b, 3, S, S)."""
    count, device = len(image), image.device
    turn = torch.eye(3, device=device).expand(count, 3, 3)
    return SemiSpherePlacement(turn, torch.ones(count, 1, device=device), torch.zeros(count, 3, device=device))


class SemiSphereNetwork(nn.Module):
    """Deforms the semi-sphere to meshes of 141, 492, 1,824 and 7,008 vertices; the base class of both networks.

    Parameters
    ----------
    pooled : int, channels of the image features at a vertex
    widths : sequence of four int, channels of the hidden features of each block
    codes : int, number of learned features per vertex, at all levels except the finest
    adaptive : bool, whether the positions of new vertices on their edges are learned
    """

    start: Tensor  # (141, 1, 3), vertices of the semi-sphere in its own frame
    mean: Tensor  # (7008, 1, 3), the mean face in the semi-sphere's frame
    offsets: Tensor  # (7008, 1, 3), semi-sphere's frame: the mean face's detail; gcn_igan's weights add a correction
    encoder: nn.Module
    blocks: nn.ModuleList
    size: int  # side length of the crops in pixels
    needs_landmarks: bool

    def __init__(self, pooled: int, widths: Sequence[int], codes: int, *, adaptive: bool) -> None:
        super().__init__()
        sphere = semi_sphere()
        self.register_buffer("start", _as_single_mesh(sphere.vertices), persistent=False)
        self.graphs = nn.ModuleList(Graph(level.edges, level.count) for level in sphere.levels)
        self.unpoolings = unpoolings(sphere.levels, adaptive)
        self.codes = nn.ModuleList(VertexCodes(level.count, codes) for level in sphere.levels[:-1])
        mean = mean_face()
        self.register_buffer("mean", _as_single_mesh(mean), persistent=False)
        self.register_buffer("offsets", _as_single_mesh(mean - mean[sphere.levels[-1].parents].mean(axis=1)))
        before = (0, *widths[:-1])
        learned = (*[codes] * len(self.codes), 0)
        self.inputs = [pooled + 3 + hidden + own + 3 for hidden, own in zip(before, learned, strict=True)]

    def encode_image(self, image: Tensor, landmarks: Tensor | None) -> tuple[Tensor, SemiSpherePlacement]:
        """Return the feature map (b, pooled, h, w) that vertices sample, and the placement of the semi-sphere."""
        raise NotImplementedError

    def sample_features(self, features: Tensor, position: Tensor) -> Tensor:
        """Return the features (n, b, pooled) of the feature map at vertices (n, b, 3) in the crop frame."""
        return pool_features([features], position)

    def displace(self, level: int, inputs: Tensor, landmarks: Tensor | None) -> tuple[Tensor, Tensor]:
        """Apply a block to its inputs (n, b, c); return displacements (n, b, 3) and hidden features.

        Displacements and landmarks (b, 68, 3) are in the semi-sphere's frame.
        """
        raise NotImplementedError

    def forward(self, image: Tensor, landmarks: Tensor | None = None) -> list[Deformation]:
        """Deform the semi-sphere; return the deformations of the four blocks.

        Parameters
        ----------
        image : (b, 3, S, S), in [-1, 1]
        landmarks : (b, 68, 3) in the crop frame; ignored by a network that needs none
        """
        return self.deform_placed(*self.encode_image(image, landmarks), landmarks)

    def deform_placed(
        self, features: Tensor, placement: SemiSpherePlacement, landmarks: Tensor | None = None
    ) -> list[Deformation]:
        """Return the four deformations of placed semi-spheres, given the feature map; see `forward`."""
        own = None if landmarks is None else placement.to_sphere(landmarks.transpose(0, 1)).transpose(0, 1)
        deformations: list[Deformation] = []
        position, hidden = placement.to_crop(self.start.expand(-1, features.shape[0], -1)), None
        for level in range(len(self.blocks)):
            if level:
                position, hidden = self.unpool(level, position, hidden)
            after, hidden = self.deform(level, features, placement, position, hidden, own)
            deformations.append(Deformation(position, after))
            position = after
        return deformations

    def unpool(self, level: int, position: Tensor, hidden: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return positions and hidden features (or None) at the vertices of `level`, interpolated from the previous
        level.
        """
        unpooling = self.unpoolings[level - 1]
        return unpooling(position), None if hidden is None else unpooling(hidden)

    def deform(
        self,
        level: int,
        features: Tensor,
        placement: SemiSpherePlacement,
        position: Tensor,
        hidden: Tensor | None,
        landmarks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the positions (n, b, 3) after a block, and its hidden features (n, b, width).

        Positions are in the crop frame, landmarks (b, 68, 3) in the semi-sphere's frame.
        """
        sampled, own = self.sample_features(features, position), placement.to_sphere(position)
        finest = level == len(self.codes)
        parts = [sampled, own] + ([] if hidden is None else [hidden])
        parts += [] if finest else [self.codes[level](sampled)]
        parts.append(placement.view_direction.expand(len(position), -1, -1))
        inputs = torch.cat([part.to(sampled.dtype) for part in parts], -1)
        displacement, hidden = self.displace(level, inputs, landmarks)
        if not finest:
            return position + placement.vectors_to_crop(displacement), hidden
        difference = own + displacement + self.offsets - self.mean
        graph = cast("Graph", self.graphs[level])
        return placement.to_crop(self.mean + graph.smoothed(difference, SMOOTHING)), hidden


def _as_single_mesh(V: FloatArray) -> Tensor:
    """Return vertices (n, 3) as a float32 tensor (n, 1, 3), a batch of one mesh."""
    return torch.from_numpy(V[:, None].astype(np.float32))


def fold_batch_norms(module: nn.Module) -> None:
    """Fold each batch normalisation into the preceding convolution, in a module that is no longer trained."""
    for child in module.modules():
        if isinstance(child, nn.Sequential):
            for place, (layer, after) in enumerate(itertools.pairwise(list(child))):
                if isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                    child[place], child[place + 1] = fuse_conv_bn_eval(layer, after), nn.Identity()


class SemiSpherePredictor:
    """A trained network, ready to predict meshes from crops; see `MeshNetwork`."""

    def __init__(self, name: str, network: SemiSphereNetwork, device: str = "cpu") -> None:
        self.name = name
        self.device = torch.device(device)
        self.network = network.eval().requires_grad_(False).to(self.device)
        fold_batch_norms(self.network.encoder)
        channels_last(self.network.encoder)
        self.size, self.needs_landmarks = network.size, network.needs_landmarks

    @one_thread()
    def predict(self, crops: ByteArray, landmarks: npt.NDArray[np.floating] | None = None) -> list[Float32Array]:
        """Return the mesh after each deformation, four arrays (b, n, 3), crop frame; see `MeshNetwork.predict`."""
        checked = check_mesh_input(self, crops, landmarks)
        image = crops_to_tensor(crops, self.size, self.device)
        given = None if checked is None else torch.from_numpy(checked).to(self.device)
        with torch.inference_mode():
            deformations = self.network(image, given)
        return [deformation.after.transpose(0, 1).contiguous().cpu().numpy() for deformation in deformations]
