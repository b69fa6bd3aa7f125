"""How much of a known change of shape is recovered, and the error of the shape of single renders.

A pair consists of a picture with zero change and a picture with known identity coefficients added, made in the same
way. Such pairs are photos in which the head is reshaped (`training.identity.reshaping`), and heads of the ICT model
with a renderer and materials that no network was trained on (`ict_heads`), so that artefacts of the reshaping cannot
give a good result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from facegeom._internal.arrays import ByteArray, FloatArray, IntArray
from facegeom.errors import FacegeomError, NoFaceFound
from facegeom.evaluation.ict_heads import HeadRenderer, RandomHeadOptions
from facegeom.evaluation.shapes import Method, Place
from facegeom.face_model import FaceModel
from facegeom.measures.shapes import Changes, ShapeSpace, mean_and_percentile, rms_mm
from facegeom.measures.skin import cheek_lightness, means_by_lightness
from facegeom.networks.identity_crop import INNER_LANDMARKS
from facegeom.training.data.labels import Labels, find_photos, yaw_deg
from facegeom.training.data.pose import Pose
from facegeom.training.data.samples import PhotoStore
from facegeom.training.data.split import split_names
from facegeom.training.data.texture_model import TextureModel
from facegeom.training.identity.reshaped_photos import ReshapedPhotos
from facegeom.training.identity.reshaping import Change, Reshaper


@dataclass(frozen=True)
class PairOptions:
    """The changes and the pictures of the pairs."""

    identity_sigma: float = 0.8  # standard deviation of the change of each identity coefficient, in sigma of the model
    head_sigma: float = 1.0  # standard deviation of the identity coefficients of the ICT heads before the change
    turned_deg: float = 45.0  # absolute yaw of the second pair of each photo or head, degrees
    frontal_deg: float = 20.0  # largest absolute yaw of the photos used, degrees
    size: int = 320  # side length of the pictures, pixels
    frame_mm: float = 280.0  # side length of the pictures of photos, mm of the mean face; portraits show about this
    crop_factor: float = 2.1  # side length of the pictures of ICT heads / longer side of the face box
    single_yaw_deg: float = 45.0  # largest absolute yaw of single renders of ICT heads, degrees
    seed: int = 0


class Picture(NamedTuple):
    """A picture of a face, where the face is, and its true shape: displacements (n, 3) of `ShapeSpace`, mm."""

    image: ByteArray
    place: Place
    shape: FloatArray


class Pair(NamedTuple):
    """Two pictures of a head in the same pose: before and after a change of its shape."""

    yaw: str
    before: Picture
    after: Picture


def yaw_name(degrees: float) -> str:
    """Return the name of the pairs with an absolute yaw."""
    return f"yaw {degrees:.0f}"


class PhotoPairs:
    """Pairs made from labelled photos.

    Parameters
    ----------
    model : FaceModel
    space : ShapeSpace
    photos : folder of the photos
    labels : file of `facegeom prepare labels`
    texture_model : file of `facegeom prepare texture-model`, from which the light of a photo is estimated
    part : "validation" or "test", part of the split
    options : PairOptions

    Raises
    ------
    FacegeomError
        If the part contains no usable frontal photo.
    """

    def __init__(
        self,
        model: FaceModel,
        space: ShapeSpace,
        photos: str | Path,
        labels: str | Path,
        texture_model: str | Path,
        part: str = "test",
        options: PairOptions = PairOptions(),
    ) -> None:
        self.model, self.space, self.options = model, space, options
        self.labels, self.photos = Labels.load(labels), find_photos(photos)
        self.reshaper = Reshaper(model, TextureModel.load(texture_model))
        self.rows = self._frontal_rows(part)
        if not len(self.rows):
            raise FacegeomError(f"no labelled frontal photo of the part {part} is below {photos}")

    def _frontal_rows(self, part: str) -> IntArray:
        names = [str(name) for name in self.labels.names]
        rows = np.intersect1d(getattr(split_names(names), part), self.labels.kept)
        frontal = np.abs(yaw_deg(self.labels.rotation[rows])) <= self.options.frontal_deg
        return np.array([row for row in rows[frontal] if names[row] in self.photos], dtype=np.int64)

    def photo(self, row: int) -> tuple[ByteArray, Pose]:
        """Return the photo of a row of the labels, and the fitted face in it."""
        fit = self.labels.fit(row)
        store = PhotoStore(self.photos, [str(self.labels.names[row])])
        return store[0], self.reshaper.renderer.pose(fit)

    def pairs(self, row: int) -> Iterator[Pair]:
        """Yield the pair in the pose of the photo (named "yaw 0"), and the pair turned to `turned_deg`."""
        options, fit = self.options, self.labels.fit(row)
        photo, pose = self.photo(row)
        subject = self.reshaper.subject(photo, pose)
        rng = np.random.default_rng([options.seed, row])
        identity = rng.normal(0, options.identity_sigma, 60)
        have = float(yaw_deg(pose.rotation))
        side = np.sign(have) if abs(have) > 5 else rng.choice([-1.0, 1.0])
        for yaw, turn in ((0.0, 0.0), (options.turned_deg, side * options.turned_deg - have)):
            pictures = []
            for change in (np.zeros(60), identity):
                made = self.reshaper.render(subject, Change(change, yaw_deg=turn), options.size, options.frame_mm)
                shape = self.space.displacement(self.model.vertices(fit.identity + change))
                pictures.append(Picture(made.image, Place(made.landmarks, made.rotation), shape))
            yield Pair(yaw_name(yaw), *pictures)


def measure_photos(source: PhotoPairs, method: Method, limit: int | None = None) -> dict[str, Any]:
    """Return how much of the change of reshaped photos is recovered.

    Parameters
    ----------
    source : PhotoPairs
    method : the evaluated method
    limit : largest number of photos; None: all

    Returns
    -------
    dict
        For each yaw and answer the result of `summarise`; "zero change": RMS difference, in mm, between the answers
        for the photo itself and for its picture with zero change; "lightness": mean error in mm in bins of the
        measured lightness of the cheeks; "missed": number of pairs in which no face was found.
    """
    results = _Results(source.space)
    moved: dict[str, list[float]] = {}
    for row in tqdm(source.rows[:limit], desc="reshaped photos", unit="photo"):
        photo, pose = source.photo(int(row))
        lightness = cheek_lightness(photo, pose.pixels()[source.model.landmarks68, :2])
        for pair in source.pairs(int(row)):
            before = results.add(pair, method, lightness)
            if before is None or pair.yaw != yaw_name(0.0):
                continue
            try:
                original = method(photo, Place.of_pose(source.model, pose))
            except NoFaceFound:
                continue
            for name, shape in original.items():
                moved.setdefault(name, []).append(float(rms_mm(before[name] - shape)))
    summary = results.summary(lightness=True)
    summary["zero change"] = {name: mean_and_percentile(values) for name, values in moved.items()}
    return summary


class IctPictures:
    """Pictures of random heads of the ICT model.

    Parameters
    ----------
    model : FaceModel
    space : ShapeSpace
    path : path of the file `ict_face_model.npz`
    options : PairOptions
    """

    def __init__(
        self, model: FaceModel, space: ShapeSpace, path: str | Path, options: PairOptions = PairOptions()
    ) -> None:
        self.model, self.space, self.options = model, space, options
        heads = RandomHeadOptions(max_yaw_deg=options.single_yaw_deg, crop_factor=options.crop_factor)
        self.renderer = HeadRenderer(path, heads)

    def pairs(self, number: int) -> Iterator[Pair]:
        """Yield the frontal pair of head `number`, and the pair turned to `turned_deg`.

        Both pictures of a pair have the same colours, lights and background.
        """
        options, head = self.options, self.renderer.head
        rng = np.random.default_rng([options.seed, number])
        count = len(head.identity)
        identity = rng.normal(0, options.head_sigma, count)
        change = rng.normal(0, options.identity_sigma, count)
        side = rng.choice([-1.0, 1.0])
        for yaw in (0.0, options.turned_deg):
            pictures = []
            for coefficients in (identity, identity + change):
                neutral = head.sample(coefficients)
                pose = Pose(neutral, np.eye(3), 1.0, np.zeros(2)).turned(side * yaw)
                materials = np.random.default_rng([options.seed, number, 1])
                pictures.append(self._picture(pose, neutral, materials))
            yield Pair(yaw_name(yaw), *pictures)

    def single(self, number: int) -> Picture:
        """Return a picture of head `number` with random expression, pose, colours, lights and background."""
        head, renderer = self.renderer.head, self.renderer
        rng = np.random.default_rng([self.options.seed, number, 2])
        neutral = head.sample(rng.normal(0, self.options.head_sigma, len(head.identity)))
        posed = renderer.random_pose(renderer.expressive(neutral, rng), rng)[0]
        return self._picture(posed, neutral, rng)

    def _picture(self, pose: Pose, neutral: FloatArray, rng: np.random.Generator) -> Picture:
        sample = self.renderer.render(pose, rng, self.options.size)
        face = self.renderer.on_face_model(pose.vertices)
        placed = Pose(face, pose.rotation, sample.scale, np.array(sample.origin)).pixels()
        landmarks = placed[self.model.landmarks68[INNER_LANDMARKS], :2]
        shape = self.space.displacement(self.renderer.on_face_model(neutral))
        return Picture(sample.image, Place(landmarks, pose.rotation), shape)


def measure_ict(source: IctPictures, method: Method, count: int) -> dict[str, Any]:
    """Return how much of the change of `count` rendered ICT heads is recovered, as `measure_photos` does."""
    results = _Results(source.space)
    for number in tqdm(range(count), desc="ICT pairs", unit="head"):
        for pair in source.pairs(number):
            results.add(pair, method)
    return results.summary()


def stored_pictures(model: FaceModel, space: ShapeSpace, heads: ReshapedPhotos) -> Callable[[int], Picture]:
    """Return the function number -> picture of the heads of `facegeom prepare heads`."""

    def picture(number: int) -> Picture:
        shape = space.displacement(model.vertices(heads.identity[number].astype(np.float64)))
        place = Place(heads.landmarks[number].astype(np.float64), heads.rotation[number].astype(np.float64))
        return Picture(np.array(heads.images[number]), place, shape)

    return picture


def measure_single(picture: Callable[[int], Picture], numbers: Iterable[int], method: Method) -> dict[str, Any]:
    """Return the error of the shape of single pictures, and that of the mean face.

    Returns
    -------
    dict
        For each answer: "pictures", "error_mm" and "mean_face_mm", means of the RMS error over the vertices, and
        "gain", the share of the mean face's error that the answer removes; "missed": pictures without a found face.
    """
    errors: dict[str, list[float]] = {}
    means: list[float] = []
    missed = 0
    for number in tqdm(numbers, desc="single renders", unit="head"):
        made = picture(number)
        try:
            answers = method(made.image, made.place)
        except NoFaceFound:
            missed += 1
            continue
        means.append(float(rms_mm(made.shape)))
        for name, shape in answers.items():
            errors.setdefault(name, []).append(float(rms_mm(shape - made.shape)))
    mean = float(np.mean(means)) if means else float("nan")
    summary: dict[str, Any] = {
        name: {
            "pictures": len(values),
            "error_mm": float(np.mean(values)),
            "mean_face_mm": mean,
            "gain": 1.0 - float(np.mean(values)) / mean,
        }
        for name, values in errors.items()
    }
    return {**summary, "missed": missed}


class _Results:
    """The recovered changes of pairs, by yaw and answer."""

    def __init__(self, space: ShapeSpace) -> None:
        self.space = space
        self.changes: dict[str, dict[str, Changes]] = {}
        self.lightness: dict[str, list[float]] = {}
        self.missed = 0

    def add(self, pair: Pair, method: Method, lightness: float = float("nan")) -> dict[str, FloatArray] | None:
        """Evaluate a pair; return the answers for its first picture, or None if no face was found."""
        try:
            before, after = (method(made.image, made.place) for made in (pair.before, pair.after))
        except NoFaceFound:
            self.missed += 1
            return None
        true = pair.after.shape - pair.before.shape
        answers = self.changes.setdefault(pair.yaw, {})
        for name in before:
            answers.setdefault(name, Changes.none(self.space)).add(after[name] - before[name], true)
        self.lightness.setdefault(pair.yaw, []).append(lightness)
        return before

    def summary(self, *, lightness: bool = False) -> dict[str, Any]:
        """Return the result of `measure_ict`, or with `lightness` that of `measure_photos` without zero change."""
        figures: dict[str, Any] = {}
        for yaw, answers in self.changes.items():
            figures[yaw] = {}
            for name, changes in answers.items():
                errors = changes.errors()
                figures[yaw][name] = {
                    **errors.summary(),
                    "slopes": errors.slope,
                    "correlations": errors.correlation,
                }
                if lightness:
                    figures[yaw][name]["lightness"] = means_by_lightness(errors.error_mm.tolist(), self.lightness[yaw])
        return {**figures, "missed": self.missed}
