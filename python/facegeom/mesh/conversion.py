"""Conversion of face meshes to the mesh types of other libraries."""

from __future__ import annotations

from typing import Any

import numpy as np

from facegeom.errors import FacegeomError
from facegeom.mesh.mesh_arrays import MeshArrays


def to_trimesh(mesh: MeshArrays) -> Any:
    """Return the mesh as a `trimesh.Trimesh` in millimetres, with its texture or its colours.

    Notes
    -----
    trimesh stores one texture coordinate per vertex. Vertices on the cuts of the atlas are therefore duplicated; the
    duplicates come after all original vertices. Blendshapes are not converted: the result has all weights at 0.
    """
    import trimesh

    if mesh.texture is None or mesh.uv is None:
        result = trimesh.Trimesh(mesh.vertices.copy(), mesh.faces.copy(), process=False)
        if mesh.colors is not None:
            alpha = np.full((len(mesh.colors), 1), 255, np.uint8)
            result.visual = trimesh.visual.ColorVisuals(result, vertex_colors=np.hstack([mesh.colors, alpha]))
        return result
    from PIL import Image

    source, uv, faces = mesh.unrolled()
    result = trimesh.Trimesh(mesh.vertices[source], faces, process=False)
    material = trimesh.visual.material.SimpleMaterial(image=Image.fromarray(mesh.texture))
    result.visual = trimesh.visual.TextureVisuals(uv=uv, material=material)
    return result


def to_open3d(mesh: MeshArrays) -> Any:
    """Return the mesh as an `open3d.geometry.TriangleMesh` in millimetres, with its texture or its colours.

    Raises
    ------
    FacegeomError
        If open3d is not installed or cannot be imported.

    Notes
    -----
    Blendshapes are not converted: the result has all weights at 0.
    """
    try:
        import open3d
    except (ImportError, OSError) as error:  # OSError: a shared library (libusb, libGL) is missing
        raise FacegeomError(
            f"to_open3d needs open3d, which cannot be imported ({error}): pip install 'facegeom[open3d]'"
        ) from error
    result = open3d.geometry.TriangleMesh(
        # Vector3dVector does not accept read-only arrays.
        open3d.utility.Vector3dVector(mesh.vertices.copy()),
        open3d.utility.Vector3iVector(mesh.faces.astype(np.int32)),
    )
    if mesh.texture is not None and mesh.uv is not None:
        result.triangle_uvs = open3d.utility.Vector2dVector(mesh.uv[mesh.uv_faces].reshape(-1, 2))
        # Open3D places the first row of an image at v = 0: it reverses the rows of the files that it reads.
        result.textures = [open3d.geometry.Image(np.ascontiguousarray(mesh.texture[::-1]))]
        result.triangle_material_ids = open3d.utility.IntVector(np.zeros(len(mesh.faces), np.int32))
    elif mesh.colors is not None:
        result.vertex_colors = open3d.utility.Vector3dVector(mesh.colors / 255.0)
    return result
