"""`facegeom.reconstruct_many`: an outcome for each photo, whatever its kind."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import facegeom
from facegeom import FacegeomError, ImageError
from facegeom.batch import many


@pytest.fixture
def photo(tmp_path: Path, coded_face: Any, coded_network: Any, detections: Any) -> Path:
    """The path of a photo in which the face is found."""
    coded_network(coded_face)
    detections([(*coded_face.box, 0.9)])
    path = tmp_path / "photo.png"
    Image.fromarray(coded_face.photo).save(path)
    return path


def test_kinds_of_photos(photo: Path, coded_face: Any, tmp_path: Path) -> None:
    empty = np.zeros((100, 100, 3), np.uint8)
    photos = [photo, coded_face.photo, photo.read_bytes(), Image.open(photo), tmp_path / "none.png", empty, 7]
    found = list(facegeom.reconstruct_many(photos, workers=0, pipeline="facevision"))
    assert [outcome.index for outcome in found] == list(range(7))
    assert all(outcome.photo is given for outcome, given in zip(found, photos, strict=True))
    assert [outcome.error_class for outcome in found[4:]] == ["FileNotFoundError", "NoFaceFound", "TypeError"]
    expected = facegeom.reconstruct(photo, pipeline="facevision")
    for outcome in found[:4]:
        assert outcome.error is outcome.error_class is None
        (rec,) = outcome.reconstructions
        assert rec.to_bytes("glb") == expected.to_bytes("glb")
    assert all(not outcome.reconstructions and outcome.error for outcome in found[4:])
    assert found[0].reconstructions[0].photo == photo


def test_folders_and_patterns_are_searched(photo: Path) -> None:
    (photo.parent / "deep").mkdir()
    other = photo.rename(photo.parent / "deep" / "other.png")
    for given in (photo.parent, str(photo.parent), [photo.parent], f"{photo.parent}/**/*.png"):
        (outcome,) = facegeom.reconstruct_many(given, workers=0, pipeline="facevision")
        assert outcome.photo == other
        assert outcome.error is None
    with pytest.raises(ImageError, match="no file matches"):
        list(facegeom.reconstruct_many(f"{photo.parent}/*.bmp", workers=0))


def test_all_faces(photo: Path) -> None:
    (outcome,) = facegeom.reconstruct_many([photo], workers=0, all_faces=True, pipeline="facevision")
    assert len(outcome.reconstructions) == 1
    (outcome,) = facegeom.reconstruct_many([np.zeros((99, 99, 3), np.uint8)], workers=0, all_faces=True)
    assert outcome.error_class == "NoFaceFound"


def test_photos_are_read_as_they_are_needed(photo: Path) -> None:
    taken = []

    def photos() -> Iterator[Path]:
        for number in range(5):
            taken.append(number)
            yield photo

    outcomes = facegeom.reconstruct_many(photos(), workers=0, pipeline="facevision")
    assert not taken
    next(outcomes)
    assert taken == [0]
    outcomes.close()


@pytest.mark.parametrize(
    ("photos", "options", "error", "message"),
    [
        (b"bytes", {}, TypeError, "photos must be a path or an iterable of photos, got bytes"),
        (np.zeros((9, 9, 3)), {}, TypeError, "got ndarray"),
        (7, {}, TypeError, "got int"),
        ([], {"ordered": 1}, TypeError, "ordered"),
        ([], {"all_faces": "yes"}, TypeError, "all_faces"),
        ([], {"all_faces": True, "face_index": 1}, ValueError, "face_index must be 0"),
        ([], {"all_faces": True, "box": (0, 0, 5, 5)}, ValueError, "box must be None"),
        ([], {"box": (5, 0, 0, 5)}, ValueError, "box"),
        ([], {"workers": -1}, ValueError, "workers"),
        ([], {"timeout": -1}, ValueError, "timeout"),
        ([], {"engine": "cluster"}, ValueError, "engine must be one of local, ray"),
    ],
)
def test_invalid_arguments(photos: Any, options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        facegeom.reconstruct_many(photos, **options)


@pytest.mark.parametrize("options", [{"pipeline": "magic"}, {"pipeline": "facevision", "head": True}])
def test_options_that_no_photo_can_have_end_the_iteration(options: dict[str, Any]) -> None:
    with pytest.raises(FacegeomError, match=options["pipeline"]):
        next(facegeom.reconstruct_many([np.zeros((99, 99, 3), np.uint8)], workers=0, **options))


def test_workers_are_closed_with_the_iterator(monkeypatch: pytest.MonkeyPatch) -> None:
    closed = []

    def replies(*args: Any, **options: Any) -> Iterator[Any]:
        try:
            while True:
                yield 0, "photo", many.Outcome("photo", 0)
        finally:
            closed.append(True)

    monkeypatch.setattr(many, "reply_stream", replies)
    outcomes = facegeom.reconstruct_many(["photo"])
    with pytest.raises(AttributeError):  # the stub yields no reply
        next(outcomes)
    assert closed == [True]
