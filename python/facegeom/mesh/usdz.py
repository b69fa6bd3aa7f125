"""Encoding of face meshes as USDZ, with the libraries of Universal Scene Description (extra `usd`).

References
----------
Pixar: UsdSkel, blend shapes. Pixar: Usdz file format specification, version 1.3.
"""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from facegeom._internal.arrays import ByteArray
from facegeom.errors import FacegeomError
from facegeom.mesh.gltf import EYE_IOR, EYE_ROUGHNESS, SKIN_ROUGHNESS, linear_rgb, unit_normals
from facegeom.mesh.gltf_buffer import MM_PER_METRE
from facegeom.mesh.mesh_arrays import MeshArrays
from facegeom.mesh.parts import EYES, Part, neck_joint, split

ALIGNMENT = 64
"""Multiple of bytes at which each file in a USDZ package begins."""

LEAST_DISPLACEMENT_MM = 0.01
"""Largest displacement in mm that a blend shape omits."""

SCENE, TEXTURE = "scene.usdc", "texture.png"
"""Names of the files in the package."""

JOINT = "head"
"""Name of the only joint: blend shapes of USD need a skeleton."""


def encode_usdz(mesh: MeshArrays) -> bytes:
    """Encode a mesh as a USDZ package in metres, y up; return its bytes.

    Parameters
    ----------
    mesh : MeshArrays

    Raises
    ------
    FacegeomError
        If usd-core is not installed.

    Notes
    -----
    The skin and each eyeball are meshes below one `SkelRoot`. Vertices are those of the mesh, texture coordinates
    belong to corners of triangles, so that the cuts of the atlas do not cut the mesh. Blendshapes are blend shapes of
    UsdSkel; a mesh has those that move it. Their weights are in a `SkelAnimation`.
    """
    pxr = _pxr()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / SCENE
        stage = pxr.Usd.Stage.CreateNew(str(path))
        _write_scene(pxr, stage, mesh)
        stage.GetRootLayer().Save()
        del stage
        files = {SCENE: path.read_bytes()}
    if mesh.texture is not None:
        files[TEXTURE] = _png(mesh.texture)
    return package(files)


def package(files: dict[str, bytes]) -> bytes:
    """Return a USDZ package: an archive without compression whose files begin at multiples of `ALIGNMENT` bytes."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            start = content.tell() + 30 + len(name.encode())  # length of the header of an entry
            room = -start % ALIGNMENT
            room += ALIGNMENT if 0 < room < 4 else 0  # an extra field begins with two numbers of two bytes
            if room:
                entry.extra = b"\x86\x19" + (room - 4).to_bytes(2, "little") + bytes(room - 4)
            archive.writestr(entry, data)
    return content.getvalue()


def _write_scene(pxr: Any, stage: Any, mesh: MeshArrays) -> None:
    """Write the prims of a mesh to a stage."""
    usd, geom, skel, gf, vt = pxr.Usd, pxr.UsdGeom, pxr.UsdSkel, pxr.Gf, pxr.Vt
    geom.SetStageUpAxis(stage, geom.Tokens.y)
    geom.SetStageMetersPerUnit(stage, 1.0)
    root = skel.Root.Define(stage, "/head")
    stage.SetDefaultPrim(root.GetPrim())
    usd.ModelAPI(root.GetPrim()).SetKind("component")
    names = list(mesh.blendshapes)
    skeleton = skel.Skeleton.Define(stage, "/head/skeleton")
    identity = vt.Matrix4dArray([gf.Matrix4d(1.0)])
    skeleton.CreateJointsAttr(vt.TokenArray([JOINT]))
    skeleton.CreateBindTransformsAttr(identity)
    skeleton.CreateRestTransformsAttr(identity)
    if names:
        animation = skel.Animation.Define(stage, "/head/expression")
        animation.CreateBlendShapesAttr(vt.TokenArray(names))
        animation.CreateBlendShapeWeightsAttr(vt.FloatArray([float(mesh.weights.get(name, 0.0)) for name in names]))
        binding = skel.BindingAPI.Apply(skeleton.GetPrim())
        binding.CreateAnimationSourceRel().SetTargets([animation.GetPath()])
    normals = unit_normals(mesh.vertices, mesh.faces)
    rows = np.arange(len(mesh.vertices))
    for part in split(mesh, rows, mesh.faces, neck_joint(mesh)):
        prim = geom.Mesh.Define(stage, f"/head/{part.name}")
        places = (mesh.vertices[part.rows] / MM_PER_METRE).astype(np.float32)
        prim.CreatePointsAttr(vt.Vec3fArray.FromNumpy(places))
        prim.CreateFaceVertexCountsAttr(vt.IntArray.FromNumpy(np.full(len(part.faces), 3, np.int32)))
        prim.CreateFaceVertexIndicesAttr(vt.IntArray.FromNumpy(part.faces.ravel().astype(np.int32)))
        prim.CreateNormalsAttr(vt.Vec3fArray.FromNumpy(normals[part.rows].astype(np.float32)))
        prim.SetNormalsInterpolation(geom.Tokens.vertex)
        prim.CreateSubdivisionSchemeAttr(geom.Tokens.none)
        prim.CreateDoubleSidedAttr(True)
        bounds = np.array([places.min(axis=0), places.max(axis=0)]) if len(places) else np.zeros((2, 3), np.float32)
        prim.CreateExtentAttr(vt.Vec3fArray.FromNumpy(bounds.astype(np.float32)))
        _add_look(pxr, stage, prim, mesh, part)
        binding = skel.BindingAPI.Apply(prim.GetPrim())
        binding.CreateSkeletonRel().SetTargets([skeleton.GetPath()])
        binding.CreateJointIndicesPrimvar(True, 1).Set(vt.IntArray([0]))
        binding.CreateJointWeightsPrimvar(True, 1).Set(vt.FloatArray([1.0]))
        binding.CreateGeomBindTransformAttr(gf.Matrix4d(1.0))
        moving = [name for name in names if (np.abs(mesh.blendshapes[name][part.rows]) > LEAST_DISPLACEMENT_MM).any()]
        targets = []
        for name in moving:
            shape = skel.BlendShape.Define(stage, f"/head/{part.name}/{name}")
            moved = mesh.blendshapes[name][part.rows]
            chosen = np.flatnonzero((np.abs(moved) > LEAST_DISPLACEMENT_MM).any(axis=1))
            shape.CreateOffsetsAttr(vt.Vec3fArray.FromNumpy((moved[chosen] / MM_PER_METRE).astype(np.float32)))
            shape.CreatePointIndicesAttr(vt.IntArray.FromNumpy(chosen.astype(np.int32)))
            targets.append(shape.GetPath())
        if moving:
            binding.CreateBlendShapesAttr(vt.TokenArray(moving))
            binding.CreateBlendShapeTargetsRel().SetTargets(targets)


def _add_look(pxr: Any, stage: Any, prim: Any, mesh: MeshArrays, part: Part) -> None:
    """Add the texture or the colours of a part, and its material."""
    geom, shade, sdf, vt = pxr.UsdGeom, pxr.UsdShade, pxr.Sdf, pxr.Vt
    eye = part.name in EYES.values()
    material = shade.Material.Define(stage, f"/head/materials/{part.name}")
    surface = shade.Shader.Define(stage, f"/head/materials/{part.name}/surface")
    surface.CreateIdAttr("UsdPreviewSurface")
    surface.CreateInput("roughness", sdf.ValueTypeNames.Float).Set(EYE_ROUGHNESS if eye else SKIN_ROUGHNESS)
    if eye:
        surface.CreateInput("ior", sdf.ValueTypeNames.Float).Set(EYE_IOR)
    surface.CreateInput("metallic", sdf.ValueTypeNames.Float).Set(0.0)
    color = surface.CreateInput("diffuseColor", sdf.ValueTypeNames.Color3f)
    material.CreateSurfaceOutput().ConnectToSource(surface.ConnectableAPI(), "surface")
    primvars = geom.PrimvarsAPI(prim)
    if mesh.texture is not None and mesh.uv is not None and mesh.uv_faces is not None:
        corners = mesh.uv_faces[part.triangles]
        used, indices = np.unique(corners, return_inverse=True)
        st = primvars.CreatePrimvar("st", sdf.ValueTypeNames.TexCoord2fArray, geom.Tokens.faceVarying)
        st.Set(vt.Vec2fArray.FromNumpy(mesh.uv[used].astype(np.float32)))
        st.SetIndices(vt.IntArray.FromNumpy(indices.ravel().astype(np.int32)))
        reader = shade.Shader.Define(stage, f"/head/materials/{part.name}/st")
        reader.CreateIdAttr("UsdPrimvarReader_float2")
        reader.CreateInput("varname", sdf.ValueTypeNames.String).Set("st")
        picture = shade.Shader.Define(stage, f"/head/materials/{part.name}/texture")
        picture.CreateIdAttr("UsdUVTexture")
        picture.CreateInput("file", sdf.ValueTypeNames.Asset).Set(sdf.AssetPath(TEXTURE))
        picture.CreateInput("sourceColorSpace", sdf.ValueTypeNames.Token).Set("sRGB")
        for wrap in ("wrapS", "wrapT"):
            picture.CreateInput(wrap, sdf.ValueTypeNames.Token).Set("clamp")
        result = reader.CreateOutput("result", sdf.ValueTypeNames.Float2)
        picture.CreateInput("st", sdf.ValueTypeNames.Float2).ConnectToSource(result)
        color.ConnectToSource(picture.CreateOutput("rgb", sdf.ValueTypeNames.Float3))
    elif mesh.colors is not None:
        shown = primvars.CreatePrimvar("displayColor", sdf.ValueTypeNames.Color3fArray, geom.Tokens.vertex)
        shown.Set(vt.Vec3fArray.FromNumpy(linear_rgb(mesh.colors[part.rows])))
        reader = shade.Shader.Define(stage, f"/head/materials/{part.name}/color")
        reader.CreateIdAttr("UsdPrimvarReader_float3")
        reader.CreateInput("varname", sdf.ValueTypeNames.String).Set("displayColor")
        color.ConnectToSource(reader.CreateOutput("result", sdf.ValueTypeNames.Float3))
    shade.MaterialBindingAPI.Apply(prim.GetPrim()).Bind(material)


def _png(texture: ByteArray) -> bytes:
    from PIL import Image

    picture = io.BytesIO()
    Image.fromarray(texture).save(picture, "png", compress_level=6)
    return picture.getvalue()


def _pxr() -> Any:
    """Return the package pxr with its modules.

    Raises
    ------
    FacegeomError
        If it is not installed.
    """
    try:
        import pxr
        from pxr import Gf, Sdf, Usd, UsdGeom, UsdShade, UsdSkel, Vt  # noqa: F401
    except ImportError as error:
        raise FacegeomError(
            f"a .usdz file needs the package usd-core ({error}): pip install 'facegeom[usd]'"
        ) from error
    return pxr
