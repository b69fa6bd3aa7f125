"""Encoding of a mesh whose blendshapes and rotation are animated, as a GLB file."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pygltflib

from facegeom._internal.arrays import FloatArray
from facegeom.mesh import gltf
from facegeom.mesh.mesh_arrays import MeshArrays


@dataclass(frozen=True, eq=False)
class Animation:
    """Keys of an animation, between which is interpolated linearly, for rotations along great circles.

    Attributes
    ----------
    name : name of the animation
    weight_times : (k,) float array, seconds, increasing, not negative
    weights : (k, s) float array, weights of the s blendshapes of the mesh in their order
    rotation_times : (r,) float array, seconds, as above
    rotations : (r, 4) float array, unit quaternions w x y z of the rotation of the mesh about its neck joint
    """

    name: str
    weight_times: FloatArray
    weights: FloatArray
    rotation_times: FloatArray
    rotations: FloatArray


def encode_animated(mesh: MeshArrays, animation: Animation) -> bytes:
    """Encode a mesh with an animation as a GLB file; return its bytes.

    The file is that of `facegeom.mesh.gltf.encode` with an animation: one channel for the rotation of the node of the
    head, and one for the weights of each node with a mesh, which have their keys in common. The initial weights are
    those of the first key.
    """
    first = dict(zip(mesh.blendshapes, animation.weights[0].tolist(), strict=True))
    tree, buffer = gltf.tree(replace(mesh, weights=first))
    if mesh.texture is not None:
        gltf.add_texture(tree, mesh.texture, buffer)
    samplers = [
        (buffer.keys(animation.rotation_times, bounds=True), buffer.keys(animation.rotations[:, [1, 2, 3, 0]])),
        (buffer.keys(animation.weight_times, bounds=True), buffer.keys(animation.weights.ravel())),
    ]
    tree.animations = [
        pygltflib.Animation(
            name=animation.name,
            samplers=[
                pygltflib.AnimationSampler(input=times, output=values, interpolation=pygltflib.ANIM_LINEAR)
                for times, values in samplers
            ],
            channels=[
                _channel(0, 0, "rotation"),
                *(_channel(1, number, "weights") for number, node in enumerate(tree.nodes) if node.mesh is not None),
            ],
        )
    ]
    return gltf.finished(tree, buffer)


def _channel(sampler: int, node: int, path: str) -> pygltflib.AnimationChannel:
    return pygltflib.AnimationChannel(sampler=sampler, target=pygltflib.AnimationChannelTarget(node=node, path=path))
