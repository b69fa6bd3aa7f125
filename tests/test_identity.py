"""The identity network, the reshaped photos that it learns from, and its training."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from facegeom.errors import FacegeomError
from facegeom.face_model import FaceModel, load_face_model
from facegeom.images.crop import apply_affine, invert_affine, warp_image
from facegeom.networks.identity import Identity, IdentityConfig, IdentityNetwork, IdentityTensors, load_identity
from facegeom.networks.identity_crop import (
    CHANGED_CROPS,
    FRAME_MM,
    INNER_LANDMARKS,
    aligned_affine,
    aligned_template,
    changed_crops,
    face_points,
    see_identity,
)
from facegeom.networks.identity_units import ShapeUnits, shape_units
from facegeom.networks.weights import save_weights
from facegeom.training.data.labels import LabelOptions, Labels, make_labels
from facegeom.training.data.light import estimate_light, harmonics, shading_ratio
from facegeom.training.data.pose import Pose
from facegeom.training.data.texture_model import TextureModel
from facegeom.training.identity.heads import IdentityHeads, in_perspective, make_heads
from facegeom.training.identity.losses import identity_terms
from facegeom.training.identity.reshaped_photos import (
    ORIGINAL,
    RESHAPED,
    TURNED,
    ReshapedPhotos,
    ReshapeOptions,
    draw_changes,
)
from facegeom.training.identity.reshaping import Change, Reshaper, Subject, extended, warped
from facegeom.training.identity.samples import GroupOptions, GroupStream
from facegeom.training.identity.train_identity import IdentityTrainer, IdentityTrainOptions
from facegeom.training.identity.validation import IdentityValidation, recovery

SMALL = IdentityConfig(size=64, widths=(4, 4, 8, 8, 8), hidden=8)


PAIRS = GroupOptions(count=2)


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return load_face_model()


@pytest.fixture(scope="module")
def units(model: FaceModel) -> ShapeUnits:
    return shape_units(model)


@pytest.fixture(scope="module")
def reshaper(model: FaceModel) -> Reshaper:
    n = len(model.mean)
    texture = TextureModel(
        np.full((n, 3), 150, np.float32),
        np.zeros((1, n, 3), np.float32),
        np.ones(1, np.float32),
        np.zeros((1, 48, 48, 3), np.uint8),
    )
    return Reshaper(model, texture)


@pytest.fixture(scope="module")
def subject(model: FaceModel, reshaper: Reshaper) -> Subject:
    """A textured picture in which the mean head stands, slightly turned."""
    rng = np.random.default_rng(0)
    photo = cv2.resize(rng.integers(40, 220, (30, 30, 3), dtype=np.uint8), (300, 300), interpolation=cv2.INTER_CUBIC)
    pose = Pose(model.mean, _yaw(12.0), 1.1, np.array([150.0, 130.0]))
    return reshaper.subject(np.asarray(photo, np.uint8), pose)


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> ReshapedPhotos:
    out = tmp_path_factory.mktemp("heads")
    make_heads(out, 6, None, seed=3, processes=1)
    return ReshapedPhotos.load(out)


@pytest.fixture(scope="module")
def pairs(heads: ReshapedPhotos) -> ReshapedPhotos:
    """Two versions of each of three photos."""
    photo, kind = np.array([0, 0, 1, 1, 2, 2]), np.array([ORIGINAL, RESHAPED] * 3, np.int8)
    return replace(heads, photo=photo, kind=kind, names=heads.names[:3])


def _random_network() -> IdentityNetwork:
    """Return a network with larger answers than at the start of a training."""
    torch.manual_seed(0)
    network = IdentityNetwork(SMALL).eval()
    for layer in (network.answer, network.points):
        torch.nn.init.normal_(layer.weight)
    return network


def _yaw(degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    return np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])


def _roll(degrees: float) -> np.ndarray:
    a = np.radians(degrees)
    return np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])


# The aligned crop


@pytest.mark.parametrize("yaw", [0.0, 40.0])
@pytest.mark.parametrize("roll", [0.0, -70.0])
def test_aligned_crop_brings_the_mean_face_to_the_same_place_from_any_roll_and_size(
    model: FaceModel, yaw: float, roll: float
) -> None:
    rotation = _roll(roll) @ _yaw(yaw)
    pose = Pose(model.mean, rotation, 0.7, np.array([31.0, 87.0]))
    landmarks = pose.pixels()[model.landmarks68[INNER_LANDMARKS], :2]
    affine = aligned_affine(model, landmarks, rotation, 128)
    expected = aligned_template(model, _yaw(yaw)) * 128 / FRAME_MM + 63.5
    np.testing.assert_allclose(landmarks @ affine[:, :2].T + affine[:, 2], expected, atol=1e-9)


def test_aligned_crop_is_a_similarity_without_reflection(model: FaceModel) -> None:
    landmarks = np.random.default_rng(1).normal(50, 20, (51, 2))
    linear = aligned_affine(model, landmarks, np.eye(3), 64)[:, :2]
    np.testing.assert_allclose(linear @ linear.T, np.linalg.det(linear) * np.eye(2), atol=1e-12)


# Units of the answer


def test_components_hold_no_rotation_shift_or_scale(model: FaceModel, units: ShapeUnits) -> None:
    points = model.mean[units.vertices]
    centred = points - points.mean(0)
    for component in units.basis:
        assert np.abs(component.sum(0)).max() < 1e-6
        assert np.abs(np.cross(centred, component).sum(0)).max() < 1e-4
        assert abs((centred * component).sum()) < 1e-4


def test_scale_is_the_rms_change_of_one_standard_deviation(units: ShapeUnits) -> None:
    np.testing.assert_allclose(units.rms_mm(np.eye(60)), units.scale)


def test_mirroring_twice_gives_back_the_coefficients(units: ShapeUnits) -> None:
    coefficients = np.random.default_rng(0).normal(size=60)
    twice = units.mirror @ units.mirror @ coefficients
    assert units.rms_mm(twice - coefficients) < 0.05 * units.rms_mm(coefficients)


# Light


def test_light_is_recovered_from_a_face_that_it_shines_on() -> None:
    rng = np.random.default_rng(2)
    normals = rng.normal(size=(3000, 3)).astype(np.float32)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    light = np.array([1, 0.3, 0.2, 0.1, 0, 0.05, 0, 0, 0], np.float32)
    albedo = rng.uniform(90, 110, 3000).astype(np.float32)
    seen = normals[:, 2] > 0.3
    shading = harmonics(normals) @ light
    found = estimate_light(albedo * shading, albedo, normals, seen)
    np.testing.assert_allclose(harmonics(normals[seen]) @ found, shading[seen] / shading[seen].mean(), atol=0.03)


def test_ratio_is_one_where_the_normals_stay_and_follows_the_light_where_they_turn() -> None:
    light = np.array([1, 0.5, 0, 0, 0, 0, 0, 0, 0], np.float32)
    front, right = np.array([[0, 0, 1]], np.float32), np.array([[1, 0, 0]], np.float32)
    assert shading_ratio(light, front, front) == 1
    assert shading_ratio(light, front, right) == pytest.approx(1.5)


# Reshaped photos


def test_no_change_gives_back_the_photo(subject: Subject, reshaper: Reshaper) -> None:
    rendered = reshaper.render(subject, Change(np.zeros(60)), 128)
    landmarks = subject.pose.pixels()[reshaper.landmarks, :2]
    affine = aligned_affine(reshaper.model, landmarks, subject.pose.rotation, 128)
    plain = cv2.warpAffine(subject.photo, affine, (128, 128))
    assert np.abs(rendered.image.astype(int) - plain).max() <= 3


def test_a_change_of_identity_moves_the_picture_with_the_head(subject: Subject, reshaper: Reshaper) -> None:
    change = np.zeros(60)
    change[1] = 2.0
    still = reshaper.render(subject, Change(np.zeros(60)), 128)
    moved = reshaper.render(subject, Change(change), 128)
    assert np.abs(moved.landmarks - still.landmarks).max() > 1
    at = np.rint(moved.landmarks).astype(int)
    before = np.rint(still.landmarks).astype(int)
    carried = moved.image[at[:, 1], at[:, 0]].astype(float) - still.image[before[:, 1], before[:, 0]]
    stayed = still.image[at[:, 1], at[:, 0]].astype(float) - still.image[before[:, 1], before[:, 0]]
    far = np.linalg.norm(moved.landmarks - still.landmarks, axis=1) > 1
    assert np.abs(carried[far]).mean() < 0.7 * np.abs(stayed[far]).mean()


def test_surroundings_follow_the_outline_continuously_and_stay_where_the_head_is_far() -> None:
    head = np.zeros((120, 120), bool)
    head[40:80, 40:80] = True
    moved = np.where(head[..., None], np.float32([4.0, -3.0]), np.float32(0))
    out = extended(moved, head, fade=35.0)
    assert np.abs(np.diff(out, axis=0)).max() < 0.5
    assert np.abs(np.diff(out, axis=1)).max() < 0.5
    assert not out[0].any()


def test_surroundings_never_fold_over(subject: Subject, reshaper: Reshaper) -> None:
    rng = np.random.default_rng(4)
    x, y = np.meshgrid(np.arange(300, dtype=np.float32), np.arange(300, dtype=np.float32))
    ramps = np.repeat((np.stack([x, y], -1) / 2).astype(np.uint8)[..., :1], 3, axis=2)
    ramps[..., 1] = (y / 2).astype(np.uint8)
    picture = Subject(ramps, subject.pose, subject.normals, np.eye(9, dtype=np.float32)[0])
    for _ in range(4):
        image = reshaper.render(picture, Change(rng.normal(0, 0.8, 60)), 128).image.astype(int)
        smooth = cv2.blur(image.astype(np.float32), (3, 3))
        assert (np.diff(smooth[4:-4, :, 0], axis=1) > -0.7).all()
        assert (np.diff(smooth[:, 4:-4, 1], axis=0) > -0.7)[:, :8].all()


def test_an_empty_head_leaves_the_photo_as_it_is() -> None:
    photo = np.random.default_rng(5).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    identity = np.array([[1.0, 0, 0], [0, 1.0, 0]])
    out = warped(photo, np.zeros((40, 40, 2), np.float32), np.zeros((40, 40), bool), identity, 10.0)
    np.testing.assert_array_equal(out, photo)


def test_change_of_the_shading_fades_out_at_the_outline_of_the_face(model: FaceModel, reshaper: Reshaper) -> None:
    inside = model.regions["map"]
    hidden = np.any(
        [model.regions[name] for name in ("eyeball_left", "eyeball_right", "mouth_interior", "eye_sockets")], axis=0
    )
    edges = np.concatenate([model.faces[:, [0, 1]], model.faces[:, [1, 2]], model.faces[:, [2, 0]]])
    outline = edges[inside[edges[:, 0]] & ~(inside | hidden)[edges[:, 1]], 0]
    assert len(outline) > 50
    assert reshaper.lit[outline].max() < 0.6
    nose_and_lips = model.landmarks68[27:60]
    assert reshaper.lit[nose_and_lips].min() > 0.9


def test_versions_of_a_photo_start_with_the_photo_as_it_is(model: FaceModel) -> None:
    options = ReshapeOptions(reshaped=4, turned=2)
    drawn = list(draw_changes(model, np.zeros(57), 20.0, options, np.random.default_rng(0)))
    assert [kind for kind, _ in drawn] == [ORIGINAL] + 4 * [RESHAPED] + 2 * [TURNED]
    assert not drawn[0][1].identity.any()
    assert all(change.yaw_deg > 0 for _, change in drawn[5:])


def test_changed_expressions_close_lids_and_lips_and_never_open_them(model: FaceModel) -> None:
    names = np.array(model.expression_names)
    expression = np.zeros(len(names))
    jaw = np.flatnonzero(names == "jawOpen")
    lids = np.flatnonzero(np.char.startswith(names, "eyeBlink"))
    expression[jaw] = 0.6
    rng = np.random.default_rng(0)
    options = ReshapeOptions(reshaped=200, turned=0, expression=1.0)
    drawn = [change.expression for _, change in draw_changes(model, expression, 0.0, options, rng)][1:]
    weights = expression + np.array(drawn)
    assert 0.15 < (weights[:, lids] > 0.3).all(1).mean() < 0.5
    assert 0.15 < (weights[:, jaw] < 0.55).mean() < 0.5
    assert weights[:, jaw].max() <= 0.6
    assert weights.min() >= 0
    np.testing.assert_allclose(weights[:, lids[0]], weights[:, lids[1]])


# Synthetic heads


def test_a_head_comes_with_the_coefficients_that_made_it(model: FaceModel) -> None:
    first, again = (IdentityHeads(model).draw_head(np.random.default_rng(6), 64) for _ in range(2))
    np.testing.assert_array_equal(first.photo.image, again.photo.image)
    np.testing.assert_array_equal(first.identity, again.identity)
    assert len(first.identity) == len(model.identity)
    assert first.identity.std() == pytest.approx(1, abs=0.3)


def test_weights_of_a_head_are_those_that_made_its_points(model: FaceModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegeom.training.identity.heads.NEAREST_MM", 1e9)
    head = IdentityHeads(model).draw_head(np.random.default_rng(6), 64)
    points = face_points(model)
    pixels = (model.vertices(head.identity, head.expression)[points] @ head.photo.rotation.T)[:, :2] * [1, -1]
    flat, seen = pixels - pixels.mean(0), head.photo.points - head.photo.points.mean(0)
    placed = flat @ np.linalg.lstsq(flat, seen, rcond=None)[0]  # the crop removes the roll
    np.testing.assert_allclose(placed, seen, atol=0.05)


def test_perspective_is_that_of_a_camera_at_the_distance(model: FaceModel) -> None:
    rotation, distance = _yaw(25.0), 700.0
    seen = in_perspective(model.mean, rotation, 1 / distance) @ rotation.T
    camera = model.mean @ rotation.T
    rays = camera[:, :2] / (distance - camera[:, 2:])  # image plane of a pinhole at (0, 0, distance)
    np.testing.assert_allclose(seen[:, :2], distance * rays)
    np.testing.assert_allclose(seen[:, 2], camera[:, 2])
    np.testing.assert_allclose(in_perspective(model.mean, rotation, 0.0), model.mean, atol=1e-9)


def test_some_heads_have_closed_eyes_and_some_open_mouths(model: FaceModel) -> None:
    drawn = IdentityHeads(model)
    rng = np.random.default_rng(0)
    weights = np.array([drawn._expression(rng) for _ in range(300)])
    index = {name: row for row, name in enumerate(model.expression_names)}
    assert 0.05 < (weights[:, [index["eyeBlink_L"], index["eyeBlink_R"]]].min(1) > 0.8).mean() < 0.3
    assert (weights[:, index["jawOpen"]] > 0.8).mean() > 0.03
    assert (weights[:, index["mouthClose"]] <= weights[:, index["jawOpen"]]).all()


# Samples, losses, training


def test_the_same_number_gives_the_same_group(
    model: FaceModel, units: ShapeUnits, heads: ReshapedPhotos, pairs: ReshapedPhotos
) -> None:
    streams = [GroupStream(model, units, pairs, heads, 64, 0, start, 9, PAIRS) for start in (0, 3)]
    for a, b in zip(streams[0][5], streams[1][2], strict=True):
        assert torch.equal(a, b)


def test_groups_show_versions_of_one_photo_or_different_heads(
    model: FaceModel, units: ShapeUnits, heads: ReshapedPhotos, pairs: ReshapedPhotos
) -> None:
    labels = np.array([units.mirror @ row for row in heads.identity]) * units.scale
    known = np.concatenate([heads.identity * units.scale, labels])
    stream = GroupStream(model, units, pairs, heads, 64, 0, 0, 40, GroupOptions(count=2, heads=0.5))
    kinds = set()
    for number in range(40):
        _, label, same, _ = stream[number]
        rows = [int(np.abs(known - row).max(1).argmin()) for row in label.numpy()]
        assert rows[0] != rows[1]
        assert rows[0] // 6 == rows[1] // 6  # both are mirrored, or none
        if same:
            assert rows[0] % 6 // 2 == rows[1] % 6 // 2
        kinds.add((float(same), rows[0] // 6))
    assert len(kinds) == 4


def test_groups_larger_than_the_versions_of_a_photo_are_refused(
    model: FaceModel, units: ShapeUnits, pairs: ReshapedPhotos
) -> None:
    with pytest.raises(FacegeomError, match="a group has 3 versions of a photo, but there are 2"):
        GroupStream(model, units, pairs, None, 64, 0, 0, 9, GroupOptions(count=3))


def _terms(
    mean: torch.Tensor, label: torch.Tensor, same: torch.Tensor, **others: torch.Tensor
) -> dict[str, torch.Tensor]:
    points = torch.zeros(*mean.shape[:2], 7, 2)
    answer = IdentityTensors(mean, others.get("log_variance", torch.zeros_like(mean)), points)
    return identity_terms(
        answer,
        label,
        same,
        others.get("points", points),
        label_weight=0.3,
        pair_weight=3.0,
        variance_weight=1.0,
        point_weight=2.0,
        point_pair_weight=5.0,
    )


def test_points_of_the_face_are_followed_by_their_mirror_images(model: FaceModel) -> None:
    points = face_points(model)
    places = model.mean[points]
    assert len(set(points)) == 128
    np.testing.assert_array_equal(places[64:], places[:64] * np.array([-1, 1, 1]))


def test_points_of_the_face_leave_no_large_gap(model: FaceModel, units: ShapeUnits) -> None:
    places = model.mean[face_points(model)]
    distance = np.linalg.norm(model.mean[units.vertices][:, None] - places[None], axis=2).min(1)
    assert distance.max() < 22


def test_points_of_a_sample_are_where_the_crop_shows_them(
    model: FaceModel, units: ShapeUnits, pairs: ReshapedPhotos
) -> None:
    still = GroupOptions(count=2, landmark_noise=0, shift_noise=0, turn_noise_deg=0, scale_noise=0, pose_noise_deg=0)
    stream = GroupStream(model, units, pairs, None, 64, 0, 0, 9, still)
    template = aligned_template(model, np.eye(3), face_points(model))
    expected = []
    for row in range(len(pairs)):
        affine = aligned_affine(model, pairs.landmarks[row].astype(float), pairs.rotation[row].astype(float), 64)
        placed = apply_affine(affine, pairs.points[row].astype(float)) - 31.5
        for points in (placed, np.concatenate([placed[64:], placed[:64]]) * np.array([-1, 1])):
            expected.append(points * FRAME_MM / 64 - template)
    for drawn in np.concatenate([stream[i][3].numpy() for i in range(9)]):
        assert min(np.abs(drawn - points).max() for points in expected) < 1e-3


def test_some_images_show_the_face_without_its_surroundings(
    model: FaceModel, units: ShapeUnits, pairs: ReshapedPhotos
) -> None:
    def corners(share: float) -> np.ndarray:
        stream = GroupStream(model, units, pairs, None, 64, 0, 0, 30, GroupOptions(count=2, face_only=share))
        images = torch.cat([stream[i][0] for i in range(30)])  # (60, 3, 64, 64)
        return images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].float().std(dim=2).amax(dim=1).numpy()

    assert np.all(corners(1.0) < 0.5)  # one colour in all four corners
    assert np.mean(corners(0.0) < 0.5) < 0.5


def test_pair_term_is_free_of_the_error_that_both_labels_share() -> None:
    label = torch.randn(3, 2, 5)
    terms = _terms(label + torch.randn(3, 1, 5), label, torch.ones(3))
    assert terms["pair"] < 1e-10 < terms["label"]


def test_pair_term_is_the_weighted_squared_error_of_the_difference() -> None:
    mean = torch.tensor([[[1.0, 0.0], [0.0, 2.0]]])
    assert _terms(mean, torch.zeros(1, 2, 2), torch.ones(1))["pair"] == 3 * (1 + 4)


def test_pair_term_of_a_larger_group_is_the_mean_over_its_pairs() -> None:
    mean = torch.randn(3, 4, 5)
    squares = [(mean[:, i] - mean[:, j]).square().sum(1) for i in range(4) for j in range(i)]
    terms = _terms(mean, torch.zeros(3, 4, 5), torch.tensor([1.0, 0.0, 1.0]))
    torch.testing.assert_close(terms["pair"], 3 * torch.stack(squares).mean(0)[[0, 2]].mean())


def test_pairs_of_two_people_have_no_pair_term() -> None:
    assert _terms(torch.randn(3, 2, 5), torch.zeros(3, 2, 5), torch.zeros(3))["pair"] == 0


def test_labels_of_photos_weigh_less_than_exact_ones() -> None:
    terms = _terms(torch.ones(2, 2, 5), torch.zeros(2, 2, 5), torch.tensor([1.0, 0.0]))
    assert terms["label"] == pytest.approx(5 * (0.3 + 1) / 2)


def test_point_term_is_the_weighted_mean_squared_distance() -> None:
    zero = torch.zeros(2, 2, 5)
    terms = _terms(zero, zero, torch.ones(2), points=torch.full((2, 2, 7, 2), 3.0))
    assert terms["points"] == pytest.approx(2 * (9 + 9))


def test_point_pair_term_is_the_weighted_error_of_the_difference() -> None:
    zero = torch.zeros(1, 2, 5)
    points = torch.full((1, 2, 7, 2), 3.0)
    points[:, 1] = 4.0
    assert _terms(zero, zero, torch.ones(1), points=points)["point_pairs"] == pytest.approx(5 * (1 + 1))


def test_likelihood_is_best_at_the_true_variance() -> None:
    label = 2.0 * torch.randn(4000, 2, 1)
    zero = torch.zeros_like(label)
    values = {
        variance: _terms(zero, label, torch.zeros(4000), log_variance=torch.full_like(label, np.log(variance)))
        for variance in (2.0, 4.0, 8.0)
    }
    assert min(values, key=lambda v: float(values[v]["variance"])) == 4.0


def test_recovery_of_half_the_change_has_slope_one_half(units: ShapeUnits) -> None:
    true = np.random.default_rng(7).normal(size=(50, 60))
    result = recovery(units, 0.5 * true, true)
    np.testing.assert_allclose(result.slope, 0.5)
    np.testing.assert_allclose(result.correlation, 1.0)
    assert result.error_mm == pytest.approx(0.5 * result.unchanged_mm)


def test_training_resumes_exactly(model: FaceModel, units: ShapeUnits, pairs: ReshapedPhotos, tmp_path: Path) -> None:
    options = IdentityTrainOptions(batch=2, images=100, average_every=1, network=SMALL)
    stream = GroupStream(model, units, pairs, None, 64, 0, 0, 12, PAIRS)
    batches = [[torch.stack(part) for part in zip(stream[2 * i], stream[2 * i + 1], strict=True)] for i in range(4)]
    whole = IdentityTrainer(options, torch.device("cpu"))
    for batch in batches:
        whole.train_step(*batch)
    first = IdentityTrainer(options, torch.device("cpu"))
    for batch in batches[:2]:
        first.train_step(*batch)
    torch.save(first.state(), tmp_path / "checkpoint.pt")
    second = IdentityTrainer(options, torch.device("cpu"))
    assert second.resume(tmp_path)
    for batch in batches[2:]:
        second.train_step(*batch)
    for a, b in zip(whole.averaged.state_dict().values(), second.averaged.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_later_labels_replace_the_fitted_part_of_the_identity(pairs: ReshapedPhotos) -> None:
    fitted = np.random.default_rng(4).normal(size=(4, 60)).astype(np.float16)
    names = np.array(["another", *pairs.names[::-1]])
    labels = _labels(names, fitted)
    given = pairs.with_labels(labels)
    for version, photo in enumerate(pairs.photo):
        expected = fitted[3 - photo].astype(np.float32) + pairs.change[version]
        np.testing.assert_array_equal(given.identity[version], expected)
    np.testing.assert_array_equal(given.change, pairs.change)


def test_reshaped_photos_without_a_later_label_are_named(pairs: ReshapedPhotos) -> None:
    labels = _labels(pairs.names[1:], np.zeros((2, 60), np.float16))
    with pytest.raises(FacegeomError, match=f"1 reshaped photos have no label, the first is {pairs.names[0]}"):
        pairs.with_labels(labels)


def _labels(names: np.ndarray, identity: np.ndarray) -> Labels:
    n = len(names)
    rotation = np.repeat(np.eye(3, dtype=np.float32)[None], n, 0)
    ones, zeros = np.ones(n, np.float32), np.zeros((n, 2), np.float32)
    return Labels(names, identity, np.zeros((n, 53), np.float16), rotation, ones, zeros, np.zeros(n, np.int8))


def test_the_answer_of_the_network_is_the_prior_of_a_label(model: FaceModel, tmp_path: Path) -> None:
    network = _random_network()
    torch.nn.init.constant_(network.answer.bias[:60], 4.0)
    torch.nn.init.constant_(network.answer.bias[60:], -6.0)
    save_weights(tmp_path / "identity.safetensors", network.config, network.state_dict())
    noise = np.random.default_rng(5).integers(0, 255, (300, 300, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a_1.png"), noise)
    points = np.einsum("pcd,pc->pd", model.mean[model.landmarks468_triangles], model.landmarks468_barycentric)
    packed = np.zeros((1, 478, 3), np.int16)
    packed[0, :468] = np.rint((points * [1, -1, -1] + 150) * 16)
    made = {
        identity: make_labels(
            np.array(["a_1.png"]),
            packed,
            LabelOptions(),
            processes=1,
            identity=identity,
            paths=[tmp_path / "a_1.png"],
        )
        for identity in (None, str(tmp_path / "identity.safetensors"))
    }
    plain, informed = (labels.identity[0].astype(float) for labels in made.values())
    units = shape_units(model)
    assert units.rms_mm(plain) < 0.5
    assert units.rms_mm(informed) > 2.0


def test_validation_of_a_network_that_always_says_the_mean_face(
    model: FaceModel, units: ShapeUnits, pairs: ReshapedPhotos, heads: ReshapedPhotos
) -> None:
    network = IdentityNetwork(SMALL).eval()
    torch.nn.init.zeros_(network.answer.weight)
    figures = IdentityValidation(model, units, pairs, heads, 64, PAIRS).measure(network)
    assert figures["head_slope"] == 0
    assert figures["head_error_mm"] == pytest.approx(figures["head_mean_mm"])
    assert figures["head_mean_mm"] == pytest.approx(units.rms_mm(heads.identity.astype(float)).mean())


def test_weights_give_the_same_answer_after_saving(units: ShapeUnits, tmp_path: Path) -> None:
    network = _random_network()
    save_weights(tmp_path / "identity.safetensors", network.config, network.state_dict())
    crops = np.random.default_rng(8).integers(0, 255, (2, 64, 64, 3), dtype=np.uint8)
    loaded = load_identity("cpu", tmp_path / "identity.safetensors").predict(crops)
    given = Identity(network, units, torch.device("cpu")).predict(crops)
    for a, b in zip(loaded, given, strict=True):
        np.testing.assert_allclose(a.mean, b.mean, atol=2e-2)
        assert (a.deviation > 0).all()


def test_the_mirrored_photo_gives_the_mirrored_identity(units: ShapeUnits) -> None:
    identity = Identity(_random_network(), units, torch.device("cpu"))
    crop = np.random.default_rng(9).integers(0, 255, (1, 64, 64, 3), dtype=np.uint8)
    a, b = identity.predict(crop)[0], identity.predict(crop[:, :, ::-1])[0]
    assert units.rms_mm(units.mirror @ a.mean - b.mean) < 0.1 * units.rms_mm(a.mean)
    assert a.points is not None
    assert b.points is not None
    error = np.roll(a.points, 64, axis=0) * [-1, 1] - b.points
    assert np.abs(error).max() < 0.1 * np.abs(a.points).max()


@pytest.mark.parametrize("roll", [0.0, 120.0])
def test_prior_is_the_answer_for_the_aligned_crop(
    model: FaceModel, units: ShapeUnits, subject: Subject, roll: float
) -> None:
    identity = Identity(_random_network(), units, torch.device("cpu"))
    turn = cv2.getRotationMatrix2D((150, 150), roll, 1.0)  # counter-clockwise
    photo = cv2.warpAffine(subject.photo, turn, (300, 300))
    points = apply_affine(turn, subject.pose.pixels()[model.landmarks68, :2])
    prior, seen = see_identity(
        identity, model, np.asarray(photo, np.uint8), points, _roll(roll) @ subject.pose.rotation
    )
    affine = aligned_affine(model, points[INNER_LANDMARKS], _roll(roll) @ subject.pose.rotation, 64)
    crops = [warp_image(np.asarray(photo, np.uint8), changed, 64) for changed in changed_crops(affine, 64)]
    answers = identity.predict(np.stack(crops))
    np.testing.assert_allclose(prior.mean, np.mean([answer.mean for answer in answers], axis=0))
    np.testing.assert_allclose(prior.variance, np.mean([answer.deviation for answer in answers], axis=0) ** 2)
    assert seen is not None
    in_crop = (apply_affine(affine, seen.places) - 31.5) * (FRAME_MM / 64)
    change = in_crop - aligned_template(model, np.eye(3), seen.vertices)
    answer = identity.predict(warp_image(np.asarray(photo, np.uint8), affine, 64)[None])[0]
    assert np.abs(change - answer.points).max() < 1.0


def test_changed_crops_are_about_the_aligned_one() -> None:
    affine = np.array([[0.5, 0.1, 3.0], [-0.1, 0.5, -7.0]])
    back = invert_affine(affine)
    corners = np.array([[0.0, 0.0], [63.0, 0.0], [0.0, 63.0], [63.0, 63.0], [31.5, 31.5]])
    moved = [apply_affine(changed, apply_affine(back, corners)) - corners for changed in changed_crops(affine, 64)]
    np.testing.assert_allclose([move[4] for move in moved], [change[:2] for change in CHANGED_CROPS], atol=1e-9)
    np.testing.assert_allclose(np.mean(moved, axis=0), 0, atol=0.02)
    assert 0.5 < np.abs(moved).max() < 1.5


def test_crops_of_another_size_are_refused(units: ShapeUnits) -> None:
    identity = Identity(_random_network(), units, torch.device("cpu"))
    with pytest.raises(ValueError, match="crops must be uint8"):
        identity.predict(np.zeros((1, 32, 32, 3), np.uint8))
