"""`rig`: a head from a mesh in an unknown place; `register_meshes`; and the commands `rig` and `register`."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import facegeom
from facegeom import FacegeomError, FaceMesh, NoFaceFound, geometry, load_face_model
from facegeom.cli import main
from facegeom.face_model.blendshapes import ARKIT_NAMES
from facegeom.rigging import search
from facegeom.rigging.landmarks import NAMED, model_landmarks, read_landmarks
from facegeom.rigging.placement import unit_of
from facegeom.rigging.registering import read_pairs, register_meshes
from facegeom.rigging.scan import read_scan
from facegeom.rigging.search import directions, rotation_to
from facegeom.rigging.surface import FACE_VIEWS, seen_surface

TURN = np.array([[0.36, 0.48, -0.8], [-0.8, 0.6, 0.0], [0.48, 0.64, 0.6]])
"""A rotation: the face looks neither along an axis nor upright."""

FEW = ("right_eye_outer", "left_eye_outer", "nose_tip", "mouth_left", "mouth_right")


def coarser(V: np.ndarray, F: np.ndarray, cell: float) -> tuple[np.ndarray, np.ndarray]:
    """Another triangulation of a surface: the vertices in each cell of a grid become one."""
    _, of = np.unique(np.rint(V / cell), axis=0, return_inverse=True)
    of = of.reshape(-1)
    count = np.bincount(of)
    middle = np.stack([np.bincount(of, V[:, axis]) / count for axis in range(3)], axis=1)
    faces = of[F]
    return middle, faces[(np.diff(np.sort(faces, axis=1), axis=1) > 0).all(axis=1)]


class Placed:
    """The skin of a random head with another triangulation, turned, shifted and in centimetres, and the truth."""

    def __init__(self, seed: int = 3, cell: float = 1.6) -> None:
        model, rng = load_face_model(), np.random.default_rng(seed)
        names = model.expression_names
        weights = np.array([0.4 if name == "mouthSmile_L" else 0.0 for name in names])
        self.V = model.vertices(rng.normal(0, 0.8, 60), weights)
        skin = int(model.regions["head"].sum())
        V, F = coarser(self.V, model.faces[(model.faces < skin).all(axis=1)], cell)
        self.skin, self.faces = V + rng.normal(0, 0.1, V.shape), F
        self.shift = np.array([120.0, -40.0, 900.0])
        self.vertices = self.place(self.skin)

    def place(self, points: np.ndarray) -> np.ndarray:
        return np.asarray((points @ TURN.T + self.shift) / 10.0)

    def landmarks(self) -> dict[str, list[float]]:
        ids = load_face_model().landmarks68_multipie
        return {name: self.place(self.V[ids[NAMED[name]]][None])[0].tolist() for name in FEW}


@pytest.fixture(scope="module")
def placed() -> Placed:
    return Placed()


@pytest.fixture(scope="module")
def rigged(placed: Placed) -> facegeom.Rigged:
    """The head from the mesh without any hint, half of whose triangles have the wrong winding."""
    faces = placed.faces.copy()
    faces[::2] = faces[::2, ::-1]
    return facegeom.rig((placed.vertices, faces))


def check_truth(rigged: facegeom.Rigged, placed: Placed, landmark_mm: float) -> None:
    """Compare a result with the truth, in the coordinates of the mesh."""
    model = load_face_model()
    back = np.linalg.inv(rigged.transform)
    marks = rigged.landmarks @ back[:3, :3].T + back[:3, 3]
    away = 10 * np.linalg.norm(marks - placed.place(placed.V[model.landmarks68]), axis=1)
    assert away.mean() < landmark_mm
    points = rigged.mesh.vertices[: model.face_vertex_count][model.regions["map"][: model.face_vertex_count]]
    distance = geometry.closest_points(placed.vertices, placed.faces, points @ back[:3, :3].T + back[:3, 3]).distance
    assert 10 * distance.mean() < 0.4


def test_a_head_from_a_mesh_in_an_unknown_place(rigged: facegeom.Rigged, placed: Placed) -> None:
    check_truth(rigged, placed, 2.5)
    assert rigged.unit == "cm"
    assert rigged.mm_per_unit == 10.0
    assert rigged.distance_mm < 0.3
    assert rigged.p95_mm < 1.0
    assert rigged.coverage > 0.85
    scale = np.cbrt(np.linalg.det(rigged.transform[:3, :3]))
    assert scale == pytest.approx(10.0, rel=1e-9)
    np.testing.assert_allclose(rigged.transform[:3, :3] / scale, TURN.T, atol=0.05)


def test_the_head_is_that_of_photos(rigged: facegeom.Rigged, tmp_path: Path) -> None:
    assert tuple(rigged.neutral.blendshapes) == ARKIT_NAMES
    assert len(rigged.mesh.vertices) == 39278
    assert rigged.mesh.texture is None
    assert rigged.blendshapes["mouthSmileLeft"] > 0.15
    assert rigged.blendshapes["mouthSmileLeft"] > rigged.blendshapes["mouthSmileRight"]
    posed = rigged.neutral.vertices.copy()
    for name, weight in rigged.blendshapes.items():
        posed += weight * rigged.neutral.blendshapes[name]
    np.testing.assert_allclose(posed, rigged.mesh.vertices, atol=1e-3)
    seen = rigged.mesh.seen
    assert seen[rigged.mesh.regions["brow_left"]].mean() > 0.95
    assert seen[rigged.mesh.regions["mouth_interior"]].max() == 0
    rigged.save(tmp_path / "head.glb")
    again = FaceMesh.load(tmp_path / "head.glb")
    assert again.weights["mouthSmileLeft"] == pytest.approx(rigged.blendshapes["mouthSmileLeft"], abs=1e-3)
    rigged.save(tmp_path / "head.ply")
    np.testing.assert_allclose(FaceMesh.load(tmp_path / "head.ply").vertices, rigged.mesh.vertices, atol=1e-3)
    json.dumps(rigged.to_dict())


def test_landmarks_replace_the_search(placed: Placed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the left two thirds of the face are there, with colours, and no network looks for the face."""
    from facegeom.rigging import rig as module

    monkeypatch.setattr(module, "find_face", lambda *_: pytest.fail("the face was searched"))
    kept = (placed.skin[placed.faces].mean(axis=1) @ (1.0, 0.0, 0.0)) > -20.0
    shades = np.clip(128 + placed.skin * (1.0, 0.8, 1.0), 0, 255).astype(np.uint8)
    half = FaceMesh(placed.vertices, placed.faces[kept], colors=shades)
    rigged = facegeom.rig(half, landmarks=placed.landmarks(), texture=256)
    assert 0.5 < rigged.coverage < 0.85
    assert rigged.distance_mm < 0.3
    assert rigged.unit == "cm"
    mesh = rigged.mesh
    assert mesh.texture is not None
    assert mesh.texture.shape == (256, 256, 3)
    assert mesh.colors is not None
    cheek = (mesh.seen > 0.9) & mesh.regions["map"] & (mesh.vertices[:, 0] > 10) & (mesh.vertices[:, 2] > -20)
    cheek[39278 // 4 * 3 :] = False
    back = np.linalg.inv(rigged.transform)
    there = mesh.vertices[cheek] @ back[:3, :3].T + back[:3, 3]
    nearest = geometry.nearest(placed.vertices, there)[0]
    assert np.median(np.abs(mesh.colors[cheek].astype(int) - shades[nearest])) <= 4
    hidden = mesh.seen[(mesh.vertices[:, 0] < -40) & mesh.regions["face"]]
    assert hidden.max() < 0.3


def test_small_parts_are_no_skin(placed: Placed) -> None:
    ball = geometry.subdivide(*octahedron(), "midpoint")
    V = np.concatenate([placed.vertices, 0.5 * ball.V + placed.vertices[0]])
    F = np.concatenate([placed.faces, ball.F + len(placed.vertices)])
    scan = read_scan((V, F))
    assert len(scan.faces) == len(F)
    assert len(scan.skin.faces) == len(placed.faces)
    assert np.abs(np.linalg.norm(scan.vertices, axis=1)).max() < 160


def octahedron() -> tuple[np.ndarray, np.ndarray]:
    V = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1.0]])
    return V, np.array([[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]])


def sphere(rounds: int = 3) -> tuple[np.ndarray, np.ndarray]:
    V, F = octahedron()
    for _ in range(rounds):
        V, F, *_ = geometry.subdivide(V, F, "midpoint")
        V = V / np.linalg.norm(V, axis=1, keepdims=True)
    return V, F


def test_a_surface_is_seen_from_outside_whatever_its_winding() -> None:
    V, F = sphere(4)
    scan = read_scan((80 * V, F[:, ::-1]))
    from facegeom.rigging.placement import Placement

    placement = Placement(np.eye(3), scan.unit, np.zeros(3))
    surface = seen_surface(scan, placement, FACE_VIEWS)
    np.testing.assert_allclose(np.linalg.norm(surface.V, axis=1), 80, atol=0.5)
    outward = (surface.N * surface.V).sum(axis=1) / 80
    assert np.median(outward) > 0.98
    assert outward.min() > 0.5


def test_view_directions_are_evenly_spread() -> None:
    around = directions(24)
    np.testing.assert_allclose(np.linalg.norm(around, axis=1), 1, atol=1e-12)
    rng = np.random.default_rng(0).normal(size=(500, 3))
    rng /= np.linalg.norm(rng, axis=1, keepdims=True)
    assert np.degrees(np.arccos((rng @ around.T).max(axis=1))).max() < 32
    rotation = rotation_to(around[3], np.array([0.0, 1.0, 0.0]))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    np.testing.assert_allclose(rotation @ around[3], (0, 0, 1), atol=1e-12)


def test_units_are_known_by_the_size_of_the_face() -> None:
    assert unit_of(1.1) == ("mm", 1.0)
    assert unit_of(900.0) == ("m", 1000.0)
    assert unit_of(24.0) == ("in", 25.4)
    assert unit_of(3.3) == (None, 3.3)


@pytest.mark.parametrize(
    ("mesh", "error", "words"),
    [
        ("none.obj", FileNotFoundError, "none.obj"),
        ((np.zeros((4, 3)), np.zeros((0, 3), int)), NoFaceFound, "no triangles"),
        ((np.zeros((4, 3)), [[0, 1, 2]]), NoFaceFound, "in one point"),
        (([[0, 0, 0], [1, 0, 0], [2, 0, 0.0]], [[0, 1, 2]]), NoFaceFound, "has an area"),
        (([[0, 0, np.nan]], [[0, 0, 0]]), ValueError, "NaN"),
        (([[0, 0, 0.0]], [[0, 0, 9]]), ValueError, "9"),
        (7, TypeError, "path of a mesh file"),
    ],
)
def test_bad_meshes(mesh: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        facegeom.rig(mesh)
    assert "\n" not in str(caught.value)


def test_a_sphere_has_no_face() -> None:
    with pytest.raises(NoFaceFound, match="no face was found on the mesh"):
        facegeom.rig(sphere(4))


def test_landmarks_on_a_sphere_give_no_face() -> None:
    marks = {"right_eye_outer": [-0.4, 0.4, 0.8], "left_eye_outer": [0.4, 0.4, 0.8], "chin": [0, -0.6, 0.8]}
    with pytest.raises(NoFaceFound, match="does not have the shape of a face"):
        facegeom.rig(sphere(4), landmarks=marks)


def test_a_trimesh_is_a_mesh() -> None:
    V, F = sphere(2)
    look = SimpleNamespace(kind="vertex", vertex_colors=np.tile([10, 20, 30, 255], (len(V), 1)))
    scan = read_scan(SimpleNamespace(vertices=V, faces=F, visual=look))
    assert scan.mesh.colors is not None
    assert scan.mesh.colors[0].tolist() == [10, 20, 30]
    assert not scan.coloured  # one colour says nothing


@pytest.mark.parametrize(
    ("landmarks", "error", "words"),
    [
        ({"nose_tip": [0, 0, 0]}, ValueError, "at least 3 points, got 1"),
        ({"nose_tip": [0, 0, 0], "ear": [1, 0, 0], "chin": [0, 1, 0]}, ValueError, "'ear'"),
        ({"nose_tip": [0, 0, 0], "mouth_left": [1, 1, 1], "chin": [2, 2, 2]}, ValueError, "on a line"),
        ({"nose_tip": [0, 0], "mouth_left": [1, 0, 0], "chin": [0, 1, 0]}, ValueError, "nose_tip"),
        (np.zeros((67, 3)), ValueError, "landmarks"),
    ],
)
def test_bad_landmarks(landmarks: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        model_landmarks(load_face_model(), landmarks)


@pytest.mark.parametrize(
    ("content", "words"), [("hello", "is no JSON"), ("3", "68 points"), ("[" * 99999, "is no JSON")]
)
def test_bad_landmark_files(content: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "marks.json"
    file.write_text(content)
    with pytest.raises(FacegeomError, match=words):
        read_landmarks(file)
    with pytest.raises(FileNotFoundError, match="there is no file"):
        read_landmarks(tmp_path / "none.json")


def test_command_rig(placed: Placed, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scan, marks, out = tmp_path / "scan.ply", tmp_path / "marks.json", tmp_path / "new" / "head.glb"
    FaceMesh(placed.vertices, placed.faces).save(scan)
    marks.write_text(json.dumps(placed.landmarks()))
    assert main(["rig", str(scan), "-o", str(out), "--landmarks", str(marks)]) == 0
    printed, errors = capsys.readouterr()
    assert "its unit is cm" in printed
    assert errors == ""
    assert len(FaceMesh.load(out).blendshapes) == 52


@pytest.mark.parametrize(
    ("name", "out", "code"), [("a.obj", "h.glb", 1), ("ball.ply", "h.xyz", 1), ("ball.ply", "ball.ply", 2)]
)
def test_command_rig_writes_nothing_after_an_error(
    name: str, out: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.obj").write_text("hello")
    FaceMesh(*sphere(1)).save(tmp_path / "ball.ply")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert main(["rig", str(tmp_path / name), "-o", str(tmp_path / out)]) == code
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Two triangulations of an egg, the second one turned, larger and shifted; and pairs of landmarks."""
    V, F = sphere(3)
    egg = V * (30.0, 40.0, 50.0 - 12.0 * V[:, 1:2].ravel().mean())
    egg = egg * (1 + 0.1 * V[:, 1:2])
    FaceMesh(egg, F).save(tmp_path / "template.ply")
    fine = geometry.subdivide(egg, F, "midpoint")
    target = 1.5 * fine.V @ TURN.T + (10, 20, 30)
    FaceMesh(target * (1.0, 1.05, 1.0), fine.F).save(tmp_path / "target.ply")
    ids = [int(np.argmax(V @ np.array(axis))) for axis in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, 0, 0), (0, -1, 0))]
    pairs = {"template": ids, "target": (target * (1.0, 1.05, 1.0))[ids].tolist()}
    (tmp_path / "pairs.json").write_text(json.dumps(pairs))
    return tmp_path / "template.ply", tmp_path / "target.ply", tmp_path / "pairs.json"


def test_command_register(pair: tuple[Path, Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    template, target, pairs = (str(path) for path in pair)
    out = tmp_path / "out.ply"
    assert main(["register", template, target, "-o", str(out), "--landmarks", pairs, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["before"]["template to target"]["mean"] > 5
    assert report["after"]["template to target"]["mean"] < 0.3
    assert report["after"]["target to template"]["mean"] < 0.5
    assert report["after"]["landmarks"]["mean"] < 0.5
    assert len(FaceMesh.load(out).vertices) == len(FaceMesh.load(template).vertices)
    assert main(["register", template, target, "-o", str(out), "--landmarks", pairs]) == 0
    assert "template to target" in capsys.readouterr().out


def test_landmarks_of_a_template_may_be_points(pair: tuple[Path, Path, Path], tmp_path: Path) -> None:
    template = FaceMesh.load(pair[0])
    content = json.loads(pair[2].read_text())
    ids = np.array(content["template"])
    content["template"] = (template.vertices[ids] + 0.01).tolist()
    (tmp_path / "points.json").write_text(json.dumps(content))
    assert read_pairs(tmp_path / "points.json", template)[0].tolist() == ids.tolist()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ([1, 2], "the lists"),
        ({"template": [0, 1, 2], "target": [[0, 0, 0]]}, "at least 3 landmarks"),
        ({"template": [0, 1, 99999], "target": [[0, 0, 0]] * 3}, "99999"),
        ({"template": [0, 1, 2], "target": [[0, 0]] * 3}, "target"),
    ],
)
def test_bad_pairs(content: Any, words: str, pair: tuple[Path, Path, Path], tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text(json.dumps(content))
    with pytest.raises(FacegeomError, match=words):
        read_pairs(tmp_path / "bad.json", FaceMesh.load(pair[0]))


def test_a_mesh_without_triangles_is_not_registered(pair: tuple[Path, Path, Path]) -> None:
    empty = FaceMesh(np.zeros((3, 3)), np.zeros((0, 3), int))
    with pytest.raises(ValueError, match="the target has no triangles"):
        register_meshes(FaceMesh.load(pair[0]), empty)


def test_a_hostile_file(placed: Placed, rigged: facegeom.Rigged, tmp_path: Path) -> None:
    """An OBJ file with quads, random winding, doubled triangles, fins on edges, and a second object."""
    rng = np.random.default_rng(5)
    V, F = placed.vertices, placed.faces.copy()
    wrong = rng.random(len(F)) < 0.3
    F[wrong] = F[wrong, ::-1]
    split = F[:2000]  # each becomes three quads around its centre
    middles = np.concatenate([0.5 * (V[split] + V[np.roll(split, -1, axis=1)]), V[split].mean(1)[:, None]], axis=1)
    first = len(V) + 4 * np.arange(len(split))[:, None]
    quads = [np.hstack([split[:, [i]], first + i, first + 3, first + (i + 2) % 3]) for i in range(3)]
    fins = V[F[3000:3200, 0]] + rng.normal(0, 0.05, (200, 3))  # a third triangle at an edge
    box = geometry.subdivide(*octahedron(), "midpoint")
    points = np.concatenate([V, middles.reshape(-1, 3), fins, 2.0 * box.V + placed.shift / 10.0 + 40.0])
    start = len(V) + 4 * len(split)
    fin_faces = np.column_stack([F[3000:3200, 0], F[3000:3200, 1], start + np.arange(200)])
    faces = [*np.concatenate(quads), *F[2000:], *F[4000:4300], *fin_faces, *(box.F + start + 200)]
    lines = [f"v {x:.5f} {y:.5f} {z:.5f}" for x, y, z in points.tolist()]
    lines += ["f " + " ".join(str(v + 1) for v in face) for face in faces]
    (tmp_path / "hostile.obj").write_text("\n".join(lines) + "\n")
    found = facegeom.rig(tmp_path / "hostile.obj")
    check_truth(found, placed, 3.0)
    assert found.unit == rigged.unit
    assert found.distance_mm < rigged.distance_mm + 0.15


def test_noise_is_removed_for_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    V, F = sphere(5)
    rng = np.random.default_rng(2)
    assert read_scan((V, F)).smoothed is None
    noisy = V * (1 + rng.normal(0, 0.02, (len(V), 1)))
    scan = read_scan((noisy, F))
    smooth = scan.smoothed
    assert smooth is not None
    spread = [float(np.linalg.norm(one.vertices, axis=1).std()) for one in (scan, smooth)]
    assert spread[1] < 0.3 * spread[0]
    corners = noisy[F].reshape(-1, 3)  # no triangle shares a vertex
    apart = read_scan((corners, np.arange(len(corners)).reshape(-1, 3)))
    assert apart.smoothed is not None
    np.testing.assert_allclose(apart.smoothed.vertices, smooth.vertices[F].reshape(-1, 3), atol=2.0)
    seen: list[bool] = []

    def find(mesh: Any, *_: Any) -> Any:
        seen.append(mesh is scan)
        return None if mesh is scan else "face"

    monkeypatch.setattr(search, "_seen_face", find)
    assert search.find_face(scan, "cpu", "torch") == "face"
    assert seen == [True, False]
