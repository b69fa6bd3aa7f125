"""The benchmark `evaluate pipeline`: complete reconstructions of held-out photos and of images without a face."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import facegeom
from facegeom.cli import main
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.evaluation import detection, pipeline
from facegeom.images.camera import Camera
from facegeom.mesh.face_mesh import FaceMesh
from facegeom.pipelines import PIPELINES
from facegeom.reconstruction import Reconstruction
from facegeom.training.data.labels import find_photos

SHARED = Path(__file__).parents[2] / "shared" / "data"
LFW = SHARED / "lfw"


def needs(path: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not path.exists(), reason=f"{path.name} of the shared data folder is not there")


@pytest.fixture
def annotated_photos(tmp_path: Path) -> tuple[dict[str, Path], Path]:
    """1,200 small photos of 1,200 people with a white face, and the landmark file with two corners of each face."""
    low, high = np.array([20.0, 24.0]), np.array([62.0, 70.0])
    names = [f"Person{i}_0001.png" for i in range(1200)]
    image = np.zeros((90, 100, 3), np.uint8)
    image[24:71, 20:63] = 255
    cv2.imwrite(str(tmp_path / names[0]), image)
    for name in names[1:]:
        (tmp_path / name).hardlink_to(tmp_path / names[0])
    corners = (np.array([low, high]) + 0.5) * 16
    landmarks = np.zeros((len(names), 478, 3), np.int16)
    landmarks[:, :, :2] = corners[np.arange(478) % 2]
    np.savez(tmp_path / "landmarks.npz", names=np.array(names), landmarks=landmarks)
    return {name: tmp_path / name for name in names}, tmp_path / "landmarks.npz"


@pytest.fixture
def few_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw 2 procedural images per kind instead of 15 and 20, to save time."""
    monkeypatch.setattr(detection, "DRAWN", 16)
    monkeypatch.setattr(detection, "FRESH_DRAWN", 16)


def test_photo_boxes_are_in_pixels(annotated_photos: tuple[dict[str, Path], Path]):
    photos, landmarks = annotated_photos
    boxes = detection.photo_boxes(landmarks)
    assert set(boxes) == set(photos)
    assert boxes["Person0_0001.png"] == pytest.approx([20, 24, 62, 70])


@pytest.mark.parametrize("content", [None, b"hello", "wrong arrays"])
def test_error_names_an_invalid_landmark_file(tmp_path: Path, content: bytes | str | None):
    path = tmp_path / "points.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, other=np.zeros(3))
    with pytest.raises(FacegeomError, match=r"points\.npz is not a file of `facegeom prepare landmarks`"):
        detection.photo_boxes(path)


@pytest.mark.parametrize(
    ("box", "square"),
    [
        ((30.0, 20.0, 80.0, 70.0), (0, 60, 30)),
        ((-5.0, -5.0, 104.0, 94.0), (100, 90, 0)),
        ((60.4, 0.0, 99.0, 89.0), (0, 30, 60)),
        ((0.0, 0.0, 99.0, 30.4), (41, 31, 59)),
    ],
)
def test_free_corner_is_the_largest_square_beside_the_box(box: tuple[float, ...], square: tuple[int, int, int]):
    x, y, side = found = detection.free_corner(np.array(box), 100, 90)
    assert found == square
    taken = np.zeros((90, 100), bool)
    x0, y0, x1, y1 = box
    taken[max(0, round(y0)) : round(y1) + 1, max(0, round(x0)) : round(x1) + 1] = True
    assert not taken[y : y + side, x : x + side].any()


def test_the_two_sets_of_images_without_a_face_are_disjoint(
    annotated_photos: tuple[dict[str, Path], Path], few_drawings: None
):
    photos, landmarks = annotated_photos
    tuned = list(detection.faceless_pictures())
    fresh = list(detection.fresh_faceless_pictures(photos, detection.photo_boxes(landmarks)))
    assert len(tuned) == 14 * 6 + 16
    kinds = [picture.kind for picture in fresh]
    counts = {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)}
    assert counts == {"scene": 1, "scene crop": 19, "patch": 60, "drawn": 16, "corner": 100}
    assert len(list(detection.fresh_faceless_pictures())) == 96
    assert not {picture.image.tobytes() for picture in tuned} & {picture.image.tobytes() for picture in fresh}
    assert all(picture.image.dtype == np.uint8 and picture.image.shape[2] == 3 for picture in tuned + fresh)
    corners = [picture for picture in fresh if picture.kind == "corner"]
    assert not any(picture.image.any() for picture in corners)  # only the face is white
    assert len({picture.name for picture in corners}) == len(corners)


def test_corners_come_from_validation_photos(annotated_photos: tuple[dict[str, Path], Path], few_drawings: None):
    from facegeom.training.data.split import split_names

    photos, landmarks = annotated_photos
    fresh = detection.fresh_faceless_pictures(photos, detection.photo_boxes(landmarks))
    names = list(photos)
    validation = {names[row] for row in split_names(names).validation}
    assert {picture.name for picture in fresh if picture.kind == "corner"} <= validation


# Complete reconstructions


def meshed(image: object, *, vertices: int = 6000, shift: float = 0.0) -> Reconstruction:
    """Return a reconstruction whose mesh fills the white face of `annotated_photos`, shifted by `shift` pixels."""
    points = np.zeros((vertices, 3))
    points[:2] = [[20.0 + shift, -24.0, 0.0], [62.0 + shift, -70.0, 0.0]]
    points[2:] = points[0]
    mesh = FaceMesh(points, np.zeros((2 * vertices, 3), np.int64))
    return Reconstruction(
        mesh,
        None,  # type: ignore[arg-type]
        {"raw": mesh},
        {"loading": 0.01, "network": 20.0, "raw": 5.0},
        landmarks=np.zeros((68, 3)),
        landmarks468=np.zeros((468, 3)),
        blendshapes={},
        identity=np.zeros(60),
        camera=Camera(np.eye(3), 1.0, (0, 0)),
        photo_size=(80, 80),
        score=0.75,
        detections=((20.0, 24.0, 62.0, 70.0, 0.99),),
    )


def test_held_out_photos_are_evenly_spread_over_the_test_identities(annotated_photos: tuple[dict[str, Path], Path]):
    from facegeom.training.data.split import split_names

    photos, _ = annotated_photos
    names = list(photos)
    test = [names[row] for row in split_names(names).test]
    chosen = list(pipeline.held_out_photos(photos, 50))
    assert len(chosen) == 50
    rows = np.array([test.index(name) for name in chosen])
    assert set(np.diff(rows)) <= {len(test) // 50, len(test) // 50 + 1}
    assert list(pipeline.held_out_photos(photos, 10_000)) == test
    with pytest.raises(ValueError, match="count must be at least 1, got 0"):
        pipeline.held_out_photos(photos, 0)


def test_photos_are_reconstructed_from_their_files_after_a_warm_up(
    annotated_photos: tuple[dict[str, Path], Path], monkeypatch: pytest.MonkeyPatch
):
    photos, landmarks = annotated_photos
    four = dict(list(photos.items())[:4])
    calls = []
    monkeypatch.setattr("facegeom.detection.detector.detect", lambda image: [])

    def reconstruct(image: Path) -> Reconstruction:
        calls.append(image)
        if image == four["Person1_0001.png"]:
            raise NoFaceFound("nothing here")
        return meshed(
            image,
            vertices=9000 if image == four["Person2_0001.png"] else 6000,
            shift=80.0 if image == four["Person3_0001.png"] else 0.0,
        )

    results = pipeline.evaluate_photos(four, reconstruct, detection.photo_boxes(landmarks))
    assert calls == [*list(four.values())[:2], *four.values()]
    summary = pipeline.summarise(results, [], [])
    found, mesh, spent = summary["found"], summary["mesh"], summary["milliseconds"]
    assert (found["photos"], found["found"], found["detected"], found["pixels"]) == (4, 0.75, 0.75, [100, 90])
    assert found["right_face"] == pytest.approx(2 / 3)
    assert (found["missed"], found["wrong"]) == (["Person1_0001.png"], ["Person3_0001.png"])
    assert (mesh["vertices"]["within"], mesh["triangles"]["within"]) == pytest.approx((2 / 3, 2 / 3))
    assert (mesh["vertices"]["least"], mesh["triangles"]["most"]) == (6000, 18000)
    assert spent["network"] == {"median": 20.0, "90 %": 20.0}
    assert spent["from the file"]["median"] > 0
    assert [r.milliseconds["from the file"] - r.milliseconds["decoded"] for r in results if r.found] == pytest.approx(
        [0.01] * 3
    )


def test_mesh_limits_are_inclusive():
    results = [
        pipeline.PhotoResult(str(number), (10, 10), True, True, None, vertices, triangles)
        for number, (vertices, triangles) in enumerate([(5000, 10_000), (8000, 15_000), (8001, 12_000), (5500, 9_999)])
    ]
    mesh = pipeline.summarise(results, [], [])["mesh"]
    assert (mesh["vertices"]["within"], mesh["triangles"]["within"], mesh["both_within"]) == (0.75, 0.75, 0.5)


def test_false_detections_are_counted_by_kind_and_drawn():
    pictures = [
        detection.FacelessPicture(
            "drawn" if number % 3 else "crop", f"{number}", np.full((20, 20, 3), number, np.uint8)
        )
        for number in range(9)
    ]

    def detects_bright_images(image: np.ndarray) -> Reconstruction:
        if image.mean() > 6:
            return meshed(image)
        raise NoFaceFound("nothing here")

    counts, alarms = pipeline.evaluate_faceless("made up", pictures, detects_bright_images)
    assert counts == [
        pipeline.FacelessCount("made up", "crop", 3, 0),
        pipeline.FacelessCount("made up", "drawn", 6, 2),
    ]
    assert [(alarm.name, alarm.score) for alarm in alarms] == [("7", 0.75), ("8", 0.75)]
    missed = pipeline.PhotoResult("photo", (20, 20), detected=False, found=False)
    summary = pipeline.summarise([missed], counts, alarms)
    assert summary["false_alarms"]["sets"] == [pipeline.FacelessCount("made up", "all", 9, 2)]
    assert "22.22" in pipeline.format_summary(summary)
    assert pipeline.alarm_sheet(alarms).shape[1] > 8 * 160


def test_command_prints_tables_and_writes_the_requested_files(
    annotated_photos: tuple[dict[str, Path], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    _, landmarks = annotated_photos
    few = [detection.FacelessPicture("drawn", f"{i}", np.full((20, 20, 3), i, np.uint8)) for i in range(3)]
    monkeypatch.setattr(pipeline, "faceless_pictures", lambda: iter(few))
    monkeypatch.setattr(pipeline, "fresh_faceless_pictures", lambda photos, boxes: iter(few[:1]))
    monkeypatch.setattr(pipeline, "reconstruct", lambda image, **_: meshed(image))
    sheet, figures = tmp_path / "alarms.png", tmp_path / "figures.json"
    command = ["evaluate", "pipeline", str(tmp_path), "--count", "3", "--landmarks", str(landmarks)]
    command += ["--pipeline", "facevision"]
    assert main([*command, "--json", str(figures), "--faceless-sheet", str(sheet)]) == 0
    out = capsys.readouterr().out
    assert "3 photos, median 100 x 90" in out
    assert "vertices, 5000 to 8000" in out
    assert "fresh: all" in out
    assert json.loads(figures.read_text())["false_alarms"]["sets"][0] == {
        "set": "first", "kind": "all", "pictures": 3, "alarms": 3,
    }  # fmt: skip
    assert len(json.loads(figures.read_text())["photos"]) == 3
    assert cv2.imread(str(sheet)).shape[0] > 160
    assert main([*command, "--head", "--texture", "64"]) == 0
    assert "without a face" not in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.data
@needs(LFW)
@pytest.mark.parametrize("name", PIPELINES)
def test_held_out_photos_give_meshes_of_the_right_face(name: str):
    chosen = pipeline.held_out_photos(find_photos(LFW / "photos"), 5)
    results = pipeline.evaluate_photos(
        chosen, lambda photo: facegeom.reconstruct(photo, pipeline=name), detection.photo_boxes(LFW / "landmarks.npz")
    )
    summary = pipeline.summarise(results, [], [], pipeline.mesh_limits(name))
    assert (summary["found"]["found"], summary["found"]["right_face"]) == (1.0, 1.0)
    assert summary["mesh"]["both_within"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no photos (.jpg, .jpeg, .png) in nowhere"),
        (["photos", "--count", "0"], "count must be at least 1, got 0"),
        (["photos", "--landmarks", "none.npz"], "none.npz is not a file of `facegeom prepare landmarks`"),
    ],
)
def test_command_reports_an_error_in_one_line(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    cv2.imwrite("photos/A_0001.png", np.zeros((20, 20, 3), np.uint8))
    assert main(["evaluate", "pipeline", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
