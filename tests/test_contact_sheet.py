"""The sheets of reconstructions: their content, and the messages for photos that fail."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.evaluation import contact_sheet
from facegeom.images.camera import Camera
from facegeom.mesh.face_mesh import FaceMesh

PORTRAITS = Path(__file__).parents[2] / "shared" / "data" / "portraits" / "photos"
LFW = Path(__file__).parents[2] / "shared" / "data" / "lfw"


def needs(path: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not path.exists(), reason=f"{path.name} of the shared data folder is not there")


@pytest.fixture
def sheet_photos(tmp_path: Path) -> Path:
    for name in contact_sheet.PHOTOS.values():
        cv2.imwrite(str(tmp_path / name), np.full((40, 40, 3), 90, np.uint8))
    return tmp_path


@dataclass(frozen=True)
class Model:
    """A reconstruction with a given mesh in all stages."""

    mesh: FaceMesh
    maps: None = None

    @property
    def camera(self) -> Camera:
        return Camera(np.eye(3), 1.0, (20.0, 20.0))

    @property
    def stages(self) -> dict[str, FaceMesh]:
        return dict.fromkeys(("raw", "aligned", "registered", "detailed"), self.mesh)


def test_detail_sheet_shows_stages_and_close_ups(sheet_photos: Path):
    for name in contact_sheet.DETAIL_PHOTOS.values():
        cv2.imwrite(str(sheet_photos / name), np.full((40, 40, 3), 90, np.uint8))
    model = load_face_model()
    mesh = FaceMesh(model.mean, model.faces)
    page, failures = contact_sheet.contact_sheet(sheet_photos, lambda photo: Model(mesh), size=32, detail=True)
    assert len(contact_sheet.DETAIL_PHOTOS) == 12
    assert not failures
    assert page.shape[1] == 2 + 12 * 34  # two photos side by side, six pictures each


def test_contact_sheet_shows_every_photo_and_reports_failures(sheet_photos: Path):
    model = load_face_model()
    mesh = FaceMesh(model.mean, model.faces, colors=np.full((len(model.mean), 3), 128, np.uint8))
    calls = []

    def reconstruct(photo: np.ndarray) -> Model:
        calls.append(photo.shape)
        if len(calls) > 1:
            raise NoFaceFound("nothing here")
        return Model(mesh)

    page, failures = contact_sheet.contact_sheet(sheet_photos, reconstruct, size=32)
    assert len(calls) == len(contact_sheet.PHOTOS) == 24
    assert len(failures) == 23
    assert "nothing here" in failures[0]
    assert page.shape[1] == 2 + 18 * 34


def test_detail_sheet_of_a_mesh_network_shows_its_four_deformations(sheet_photos: Path):
    for name in contact_sheet.DETAIL_PHOTOS.values():
        cv2.imwrite(str(sheet_photos / name), np.full((40, 40, 3), 90, np.uint8))
    model = load_face_model()

    @dataclass(frozen=True)
    class Deformed(Model):
        @property
        def stages(self) -> dict[str, FaceMesh]:
            return {f"deformed{number}": self.mesh for number in range(1, 5)}

    mesh = FaceMesh(model.mean, model.faces)
    page, failures = contact_sheet.contact_sheet(sheet_photos, lambda photo: Deformed(mesh), size=32, detail=True)
    assert not failures
    assert page.shape[1] == 2 + 14 * 34  # the photo, four stages and two close-ups


def test_side_by_side_leaves_the_tiles_of_a_failed_pipeline_empty(sheet_photos: Path):
    model = load_face_model()
    mesh = FaceMesh(model.mean, model.faces, colors=np.full((len(model.mean), 3), 128, np.uint8))
    calls = []

    def fails_after_the_first(photo: np.ndarray) -> Model:
        calls.append(photo)
        if len(calls) > 1:
            raise NoFaceFound("nothing here")
        return Model(mesh)

    page, failures = contact_sheet.side_by_side(
        sheet_photos, {"failing": fails_after_the_first, "working": lambda photo: Model(mesh)}, size=32
    )
    assert len(failures) == 23
    assert page.shape[1] == 2 + 2 * 5 * 34
    rows = page[2:].reshape(-1, 32 + 15 + 2, *page.shape[1:])[:, 15:-2]
    # Columns of the first photo of each row: the photo, two of the first pipeline, two of the second.
    working = rows[:, :, 2 + 3 * 34 : 2 + 3 * 34 + 32]
    assert (working.mean(axis=(1, 2, 3)) > 100).all()
    failed = rows[1:, :, 2 + 34 : 2 + 34 + 32]
    assert failed.max() == 0


def test_people_sheet_draws_all_heads_in_one_scale(tmp_path: Path):
    for name in contact_sheet.PEOPLE:
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), np.full((40, 40, 3), 90, np.uint8))
    model = load_face_model()
    covered = []
    for scale in (1.0, 0.5):
        mesh = FaceMesh(model.mean * scale, model.faces)
        page, failures = contact_sheet.people_sheet(tmp_path, lambda photo, mesh=mesh: Model(mesh), size=64)
        assert not failures
        assert page.shape[1] == 2 + 8 * 66  # two portraits side by side: the photo and three views each
        front = page[20:60, 70:130].astype(int)  # below the caption, within the frame
        covered.append(np.count_nonzero(np.abs(front - front[0, 0]).sum(2) > 30))
    assert len(contact_sheet.PEOPLE) == 24
    assert 100 < covered[1] < 0.5 * covered[0]


def test_contact_sheet_error_names_a_missing_photo(sheet_photos: Path):
    gone = next(iter(contact_sheet.PHOTOS.values()))
    (sheet_photos / gone).unlink()
    with pytest.raises(FacegeomError, match=gone):
        contact_sheet.contact_sheet(sheet_photos, lambda photo: None)  # type: ignore[arg-type,return-value]


@pytest.mark.data
@needs(LFW)
def test_contact_sheet_photos_show_test_identities():
    from facegeom.training.data.split import split_names

    with np.load(LFW / "landmarks.npz") as data:
        names = [str(name) for name in data["names"]]
    test = {names[row] for row in split_names(names).test}
    assert set(contact_sheet.PHOTOS.values()) <= test


@needs(PORTRAITS)
def test_people_of_the_sheet_are_test_portraits():
    from facegeom.training.data.split import split_names

    names = sorted(path.name for path in PORTRAITS.rglob("*.jpg"))
    test = {names[row].removesuffix(".jpg") for row in split_names(names).test}
    assert set(contact_sheet.PEOPLE) <= test
