"""Removal of noise before the networks see a photo, and its choice between two networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest

import facegeom
from facegeom.cli import main
from facegeom.detection.found_face import FoundFace
from facegeom.errors import NoFaceFound
from facegeom.images.boxes import box_iou
from facegeom.images.denoising_score import denoising_score
from facegeom.networks.denoising import cleaner
from facegeom.networks.denoising.cleaner import OVERLAP, TILE, Cleaner
from facegeom.pipelines import noise_removal
from facegeom.pipelines.noise_removal import AROUND_SIDE, NOISY, NoiseRemoval, check_denoise, face_noise
from facegeom.training.denoising.noise import noise_kind, with_gaussian_noise, with_noise


class Known:
    """A cleaner that knows the photo without noise: it returns the part of it that an image shows."""

    def __init__(self, photo: np.ndarray, noisy: np.ndarray) -> None:
        self.photo, self.noisy = photo, noisy
        self.sizes: list[tuple[int, ...]] = []

    def clean(self, image: np.ndarray) -> np.ndarray:
        self.sizes.append(image.shape[:2])
        assert image.shape[0] / image.shape[1] == pytest.approx(self.photo.shape[0] / self.photo.shape[1], abs=0.01)
        return np.asarray(cv2.resize(self.photo, image.shape[1::-1], interpolation=cv2.INTER_AREA), np.uint8)

    def clean_in_tiles(self, image: np.ndarray) -> np.ndarray:
        place = cv2.minMaxLoc(cv2.matchTemplate(self.noisy, image, cv2.TM_SQDIFF))[2]
        return self.photo[place[1] : place[1] + image.shape[0], place[0] : place[0] + image.shape[1]]


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Callable[[np.ndarray, np.ndarray], Known]:
    """A function (photo, noisy photo) -> the cleaner that then replaces that of the package."""

    def install(photo: np.ndarray, noisy: np.ndarray) -> Known:
        made = Known(photo, noisy)
        monkeypatch.setattr(noise_removal, "shipped_cleaner", lambda device, backend: made)
        return made

    return install


@pytest.fixture
def no_cleaner(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network that removes noise may be loaded."""

    def refuse(device: str, backend: str) -> Any:
        raise AssertionError("noise is removed from a photo that has none")

    monkeypatch.setattr(noise_removal, "shipped_cleaner", refuse)


def with_level(photo: np.ndarray, level: float) -> np.ndarray:
    return with_gaussian_noise(photo, level, np.random.default_rng(3))


# ---- the pipelines ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pipeline", ["pix2vertex", "facevision", "pixel2mesh", "gcn_igan"])
def test_a_photo_without_noise_gives_the_same_bytes(
    pipeline: str, draw_face: Any, coded_network: Any, mesh_oracle: Any, no_cleaner: None
) -> None:
    face = draw_face()
    coded_network(face)
    mesh_oracle(face)
    made = [facegeom.reconstruct(face.photo, pipeline=pipeline, box=face.box, denoise=d) for d in ("auto", False)]
    assert made[0].to_bytes("ply") == made[1].to_bytes("ply")
    np.testing.assert_array_equal(made[0].maps.image, made[1].maps.image)


@pytest.mark.parametrize("pipeline", ["pix2vertex", "facevision", "pixel2mesh", "gcn_igan"])
def test_noise_is_removed_for_the_networks_and_with_true_from_the_colours(
    pipeline: str, draw_face: Any, coded_network: Any, mesh_oracle: Any, known: Any
) -> None:
    """The face fills its photo, so that the cleaner sees all of it."""
    face = draw_face(size=250, scale=1.1)
    noisy = with_level(face.photo, 0.2)
    coded_network(face)
    mesh_oracle(face)
    known(face.photo, noisy)
    made = {d: facegeom.reconstruct(noisy, pipeline=pipeline, box=face.box, denoise=d) for d in ("auto", True)}
    truth = facegeom.reconstruct(face.photo, pipeline=pipeline, box=face.box, denoise=False)
    for rec in made.values():
        np.testing.assert_allclose(rec.landmarks, truth.landmarks, atol=1e-9)
        np.testing.assert_allclose(rec.mesh.vertices, truth.mesh.vertices, atol=1e-9)
        np.testing.assert_array_equal(rec.maps.image, truth.maps.image)
    seen = truth.mesh.seen if truth.mesh.seen is not None else np.ones(len(truth.mesh.vertices))
    error = {d: np.abs(rec.mesh.colors.astype(int) - truth.mesh.colors)[seen > 0.9].mean() for d, rec in made.items()}
    assert error[True] == 0
    assert error["auto"] > 10


def test_false_leaves_the_noise(draw_face: Any, coded_network: Any, no_cleaner: None) -> None:
    face = draw_face()
    coded_network(face)
    noisy = with_level(face.photo, 0.1)
    rec = facegeom.reconstruct(noisy, box=face.box, denoise=False)
    assert np.abs(rec.maps.image.astype(int) - facegeom.predict(face.photo, face.box).maps.image).mean() > 2


@pytest.mark.parametrize("everything", [False, True])
def test_a_face_that_noise_hides_is_sought_again(
    everything: bool, draw_face: Any, coded_network: Any, known: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    face = draw_face()
    noisy = with_level(face.photo, 0.3)
    coded_network(face)
    known(face.photo, noisy)
    searched: list[tuple[int, ...]] = []

    def find_faces(image: np.ndarray, **options: Any) -> list[FoundFace]:
        searched.append(image.shape[:2])
        if image is noisy:
            return []
        factor = len(image) / len(noisy)
        assert options["min_face"] == pytest.approx(40 * factor)
        return [FoundFace.of_box([(side + 0.5) * factor - 0.5 for side in face.box], 0.9)]

    monkeypatch.setattr("facegeom.detection.detector.find_faces", find_faces)
    if everything:
        (rec,) = facegeom.reconstruct_all(noisy, min_face=40)
    else:
        rec = facegeom.reconstruct(noisy, min_face=40)
    assert searched == [(400, 400), (320, 320)]
    found = rec.camera.project(rec.landmarks)
    assert box_iou((*found.min(0), *found.max(0)), face.box) > 0.9
    monkeypatch.setattr("facegeom.pipelines.map_options.MapOptions.fallback_sides", ())
    with pytest.raises(NoFaceFound):
        facegeom.reconstruct(noisy, min_face=40, denoise=False)


def test_pixel2mesh_finds_the_face_again(
    draw_face: Any, coded_network: Any, mesh_oracle: Any, known: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    face = draw_face()
    noisy = with_level(face.photo, 0.2)
    mesh_oracle(face)
    known(face.photo, noisy)
    small = [(side + 0.5) * 0.8 - 0.5 for side in face.box]
    monkeypatch.setattr(
        "facegeom.detection.detector.find_faces",
        lambda image, **options: [] if image is noisy else [FoundFace.of_box(small, 0.9)],
    )
    found = facegeom.reconstruct(noisy, pipeline="pixel2mesh")
    given = facegeom.reconstruct(noisy, pipeline="pixel2mesh", box=face.box)
    np.testing.assert_allclose(found.landmarks, given.landmarks, atol=0.5)


@pytest.mark.parametrize("value", ["on", "Auto", None, 2, []])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="denoise must be 'auto', True or False, got"):
        facegeom.reconstruct(np.zeros((50, 50, 3), np.uint8), denoise=value)


def test_the_command_line_has_three_words(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["reconstruct", "photo.jpg", "-o", str(tmp_path / "a.glb"), "--denoise", "yes"])
    assert stopped.value.code == 2
    assert "invalid choice: 'yes'" in capsys.readouterr().err


def test_the_command_line_passes_the_value_on(
    tmp_path: Any, coded_face: Any, coded_network: Any, known: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    coded_network(coded_face)
    made = known(coded_face.photo, coded_face.photo)
    cv2.imwrite(str(tmp_path / "photo.png"), coded_face.photo[..., ::-1])
    box = "--box=" + ",".join(f"{side:.2f}" for side in coded_face.box)
    for word, calls in (("off", 0), ("auto", 0), ("on", 1)):
        out = tmp_path / f"{word}.ply"
        command = ["reconstruct", str(tmp_path / "photo.png"), "-o", str(out), box, "--workers", "0"]
        assert main([*command, "--pipeline", "facevision", "--denoise", word]) == 0
        assert len(made.sizes) == calls


# ---- the estimate ----------------------------------------------------------------------------------------------------


def test_the_noise_is_that_of_the_reduced_face() -> None:
    grey = np.full((900, 900, 3), 128, np.uint8)
    noisy = with_level(grey, 0.12)
    assert face_noise(noisy, (100, 100, 170, 170)) == pytest.approx(0.12, rel=0.1)
    assert face_noise(noisy, (200, 200, 520, 520)) == pytest.approx(0.12 / 3, rel=0.15)  # 506 pixels of the square
    assert face_noise(grey, (200, 200, 520, 520)) == 0
    assert face_noise(noisy, (-500, -500, -400, -400)) == 0  # outside
    assert face_noise(noisy[:2], (0, 0, 100, 100)) == 0


def test_only_the_square_around_the_face_changes(known: Any) -> None:
    photo = with_level(np.full((400, 700, 3), 128, np.uint8), 0.2)
    removal = NoiseRemoval("auto")
    shown = noise_removal.with_clean_square(photo, (300, 150, 360, 210), lambda image: np.zeros_like(image))
    changed = np.argwhere((shown != photo).any(axis=2))
    np.testing.assert_array_equal(changed.min(0), [84, 234])
    np.testing.assert_array_equal(changed.max(0), [275, 425])
    assert (shown[84:276, 234:426] == 0).all()
    assert removal.around(np.full((50, 50, 3), 9, np.uint8), (10, 10, 40, 40)).base is None


def test_a_large_square_is_reduced_for_the_network() -> None:
    sizes = []

    def clean(image: np.ndarray) -> np.ndarray:
        sizes.append(image.shape)
        return image

    photo = np.full((900, 1200, 3), 77, np.uint8)
    shown = noise_removal.with_clean_square(photo, (400, 300, 650, 550), clean)
    assert max(sizes[0][:2]) == AROUND_SIDE
    np.testing.assert_array_equal(shown, photo)
    assert shown is not photo


@pytest.mark.parametrize(("given", "value"), [("auto", "auto"), (True, True), (False, False), (np.bool_(True), True)])
def test_checked_values(given: Any, value: Any) -> None:
    assert check_denoise(given) is value


def test_kinds_of_noise() -> None:
    image = np.full((31, 33, 3), 100, np.uint8)
    assert with_noise(image, "0", np.random.default_rng(0)) is image
    for kind in ("0.25", "phone"):
        noisy = with_noise(image, noise_kind(kind), np.random.default_rng(0))
        assert noisy.shape == image.shape
        assert noisy.std() > 0
    for kind in ("tv", "-1", "2", "nan"):
        with pytest.raises(ValueError, match="noise must be phone or a number"):
            noise_kind(kind)


# ---- the networks ----------------------------------------------------------------------------------------------------


class Pointwise:
    """A network that adds a number to every value."""

    def __init__(self, change: int) -> None:
        self.change, self.shapes = change, []

    def predict(self, images: np.ndarray) -> np.ndarray:
        self.shapes.append(images.shape)
        assert images.shape[1] % 16 == images.shape[2] % 16 == 0
        return np.clip(images.astype(int) + self.change, 0, 255).astype(np.uint8)


class Blurring:
    """A network that blurs by a standard deviation in pixels."""

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    def predict(self, images: np.ndarray) -> np.ndarray:
        return np.stack([cv2.GaussianBlur(image, (0, 0), self.sigma) for image in images])


@pytest.fixture
def networks(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function that replaces the networks of the package."""

    def install(**found: Any) -> Cleaner:
        monkeypatch.setattr(cleaner, "SHIPPED", tuple(found))
        monkeypatch.setattr(cleaner, "load_denoising_network", lambda method, device, backend: found[method])
        return Cleaner()

    return install


@pytest.mark.parametrize("shape", [(1, 1), (33, 40), (TILE, TILE), (TILE + 1, TILE - OVERLAP), (700, 261)])
def test_tiles_and_padding_change_nothing_of_a_pointwise_network(networks: Any, shape: tuple[int, int]) -> None:
    network = Pointwise(9)
    made = networks(dense_unet=network)
    image = np.random.default_rng(0).integers(0, 200, (*shape, 3)).astype(np.uint8)
    np.testing.assert_array_equal(made.clean(image), image + 9)
    np.testing.assert_array_equal(made.clean_in_tiles(image), image + 9)
    assert max(max(seen[1:3]) for seen in network.shapes[1:]) <= TILE


def scene() -> np.ndarray:
    """Return a smooth picture with edges (128, 128, 3) uint8."""
    picture = np.full((128, 128, 3), 90, np.uint8)
    cv2.circle(picture, (60, 60), 40, (190, 150, 130), -1, cv2.LINE_AA)
    cv2.rectangle(picture, (40, 40), (55, 52), (30, 40, 60), -1)
    cv2.rectangle(picture, (70, 40), (85, 52), (220, 210, 200), -1)
    return picture


def test_the_better_answer_is_chosen(networks: Any) -> None:
    noisy = with_level(scene(), 0.15)
    made = networks(matrix_unet=Blurring(9.0), dense_unet=Blurring(1.5))
    np.testing.assert_array_equal(made.clean(noisy), Blurring(1.5).predict(noisy[None])[0])
    made = networks(matrix_unet=Blurring(1.5), dense_unet=Blurring(0.1))
    np.testing.assert_array_equal(made.clean(noisy), Blurring(1.5).predict(noisy[None])[0])


def test_the_score_is_best_for_the_picture_itself() -> None:
    clean = scene()
    noisy = with_level(clean, 0.15)
    others = [noisy, cv2.GaussianBlur(noisy, (0, 0), 6), np.full_like(noisy, 120), cv2.GaussianBlur(clean, (0, 0), 4)]
    assert all(denoising_score(clean) > denoising_score(other) for other in others)
    assert denoising_score(np.full((40, 40, 3), 9, np.uint8)) == 0
    assert denoising_score(clean[:7]) == 0


def test_the_limit_is_far_above_the_noise_of_the_demo() -> None:
    from facegeom.images.image_files import load_image
    from facegeom.reconstruction import demo_photo

    photo = load_image(demo_photo())
    assert face_noise(photo, facegeom.detect(photo)[0][:4]) < NOISY / 3
