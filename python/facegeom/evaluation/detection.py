"""`facegeom evaluate detection`: detection rate on AFLW2000-3D, and false detections in images without a face.

The faces of AFLW2000-3D are those of the detector alone. False detections are counted for the detector alone, and after
the check of its boxes by the network that predicts the maps. `facegeom evaluate aflw2000` measures the detection rate
after this check.
"""

from __future__ import annotations

import argparse
import contextlib
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt
import skimage.data
from tqdm import tqdm

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.stopwatch import stopwatch
from facegeom.detection import DETECTORS, Detector
from facegeom.detection.detector import detect
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.evaluation.aflw2000 import load_annotations
from facegeom.images.boxes import iou
from facegeom.images.image_files import load_image
from facegeom.measures.metrics import YAW_BINS, in_yaw_bin, landmark_box
from facegeom.measures.report import show, table, write_json
from facegeom.reconstruction import predict
from facegeom.training.data.labels import LANDMARK_ORIGIN, LANDMARK_UNIT, find_photos
from facegeom.training.data.split import split_names

Picture: TypeAlias = npt.NDArray[Any]

FACELESS_SAMPLES = (
    "brick", "cell", "chelsea", "clock", "colorwheel", "grass", "horse", "immunohistochemistry", "logo",
    "microaneurysms", "moon", "rocket", "shepp_logan_phantom", "text",
)  # fmt: skip
"""Sample images of scikit-image that show no person and were not used for the training of the detector."""

CROPS = 5
"""Number of crops of each sample image; the complete sample image is evaluated, too."""

DRAWN = 160
"""Number of procedural images, with equal numbers of each kind."""

FRESH_SCENES, FRESH_PATCHES, FRESH_DRAWN = 20, 60, 120
"""Numbers of images in `fresh_faceless_pictures`: a scene with its crops, background patches, procedural images."""

CORNERS, LEAST_CORNER = 100, 32
"""Number of photo corners in that set, and smallest side length of a corner in pixels of the photo."""

CROP_SIZE = 320
"""Side length of scaled crops, pixels: equal to the longer side of the image in which the detector searches."""

LOOSE_OVERLAP, OVERLAP = 0.4, 0.5
"""IoU thresholds for a correct detection."""


class FacelessPicture(NamedTuple):
    """An image without a face.

    Attributes
    ----------
    kind : origin of the image, such as "sample" or "drawn"
    name : name of the image, unique among images of the same kind
    image : (h, w, 3) uint8 array
    """

    kind: str
    name: str
    image: ByteArray


def faceless_pictures(seed: int = 0) -> Iterator[FacelessPicture]:
    """Yield 244 images without a face: samples of scikit-image, crops of them, and procedural textures.

    The kinds of procedural textures differ from those of the training. The thresholds of the detector were chosen on
    the images of seed 0, those of the verification on these and on the images of `fresh_faceless_pictures` of seed 1.

    Parameters
    ----------
    seed : seed of the random crops and textures
    """
    rng = np.random.default_rng(seed)
    for name in FACELESS_SAMPLES:
        yield from _with_crops("sample", name, getattr(skimage.data, name)(), rng, CROPS)
    yield from _drawings(rng, DRAWN)


def fresh_faceless_pictures(
    photos: Mapping[str, Path] | None = None, boxes: Mapping[str, FloatArray] | None = None, seed: int = 1
) -> Iterator[FacelessPicture]:
    """Yield other images without a face: 200, and 100 corners of `photos` if given.

    Parameters
    ----------
    photos : file name -> path, from `facegeom.training.data.labels.find_photos`
    boxes : file name -> (4,) float array, x0, y0, x1, y1 of the face in pixels, from `photo_boxes`
    seed : seed of the random crops and textures

    Notes
    -----
    The images of scikit-image differ from those of `faceless_pictures`. The `lfw_subset` of scikit-image contains
    background patches of 25 x 25 pixels. The corners come from validation photos, on which no network was trained: each
    is the largest square in a corner of the photo that does not overlap the box of the face. A corner may show another
    person, so false detections in corners must be inspected.
    """
    rng = np.random.default_rng(seed)
    yield from _with_crops("scene", "motorcycle", skimage.data.stereo_motorcycle()[0], rng, FRESH_SCENES - 1)
    for number, patch in enumerate(skimage.data.lfw_subset()[-FRESH_PATCHES:]):
        yield FacelessPicture("patch", f"patch {number}", _scaled(_rgb(patch)))
    yield from _drawings(rng, FRESH_DRAWN)
    if photos is not None and boxes is not None:
        yield from _photo_corners(photos, boxes)


def photo_boxes(landmarks: str | Path) -> dict[str, FloatArray]:
    """Read the bounding boxes of the FaceMesh landmarks of photos.

    Parameters
    ----------
    landmarks : file of FaceMesh landmarks, written by `facegeom prepare landmarks`

    Returns
    -------
    dict
        File name -> (4,) float array, x0, y0, x1, y1 in pixels.

    Raises
    ------
    FacegeomError
        If the file does not exist or has another format.
    """
    try:
        with np.load(landmarks) as data:
            names, points = data["names"], data["landmarks"][..., :2]
    except (OSError, KeyError, ValueError) as error:
        raise FacegeomError(f"{landmarks} is not a file of `facegeom prepare landmarks`: {error}") from error
    low, high = (extreme * LANDMARK_UNIT - LANDMARK_ORIGIN[:2] for extreme in (points.min(axis=1), points.max(axis=1)))
    return dict(zip(map(str, names), np.hstack([low, high]), strict=True))


def evaluate(
    folder: str | Path | None,
    detector: Detector = "yunet",
    seed: int = 0,
    pictures: Iterable[FacelessPicture] | None = None,
    *,
    check: bool = False,
) -> dict[str, Any]:
    """Measure the detection rate, the false detections and the run time of a detector.

    Parameters
    ----------
    folder : folder of AFLW2000-3D with `annotations.npz` and `images/`; None: count false detections only
    detector : "yunet" or "mtcnn"
    seed : seed of the images without a face
    pictures : images without a face; None: `faceless_pictures(seed)`
    check : True: also count the images in which the network accepts a face

    Returns
    -------
    dict
        "detector"; "found": one row per yaw bin, with the shares of photos where the IoU with the box of the 68 points
        reaches a threshold, for the box with the highest IoU ("best") and for the first box ("first"); "milliseconds":
        median run time per photo; "false_alarms": the number of images without a face, the number of such images with a
        detection, and with `check` the number of those in which the network accepts a face.
    """
    result: dict[str, Any] = {"detector": detector}
    if folder is not None:
        result |= _found(folder, detector)
    alarms, accepted = {}, {}
    pictures = list(faceless_pictures(seed) if pictures is None else pictures)
    for kind, name, picture in tqdm(pictures, unit="image", desc="images without a face"):
        boxes = detect(picture, detector=detector)
        if boxes:
            alarms[f"{kind}: {name}"] = round(max(box[4] for box in boxes), 3)
        if check:
            with contextlib.suppress(NoFaceFound):
                accepted[f"{kind}: {name}"] = round(predict(picture, detector=detector).score, 3)
    result["false_alarms"] = {
        "pictures": len(pictures),
        "with_detections": len(alarms),
        "share": len(alarms) / len(pictures),
        "scores": alarms,
        "accepted": accepted if check else None,
    }
    return result


def format_summary(result: dict[str, Any]) -> str:
    """Return the result of `evaluate` as a text table."""
    lines = [f"detector: {result['detector']}"]
    if "found" in result:
        header = ["|yaw|", "photos", "best 0.5", "best 0.4", "first 0.5", "first 0.4", "no detection"]
        shares = ("best_0.5", "best_0.4", "first_0.5", "first_0.4", "nothing")
        rows = [[row["yaw"], row["photos"], *(100 * row[key] for key in shares)] for row in result["found"]]
        lines.append(
            "photos in percent whose box with the highest IoU (best), or whose first box (first), reaches an IoU of "
            "0.5 or 0.4\n" + table(header, rows, 1)
        )
        lines.append(f"run time: {result['milliseconds']:.0f} ms per photo (median)")
    alarms = result["false_alarms"]
    lines.append(
        f"false detections in {alarms['with_detections']} of {alarms['pictures']} images without a face"
        f" ({100 * alarms['share']:.2f} %)" + "".join(f"\n  {name}: {s}" for name, s in alarms["scores"].items())
    )
    if alarms["accepted"] is not None:
        lines.append(
            f"accepted by the network as a face: {len(alarms['accepted'])} of {alarms['pictures']} images"
            + "".join(f"\n  {name}: {s}" for name, s in alarms["accepted"].items())
        )
    return "\n\n".join(lines)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `facegeom evaluate detection`."""
    parser.add_argument(
        "folder", metavar="DIR", nargs="?", help="folder of AFLW2000-3D; if missing, only false detections are counted"
    )
    parser.add_argument(
        "--detector", choices=DETECTORS, nargs="+", default=list(DETECTORS),
        help="face detectors to evaluate (default: all)",
    )  # fmt: skip
    parser.add_argument(
        "--photos", metavar="PHOTOS",
        help="folder of LFW photos: count false detections in further images, too, also in corners of these photos",
    )  # fmt: skip
    parser.add_argument(
        "--landmarks", metavar="FILE", help="landmarks of these photos, written by `facegeom prepare landmarks`"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the images without a face (default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write the results to this JSON file as well")


def run(args: argparse.Namespace) -> int:
    """Evaluate the detectors, print the tables and write the requested file; return the exit code.

    Raises
    ------
    FacegeomError
        If only one of the photos and their landmarks is given.
    """
    if (args.photos is None) != (args.landmarks is None):
        raise FacegeomError("--photos and --landmarks are needed together")
    pictures = list(faceless_pictures(args.seed))
    if args.photos is not None:
        pictures += fresh_faceless_pictures(find_photos(args.photos), photo_boxes(args.landmarks))
    results = []
    for detector in args.detector:
        results.append(evaluate(args.folder, detector, pictures=pictures, check=True))
        show(format_summary(results[-1]))
    if args.json:
        write_json(args.json, results)
    return 0


def _found(folder: str | Path, detector: Detector) -> dict[str, Any]:
    """Return the entries "found" (detection rates) and "milliseconds" (time per photo) of the result of `evaluate`."""
    annotations = load_annotations(folder)
    best, first = np.zeros(len(annotations.names)), np.zeros(len(annotations.names))
    nothing = np.zeros(len(annotations.names), dtype=bool)
    times: dict[str, float] = {}
    for row, name in enumerate(tqdm(annotations.names, unit="photo", desc="AFLW2000-3D")):
        photo = load_image(Path(folder) / "images" / f"{name}.jpg")
        truth = landmark_box(annotations.points["original"][row])
        with stopwatch(times, name):
            boxes = detect(photo, detector=detector)
        overlaps = iou(np.array(boxes, dtype=np.float64).reshape(-1, 5)[:, :4], truth[None])[:, 0].tolist()
        nothing[row] = not boxes
        best[row], first[row] = max(overlaps, default=0.0), next(iter(overlaps), 0.0)
    rows = []
    for low, high in (*YAW_BINS, (YAW_BINS[0][0], YAW_BINS[1][1])):
        photos = in_yaw_bin(annotations.yaw, low, high)
        if photos.any():
            shares = {
                f"{which}_{limit}": float((overlap[photos] >= limit).mean())
                for which, overlap in (("best", best), ("first", first))
                for limit in (OVERLAP, LOOSE_OVERLAP)
            }
            rows.append(
                {
                    "yaw": f"{low:.0f}-{high:.0f}",
                    "photos": int(photos.sum()),
                    **shares,
                    "nothing": float(nothing[photos].mean()),
                }
            )
    return {"found": rows, "milliseconds": float(np.median(list(times.values())))}


def _with_crops(
    kind: str, name: str, picture: Picture, rng: np.random.Generator, crops: int
) -> Iterator[FacelessPicture]:
    """Yield an image without a face, then `crops` random square crops of this image."""
    picture = _rgb(np.asarray(picture))
    yield FacelessPicture(kind, name, _at_most(picture, 512))
    for number in range(crops):
        side = int(rng.uniform(0.35, 0.9) * min(picture.shape[:2]))
        y, x = (int(rng.integers(extent - side + 1)) for extent in picture.shape[:2])
        yield FacelessPicture(f"{kind} crop", f"{name} crop {number}", _scaled(picture[y : y + side, x : x + side]))


def _drawings(rng: np.random.Generator, count: int) -> Iterator[FacelessPicture]:
    """Yield `count` synthetic pictures without a face, from each function of `_DRAWINGS` in turn."""
    for number in range(count):
        draw = _DRAWINGS[number % len(_DRAWINGS)]
        image = np.clip(draw(rng, 360), 0, 255).astype(np.uint8)
        yield FacelessPicture("drawn", f"{draw.__name__.strip('_')} {number // len(_DRAWINGS)}", image)


def _photo_corners(photos: Mapping[str, Path], boxes: Mapping[str, FloatArray]) -> Iterator[FacelessPicture]:
    """Yield at most `CORNERS` square corners of validation photos without the face, each from another photo.

    Corners with a side below `LEAST_CORNER` pixels are not used; the others are chosen evenly.
    """
    names, crops = list(photos), {}
    for row in split_names(names).validation:
        name = names[row]
        if name in boxes:
            photo = load_image(photos[name])
            x, y, side = free_corner(boxes[name], photo.shape[1], photo.shape[0])
            if side >= LEAST_CORNER:
                crops[name] = photo[y : y + side, x : x + side]
    large = list(crops)
    for row in evenly_spread(len(large), CORNERS):
        yield FacelessPicture("corner", large[row], _scaled(crops[large[row]]))


def evenly_spread(total: int, count: int) -> list[int]:
    """Return `count` evenly spaced integers of 0 to `total` - 1, or all of them if there are not more than `count`.

    Examples
    --------
    >>> evenly_spread(10, 3)
    [1, 5, 8]
    """
    count = min(total, count)
    return [(2 * number + 1) * total // (2 * count) for number in range(count)]


def free_corner(box: FloatArray, width: int, height: int) -> tuple[int, int, int]:
    """Return the largest square that lies in a corner of a photo and shares no pixel with a box.

    Parameters
    ----------
    box : (4,) float array, x0, y0, x1, y1 in pixels
    width, height : size of the photo, pixels

    Returns
    -------
    x, y, side : int
        Column and row of the upper left pixel, and number of pixels along a side.

    Examples
    --------
    >>> free_corner(np.array([30.0, 20.0, 80.0, 70.0]), 100, 90)
    (0, 60, 30)
    """
    left, above = (math.floor(low + 0.5) for low in box[:2])
    right, below = (extent - math.ceil(high + 0.5) for extent, high in zip((width, height), box[2:], strict=True))
    squares = []
    for gap_x, last_column in ((left, False), (right, True)):
        for gap_y, last_row in ((above, False), (below, True)):
            side = max(0, min(max(gap_x, gap_y), width, height))
            squares.append((side, last_column * (width - side), last_row * (height - side)))
    side, x, y = max(squares)
    return x, y, side


def _rgb(picture: Picture) -> ByteArray:
    """Return a gray or colour image of any dtype as an (h, w, 3) uint8 array.

    Values of other dtypes than uint8 are scaled so that the range of the image becomes 0 to 255.
    """
    if picture.dtype != np.uint8:
        levels = picture.astype(np.float64)
        picture = (255 * (levels - levels.min()) / max(np.ptp(levels), 1e-9)).astype(np.uint8)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    return np.ascontiguousarray(picture[..., :3])


def _scaled(crop: ByteArray) -> ByteArray:
    """Return a square image scaled to (CROP_SIZE, CROP_SIZE, 3) uint8."""
    return np.asarray(cv2.resize(np.ascontiguousarray(crop), (CROP_SIZE, CROP_SIZE)), dtype=np.uint8)


def _at_most(picture: ByteArray, side: int) -> ByteArray:
    """Return an image whose longer side is at most `side` pixels: larger images are scaled down."""
    scale = side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    return np.asarray(cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _white_noise(rng: np.random.Generator, size: int) -> Picture:
    """Return a synthetic picture (S, S, 3): Gaussian noise with random mean and standard deviation."""
    return rng.normal(rng.uniform(60, 200), rng.uniform(5, 80), (size, size, 3))


def _power_law_noise(rng: np.random.Generator, size: int) -> Picture:
    """Return a synthetic picture (S, S, 3): noise with a power-law spectrum, as natural images have."""
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1
    phases = rng.normal(size=(3, *frequency.shape)) + 1j * rng.normal(size=(3, *frequency.shape))
    image = np.fft.irfft2(phases / frequency ** rng.uniform(0.8, 2.0), s=(size, size)).transpose(1, 2, 0)
    return np.asarray(128 + image / image.std() * rng.uniform(20, 60))


def _cells(rng: np.random.Generator, size: int) -> Picture:
    """Return a synthetic picture (S, S, 3): Voronoi cells of random points in random colours, darker at the borders."""
    count = int(rng.integers(5, 60))
    points, colours = rng.uniform(0, size, (count, 2)), rng.uniform(0, 255, (count, 3))
    y, x = np.mgrid[:size, :size]
    distance = np.hypot(x[..., None] - points[:, 0], y[..., None] - points[:, 1])
    shade = 1 - rng.uniform(0, 0.8) * distance.min(axis=2) / distance.min(axis=2).max()
    return np.asarray(colours[distance.argmin(axis=2)] * shade[..., None])


def _waves(rng: np.random.Generator, size: int) -> Picture:
    """Return a synthetic picture (S, S, 3): the sum of several circular waves, coloured between two random colours."""
    y, x = np.mgrid[:size, :size]
    total = np.zeros((size, size))
    for _ in range(int(rng.integers(2, 6))):
        cx, cy = rng.uniform(-0.2 * size, 1.2 * size, 2)
        total += np.sin(np.hypot(x - cx, y - cy) / rng.uniform(2, 18))
    low, high = rng.uniform(0, 255, (2, 3))
    return np.asarray(low + (high - low) * (0.5 + total[..., None] / (2 * np.abs(total).max())))


def _weave(rng: np.random.Generator, size: int) -> Picture:
    """Return a synthetic picture (S, S, 3): crossing coloured bands, as on cloth or on a facade."""
    bands = rng.uniform(0, 255, (2, size, 3))
    for axis in range(2):
        edges = np.sort(rng.integers(0, size, int(rng.integers(4, 25))))
        bands[axis] = rng.uniform(0, 255, (len(edges) + 1, 3))[np.searchsorted(edges, np.arange(size))]
    share = rng.uniform(0.2, 0.8)
    return np.asarray(share * bands[0][None] + (1 - share) * bands[1][:, None])


def _hills(rng: np.random.Generator, size: int) -> Picture:
    """Return a synthetic picture (S, S, 3): silhouettes of several hills below a sky."""
    y = np.arange(size)[:, None, None]
    image = np.broadcast_to(rng.uniform(100, 255, 3) * (1 - 0.5 * y / size), (size, size, 3)).copy()
    for layer in range(int(rng.integers(2, 6))):
        steps = np.cumsum(rng.normal(0, 1.5, size)) + size * (0.3 + 0.12 * layer)
        image = np.where(y > steps[None, :, None], rng.uniform(0, 200, 3), image)
    return np.asarray(image + rng.normal(0, 6, (size, size, 1)))


def _discs(rng: np.random.Generator, size: int) -> Picture:
    """Return a synthetic picture (S, S, 3): shaded ellipsoids, which resemble heads, on a uniform background."""
    image = np.broadcast_to(rng.uniform(0, 255, 3), (size, size, 3)).copy()
    y, x = np.mgrid[:size, :size]
    for _ in range(int(rng.integers(1, 12))):
        (cx, cy), radius = rng.uniform(0, size, 2), rng.uniform(12, 120)
        dx, dy = (x - cx) / radius, (y - cy) / (radius * rng.uniform(0.8, 1.4))
        height = np.sqrt(np.clip(1 - dx**2 - dy**2, 0, 1))
        light = rng.normal(size=3)
        light /= np.linalg.norm(light)
        shade = np.clip(0.3 + 0.7 * (light[0] * dx + light[1] * dy + abs(light[2]) * height), 0, 1)
        image = np.where((height > 0)[..., None], shade[..., None] * rng.uniform(60, 255, 3), image)
    return image


def _gradients(rng: np.random.Generator, size: int) -> Picture:
    """Return a synthetic picture (S, S, 3): smooth colour gradients with noise."""
    grid = rng.uniform(0, 255, (int(rng.integers(2, 6)), int(rng.integers(2, 6)), 3)).astype(np.float32)
    return np.asarray(cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC) + rng.normal(0, 4, (size, size, 1)))


_DRAWINGS = (_white_noise, _power_law_noise, _cells, _waves, _weave, _hills, _discs, _gradients)
