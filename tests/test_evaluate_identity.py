"""`facegeom evaluate identity`: pictures with a known shape, and methods whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch

import facegeom
from facegeom.cli import main
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.evaluation import identity as command
from facegeom.evaluation.identity import People, evaluate_pairs, evaluate_people, format_results, rows_of_people
from facegeom.evaluation.reshaped import (
    IctPictures,
    PairOptions,
    PhotoPairs,
    Picture,
    measure_ict,
    measure_photos,
    measure_single,
    stored_pictures,
)
from facegeom.evaluation.shapes import (
    Answers,
    Method,
    Place,
    face_only,
    network_method,
    predict_method,
    reconstruct_method,
)
from facegeom.face_model import load_face_model
from facegeom.images.crop import warp_image
from facegeom.measures.shapes import ShapeSpace, rms_mm
from facegeom.networks.identity import Identity, IdentityConfig, IdentityNetwork
from facegeom.networks.identity_crop import INNER_LANDMARKS, aligned_affine
from facegeom.networks.identity_units import shape_units
from facegeom.networks.interface import IdentityAnswer
from facegeom.pipelines.map_prediction import IDENTITY_GAIN
from facegeom.training.data.labels import Labels
from facegeom.training.data.pose import Pose

SMALL = IdentityConfig(size=64, widths=(4, 4, 8, 8, 8), hidden=8)
ICT = Path(__file__).parents[2] / "shared" / "data" / "ict" / "ict_face_model.npz"
needs_ict = pytest.mark.skipif(not ICT.exists(), reason="ict_face_model.npz of the shared data folder is not there")


def _labels(names: list[str]) -> Labels:
    n = len(names)
    return Labels(
        np.array(names),
        np.zeros((n, 60), np.float16),
        np.zeros((n, 57), np.float16),
        np.tile(np.eye(3, dtype=np.float32), (n, 1, 1)),
        np.full(n, 0.7, np.float32),
        np.full((n, 2), 80, np.float32),
        np.zeros(n, np.int8),
    )


@pytest.fixture(scope="module")
def space() -> ShapeSpace:
    return ShapeSpace(load_face_model())


def _network(space: ShapeSpace) -> Method:
    torch.manual_seed(0)
    network = IdentityNetwork(SMALL)
    torch.nn.init.normal_(network.answer.weight)
    return network_method(
        space, load_face_model(), Identity(network, shape_units(load_face_model()), torch.device("cpu"))
    )


def _write_photos(folder: Path, names: list[str], noise: float) -> None:
    """Write photos that are alike for one person, except for noise, and their labels."""
    for number, name in enumerate(names):
        person = np.random.default_rng(sum(name.rsplit("_", 1)[0].encode()))
        photo = cv2.resize(person.integers(0, 255, (8, 8, 3), dtype=np.uint8), (160, 160))
        changed = photo + np.random.default_rng(number).normal(0, noise, photo.shape)
        cv2.imwrite(str(folder / name), np.clip(changed, 0, 255).astype(np.uint8))
    _labels(names).save(folder / "labels.npz")


def test_people_with_too_few_photos_are_left_out() -> None:
    labels = _labels(["B_0002.png", "A_0001.png", "B_0001.png", "C_0001.png", "C_0002.png", "B_0003.png"])
    assert rows_of_people(labels, 2).tolist() == [[2, 0], [3, 4]]


def test_only_photos_of_the_source_are_used() -> None:
    labels = _labels(["A_1.png", "A_2.png", "london_0000.png", "london_0102.png", "london_0103.png", "london_0001.png"])
    assert rows_of_people(labels, 2, "london").tolist() == [[2, 3], [5, 4]]


def test_one_person_is_not_enough() -> None:
    with pytest.raises(FacegeomError, match="two people"):
        rows_of_people(_labels(["A_0001.png", "A_0002.png"]), 2)


def test_the_face_only_is_grey_and_black_outside() -> None:
    model = load_face_model()
    photo = np.random.default_rng(1).integers(1, 255, (160, 160, 3), dtype=np.uint8)
    shown = face_only(photo, Pose(model.mean, np.eye(3), 0.5, np.array([80.0, 80.0])), model)
    assert (shown == shown[..., :1]).all()
    assert not shown[0].any()
    assert shown[80, 80].all()


def test_photos_of_a_person_that_differ_by_noise_have_consistent_shapes(space: ShapeSpace, tmp_path: Path) -> None:
    names = [f"{person}_{number:04d}.png" for person in "ABCDEFGH" for number in range(4)]
    _write_photos(tmp_path, names, noise=2.0)
    people = People(load_face_model(), _network(space), tmp_path, tmp_path / "labels.npz")
    result = evaluate_people(people)["network"]
    assert result["people"] == 8
    assert result["interval"][0] <= result["intraclass_correlation"] <= result["interval"][1] <= 1
    assert result["intraclass_correlation"] > 0.9
    assert evaluate_people(people, limit=3)["network"]["people"] == 3
    pairs = evaluate_pairs(people)
    assert pairs["photos"]["network"]["rank1"] == 1
    assert pairs["photos"]["network"]["ratio"] < 0.3
    assert set(pairs) == {"photos", "face only, grey"}


def test_people_of_whom_a_photo_shows_no_face_are_left_out(space: ShapeSpace, tmp_path: Path) -> None:
    names = [f"{person}_{number:04d}.png" for person in "ABC" for number in range(4)]
    _write_photos(tmp_path, names, noise=2.0)
    network, calls = _network(space), []

    def method(photo: np.ndarray, place: Place) -> Answers:
        assert place.box is not None
        calls.append(place)
        if len(calls) == 2:
            raise NoFaceFound("nothing here")
        return network(photo, place)

    result = evaluate_people(People(load_face_model(), method, tmp_path, tmp_path / "labels.npz"))
    assert result["missed"] == 1
    assert result["network"]["people"] == 2
    assert len(calls) == 10  # the other photos of the person are skipped


def test_the_network_sees_the_aligned_crop(space: ShapeSpace) -> None:
    model = load_face_model()
    seen = []

    class Watching:
        size = 64

        def predict(self, crops: np.ndarray) -> list[Any]:
            seen.append(crops)
            return [type("Answer", (), {"mean": np.zeros(60)})()]

    photo = np.random.default_rng(2).integers(0, 255, (200, 200, 3), dtype=np.uint8)
    place = Place.of_pose(model, Pose(model.mean, np.eye(3), 0.6, np.array([90.0, 80.0])))
    answers = network_method(space, model, Watching())(photo, place)  # type: ignore[arg-type]
    assert rms_mm(answers["network"]) == pytest.approx(0, abs=1e-6)
    affine = aligned_affine(model, place.landmarks, place.rotation, 64)
    assert np.array_equal(seen[0][0], warp_image(photo, affine, 64))


def test_predict_gets_the_box_of_the_place(space: ShapeSpace, coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    place = Place(np.zeros((51, 2)), np.eye(3), coded_face.box)
    answers = predict_method(space, load_face_model())(coded_face.photo, place)
    assert float(rms_mm(answers["fit"])) < 1.0  # the coded face is the mean face


def test_reconstruct_gives_the_shape_of_the_default_pipeline(
    space: ShapeSpace, coded_face: Any, coded_network: Any
) -> None:
    coded_network(coded_face)
    model = load_face_model()
    place = Place(np.zeros((51, 2)), np.eye(3), coded_face.box)
    answers = reconstruct_method(space, model)(coded_face.photo, place)
    found = facegeom.reconstruct(coded_face.photo, box=coded_face.box)
    np.testing.assert_array_equal(answers["fit"], space.displacement(model.vertices(found.identity)))
    assert found.neutral is not None
    np.testing.assert_array_equal(answers["mesh"], space.displacement(found.neutral.vertices))


def test_reconstruct_uses_the_given_identity_network(space: ShapeSpace, coded_face: Any, coded_network: Any) -> None:
    coded_network(coded_face)
    model = load_face_model()
    place = Place(np.zeros((51, 2)), np.eye(3), coded_face.box)
    shape = np.linspace(-0.5, 0.5, 60)

    class Believer:
        size = 64

        def predict(self, crops: np.ndarray, *, mirror: bool = True) -> list[IdentityAnswer]:
            return [IdentityAnswer(shape, np.full(60, 1e-4))] * len(crops)

    answers = reconstruct_method(space, model, identity=Believer())(coded_face.photo, place)
    right = space.displacement(model.vertices(IDENTITY_GAIN * shape))
    assert float(rms_mm(answers["fit"] - right)) < 0.1 * float(rms_mm(right))


@pytest.fixture(scope="module")
def photo_pairs(
    space: ShapeSpace, folder: Path, labels: Labels, texture: Any, tmp_path_factory: pytest.TempPathFactory
) -> PhotoPairs:
    out = tmp_path_factory.mktemp("pairs")
    labels.save(out / "labels.npz")
    texture.save(out / "texture.npz")
    options = PairOptions(size=96)
    files = out / "labels.npz", out / "texture.npz"
    return PhotoPairs(load_face_model(), space, folder, *files, "validation", options)


def _oracle(pictures: list[Picture], share: float) -> Method:
    """Return a method that knows the shapes of the pictures, and answers a share of them."""
    known = {made.image.tobytes(): made.shape for made in pictures}
    return lambda photo, place: {"fit": share * known[photo.tobytes()]}


def test_photos_are_reshaped_in_their_own_pose_and_turned(photo_pairs: PhotoPairs) -> None:
    frontal, turned = photo_pairs.pairs(int(photo_pairs.rows[0]))
    assert (frontal.yaw, turned.yaw) == ("yaw 0", "yaw 45")
    for pair in (frontal, turned):
        assert np.array_equal(pair.before.place.rotation, pair.after.place.rotation)
        assert 1.5 < rms_mm(pair.after.shape - pair.before.shape) < 4
        landmarks = pair.after.place.landmarks
        assert ((landmarks > 0) & (landmarks < 96)).all()
    rotation = turned.before.place.rotation
    assert abs(np.degrees(np.arctan2(rotation[0, 2], rotation[2, 2]))) == pytest.approx(45)


def test_part_and_yaw_decide_which_photos_are_used(photo_pairs: PhotoPairs) -> None:
    assert len(photo_pairs.rows) == 300
    photo_pairs.labels.rotation[photo_pairs.rows[:7]] = (
        Pose(np.zeros((1, 3)), np.eye(3), 1, np.zeros(2)).turned(30).rotation
    )
    assert len(photo_pairs._frontal_rows("validation")) == 293
    photo_pairs.labels.rotation[:] = np.eye(3)


def test_a_method_that_knows_half_of_the_shape_has_slope_one_half(photo_pairs: PhotoPairs) -> None:
    rows = photo_pairs.rows[:3]
    pictures = [made for row in rows for pair in photo_pairs.pairs(int(row)) for made in pair[1:]]
    oracle = _oracle(pictures, 0.5)
    zero = next(photo_pairs.pairs(int(rows[0]))).before.shape

    def method(photo: np.ndarray, place: Place) -> Answers:
        if photo.shape[0] == 96:
            return oracle(photo, place)
        return {"fit": 0.5 * zero}  # the photo itself

    result = measure_photos(photo_pairs, method, limit=3)
    for yaw in ("yaw 0", "yaw 45"):
        figures = result[yaw]["fit"]
        assert figures["pairs"] == 3
        assert figures["slope"] == pytest.approx(0.5)
        assert figures["correlation"] == pytest.approx(1.0)
        assert figures["error_mm"] == pytest.approx(0.5 * figures["unchanged_mm"])
        assert sum(part["photos"] for part in figures["lightness"].values()) == 3
    assert result["missed"] == 0
    assert result["zero change"]["fit"]["photos"] == 3
    assert "reshaped: yaw 45: fit: slope" in format_results({"reshaped": result})


def test_an_answer_that_never_changes_has_slope_zero_and_missed_pairs_are_counted(photo_pairs: PhotoPairs) -> None:
    calls = []

    def method(photo: np.ndarray, place: Place) -> Answers:
        calls.append(place)
        if len(calls) == 1:
            raise NoFaceFound("nothing here")
        return {"fit": np.zeros((len(photo_pairs.space.vertices), 3))}

    result = measure_photos(photo_pairs, method, limit=2)
    assert result["missed"] == 1
    assert result["yaw 0"]["fit"]["pairs"] == 1
    assert result["yaw 45"]["fit"]["slope"] == 0
    assert result["yaw 45"]["fit"]["error_mm"] == pytest.approx(result["yaw 45"]["fit"]["unchanged_mm"])


def test_a_part_without_photos_is_an_error(
    space: ShapeSpace, folder: Path, labels: Labels, texture: Any, tmp_path: Path
) -> None:
    labels.save(tmp_path / "labels.npz")
    texture.save(tmp_path / "texture.npz")
    (tmp_path / "other").mkdir()
    cv2.imwrite(str(tmp_path / "other" / "x.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(FacegeomError, match="no labelled frontal photo of the part test"):
        PhotoPairs(load_face_model(), space, tmp_path / "other", tmp_path / "labels.npz", tmp_path / "texture.npz")


def test_error_of_single_pictures_is_compared_with_the_mean_face(space: ShapeSpace) -> None:
    model, rng = load_face_model(), np.random.default_rng(5)
    identity = rng.normal(0, 1, (3, 60)).astype(np.float32)
    heads = SimpleNamespace(
        images=rng.integers(0, 255, (3, 160, 160, 3), dtype=np.uint8),
        identity=identity,
        landmarks=np.full((3, 51, 2), 80, np.float32),
        rotation=np.tile(np.eye(3, dtype=np.float32), (3, 1, 1)),
    )
    picture = stored_pictures(model, space, heads)  # type: ignore[arg-type]
    result = measure_single(picture, range(3), _oracle([picture(i) for i in range(3)], 0.75))["fit"]
    assert result["pictures"] == 3
    assert result["gain"] == pytest.approx(0.75)
    assert result["error_mm"] == pytest.approx(0.25 * result["mean_face_mm"])


def test_a_method_is_needed_for_the_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, message in (
        ([], "needs --reshaped, --ict, --heads, --people or --pairs"),
        (["--reshaped", "photos", "labels"], "--reshaped needs --texture-model"),
        (["--ict", "x", "--weights", "y"], "the weights of identity are missing"),
    ):
        assert main(["evaluate", "identity", *options]) == 1
        assert message in capsys.readouterr().err


def test_command_writes_the_slopes_of_the_components(
    photo_pairs: PhotoPairs, space: ShapeSpace, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "PhotoPairs", lambda *arguments: photo_pairs)
    monkeypatch.setattr(
        command, "_method", lambda *arguments: lambda photo, place: {"fit": np.zeros((len(space.vertices), 3))}
    )
    out = tmp_path / "result.json"
    options = ["--reshaped", str(folder), "labels", "--texture-model", "texture", "--limit", "1", "--json", str(out)]
    assert main(["evaluate", "identity", *options]) == 0
    result = json.loads(out.read_text())
    assert len(result["reshaped photos"]["yaw 0"]["fit"]["slopes"]) == 60


@pytest.mark.data
@needs_ict
def test_ict_heads_of_a_pair_differ_by_their_shape_only(space: ShapeSpace) -> None:
    source = IctPictures(load_face_model(), space, ICT, PairOptions(size=128))
    frontal, turned = source.pairs(0)
    for pair in (frontal, turned):
        assert 1.0 < rms_mm(pair.after.shape - pair.before.shape) < 5
        corner = np.s_[:12, :12]
        assert np.abs(pair.before.image[corner].astype(int) - pair.after.image[corner]).max() <= 1
    pictures = [made for pair in (frontal, turned) for made in pair[1:]]
    result = measure_ict(source, _oracle(pictures, 1.0), 1)
    assert result["yaw 45"]["fit"]["slope"] == pytest.approx(1.0)


@pytest.mark.data
@needs_ict
def test_landmarks_of_an_ict_head_lie_on_its_picture(space: ShapeSpace) -> None:
    model = load_face_model()
    source = IctPictures(model, space, ICT, PairOptions(size=128))
    assert space.displacement(source.renderer.on_face_model(source.renderer.head.vertices)) == pytest.approx(
        np.zeros((len(space.vertices), 3)), abs=0.5
    )
    neutral = source.renderer.head.vertices
    pose = Pose(neutral, np.eye(3), 1.0, np.zeros(2))
    sample = source.renderer.render(pose, np.random.default_rng(0), 128)
    place = source._picture(pose, neutral, np.random.default_rng(0)).place
    columns, rows = np.rint(place.landmarks[[0, 9, 13, 30]]).astype(int).T  # brow and nose
    expected = model.mean[model.landmarks68[INNER_LANDMARKS]][[0, 9, 13, 30]]
    assert np.linalg.norm(sample.correspondence[rows, columns] - expected, axis=1).max() < 4
    assert source.single(0).image.shape == (128, 128, 3)
