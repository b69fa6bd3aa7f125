"""The Khronos glTF validator reports no error and no warning for our GLB files.

The validator is an npm package and needs node. This command installs it into a folder that git ignores:

    npm install --prefix build/gltf-validator gltf-validator@2.0.0-dev.3.10
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facegeom import FaceMesh, load_face_model
from facegeom.face_model.blendshapes import ARKIT_NAMES, arkit_blendshapes, arkit_weights, template_blendshapes
from facegeom.face_model.template import load_template
from facegeom.mesh.gltf_animation import Animation, encode_animated

PACKAGE = Path(__file__).resolve().parents[1] / "build" / "gltf-validator" / "node_modules" / "gltf-validator"
SCRIPT = """
const fs = require("fs");
const path = require("path");
const [, validator, file] = process.argv;
const read = (name) => new Uint8Array(fs.readFileSync(name));
const beside = (uri) => Promise.resolve(read(path.join(path.dirname(file), decodeURIComponent(uri))));
const options = {uri: path.basename(file), externalResourceFunction: beside};
require(validator).validateBytes(read(file), options).then((report) => {
  process.stdout.write(JSON.stringify(report));
});
"""

pytestmark = [
    pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed"),
    pytest.mark.skipif(
        not PACKAGE.is_dir(),
        reason="no gltf-validator: npm install --prefix build/gltf-validator gltf-validator@2.0.0-dev.3.10",
    ),
]


def validate(path: Path) -> dict[str, Any]:
    command = ["node", "-e", SCRIPT, "--", str(PACKAGE), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report = json.loads(done.stdout)
    assert isinstance(report, dict)
    return report


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (*shape, 3), dtype=np.uint8)


def bare_face() -> FaceMesh:
    """Return the mean face of the template, without colours."""
    template = load_template()
    vertices = template.subdivide(load_face_model().mean[template.vertices])
    return FaceMesh(vertices, template.fine.faces)


def face() -> FaceMesh:
    """Return the mean face with a texture, regions and visibility, as in a reconstruction."""
    topology = load_template().fine
    fields = {"uv": topology.uv, "uv_faces": topology.uv_faces, "texture": noise(64, 64), "regions": topology.regions}
    seen = np.linspace(0, 1, len(bare_face().vertices))
    return replace(bare_face(), seen=seen, colors=noise(len(seen)), **fields)


def neutral_face() -> FaceMesh:
    """Return `face` with blendshapes and random expression weights."""
    rng = np.random.default_rng(0)
    expression = rng.uniform(0, 1, len(load_face_model().expression_names))
    return replace(face(), blendshapes=template_blendshapes(load_template()), weights=arkit_weights(expression))


def head() -> FaceMesh:
    """Return the complete head of the face model with a texture and blendshapes."""
    model = load_face_model()
    atlas = {"uv": model.uv, "uv_faces": model.uv_faces, "texture": noise(64, 64)}
    return FaceMesh(model.mean, model.faces, regions=model.regions, blendshapes=arkit_blendshapes(model), **atlas)


def colours_only() -> FaceMesh:
    """Return a mesh with vertex colours and without a texture, as the pipeline facevision returns it."""
    mesh = bare_face()
    return replace(mesh, colors=noise(len(mesh.vertices)))


def awkward() -> FaceMesh:
    """Return a mesh with a vertex without a triangle and texture coordinate, and with constant blendshapes."""
    vertices = np.array([[0, 0, 0], [10, 0, 0], [0, 10, 0], [50, 50, 50.0]])
    shapes = {"nothing": np.zeros((4, 3)), "everything": np.ones((4, 3))}
    uv = np.array([[0, 0], [1, 0], [0, 1.0]])
    return FaceMesh(vertices, [[0, 1, 2]], uv=uv, uv_faces=[[0, 1, 2]], texture=noise(16, 16), blendshapes=shapes)


@pytest.mark.parametrize("make", [bare_face, face, neutral_face, head, colours_only, awkward])
def test_validator_reports_no_issues(tmp_path: Path, make: Callable[[], FaceMesh]) -> None:
    mesh = make()
    mesh.save(tmp_path / "mesh.glb")
    report = validate(tmp_path / "mesh.glb")
    assert report["issues"]["messages"] == []
    assert report["info"]["hasMorphTargets"] == bool(mesh.blendshapes)


def test_validator_reports_no_issues_of_a_file_with_others_beside_it(tmp_path: Path) -> None:
    neutral_face().save(tmp_path / "my face.gltf")
    report = validate(tmp_path / "my face.gltf")
    assert report["issues"]["messages"] == []
    assert report["info"]["resources"][0]["storage"] == "external"


def test_validator_counts_all_blendshapes(tmp_path: Path) -> None:
    mesh = neutral_face()
    mesh.save(tmp_path / "mesh.glb")
    assert len(mesh.blendshapes) == len(ARKIT_NAMES)
    info = validate(tmp_path / "mesh.glb")["info"]
    assert info["totalTriangleCount"] == len(mesh.faces)
    assert info["totalVertexCount"] == len(mesh.unrolled()[0])
    assert info["maxAttributes"] == 4


def test_validator_reports_a_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "mesh.glb"
    awkward().save(path)
    content = path.read_bytes()
    path.write_bytes(re.sub(rb'"count":( ?)4', rb'"count":\g<1>9', content, count=1))
    assert validate(path)["issues"]["numErrors"] > 0


def test_validator_reports_no_issues_of_an_animation(tmp_path: Path) -> None:
    animation = Animation(
        "turn",
        np.array([0.0, 0.5, 2.0]),
        np.random.default_rng(1).uniform(0, 1, (3, len(ARKIT_NAMES))),
        np.array([0.0, 2.0]),
        np.array([[1.0, 0, 0, 0], [np.sqrt(0.5), 0, np.sqrt(0.5), 0]]),
    )
    (tmp_path / "head.glb").write_bytes(encode_animated(head(), animation))
    report = validate(tmp_path / "head.glb")
    assert report["issues"]["messages"] == []
    assert report["info"]["animationCount"] == 1
