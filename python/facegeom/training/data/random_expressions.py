"""Random expressions of synthetic faces, with lids and jaw over their whole range."""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import FloatArray
from facegeom.face_model import FaceModel
from facegeom.face_model.fitting import possible_expression

CLOSED_EYES = (0.85, 1.1)  # weight of both lids of a face with closed eyes
OPEN_MOUTH = (0.5, 1.1)  # weight of the jaw of a face whose mouth is wide open


class RandomExpressions:
    """Draws expression weights.

    Parameters
    ----------
    model : FaceModel
    neutral, closed_eyes, open_mouth : float
        Shares of faces without expression, with closed eyes, and with a wide open mouth.
    """

    def __init__(self, model: FaceModel, neutral: float, closed_eyes: float, open_mouth: float) -> None:
        self.model, self.neutral = model, neutral
        self.closed_eyes, self.open_mouth = closed_eyes, open_mouth
        self.index = {name: row for row, name in enumerate(model.expression_names)}
        self.groups = _groups(model.expression_names)

    def draw(self, rng: np.random.Generator) -> FloatArray:
        """Return random weights, (e,): symmetric groups, single expressions, a gaze of both eyes, lids and jaw."""
        weights = np.zeros(len(self.index))
        if rng.random() >= self.neutral:
            for rows, chance, strength in self.groups:
                if rng.random() < chance:
                    common = rng.beta(1.3, 2.0) * strength
                    for row in rows:
                        weights[row] = np.clip(common * rng.normal(1, 0.15), 0, 1)
            for row in rng.integers(len(weights), size=rng.integers(0, 4)):
                if self._is_free(int(row)):
                    weights[row] += rng.uniform(0, 0.5)
        self._look(weights, rng)
        if rng.random() < self.closed_eyes:
            self._set(weights, {"eyeBlink_L": rng.uniform(*CLOSED_EYES), "eyeBlink_R": rng.uniform(*CLOSED_EYES)})
        if rng.random() < self.open_mouth:
            self._set(weights, {"jawOpen": rng.uniform(*OPEN_MOUTH), "mouthClose": 0.0})
        return self._plausible(weights)

    def _set(self, weights: FloatArray, values: dict[str, float]) -> None:
        for name, value in values.items():
            if name in self.index:
                weights[self.index[name]] = value

    def _is_free(self, row: int) -> bool:
        return not self.model.expression_names[row].startswith(("eyeLook", "Pupil", "mouthClose"))

    def _look(self, weights: FloatArray, rng: np.random.Generator) -> None:
        across, up = rng.normal(0, 0.35), rng.normal(0, 0.25)
        sides = ("eyeLookOut_L", "eyeLookIn_R") if across > 0 else ("eyeLookIn_L", "eyeLookOut_R")
        rise = ("eyeLookUp_L", "eyeLookUp_R") if up > 0 else ("eyeLookDown_L", "eyeLookDown_R")
        for names, amount in ((sides, abs(across)), (rise, abs(up))):
            self._set(weights, dict.fromkeys(names, min(amount, 1.0)))

    def _plausible(self, weights: FloatArray) -> FloatArray:
        """Limit closing of the lips to the opening of the jaw, and remove wide and squinting from blinking eyes."""
        weights = possible_expression(self.model, weights)
        for side in "LR":
            blink = self.index.get(f"eyeBlink_{side}")
            if blink is not None and weights[blink] > 0.3:
                self._set(weights, {f"eyeWide_{side}": 0.0, f"eyeSquint_{side}": 0.0})
        return weights


def _groups(names: tuple[str, ...]) -> list[tuple[list[int], float, float]]:
    """Return groups of expressions that are used together: (rows of the expressions, probability, largest weight)."""
    stems: dict[str, list[int]] = {}
    for row, name in enumerate(names):
        stems.setdefault(name.removesuffix("_L").removesuffix("_R"), []).append(row)
    chance = {"jawOpen": 0.35, "mouthSmile": 0.35, "eyeBlink": 0.22, "mouthClose": 0.08, "eyeSquint": 0.2}
    strength = {"jawOpen": 0.9, "mouthSmile": 1.0, "eyeBlink": 1.3, "cheekPuff": 0.8, "mouthClose": 0.6}
    groups = []
    for stem, rows in stems.items():
        if not stem.startswith(("eyeLook", "Pupil")):
            groups.append((rows, chance.get(stem, 0.09), strength.get(stem, 0.75)))
    return groups
