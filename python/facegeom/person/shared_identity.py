"""One identity from the answers for several photos, and the photos that contradict it.

The identity network answers with a normal distribution of the identity coefficients, by whose variances the photos are
weighted. All answers of a person should be alike: a photo whose answer differs from the mean of the others shows
somebody else, or the person badly. This is measured within the given photos only, and is not made to recognise people.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from facegeom._internal.arrays import BoolArray, FloatArray
from facegeom._internal.threads import load_once
from facegeom.face_model import FaceModel
from facegeom.face_model.point_fit import FitPrior
from facegeom.networks.identity_units import ShapeUnits, shape_units

ALIKE_MM = 2.4
"""Largest distance of a photo from the mean of the others, mm; see `consistent_photos`.

Of four views of a rendered head, 95 % have at most this distance; about 40 % of the views of other heads have it, too
(`facegeom evaluate person --ict FILE`). Photos of a person are hardly left out, but many strangers are not found.
"""


def common_identity(identities: FloatArray, answers: Sequence[FitPrior]) -> FloatArray:
    """Return the identity (k,) that several photos show together.

    Parameters
    ----------
    identities : (n, k) float array, coefficients of the fit to each photo alone
    answers : sequence of n FitPrior, what each photo says of the identity

    Returns
    -------
    (k,) float array
        The mean of the coefficients, weighted by the inverse variances of the answers.

    Raises
    ------
    ValueError
        If there is no answer, or the numbers of answers and identities differ.

    Notes
    -----
    Photos of a person have a common error, because networks answer nearer to the mean face. More photos do not average
    it out, so that the precision of the photos must not be summed. On rendered heads, a joint fit to the maps of all
    photos is not better than this mean, and worse if the prior of the identity counts once for all photos.
    """
    if not answers or len(answers) != len(identities):
        raise ValueError(f"answers must be one for each of the {len(identities)} identities, got {len(answers)}")
    weight = np.array([1.0 / answer.resized(identities.shape[1]).variance for answer in answers])
    return np.asarray((weight * identities).sum(0) / weight.sum(0))


def distances(model: FaceModel, answers: Sequence[FitPrior]) -> FloatArray:
    """Return the distance of each photo from the mean of the others, (n,) mm.

    Parameters
    ----------
    model : FaceModel
    answers : sequence of n FitPrior, one for each photo

    Returns
    -------
    (n,) float array
        Root mean square distance of the neutral faces over the part that depth maps show, divided by sqrt(1 + 1 / (n -
        1)), which makes numbers of photos comparable. Zero for a single photo. The mean is weighted by the inverse
        variances.
    """
    count = len(answers)
    if count == 1:
        return np.zeros(1)
    means = np.array([answer.mean for answer in answers])
    weight = np.array([1.0 / answer.variance for answer in answers])
    rest = (weight * means).sum(0) - weight * means
    away = means - rest / (weight.sum(0) - weight)
    return np.asarray(lengths(model, away) / np.sqrt(1.0 + 1.0 / (count - 1)))


def lengths(model: FaceModel, coefficients: FloatArray) -> FloatArray:
    """Return the root mean square motion (n,) of the visible face by identity coefficients (n, k), mm.

    Rotation, translation and size do not count.
    """
    return _units(model, coefficients.shape[1]).rms_mm(coefficients)


@load_once(maxsize=4)
def _units(model: FaceModel, count: int) -> ShapeUnits:
    return shape_units(model, count)


def consistent_photos(model: FaceModel, answers: Sequence[FitPrior], limit_mm: float = ALIKE_MM) -> BoolArray:
    """Return which photos show one person, (n,) bool.

    Parameters
    ----------
    model : FaceModel
    answers : sequence of n FitPrior, one for each photo
    limit_mm : largest distance from the mean of the other photos that are kept

    Notes
    -----
    The farthest photo is left out as long as it is farther away than the limit. If two photos contradict each other,
    the one with the smaller variance stays.
    """
    kept = np.ones(len(answers), np.bool_)
    certain = np.array([(1.0 / answer.variance).sum() for answer in answers])
    while kept.sum() > 1:
        rows = np.flatnonzero(kept).tolist()
        away = distances(model, [answers[row] for row in rows])
        order = np.lexsort((certain[rows], -away)) if len(rows) > 2 else np.argsort(certain[rows])
        farthest = rows[int(order[0])]
        if away.max() <= limit_mm:
            break
        kept[farthest] = False
    return kept


def nearest_faces(model: FaceModel, answers: Sequence[Sequence[FitPrior]], rounds: int = 3) -> list[int]:
    """Return the number of the face in each photo that is nearest to the common identity.

    Parameters
    ----------
    model : FaceModel
    answers : for each photo, one FitPrior for each of its faces (at least one)
    rounds : number of times that the common identity is computed again

    Notes
    -----
    The common identity starts from the photos with one face, or from the first face of each photo if there are none.
    """
    single = [faces[0] for faces in answers if len(faces) == 1]
    common = single or [faces[0] for faces in answers]
    chosen = [0] * len(answers)
    for _ in range(rounds):
        middle = common_identity(np.array([answer.mean for answer in common]), common)
        chosen = [int(lengths(model, np.array([face.mean for face in faces]) - middle).argmin()) for faces in answers]
        common = [faces[number] for faces, number in zip(answers, chosen, strict=True)]
    return chosen
