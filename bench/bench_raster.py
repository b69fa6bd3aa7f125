"""Rasterisation of a sphere of 24,000 triangles, compared with triangles drawn from back to front by OpenCV."""

import cv2
import numpy as np
import pytest

from facegeom.geometry import rasterize

OPENCV = "opencv, triangle ids only"


def sphere(around, down):
    """Return vertices and triangles of a unit sphere of around x down vertices."""
    turn, tilt = np.meshgrid(np.linspace(0, 2 * np.pi, around, endpoint=False), np.linspace(0.02, np.pi - 0.02, down))
    V = np.stack([np.sin(tilt) * np.cos(turn), np.cos(tilt), np.sin(tilt) * np.sin(turn)], axis=-1).reshape(-1, 3)
    i, j = (g.ravel() for g in np.meshgrid(np.arange(around), np.arange(down - 1)))
    a, b = j * around + i, j * around + (i + 1) % around
    return V, np.concatenate([np.stack([a, a + around, b], axis=1), np.stack([b, a + around, b + around], axis=1)])


def draw_back_to_front(V, F, size):
    triangle = np.full((size, size), -1, np.int32)
    corners = np.rint(V[F][:, :, :2] * 16).astype(np.int32)
    for f in np.argsort(V[F][:, :, 2].mean(axis=1)).tolist():
        cv2.fillConvexPoly(triangle, corners[f], f, shift=4)
    return triangle


@pytest.mark.parametrize("library", ["facegeom", OPENCV])
@pytest.mark.parametrize("channels", [0, 3])
@pytest.mark.parametrize("size", [128, 256, 512])
def test_rasterize(size, channels, library, measure):
    V, F = sphere(160, 76)
    placed = V * (0.45 * size) + [size / 2, size / 2, 0]
    attributes = V[:, :channels] if channels else None
    calls = {
        "facegeom": lambda: rasterize(placed, F, attributes, (size, size)),
        OPENCV: lambda: draw_back_to_front(placed, F, size),
    }
    answer, other = measure(f"rasterize, {size} px, {channels} channels", library, calls)
    raster, drawn = (answer, other) if library == "facegeom" else (other, answer)
    visible = raster.triangle >= 0
    assert abs(visible.sum() / (np.pi * (0.45 * size) ** 2) - 1) < 0.02
    assert (drawn >= 0).sum() >= visible.sum()  # OpenCV also fills the pixels on the outline
    y, x = np.nonzero(visible)
    r2 = (x - size / 2) ** 2 + (y - size / 2) ** 2
    inner = r2 < (0.4 * size) ** 2
    expected = np.sqrt(np.clip((0.45 * size) ** 2 - r2, 0, None))
    np.testing.assert_allclose(raster.depth[visible][inner], expected[inner], atol=2e-3 * size)
