"""Ambient occlusion: convex bodies have none, hollows are dark, and hollows of bright skin are red."""

from __future__ import annotations

import numpy as np
import trimesh

from facegeom.face_model.template import load_template
from facegeom.texture.occlusion import ambient_occlusion, even_directions, skin_shade

TEMPLATE = load_template(head=True)
COUNT = TEMPLATE.coarse.skin_count


def test_directions_are_even() -> None:
    directions = even_directions(200)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    np.testing.assert_allclose(directions.mean(axis=0), 0, atol=0.01)
    np.testing.assert_allclose(directions.T @ directions / 200, np.eye(3) / 3, atol=0.01)


def test_a_convex_body_gets_all_light() -> None:
    sphere = trimesh.creation.icosphere(subdivisions=4, radius=60.0)
    share = ambient_occlusion(np.asarray(sphere.vertices), np.asarray(sphere.faces), even_directions(40))
    assert share.min() > 0.999


def test_the_bottom_of_a_well_gets_the_light_of_its_opening() -> None:
    """From depth d below its opening of radius r, light with cosine weight reaches a share r^2 / (r^2 + d^2)."""
    radius, depth, around = 30.0, 40.0, 48
    angle = np.linspace(0, 2 * np.pi, around, endpoint=False)
    ring = np.column_stack([radius * np.cos(angle), np.zeros(around), radius * np.sin(angle)])
    V = np.concatenate([[[0.0, -depth, 0.0]], ring - [0, depth, 0], ring])
    i, j = np.arange(around), (np.arange(around) + 1) % around
    disc = np.column_stack([np.zeros(around, int), 1 + j, 1 + i])
    wall = np.concatenate(
        [np.column_stack([1 + i, 1 + j, 1 + around + i]), np.column_stack([1 + j, 1 + around + j, 1 + around + i])]
    )
    share = ambient_occlusion(V, np.concatenate([disc, wall]), even_directions(2000))
    assert abs(share[0] - radius**2 / (radius**2 + depth**2)) < 0.03


def test_hollows_of_the_ears_are_dark_and_open_skin_is_not() -> None:
    shade = skin_shade(TEMPLATE, np.array([220.0, 160.0, 130.0]))
    assert shade.shape == (COUNT, 3)
    for side in ("left", "right"):
        ear = TEMPLATE.coarse.regions[f"ear_{side}"][:COUNT]
        assert shade[ear].min() < 0.7
        dark = ear & (shade[:, 2] < 0.8)
        assert (shade[dark, 0] > shade[dark, 2]).all()
    assert np.median(shade[TEMPLATE.coarse.regions["scalp"][:COUNT]]) > 0.97
    mirror = TEMPLATE.coarse.mirror[:COUNT]
    np.testing.assert_allclose(shade, shade[mirror], atol=0.02)
