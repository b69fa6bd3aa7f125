"""The contour network: its crops, its training samples and losses, and the fit with its answer."""

from pathlib import Path

import numpy as np
import pytest
import torch

from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.face_model.fitting import CONTOUR_POINTS, CONTOURS, Contours, fit_maps
from facegeom.measures.openings import openings
from facegeom.networks.contour_crop import (
    CONTOUR_MIRROR,
    EYE_MM,
    FRAMES_MM,
    LIPS_MM,
    PARTS,
    contour_affines,
    from_crops,
    predict_contours,
    to_crops,
    with_mirror_images,
)
from facegeom.networks.contours import ContourConfig, ContourFinder, ContourNetwork, load_contours
from facegeom.networks.identity_crop import INNER_LANDMARKS
from facegeom.networks.interface import ContourAnswer
from facegeom.training.contours.losses import LOWER, UPPER, contour_terms
from facegeom.training.contours.samples import (
    ContourMix,
    ContourStream,
    LandmarkedPhotos,
    ShownFace,
    crops_of,
    mirrored,
    stored_face,
    stretched_mouth,
)
from facegeom.training.contours.train_contours import (
    ContourTrainer,
    ContourTrainOptions,
    ContourValidation,
    gap_shares,
)
from facegeom.training.data.labels import LANDMARK_ORIGIN, LANDMARK_UNIT, LabelOptions, make_labels
from facegeom.training.data.pose import Pose
from facegeom.training.identity.heads import make_heads
from facegeom.training.identity.reshaped_photos import ReshapedPhotos

SMALL = ContourConfig(widths=(4, 4, 8, 8), hidden=8)


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> ReshapedPhotos:
    out = tmp_path_factory.mktemp("heads")
    make_heads(out, 6, None, seed=3, processes=1)
    return ReshapedPhotos.load(out)


def _expression(model: FaceModel, **weights: float) -> np.ndarray:
    values = np.zeros(len(model.expression_names))
    for name, weight in weights.items():
        rows = [
            row
            for row, known in enumerate(model.expression_names)
            if known.removesuffix("_L").removesuffix("_R") == name
        ]
        assert rows
        values[rows] = weight
    return values


def _contours(model: FaceModel, pose: Pose) -> np.ndarray:
    points = model.landmarks468(pose.vertices)[CONTOUR_POINTS]
    return Pose(points, pose.rotation, pose.scale, pose.translation).pixels()[:, :2]


def _shown(model: FaceModel, yaw: float = 0.0, **weights: float) -> ShownFace:
    a = np.radians(yaw)
    rotation = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
    pose = Pose(model.vertices(np.zeros(4), _expression(model, **weights)), rotation, 1.1, np.array([150.0, 130.0]))
    image = np.random.default_rng(0).integers(0, 255, (300, 300, 3)).astype(np.uint8)
    return ShownFace(image, pose.pixels()[model.landmarks68[INNER_LANDMARKS], :2], rotation, _contours(model, pose))


# The crops


def test_crops_contain_the_contours_also_of_wide_open_mouths(model: FaceModel) -> None:
    for weights in ({}, {"jawOpen": 1.0}, {"eyeBlink": 1.0}, {"eyeWide": 1.0}):
        face = _shown(model, 25.0, **weights)
        placed = to_crops(contour_affines(model, face.landmarks, face.rotation, 64), face.contours, 64)
        for rows, frame in zip(PARTS, (EYE_MM, EYE_MM, LIPS_MM), strict=True):
            assert np.abs(placed[rows]).max() < 0.48 * frame


def test_positions_in_crops_are_converted_back(model: FaceModel) -> None:
    face = _shown(model, 10.0)
    affines = contour_affines(model, face.landmarks, face.rotation, 64, np.array([[1.0, 2], [-3, 0], [0, 4]]))
    np.testing.assert_allclose(from_crops(affines, to_crops(affines, face.contours, 64), 64), face.contours, atol=1e-9)


def test_both_eyes_of_a_symmetric_face_look_alike(model: FaceModel) -> None:
    face = _shown(model)
    placed = to_crops(contour_affines(model, face.landmarks, face.rotation, 64), face.contours, 64)
    np.testing.assert_allclose(placed[PARTS[0]], placed[PARTS[1]], atol=0.3)


def test_shift_moves_the_content_of_a_crop(model: FaceModel) -> None:
    face = _shown(model)
    plain = contour_affines(model, face.landmarks, face.rotation, 64)
    moved = contour_affines(model, face.landmarks, face.rotation, 64, np.array([[0.0, 0], [0, 0], [0, 5.0]]))
    np.testing.assert_array_equal(moved[:2], plain[:2])
    step = to_crops(moved, face.contours, 64) - to_crops(plain, face.contours, 64)
    np.testing.assert_allclose(step[PARTS[2]], [[0, -5.0]] * len(PARTS[2]), atol=1e-9)


def test_answer_is_placed_in_the_photo(model: FaceModel) -> None:
    face = _shown(model, -20.0)
    affines = contour_affines(model, face.landmarks, face.rotation, 64)
    true = to_crops(affines, face.contours, 64)

    class Knowing:
        size = 64

        def predict(self, crops: np.ndarray) -> list[ContourAnswer]:
            assert crops.shape == (1, 3, 64, 64, 3)
            return [ContourAnswer(true, np.array([0.5, 0.6, 0.7]))]

    landmarks = np.concatenate([np.zeros((17, 2)), face.landmarks])
    found = predict_contours(Knowing(), model, face.image, landmarks, face.rotation)
    np.testing.assert_allclose(found.places, face.contours, atol=1e-9)
    np.testing.assert_array_equal(found.deviation_mm, [0.5, 0.6, 0.7])


# The fit


def _maps(model: FaceModel, vertices: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return depth, correspondence and mask of a frontal face, one pixel per mm."""
    from facegeom.geometry import rasterize

    faces = model.faces[model.regions["map"][model.faces].all(axis=1)]
    placed = np.column_stack([vertices[:, 0] + 110, 110 - vertices[:, 1], vertices[:, 2]])
    drawn = rasterize(placed, faces, np.column_stack([vertices[:, 2], model.mean]), (230, 220))
    mask = drawn.triangle >= 0
    values = np.where(mask[..., None], np.nan_to_num(drawn.attributes), 0)
    return values[..., 0], values[..., 1:], mask


@pytest.mark.parametrize("weights", [{"eyeBlink": 1.0}, {"jawOpen": 0.9}])
def test_contours_open_and_close_what_the_maps_do_not_show(model: FaceModel, weights: dict[str, float]) -> None:
    neutral = model.vertices(np.zeros(4), np.zeros(len(model.expression_names)))
    moved = model.vertices(np.zeros(4), _expression(model, **weights))
    seen = _maps(model, neutral)
    places = model.landmarks468(moved)[CONTOUR_POINTS, :2] * (1, -1) + 110
    fit = fit_maps(model, *seen, contours=Contours(places, np.full(3, 0.5)))
    part = "mouth" if "jawOpen" in weights else "right_eye"
    found, plain, true = (
        getattr(openings(model.landmarks468(vertices)), part)
        for vertices in (fit.vertices(model), fit_maps(model, *seen).vertices(model), moved)
    )
    assert abs(found - true) < 0.25 * abs(plain - true)


def test_contours_of_small_weight_change_little(model: FaceModel) -> None:
    neutral = model.vertices(np.zeros(4), np.zeros(len(model.expression_names)))
    seen = _maps(model, neutral)
    places = model.landmarks468(model.vertices(np.zeros(4), _expression(model, eyeBlink=1.0)))[CONTOUR_POINTS, :2]
    doubtful = Contours(places * (1, -1) + 110, np.full(3, 50.0))
    gap = openings(model.landmarks468(fit_maps(model, *seen, contours=doubtful).vertices(model))).right_eye
    assert gap == pytest.approx(openings(model.landmarks468(neutral)).right_eye, rel=0.2)


# The samples


@pytest.mark.parametrize("factor", [0.7, 1.5])
def test_stretched_mouth_moves_image_and_points_together(model: FaceModel, factor: float) -> None:
    face = _shown(model, 0.0, jawOpen=0.8)
    height, width = face.image.shape[:2]
    rows = np.linspace(0, 250, height)  # brightness tells the row of the original image
    face = face._replace(image=np.rint(np.broadcast_to(rows[:, None, None], (height, width, 3))).astype(np.uint8))
    made = stretched_mouth(face, factor, 1.0, 2.0)

    def opening(shown: ShownFace) -> float:
        inner = shown.contours[PARTS[2][20:]]
        return float(inner[5, 1] - inner[15, 1])

    assert opening(made) == pytest.approx(factor * opening(face))
    at = np.rint(made.contours).astype(int)
    shown = made.image[at[:, 1], at[:, 0], 0] / 250 * (height - 1)
    np.testing.assert_allclose(shown, face.contours[:, 1], atol=2.0)
    above = face.landmarks[:, 1] < face.contours[PARTS[2][20:]][15, 1]
    np.testing.assert_array_equal(made.landmarks[above], face.landmarks[above])
    np.testing.assert_array_equal(made.contours[:, 0], face.contours[:, 0])


def test_a_mouth_is_stretched_up_to_a_limit_and_only_if_it_is_open(model: FaceModel) -> None:
    shut, wide = _shown(model), _shown(model, 0.0, jawOpen=0.8)
    assert stretched_mouth(shut, 1.5, 20.0, 2.0) is shut
    np.testing.assert_array_equal(stretched_mouth(wide, 1.5, 1.0, 0.01).contours, wide.contours)


def test_mirrored_face_has_mirrored_contours(model: FaceModel) -> None:
    face = _shown(model, 15.0, jawOpen=0.5)
    other = mirrored(face)
    again = mirrored(other)
    np.testing.assert_allclose(again.contours, face.contours)
    np.testing.assert_allclose(again.landmarks, face.landmarks)
    expected = _shown(model, -15.0, jawOpen=0.5)
    width = face.image.shape[1]
    np.testing.assert_allclose(other.rotation, expected.rotation, atol=1e-12)
    shifted = other.contours - [width - 1 - 2 * 150.0, 0]
    np.testing.assert_allclose(shifted, expected.contours, atol=0.5)


def test_contours_of_heads_are_those_of_their_coefficients(model: FaceModel, heads: ReshapedPhotos) -> None:
    for row in range(len(heads)):
        face = stored_face(heads, row)
        eyes = face.contours[:32].reshape(2, 16, 2).mean(1)
        lids = face.landmarks[19:31].reshape(2, 6, 2).mean(1)
        assert np.linalg.norm(eyes - lids, axis=1).max() < 4
        assert np.linalg.norm(face.contours[32:].mean(0) - face.landmarks[31:].mean(0)) < 5


def _photo_files(folder: Path, model: FaceModel) -> tuple[Path, Path]:
    """Write photos of three fitted faces, their landmarks and labels."""
    import cv2

    names, rows = ["generated_0000.jpg", "generated_0001.jpg", "generated_0002.jpg"], []
    for number, name in enumerate(names):
        face = _shown(model, 5.0 * number, jawOpen=0.3 * number)
        cv2.imwrite(str(folder / name), face.image)
        expression = _expression(model, jawOpen=0.3 * number)
        points = Pose(
            model.landmarks468(model.vertices(np.zeros(4), expression)), face.rotation, 1.1, np.array([150.0, 130.0])
        )
        pixels = points.pixels() * (1, 1, -1.1)
        rows.append(np.concatenate([(pixels + LANDMARK_ORIGIN) / LANDMARK_UNIT, np.zeros((10, 3))]))
    landmarks = np.rint(rows).astype(np.int16)
    np.savez(folder / "landmarks.npz", names=np.array(names), landmarks=landmarks)
    make_labels(np.array(names), landmarks, LabelOptions(), processes=1).save(folder / "labels.npz")
    return folder / "labels.npz", folder / "landmarks.npz"


def test_photos_show_their_landmarks(model: FaceModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels, landmarks = _photo_files(tmp_path, model)
    photos = LandmarkedPhotos(model, tmp_path, labels, landmarks, "test")
    assert len(photos) == 3
    for row in range(3):
        number = int(photos.names[row][-5])
        face = _shown(model, 5.0 * number, jawOpen=0.3 * number)
        for shown in (photos[row], face):
            assert len(shown.contours) == 72
        _, found = crops_of(model, photos[row], 64)
        _, expected = crops_of(model, face, 64)
        np.testing.assert_allclose(found, expected, atol=2.0)
        np.testing.assert_allclose(found - found.mean(0), expected - expected.mean(0), atol=1.5)
    with pytest.raises(FacegeomError, match="no training photo"):
        LandmarkedPhotos(model, tmp_path, labels, landmarks, "training")


def test_samples_depend_on_their_number_only(model: FaceModel, heads: ReshapedPhotos, tmp_path: Path) -> None:
    labels, landmarks = _photo_files(tmp_path, model)
    photos = LandmarkedPhotos(model, tmp_path, labels, landmarks, "test")
    one, other = (ContourStream(model, photos, [heads], 64, 5, start, 40) for start in (0, 10))
    for a, b in zip(one[17], other[7], strict=True):
        assert torch.equal(a, b)
    crops, contours = one[3]
    assert (crops.shape, crops.dtype) == ((3, 3, 64, 64), torch.uint8)
    assert (contours.shape, contours.dtype) == ((72, 2), torch.float32)


def test_without_errors_and_augmentation_crops_are_aligned(
    model: FaceModel, heads: ReshapedPhotos, tmp_path: Path
) -> None:
    labels, landmarks = _photo_files(tmp_path, model)
    photos = LandmarkedPhotos(model, tmp_path, labels, landmarks, "test")
    exact = ContourMix(photos=1.0, landmark_noise_mm=0, shift_noise_mm=0, turn_noise_deg=0, scale_noise=0)
    stream = ContourStream(model, photos, [heads], 64, 0, 0, 30, exact)
    for number in range(30):
        contours = stream[number][1].numpy()
        for rows, corners in zip(PARTS[:2], ((0, 8), (0, 8)), strict=True):
            assert np.abs(contours[rows][list(corners)].mean(0)).max() < 3


# Losses, training and validation


def test_opposite_points_face_each_other(model: FaceModel) -> None:
    points = model.landmarks468(model.mean)[CONTOUR_POINTS]
    upper, lower = points[UPPER.numpy()], points[LOWER.numpy()]
    assert (upper[:, 1] - lower[:, 1] > 0).all()
    assert np.abs(upper[:, 0] - lower[:, 0]).max() < 5


def test_losses_of_known_errors() -> None:
    truth = torch.randn(2, 72, 2)
    perfect = contour_terms(truth, torch.zeros(2, 3), truth, opening_weight=1.0)
    assert all(float(term) == pytest.approx(0) for term in perfect.values())
    moved = contour_terms(truth + 2.0, torch.zeros(2, 3), truth, opening_weight=1.0)
    assert float(moved["position"]) == pytest.approx(2.0, rel=1e-4)
    assert float(moved["contour"]) == pytest.approx(0, abs=1e-5)
    assert float(moved["opening"]) == pytest.approx(0, abs=1e-5)
    opened = truth.clone()
    opened[:, UPPER] += torch.tensor([0.0, 3.0])
    assert float(contour_terms(opened, torch.zeros(2, 3), truth, opening_weight=2.0)["opening"]) == pytest.approx(3.0)


def test_the_best_deviation_is_the_mean_absolute_error() -> None:
    truth = torch.zeros(1, 72, 2)
    error = 1.5 * torch.sign(torch.randn(1, 72, 2, generator=torch.Generator().manual_seed(0)))
    size = torch.stack([(error[:, rows] - error[:, rows].mean(1, keepdim=True)).abs().mean() for rows in PARTS])

    def loss(factor: float) -> float:
        return float(contour_terms(error, torch.log(factor * size)[None], truth, opening_weight=0.0)["contour"])

    assert loss(1.0) < min(loss(0.8), loss(1.25))


def test_gap_shares_are_the_openings_of_the_face(model: FaceModel) -> None:
    points = model.landmarks468(model.vertices(np.zeros(4), _expression(model, jawOpen=0.6, eyeBlink=0.5)))
    flat = points * (1, 1, 0)
    np.testing.assert_allclose(gap_shares(flat[None, CONTOUR_POINTS, :2])[0], openings(flat), rtol=0.15)


def test_network_learns_its_samples_and_resumes(model: FaceModel, heads: ReshapedPhotos, tmp_path: Path) -> None:
    options = ContourTrainOptions(batch=6, images=600, warmup=5, network=SMALL, learning_rate=1e-2)
    made = [crops_of(model, stored_face(heads, row), 64) for row in range(6)]
    crops = torch.from_numpy(np.stack([crop.transpose(0, 3, 1, 2) for crop, _ in made]))
    truth = torch.from_numpy(np.stack([contours for _, contours in made]))
    trainer = ContourTrainer(options, torch.device("cpu"))
    losses = [sum(trainer.train_step(crops, truth).values()) for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]
    other = ContourTrainer(options, torch.device("cpu"))
    other.load(trainer.state())
    assert other.train_step(crops, truth) == trainer.train_step(crops, truth)
    trainer.save_weights(tmp_path)
    loaded = load_contours("cpu", tmp_path / "contours.safetensors")
    answer = loaded.predict(crops.numpy().transpose(0, 1, 3, 4, 2))
    expected = trainer.averaged(crops.float() / 127.5 - 1)
    eyes = slice(0, 32)
    np.testing.assert_allclose(answer[2].places[eyes], expected[0][2, eyes].detach().numpy(), atol=2e-2)  # float16
    np.testing.assert_allclose(answer[2].deviation, np.sqrt(2) * np.exp(expected[1][2].detach().numpy()), rtol=2e-2)


def test_validation_measures_the_errors_of_the_network(model: FaceModel, heads: ReshapedPhotos, tmp_path: Path) -> None:
    labels, landmarks = _photo_files(tmp_path, model)
    photos = LandmarkedPhotos(model, tmp_path, labels, landmarks, "test")
    trainer = ContourTrainer(ContourTrainOptions(network=SMALL), torch.device("cpu"))
    validation = ContourValidation(model, trainer, photos, [stored_face(heads, row) for row in range(6)])
    values = validation.measure()
    truth = validation.sets["heads"][1]
    error = truth[:, PARTS[2]] - truth[:, PARTS[2]].mean(1, keepdims=True)  # a new network predicts one point
    assert values["heads_lips"] == pytest.approx(np.sqrt((error**2).sum(2).mean()), rel=0.05)
    assert validation.sheet().shape[2] == 3


# The trained network


def _random_finder() -> ContourFinder:
    torch.manual_seed(0)
    network = ContourNetwork(SMALL).eval()
    for part in (network.eye, network.lips):
        torch.nn.init.normal_(part.places.weight)
    return ContourFinder(network, torch.device("cpu"))


def test_both_eyes_have_the_same_weights() -> None:
    crops = np.random.default_rng(0).integers(0, 255, (1, 3, 64, 64, 3)).astype(np.uint8)
    crops[:, 1] = crops[:, 0]
    (answer,) = _random_finder().predict(crops)
    np.testing.assert_allclose(answer.places[PARTS[0]], answer.places[PARTS[1]], atol=1e-4)
    assert np.ptp(answer.places[PARTS[0]]) > 0.3
    assert answer.deviation[0] == pytest.approx(answer.deviation[1])


def test_mirrored_crops_have_mirrored_contours() -> None:
    crops = np.random.default_rng(0).integers(0, 255, (2, 3, 64, 64, 3)).astype(np.uint8)
    both = with_mirror_images(crops)
    np.testing.assert_array_equal(both[:2], crops)
    np.testing.assert_array_equal(with_mirror_images(both[2:])[2:], crops)
    one, other = (_random_finder().predict(part)[1].places for part in (crops, both[2:]))
    flip = np.where(np.arange(72) < 32, 1.0, -1.0)[:, None] * [1.0, 0.0] + [0.0, 1.0]
    np.testing.assert_allclose(other[CONTOUR_MIRROR] * flip, one, atol=1e-4)


def test_crops_of_another_size_are_refused() -> None:
    with pytest.raises(ValueError, match=r"crops must be uint8 of shape \(any, 3, 64, 64, 3\)"):
        _random_finder().predict(np.zeros((1, 3, 32, 32, 3), np.uint8))


def test_contours_are_those_of_facemesh() -> None:
    assert [len(part) for part in CONTOURS] == [16, 16, 40]
    assert len(set(CONTOUR_POINTS.tolist())) == len(CONTOUR_POINTS) == 72
    assert len(FRAMES_MM) == len(PARTS) == 3
