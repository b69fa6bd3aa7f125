"""The benchmarks, with predictors whose result is known: the ground truth, the mean face, and no face."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from facegeom import load_face_model
from facegeom.cli import main
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.evaluation import aflw2000, contact_sheet, depth, maps, scan
from facegeom.geometry import rasterize
from facegeom.images.camera import Camera
from facegeom.images.crop import crop_affine, crop_box, crop_image, invert_affine
from facegeom.images.face_maps import FaceMaps
from facegeom.images.pictures import correspondence_picture, depth_picture, fit_square
from facegeom.measures import metrics, predictor, report
from facegeom.networks.interface import NetworkMaps
from facegeom.pipelines.noise_removal import NoiseRemoval
from facegeom.training.data.renderer import Sample

SHARED = Path(__file__).parents[2] / "shared" / "data"
AFLW = SHARED / "aflw2000"
SCAN = SHARED / "scans" / "lee_perry_smith"
LFW = SHARED / "lfw"
ICT = SHARED / "ict" / "ict_face_model.npz"


def needs(path: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not path.exists(), reason=f"{path.name} of the shared data folder is not there")


@dataclass(frozen=True)
class KnownFace:
    """A predicted face with given camera, landmarks and maps."""

    camera: Camera
    landmarks: np.ndarray
    maps: FaceMaps = None  # type: ignore[assignment]


def turned(yaw: float) -> np.ndarray:
    y = np.radians(yaw)
    return np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])


# AFLW2000-3D, on a synthetic folder of four photos


YAWS = (5.0, -40.0, 75.0, 12.0)


def posed_faces() -> list[KnownFace]:
    model = load_face_model()
    return [KnownFace(Camera(turned(yaw), 1.2, (150, 120)), model.mean[model.landmarks68]) for yaw in YAWS]


@pytest.fixture
def benchmark_folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    points = np.array([face.camera.project(face.landmarks).T for face in posed_faces()])
    names = [f"image{i}" for i in range(len(YAWS))]
    for i, name in enumerate(names):
        cv2.imwrite(str(tmp_path / "images" / f"{name}.jpg"), np.full((300, 300, 3), 40 * i, np.uint8))
    np.savez(
        tmp_path / "annotations.npz",
        names=np.array(names),
        points68=np.concatenate([points + 1.0, np.zeros((len(YAWS), 1, 68))], axis=1),
        points68_reannotated=points,
        pitch_yaw_roll_deg=np.array([[0.0, yaw, 0.0] for yaw in YAWS]),
    )
    return tmp_path


def photo_number(image: np.ndarray) -> int:
    return round(float(image.mean()) / 40)


def perfect(image: np.ndarray, *, box: tuple[float, ...] | None = None) -> KnownFace:
    return posed_faces()[photo_number(image)]


def test_aflw_error_of_the_truth_is_zero_for_both_annotations(benchmark_folder: Path):
    annotations, results = aflw2000.evaluate(benchmark_folder, perfect)
    summary = aflw2000.summarise(annotations, results)
    for row in summary["error"]:
        if row["crop"] == "mean":
            assert row["30-60"] > 10
        elif row["subset"] == "all":
            assert row["mean_of_bins"] == pytest.approx(0.0, abs=1e-4)
            assert row["inner"] == pytest.approx(0.0, abs=1e-4)
    assert all(row["all"] == 100.0 for row in summary["found"])
    assert "annotated" in aflw2000.format_summary(summary)


def test_aflw_errors_are_given_by_lightness_of_the_cheeks(benchmark_folder: Path):
    summary = aflw2000.summarise(*aflw2000.evaluate(benchmark_folder, perfect, detector=False))
    rows = {row["lightness"]: row for row in summary["lightness"] if row["crop"] == "mean"}
    assert [rows[name]["photos"] for name in ("dark", "medium", "light")] == [3, 1, 0]  # grey levels 0 to 120 of 255
    everything = next(row for row in summary["error"] if row["crop"] == "mean" and row["subset"] == "all")
    mean = (3 * rows["dark"]["error"] + rows["medium"]["error"]) / 4
    assert mean == pytest.approx(everything["mean_of_images"])
    assert "dark" in aflw2000.format_summary(summary)


def test_aflw_subset_odd_contains_the_photos_at_odd_positions(benchmark_folder: Path):
    annotations, results = aflw2000.evaluate(benchmark_folder, perfect, detector=False)
    rows = aflw2000.summarise(annotations, results)["error"]
    odd = next(row for row in rows if row["crop"] == "mean" and row["subset"] == "odd")
    mean_face = predictor.mean_face_landmarks(
        load_face_model(), metrics.landmark_box(annotations.points["original"][1])
    )
    assert odd["photos"] == 2
    assert odd["30-60"] == pytest.approx(100 * metrics.landmark_error(mean_face, annotations.points["original"][1]))
    assert np.isnan(odd["60-90"])


def test_mesh_network_is_loaded_from_the_given_weights(
    benchmark_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    calls = []

    def load(name: str, device: str, weights: str | None) -> str:
        calls.append((name, device, weights))
        return "the network"

    def predict(image: np.ndarray, network: str, box: object, device: str, *, removal: NoiseRemoval) -> KnownFace:
        assert (network, device, removal.denoise) == ("the network", "cpu", "auto")
        return perfect(image)

    monkeypatch.setattr(predictor, "load_mesh_network", load)
    monkeypatch.setattr(predictor, "predict_mesh", predict)
    command = ["evaluate", "aflw2000", str(benchmark_folder), "--pipeline", "gcn_igan", "--weights", "w.safetensors"]
    assert main(command) == 0
    assert calls == [("gcn_igan", "cpu", "w.safetensors")]
    assert "annotated" in capsys.readouterr().out


def test_aflw_with_noise_and_without_its_removal(
    benchmark_folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    seen: list[tuple[float, object]] = []

    def predict(image: np.ndarray, network: str, box: object, device: str, *, removal: NoiseRemoval) -> KnownFace:
        seen.append((float(image.std()), removal.denoise))
        return posed_faces()[2]

    monkeypatch.setattr(predictor, "load_mesh_network", lambda name, device, weights: None)
    monkeypatch.setattr(predictor, "predict_mesh", predict)
    command = ["evaluate", "aflw2000", str(benchmark_folder), "--pipeline", "pixel2mesh", "--no-detector"]
    report = tmp_path / "report.json"
    assert main([*command, "--noise", "0.1", "--denoise", "off", "--json", str(report)]) == 0
    assert {denoise for _, denoise in seen} == {False}
    assert all(spread > 10 for spread, _ in seen)
    assert {"noise": "0.1", "denoise": "off"}.items() <= json.loads(report.read_text()).items()
    seen.clear()
    assert main([*command, "--noise", "phone", "--denoise", "on"]) == 0
    assert {denoise for _, denoise in seen} == {True}
    with pytest.raises(SystemExit):
        main([*command, "--noise", "loud"])
    assert "noise must be phone or a number" in capsys.readouterr().err


def test_aflw_calls_the_predictor_with_the_annotated_box_and_without_a_box(benchmark_folder: Path):
    boxes = []

    def watching(image: np.ndarray, *, box: tuple[float, ...] | None = None) -> KnownFace:
        boxes.append(box)
        return perfect(image, box=box)

    annotations, _ = aflw2000.evaluate(benchmark_folder, watching, rows=slice(0, 1))
    assert boxes[0] == pytest.approx(metrics.landmark_box(annotations.points["original"][0]))
    assert boxes[1] is None


def test_aflw_replaces_a_missed_face_by_the_mean_face(benchmark_folder: Path):
    def half_blind(image: np.ndarray, *, box: tuple[float, ...] | None = None) -> KnownFace:
        face = perfect(image, box=box)
        if box is not None or photo_number(image) == 0:
            return face
        if photo_number(image) == 1:
            raise NoFaceFound("nothing here")
        return replace(face, camera=Camera(face.camera.rotation, face.camera.scale, (20, 20)))  # another face

    annotations, results = aflw2000.evaluate(benchmark_folder, half_blind)
    assert [results[row].found["detector"] for row in range(4)] == [True, False, False, False]
    for row in (1, 2, 3):
        assert np.array_equal(results[row].points["detector"], results[row].points["mean"])
    found = aflw2000.summarise(annotations, results)["found"]
    rates = next(row for row in found if row["crop"] == "detector" and row["subset"] == "all")
    assert (rates["all"], rates["0-30"], rates["60-90"]) == (25.0, 50.0, 0.0)
    assert rates["below_60"] == pytest.approx(100 / 3)


def test_aflw_writes_strict_json_and_a_sheet(benchmark_folder: Path, tmp_path: Path):
    annotations, results = aflw2000.evaluate(benchmark_folder, perfect)
    summary = aflw2000.summarise(annotations, results)
    report.write_json(tmp_path / "out.json", {**summary, "photos": aflw2000.photo_errors(annotations, results)})
    read = json.loads((tmp_path / "out.json").read_text())
    assert read["error"][0]["60-90"] is None  # no odd photo there
    assert len(read["photos"]) == 4
    sheet = aflw2000.result_sheet(benchmark_folder, annotations, results)
    assert sheet.dtype == np.uint8
    assert sheet.std() > 5


def test_aflw_error_names_the_missing_file(tmp_path: Path):
    with pytest.raises(FacegeomError, match=r"annotations\.npz does not exist"):
        aflw2000.load_annotations(tmp_path)


def test_mean_face_fills_the_given_box():
    points = predictor.mean_face_landmarks(load_face_model(), (100, 50, 220, 190))
    box = metrics.landmark_box(points)
    assert (box[:2] + box[2:]) / 2 == pytest.approx([160, 120])
    assert (box[2:] - box[:2]).mean() == pytest.approx(130)


@pytest.mark.data
@needs(AFLW)
def test_both_annotations_agree_after_subtracting_their_origins():
    annotations = aflw2000.load_annotations(AFLW)
    assert len(annotations.names) == 500
    difference = annotations.points["original"] - annotations.points["reannotated"]
    sideways = [
        np.median(difference[(low < side * annotations.yaw) & (side * annotations.yaw <= high), 17:, 0])
        for low, high in ((0, 10), (10, 30), (30, 60))
        for side in (-1, 1)
    ]
    assert abs(np.mean(sideways)) < 0.5


# Depth on the scan


@pytest.fixture(scope="module")
def head() -> scan.Scan:
    if not SCAN.exists():
        pytest.skip("the scan of the shared data folder is not there")
    return scan.load_scan(SCAN, "lee_perry_smith")


def true_face(view: scan.ScanRender, camera: Camera, size: int = 192) -> KnownFace:
    """Return a predicted face with the true depth of a render, in a crop around the scored pixels."""
    rows, columns = np.nonzero(view.scored)
    square = crop_box((columns.min(), rows.min(), columns.max(), rows.max()), 1.4)
    inverse = invert_affine(crop_affine(square, size))
    y, x = np.indices((size, size))
    places = np.stack([x, y], axis=-1) @ inverse[:, :2].T + inverse[:, 2]
    values = metrics.sample_bilinear(view.depth, places)
    mask = np.isfinite(values)
    face_maps = FaceMaps(
        crop_image(view.image, square, size), values, np.where(mask[..., None], np.zeros(3), np.nan), mask, square
    )
    model = load_face_model()
    return KnownFace(camera, model.mean[model.landmarks68], face_maps)


@pytest.mark.data
@needs(SCAN)
@pytest.mark.parametrize("yaw", [0.0, 45.0, -30.0])
def test_depth_error_of_the_truth_is_small_and_of_the_mean_face_is_not(head: scan.Scan, yaw: float):
    model = load_face_model()
    oracle = depth.place_mean_face(model, head)
    view = scan.render_view(head, yaw, 320, "clutter")
    result = depth.evaluate_view(view, lambda image, box=None: true_face(view, view.camera), model, oracle)
    truth, found, posed = (result.errors[method] for method in depth.METHODS)
    assert result.detected
    assert truth.mean < 0.4
    assert truth.scale == pytest.approx(1.0, abs=0.01)
    assert truth.coverage > 0.98
    assert 2.0 < posed.mean < 6.0
    assert posed.coverage > 0.95
    assert 2.0 < found.mean < 8.0


@pytest.mark.data
@needs(SCAN)
def test_depth_predicts_with_a_box_if_no_face_was_found(head: scan.Scan):
    model = load_face_model()
    oracle = depth.place_mean_face(model, head)
    view = scan.render_view(head, 15.0, 256, "plain")
    boxes = []

    def blind(image: np.ndarray, *, box: tuple[float, ...] | None = None) -> KnownFace:
        boxes.append(box)
        if box is None:
            raise NoFaceFound("nothing here")
        return true_face(view, oracle.camera(view.camera))

    result = depth.evaluate_view(view, blind, model, oracle)
    assert not result.detected
    rows, columns = np.nonzero(view.scored)
    scored = (columns.min(), rows.min(), columns.max(), rows.max())
    assert metrics.box_overlap(boxes[1], scored) > 0.6
    assert result.errors[depth.METHODS[1]].mean == pytest.approx(result.errors[depth.METHODS[2]].mean)


@pytest.mark.data
@needs(SCAN)
@pytest.mark.parametrize("background", list(scan.BACKGROUNDS))
def test_scored_pixels_lie_on_the_face(head: scan.Scan, background: str):
    view = scan.render_view(head, 0.0, 256, background)
    scale = 256 / scan.FIELD_MM
    nose = view.camera.project(head.nose_tip[None])[0]
    rows, columns = np.nonzero(view.scored)
    assert np.hypot(columns - nose[0], rows - nose[1]).max() <= scan.SCORED_RADIUS_MM * scale + 1
    assert np.ptp(columns) * 1.0 / scale < 130  # the distance between the ears is 138 mm
    chin = view.camera.project(head.chin[None] * (0, 1, 0))[0, 1]
    assert rows.max() <= chin + scan.BELOW_CHIN_MM * scale + 1
    assert np.isfinite(view.depth[view.scored]).all()


@pytest.mark.data
@needs(SCAN)
def test_positive_yaw_turns_the_nose_to_the_right_of_the_image(head: scan.Scan):
    right, left = (scan.render_view(head, yaw, 256, "plain") for yaw in (30.0, -30.0))
    nose = [view.camera.project(head.nose_tip[None])[0, 0] for view in (left, right)]
    eyes = [view.camera.project(np.zeros((1, 3)))[0, 0] for view in (left, right)]
    assert nose[0] < eyes[0]
    assert nose[1] > eyes[1]


@pytest.mark.data
@needs(SCAN)
def test_scan_is_in_the_face_frame(head: scan.Scan):
    model = load_face_model()
    placed = depth.place_mean_face(model, head)
    assert placed.scale == pytest.approx(1.0, abs=0.08)
    assert np.degrees(np.arccos((np.trace(placed.rotation) - 1) / 2)) < 5
    assert np.linalg.norm(placed.translation) < 15


def test_error_names_the_missing_scan(tmp_path: Path):
    with pytest.raises(FacegeomError, match=r"head\.obj does not exist"):
        scan.load_scan(tmp_path, "lee_perry_smith")


def test_model_depth_is_the_depth_in_the_camera_frame():
    model = load_face_model()
    camera = Camera(turned(20.0), 1.0, (80, 70))
    seen = predictor.model_depth(model, model.mean, camera, (200, 160))
    nose = model.mean[model.landmarks68[30]]
    x, y = np.rint(camera.project(nose[None])[0]).astype(int)
    assert seen[y, x] == pytest.approx(camera.view(nose[None])[0, 2], abs=2.0)
    assert np.isnan(seen[0, 0])


# Maps


class KnownNetwork:
    """A network that returns the true maps of the samples, with `offset` mm added to the correspondence."""

    size = 64

    def __init__(self, offset: float = 0.0) -> None:
        self.offset = offset
        self.samples: dict[bytes, Sample] = {}

    def watch(self, cases: Iterator[maps.MapCase]) -> Iterator[maps.MapCase]:
        for case in cases:
            self.samples[case.sample.image.tobytes()] = case.sample
            yield case

    def predict(self, crops: np.ndarray) -> NetworkMaps:
        answers = [self.samples[crop.tobytes()] for crop in crops]
        return NetworkMaps(
            np.stack([a.depth for a in answers]) + np.float32(9.0),
            np.stack([a.correspondence for a in answers]) + np.float32(self.offset),
            np.stack([a.mask for a in answers]).astype(np.float32),
        )


def mean_face_case(yaw: float) -> maps.MapCase:
    model = load_face_model()
    camera = Camera(turned(yaw), 0.28, (32, 28))
    points = np.column_stack([camera.project(model.mean), camera.view(model.mean)[:, 2]])
    raster = rasterize(points, model.faces, model.mean, (64, 64))
    mask = (raster.triangle >= 0) & model.regions["map"][model.faces].all(axis=1)[raster.triangle]
    image = np.full((64, 64, 3), round(yaw), np.uint8)
    return maps.MapCase(
        "mean",
        f"yaw {yaw}",
        yaw,
        Sample(
            image,
            np.where(mask, raster.depth, 0).astype(np.float32),
            np.where(mask[..., None], raster.attributes, 0).astype(np.float32),
            mask,
            camera.translation,
            camera.scale,
        ),
    )


def test_true_maps_have_no_error_and_are_grouped_by_yaw():
    network = KnownNetwork(offset=2.0)
    results, pictures = maps.evaluate(network.watch(mean_face_case(yaw) for yaw in (3.0, 8.0, 50.0)), network)
    rows = maps.summarise(results)["rows"]
    assert [(row["yaw"], row["crops"]) for row in rows] == [("all", 3), ("0-15", 2), ("45-60", 1)]
    for row in rows:
        assert row["depth_percent"] == pytest.approx(0.0, abs=1e-4)
        assert row["correspondence_mm"] == pytest.approx(np.sqrt(12.0), rel=1e-5)
        assert row["mask_iou"] == 1.0
    assert len(pictures["mean"]) == 3 * 7
    assert "45-60" in maps.format_summary({"rows": rows})


def test_maps_without_overlap_contribute_to_the_mask_error_only():
    case = mean_face_case(10.0)

    class Blind(KnownNetwork):
        def predict(self, crops: np.ndarray) -> NetworkMaps:
            answer = super().predict(crops)
            return answer._replace(mask_probability=np.zeros_like(answer.mask_probability))

    network = Blind()
    results, _ = maps.evaluate(network.watch(iter([case])), network)
    row = maps.summarise(results)["rows"][0]
    assert row["without_overlap"] == 1
    assert row["mask_iou"] == 0.0
    assert np.isnan(row["depth_percent"])


def test_photos_need_fits_or_landmarks(tmp_path: Path):
    cv2.imwrite(str(tmp_path / "A_0001.jpg"), np.zeros((20, 20, 3), np.uint8))
    with pytest.raises(FacegeomError, match="--fits or --landmarks"):
        maps.load_test_photos(str(tmp_path))


@pytest.mark.data
@needs(ICT)
def test_ict_heads_are_reproducible():
    from facegeom.evaluation.ict_heads import draw_heads

    first = list(draw_heads(ICT, 3, 96, seed=4))
    again = list(draw_heads(ICT, 2, 96, seed=4))
    for (_, yaw, sample), (_, same_yaw, same) in zip(first, again, strict=False):
        assert yaw == same_yaw
        assert np.array_equal(sample.image, same.image)
        assert np.array_equal(sample.depth, same.depth)
    model = load_face_model()
    low, high = model.mean.min(axis=0) - 3, model.mean.max(axis=0) + 3
    for _, yaw, sample in first:
        assert abs(yaw) <= 85
        seen = sample.correspondence[sample.mask]
        assert 0.15 < sample.mask.mean() < 0.8
        assert ((seen >= low) & (seen <= high)).all()
        assert sample.image[sample.mask].std() > 3


@pytest.mark.data
@needs(ICT)
def test_mean_ict_head_has_the_maps_of_the_mean_face():
    """Both models have the same mean: with the same camera, their maps differ only by remeshing and at the border."""
    from facegeom.evaluation.ict_heads import HeadRenderer
    from facegeom.training.data.pose import Pose

    renderer = HeadRenderer(ICT)
    pose = Pose(renderer.head.vertices, turned(20.0), 1.0, np.zeros(2))
    sample = renderer.render(pose, np.random.default_rng(0), 128)
    rows, columns = np.nonzero(sample.mask)
    # the camera of the sample, estimated from its correspondence
    seen = (sample.correspondence[sample.mask] @ turned(20.0).T)[:, :2]
    scale, x0 = np.polyfit(seen[:, 0], columns, 1)
    y0 = np.mean(rows + scale * seen[:, 1])
    model = load_face_model()
    other = predictor.model_depth(model, model.mean, Camera(turned(20.0), scale, (x0, y0)), (128, 128))
    mask = np.isfinite(other)
    assert (mask & sample.mask).sum() / (mask | sample.mask).sum() > 0.97
    difference = (other - sample.depth)[mask & sample.mask]
    assert np.median(np.abs(difference)) < 0.3


@pytest.mark.data
@pytest.mark.slow
@needs(LFW)
def test_photo_cases_are_the_photo_and_a_turned_render(tmp_path: Path):
    with np.load(LFW / "landmarks.npz") as data:
        np.savez(tmp_path / "few.npz", names=data["names"][:4], landmarks=data["landmarks"][:4])
    samples, names, yaws = maps.load_test_photos(str(LFW / "photos"), landmarks=str(tmp_path / "few.npz"))
    cases = list(maps.photo_cases(samples, names, yaws, 64))
    assert [case.source for case in cases] == ["photo", "turned"] * len(names)
    for photo, turn in zip(cases[::2], cases[1::2], strict=True):
        assert turn.yaw >= max(30.0, abs(photo.yaw))
        assert turn.sample.mask.any()


# Shared by all benchmarks


@pytest.mark.parametrize("module", [aflw2000, depth, maps, contact_sheet])
def test_every_benchmark_declares_its_arguments(module: object):
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)  # type: ignore[attr-defined]
    args = parser.parse_args(["folder", "--device", "cuda", "--out", "pictures"])
    assert (args.device, args.out) == ("cuda", "pictures")


def test_tables_align_columns_and_print_nan_as_a_dash():
    text = report.table(["a", "error"], [["long name", 1.0], ["b", float("nan")], ["c", 3]])
    lines = text.splitlines()
    assert lines[2].endswith("1.00")
    assert lines[3].endswith("-")
    assert lines[4].endswith("    3")
    assert len({len(line) for line in lines}) == 1


def test_pictures_of_maps_mark_missing_values():
    values = np.array([[0.0, 5.0], [10.0, np.nan]])
    heat = report.heat_picture(values, 10.0, np.full((2, 2, 3), 90, np.uint8))
    assert heat[1, 1].tolist() == [30, 30, 30]
    assert len({tuple(pixel) for pixel in heat.reshape(-1, 3).tolist()}) == 4
    depth = depth_picture(values)
    assert depth[1, 1].tolist() == [255, 255, 255]
    brightness = depth.astype(int).sum(axis=2)
    assert brightness[0, 0] < brightness[0, 1] < brightness[1, 0]
    np.testing.assert_array_equal(depth_picture(values, 0.0, 10.0), depth)
    np.testing.assert_array_equal(depth_picture(values, 5.0, 10.0)[0, 1], depth[0, 0])  # the darkest colour
    assert (depth_picture(np.full((2, 2), np.nan)) == 255).all()
    correspondence = correspondence_picture(np.where(np.isnan(values)[..., None], np.nan, [0.0, 90.0, -95.0]))
    assert correspondence[1, 1].tolist() == [255, 255, 255]
    assert correspondence[0, 0].tolist() == [128, 255, 0]


def test_fit_square_keeps_the_aspect_ratio():
    wide = np.full((10, 20, 3), 90, np.uint8)
    square = fit_square(wide, 40, background=255)
    assert square.shape == (40, 40, 3)
    assert (square[10:30] == 90).all()
    assert (square[:10] == 255).all()
    assert (square[30:] == 255).all()
