"""Random light on synthetic faces: lamps, spherical harmonics or environment maps, with diffuse and glossy shading."""

from __future__ import annotations

import numpy as np

from facegeom._internal.arrays import Float32Array
from facegeom.training.data.light import harmonics

ENVIRONMENTS = 0.8  # share of the faces with harmonic light that are lit by an environment map, if there are any
VIEWER = np.array([0, 0, 1], np.float32)  # direction from the surface to the camera


class RandomLight:
    """Draws a light and shades a surface with it.

    Parameters
    ----------
    harmonic, even : float
        Shares of faces with spherical harmonics, and with uniform light, unshaded. The others have one to three lamps.
    environments : (e, t, 9, 3) float32 array, optional
        Light of each environment map in each camera direction, in the order of `harmonics`.
    """

    def __init__(self, harmonic: float, even: float, environments: Float32Array | None = None) -> None:
        self.harmonic, self.even, self.environments = harmonic, even, environments

    def shade(
        self, colour: Float32Array, normals: Float32Array, gloss: Float32Array, rng: np.random.Generator
    ) -> Float32Array:
        """Return the colours of points under a random light, (p, 3) grey levels.

        Parameters
        ----------
        colour : (p, 3) float32 array, grey levels without shading
        normals : (p, 3) float32 array, camera frame, camera at +z
        gloss : (p,) float32 array, specular reflectance relative to the skin
        rng : Generator
        """
        length = np.sqrt(np.einsum("ij,ij->i", normals, normals))
        normals = normals / np.maximum(length, 1e-6)[:, None]
        shiny = np.asarray(rng.uniform(0, 0.25) * gloss, dtype=np.float32)
        squarings = int(rng.integers(3, 6))  # Blinn-Phong exponent 8, 16 or 32
        kind = rng.random()
        if kind < self.even:
            shading = np.ones((len(normals), 1), np.float32) * tints(rng, 1)
            shiny = np.zeros_like(shiny)
            directions, highlight = _directions(rng, 1), np.ones((1, 3), np.float32)
        elif kind < self.even + self.harmonic:
            shading = self._harmonic_light(normals, rng)
            directions = _directions(rng, 1)
            highlight = np.full((1, 3), rng.uniform(0.3, 1.0), np.float32)
        else:
            count = int(rng.integers(1, 4))
            directions = _directions(rng, count)
            lights = rng.dirichlet(np.ones(count)).astype(np.float32)[:, None] * tints(rng, count)
            ambient = np.float32(rng.beta(2, 2)) * tints(rng, 1)
            facing = normals @ directions.T
            wrap = rng.uniform(0, 0.35)  # wrap lighting: approximates subsurface scattering past the terminator
            diffuse = np.maximum((facing + wrap) / (1 + wrap), 0)
            shading = ambient + (1.6 - ambient.mean()) * (diffuse @ lights)
            highlight = lights
        level = rng.uniform(0.7, 1.3) / max(float(shading.mean()), 0.2)
        half = directions + VIEWER
        half /= np.maximum(np.sqrt((half * half).sum(1, keepdims=True)), 1e-6)
        mirrored = np.maximum(normals @ half.T, 0)
        for _ in range(squarings):
            mirrored *= mirrored
        light = np.maximum(shading * np.float32(level), np.float32(0.02))
        shown = colour * np.sqrt(light * np.sqrt(light))  # light ** 0.75: grey levels are gamma-compressed
        shown += 255 * shiny[:, None] * (mirrored @ highlight)
        over = np.maximum(shown - 220, 0)  # soft clipping: values above 220 are compressed
        return np.asarray(np.minimum(shown, 220) + over / (1 + over / 35), dtype=np.float32)

    def _harmonic_light(self, normals: Float32Array, rng: np.random.Generator) -> Float32Array:
        """Return the shading (p, 3) under an environment map, or under random second-order spherical harmonics.

        Random harmonics are on average lit from front and above. The convolution with the cosine lobe attenuates the
        orders by 1, 2/3 and 1/4 (Ramamoorthi & Hanrahan 2001).
        """
        if self.environments is not None and rng.random() < ENVIRONMENTS:
            count, turns = self.environments.shape[:2]
            light = self.environments[rng.integers(count), rng.integers(turns)]
            grey = light.mean(1, keepdims=True)
            light = grey + rng.uniform(0.2, 1.0) * (light - grey)  # white balance of the camera
            return np.asarray(np.maximum(harmonics(normals) @ light, 0.03), dtype=np.float32)
        scale = np.array([0.0, 0.35, 0.3, 0.25, 0.25, 0.2, 0.2, 0.15, 0.08])
        common = rng.normal(0, 1, 9) * scale + np.array([1, 0, 0.12, 0.2, 0, 0, 0, 0, 0])
        coefficients = common[:, None] * tints(rng, 1) + rng.normal(0, 0.05, (9, 3)) * scale[:, None]
        return np.maximum(harmonics(normals) @ coefficients.astype(np.float32), 0.03)


def _directions(rng: np.random.Generator, count: int) -> Float32Array:
    """Return random unit vectors (count, 3) towards lights, most of them in front of and above the face."""
    vectors = rng.normal([0, 0.3, 0.6], [0.8, 0.6, 0.5], (count, 3))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


def tints(rng: np.random.Generator, count: int) -> Float32Array:
    """Return random light colours (count, 3), from warm to cold, with a mean near 1."""
    warmth = rng.normal(0, 0.09, (count, 1)) * np.array([1, 0.1, -1.1]) + rng.normal(0, 0.02, (count, 3))
    return np.exp(warmth).astype(np.float32)
