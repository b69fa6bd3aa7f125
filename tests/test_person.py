"""`reconstruct_person`: one identity from several photos, photos that contradict it, and the command `person`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import facegeom
from facegeom import FaceMesh, ImageError, NoFaceFound, load_face_model
from facegeom.cli import main
from facegeom.face_model.point_fit import FitPrior
from facegeom.person.shared_identity import common_identity, consistent_photos, distances, lengths, nearest_faces
from facegeom.reconstruction import demo_photo
from facegeom.texture import painting, several_photos

GREY = np.full((200, 200, 3), 127, np.uint8)


def answer(mean: Any, variance: float = 0.5, count: int = 60) -> FitPrior:
    return FitPrior(np.full(count, mean, float) if np.ndim(mean) == 0 else np.asarray(mean), np.full(count, variance))


def test_the_common_identity_is_the_mean_by_certainty() -> None:
    identities = np.array([np.full(60, 1.0), np.full(60, -0.5)])
    np.testing.assert_allclose(common_identity(identities, [answer(0, 0.2), answer(0, 0.4)]), 0.5, rtol=1e-12)
    np.testing.assert_allclose(common_identity(identities[:1], [answer(0.7)]), 1.0)
    with pytest.raises(ValueError, match="one for each of the 2 identities, got 1"):
        common_identity(identities, [answer(0.7)])


def test_the_photo_of_somebody_else_is_left_out() -> None:
    model = load_face_model()
    rng = np.random.default_rng(1)
    person, stranger = rng.normal(0, 0.5, (2, 60))
    answers = [answer(person + rng.normal(0, 0.05, 60)) for _ in range(4)]
    answers.insert(2, answer(stranger))
    away = distances(model, answers)
    assert away.argmax() == 2
    limit = 0.5 * lengths(model, (stranger - person)[None])[0]
    assert consistent_photos(model, answers, limit).tolist() == [True, True, False, True, True]
    assert consistent_photos(model, answers, 1e3).all()


def test_of_two_photos_that_contradict_each_other_the_more_certain_one_stays() -> None:
    rng = np.random.default_rng(2)
    answers = [answer(rng.normal(0, 1, 60), 0.8), answer(rng.normal(0, 1, 60), 0.3)]
    assert consistent_photos(load_face_model(), answers, 0.1).tolist() == [False, True]


def test_the_face_nearest_to_the_common_identity_is_chosen() -> None:
    rng = np.random.default_rng(3)
    person, *others = rng.normal(0, 0.5, (4, 60))
    near = [answer(person + rng.normal(0, 0.1, 60)) for _ in range(3)]
    faces = [[near[0]], [answer(others[0]), near[1]], [answer(others[1]), answer(others[2]), near[2]]]
    assert nearest_faces(load_face_model(), faces) == [0, 1, 2]


@pytest.fixture(scope="module")
def versions() -> list[np.ndarray]:
    """The demo portrait, its mirror image, and a darker one."""
    portrait = facegeom.load_image(demo_photo())[40:250, 110:330]
    return [portrait, np.ascontiguousarray(portrait[:, ::-1]), (portrait * 0.7).astype(np.uint8)]


def test_a_person_from_three_photos(versions: list[np.ndarray], tmp_path: Path) -> None:
    person = facegeom.reconstruct_person([*versions, GREY], texture=64)
    assert [photo.used for photo in person.photos] == [True, True, True, False]
    assert person.photos[3].problem == "no face was found"
    assert person.photos[3].pose is None
    first, mirrored = person.photos[0].pose, person.photos[1].pose
    assert first is not None
    assert mirrored is not None
    assert first.yaw == pytest.approx(-mirrored.yaw, abs=3)
    model = load_face_model()
    moved = model.vertices(person.identity) - model.mean
    assert person.neutral.vertices.shape[1] == 3
    assert np.abs(moved).max() < 30
    single = facegeom.reconstruct(versions[0], head=True, texture=64)
    assert len(person.head.vertices) == len(single.mesh.vertices)
    assert set(person.head.blendshapes) == set(single.mesh.blendshapes)
    assert person.head.texture is not None
    assert person.head.texture.shape == single.mesh.texture.shape
    assert not any(person.head.weights.values())
    person.head.save(tmp_path / "head.glb")
    again = FaceMesh.load(tmp_path / "head.glb")
    assert np.ptp(again.vertices, axis=0) == pytest.approx(np.ptp(person.head.vertices, axis=0), abs=0.1)
    weights = person.photos[0].weights
    assert weights["mouthSmileLeft"] == pytest.approx(single.blendshapes["mouthSmileLeft"], abs=0.25)
    json.dumps(person.to_dict())


def test_other_photos_give_detail_and_no_light(versions: list[np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    """A darker photo of the other side of the face changes no mean colour."""
    calls = []

    def noted(*args: Any) -> np.ndarray:
        calls.append((args[2], args[3], several_photos.with_detail_of(*args)))
        return calls[-1][2]

    monkeypatch.setattr(painting, "with_detail_of", noted)
    mirrored = (versions[1] * 0.7).astype(np.uint8)
    facegeom.reconstruct_person([versions[0], mirrored], texture=128)
    ((before, share, after),) = calls
    changed = (before != after).any(axis=2)
    assert changed.sum() > 200
    assert changed[share >= 1].mean() < 0.3
    difference = after.astype(np.float32) - before
    assert np.abs(cv2.GaussianBlur(difference, (0, 0), 4.0)).max() < 6


@pytest.mark.parametrize(
    ("photos", "error", "words"),
    [
        ([], ValueError, "at least two photos of a person, got none"),
        ([GREY], ValueError, "at least two photos of a person, got 1"),
        ("photo.jpg", TypeError, "sequence of photos, got str"),
        (3, TypeError, "sequence of photos, got int"),
        ([GREY, GREY], NoFaceFound, "no face was found in any of the 2 photos"),
        ([GREY, b"text"], ImageError, "image"),
        ([GREY, "none.jpg"], FileNotFoundError, "none.jpg"),
    ],
)
def test_bad_photos(photos: Any, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as caught:
        facegeom.reconstruct_person(photos)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [{"texture": 3}, {"texture": 4096}, {"keep_all": 1}])
def test_bad_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError), match=next(iter(options))):
        facegeom.reconstruct_person([GREY, GREY], **options)


@pytest.fixture
def files(versions: list[np.ndarray], tmp_path: Path) -> list[str]:
    """Two portraits, a picture of the portrait made much broader, and a grey picture."""
    broad = cv2.resize(versions[0], None, fx=1.4, fy=1.0, interpolation=cv2.INTER_CUBIC)
    paths = []
    for name, image in (("a", versions[0]), ("b", versions[1]), ("broad", broad), ("grey", GREY)):
        paths.append(str(tmp_path / f"{name}.png"))
        Image.fromarray(image).save(paths[-1])
    return paths


def test_command_person(files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "head.glb"
    assert main(["person", *files[:2], "-o", str(out), "--texture", "32"]) == 0
    printed, errors = capsys.readouterr()
    assert "from 2 of 2 photos" in printed
    assert errors == ""
    assert len(FaceMesh.load(out).vertices) > 30000


def test_command_person_reports_photos_that_are_left_out(
    files: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "head.ply"
    assert main(["person", *files, "-o", str(out), "--texture", "32", "--json"]) == 1
    printed, errors = capsys.readouterr()
    report = json.loads(printed)
    assert [photo["used"] for photo in report["photos"]] == [True, True, False, False]
    assert len(errors.splitlines()) == 2
    assert "differs by" in errors
    assert "no face was found" in errors
    assert out.exists()
    assert main(["person", *files, "-o", str(out), "--texture", "32", "--keep-all"]) == 1
    assert "broad.png is kept" in capsys.readouterr().err


@pytest.mark.parametrize(("photos", "name"), [(["a", "b"], "head.xyz"), (["a", "text"], "head.glb")])
def test_command_person_writes_nothing_after_an_error(
    photos: list[str], name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for photo in ("a", "b"):
        Image.fromarray(GREY).save(tmp_path / f"{photo}.png")
    (tmp_path / "text.png").write_text("hello")
    out = tmp_path / "new" / name
    assert main(["person", *[str(tmp_path / f"{photo}.png") for photo in photos], "-o", str(out)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not out.parent.exists()


def test_command_person_needs_two_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["person", "a.png", "-o", str(tmp_path / "head.glb")])
    assert end.value.code == 2
    assert "at least two photos" in capsys.readouterr().err
