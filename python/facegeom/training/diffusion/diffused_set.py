"""A set of edited and generated photos in a folder: images, records, labels, sheets and a report.

Every file says that it is synthetic: each PNG in its text fields, each JSON file in its first field.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image, PngImagePlugin

from facegeom._internal.arrays import ByteArray, FloatArray
from facegeom._internal.files import write_bytes
from facegeom.errors import FacegeomError
from facegeom.face_model.point_fit import Fit
from facegeom.measures.report import write_json
from facegeom.training.data.labels import REJECTIONS, Labels
from facegeom.training.diffusion.label_check import LabelDistance

IMAGES, RECORDS = "images", "records"
LABELS, REPORT, SETTINGS, REFERENCE = "labels.npz", "report.json", "settings.json", "reference.json"

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""The term of the IPTC for a picture that a trained model made."""

LIMIT_QUANTILE, COPY_QUANTILE = 0.95, 0.01
"""Quantile of the distances of real photos beyond which a label is rejected, and of the distances between held-out and
training photos below which a generated photo counts as a copy."""

MOST_REJECTED = 0.4
"""Largest share of images that the label check may reject; beyond it the set is not usable."""


class Made(NamedTuple):
    """One image of the set.

    Attributes
    ----------
    file : name of the image
    kind : kind of change, see `facegeom.training.diffusion.edits`
    source : name of the photo that was changed
    fit : Fit in pixels of the image, the label
    distance : LabelDistance, or None if the networks see no face
    nearest : distance of the embedding to that of the nearest training photo; other than `source`, unless the kind is
        "person"
    nearest_photo : name of this photo
    to_source : distance of the embedding to that of the photo that was changed
    shown : whether the change of the attributes is seen in the image, see `facegeom.training.diffusion.edits.is_shown`
    """

    file: str
    kind: str
    source: str
    fit: Fit
    distance: LabelDistance | None
    nearest: float
    nearest_photo: str
    to_source: float
    shown: bool


@dataclass(frozen=True)
class Limits:
    """What real photos have: limits of the distances of labels, and of the distances between people.

    Attributes
    ----------
    landmarks_mm, maps_mm : largest distances of a usable label
    copy : distance of embeddings below which a photo counts as a copy
    strangers : median distance of embeddings of held-out photos to those of training photos
    real_landmarks_px, real_landmarks_mm, real_maps_mm : means of real photos
    photos : number of real photos with a found face
    """

    landmarks_mm: float
    maps_mm: float
    copy: float
    strangers: float
    real_landmarks_px: float
    real_landmarks_mm: float
    real_maps_mm: float
    photos: int

    @classmethod
    def of(cls, distances: list[LabelDistance], apart: FloatArray, strangers: float) -> Limits:
        """Return the limits.

        Parameters
        ----------
        distances : of the labels of real photos
        apart : (h,) float array, distances of held-out photos to the nearest training photos
        strangers : median distance of held-out photos to all training photos

        Raises
        ------
        FacegeomError
            If no face was found in the real photos.
        """
        if not distances:
            raise FacegeomError("the networks found no face in the held-out photos, so that labels cannot be checked")
        values = np.array(distances)
        px, mm, maps = values.mean(0).tolist()
        high = np.quantile(values, LIMIT_QUANTILE, axis=0)
        copy = float(np.quantile(apart, COPY_QUANTILE))
        return cls(float(high[1]), float(high[2]), copy, strangers, px, mm, maps, len(values))

    def reason(self, made: Made) -> int:
        """Return the index into `REJECTIONS` of an image: 0 if it is used."""
        if made.distance is None:
            return REJECTIONS.index("landmarks")
        if made.distance.landmarks_mm > self.landmarks_mm or made.distance.maps_mm > self.maps_mm:
            return REJECTIONS.index("residual")
        copied = made.nearest < self.copy or not made.shown  # of another photo, or of the one that was changed
        return REJECTIONS.index("identity") if copied else 0


def synthetic_png(image: ByteArray, description: str) -> bytes:
    """Return a PNG file of an image (h, w, 3) that says in its text fields that the image is synthetic."""
    text = PngImagePlugin.PngInfo()
    for key, value in (
        ("Software", "facegeom"),
        ("Description", description),
        ("Synthetic", "yes"),
        ("DigitalSourceType", SOURCE_TYPE),
    ):
        text.add_text(key, value)
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "png", pnginfo=text, compress_level=6)
    return buffer.getvalue()


class DiffusedSet:
    """The folder of a set.

    Parameters
    ----------
    folder : Path
    settings : everything on which the images depend; a folder with other settings is refused

    Raises
    ------
    FacegeomError
        If the folder has a set with other settings.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.settings = {"synthetic": True, **json.loads(json.dumps(settings))}
        for part in (IMAGES, RECORDS):
            (folder / part).mkdir(parents=True, exist_ok=True)
        path = folder / SETTINGS
        if path.exists():
            other = json.loads(path.read_text(encoding="utf-8"))
            differ = [name for name in {*other, *self.settings} if other.get(name) != self.settings.get(name)]
            if differ:
                raise FacegeomError(
                    f"{folder} has a set with another {sorted(differ)[0]}: use the same arguments, or another --out"
                )
        else:
            write_json(path, self.settings)

    def has(self, source: str) -> bool:
        """Return whether the images of a photo are complete."""
        return self._record(source).exists()

    def add(self, source: str, images: list[ByteArray], made: list[Made], method: str) -> None:
        """Write the images of a photo, then their record."""
        for image, one in zip(images, made, strict=True):
            what = f"Synthetic image of a head: the photo {one.source} changed ({one.kind}) by {method}"
            write_bytes(self.folder / IMAGES / one.file, synthetic_png(image, what))
        rows = [_row(one) for one in made]
        write_json(self._record(source), {"synthetic": True, "source": source, "method": method, "images": rows})

    def made(self) -> Iterator[Made]:
        """Yield all complete images, by the name of their photo."""
        for path in sorted((self.folder / RECORDS).glob("*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            for row in record["images"]:
                yield _made(row, record["source"])

    def image(self, made: Made) -> ByteArray:
        """Read an image."""
        with Image.open(self.folder / IMAGES / made.file) as picture:
            return np.asarray(picture.convert("RGB"), np.uint8)

    def finish(self, limits: Limits) -> dict[str, Any]:
        """Write the report and, if enough images passed the check, the labels; return the report.

        Raises
        ------
        FacegeomError
            If there is no image, or the check of the labels rejects more than `MOST_REJECTED` of them; then there are
            no labels.
        """
        made = list(self.made())
        if not made:
            raise FacegeomError(f"there is no image in {self.folder}")
        reasons = np.array([limits.reason(one) for one in made], np.int8)
        report = _report(made, reasons, limits)
        write_json(self.folder / REPORT, report)
        path = self.folder / LABELS
        path.unlink(missing_ok=True)
        if report["rejected_by_label"] > MOST_REJECTED:
            raise FacegeomError(
                f"the check of the labels rejects {100 * report['rejected_by_label']:.0f} % of the images, and at most "
                f"{100 * MOST_REJECTED:.0f} % may be: the network needs more training (see {self.folder / REPORT})"
            )
        fits = [one.fit for one in made]
        Labels(
            np.array([one.file for one in made]),
            np.array([fit.identity for fit in fits]).astype(np.float16),
            np.array([fit.expression for fit in fits]).astype(np.float16),
            np.array([fit.rotation for fit in fits]).astype(np.float32),
            np.array([fit.scale for fit in fits]).astype(np.float32),
            np.array([fit.translation for fit in fits]).astype(np.float32),
            reasons,
        ).save(path)
        return report

    def _record(self, source: str) -> Path:
        return self.folder / RECORDS / f"{Path(source).stem}.json"


def _row(made: Made) -> dict[str, Any]:
    fit = made.fit
    return {
        "file": made.file,
        "kind": made.kind,
        "label": {name: getattr(fit, name) for name in ("identity", "expression", "rotation", "scale", "translation")},
        "distance": None if made.distance is None else made.distance._asdict(),
        "nearest": made.nearest,
        "nearest_photo": made.nearest_photo,
        "to_source": made.to_source,
        "shown": made.shown,
    }


def _made(row: dict[str, Any], source: str) -> Made:
    label = row["label"]
    identity, expression, rotation, translation = (
        np.array(label[name], np.float64) for name in ("identity", "expression", "rotation", "translation")
    )
    fit = Fit(identity, expression, rotation, float(label["scale"]), translation, 0.0, 0.0)
    distance = None if row["distance"] is None else LabelDistance(**row["distance"])
    others = (row[name] for name in ("nearest", "nearest_photo", "to_source", "shown"))
    return Made(row["file"], row["kind"], source, fit, distance, *others)


def _report(made: list[Made], reasons: np.ndarray, limits: Limits) -> dict[str, Any]:
    """Return counts and means of a set, as a whole and by kind of change."""

    def part(rows: np.ndarray) -> dict[str, Any]:
        kept = rows[reasons[rows] == 0]
        found = [made[row].distance for row in kept]
        px, mm, maps = np.array(found).mean(0).tolist() if found else [float("nan")] * 3
        by_label = np.isin(reasons[rows], [REJECTIONS.index(name) for name in ("residual", "landmarks")]).mean()
        copies = np.array([made[row].nearest < limits.copy for row in rows]).mean()
        return {
            "images": len(rows),
            "kept": len(kept),
            "rejected_by_label": float(by_label),
            "copies": float(copies),
            "shown": float(np.mean([made[row].shown for row in rows])),
            "landmarks_px": px,
            "landmarks_mm": mm,
            "maps_mm": maps,
            "ratio_to_real": mm / limits.real_landmarks_mm,
            "to_source": float(np.median([made[row].to_source for row in rows])),
        }

    kinds = np.array([one.kind for one in made])
    whole = part(np.arange(len(made)))
    return {
        "synthetic": True,
        **whole,
        "real": limits,
        "by_kind": {str(kind): part(np.flatnonzero(kinds == kind)) for kind in dict.fromkeys(kinds.tolist())},
    }
