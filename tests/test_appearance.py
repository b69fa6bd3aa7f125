"""Visibility and colours of vertices in a photo."""

from __future__ import annotations

from typing import Any

import numpy as np

from coded_photos import SKIN
from facegeom.face_model.template import load_template
from facegeom.texture.appearance import SILHOUETTE_MM, View, behind_colors
from facegeom.texture.continuation import vertex_colors


def test_vertices_outside_the_photo_are_hidden_and_not_black(plain_person: Any, plain_classes: Any) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    whole = View(photo, prediction.maps, prediction.camera, V, template.fine)
    rows = int(prediction.camera.project(prediction.landmarks)[57, 1])  # the chin is cut off
    view = View(photo[:rows], prediction.maps, prediction.camera, V, template.fine)
    below = prediction.camera.project(V)[:, 1] > rows
    assert whole.seen[below].max() == 1
    assert view.seen[below].max() == 0
    inner = view.from_border > SILHOUETTE_MM
    np.testing.assert_array_equal(view.seen[inner], whole.seen[inner])
    chin = template.fine.regions["face"] & template.fine.regions["map"] & below
    assert chin.sum() > 1000
    assert np.abs(vertex_colors(template, view, plain_classes(photo, prediction.camera))[chin] - SKIN).mean() < 10


def test_a_hidden_eye_copies_the_other_with_the_same_gaze(plain_person: Any) -> None:
    photo, prediction, V = plain_person
    template = load_template(head=True)
    view = View(photo, prediction.maps, prediction.camera, V, template.fine)
    left, right = (template.fine.regions[name] for name in ("eyeball_left", "eyeball_right"))
    across = V[:, 0] - np.where(left, V[left, 0].mean(), V[right, 0].mean())
    vars(view)["seen"] = right.astype(float)
    vars(view)["colors"] = np.stack([130 + 8 * across, 0 * across, 0 * across], axis=1)
    skin = template.fine.skin_count
    colors, eye = behind_colors(template, view), left[skin:]
    assert np.corrcoef(colors[eye, 0], across[skin:][eye])[0, 1] > 0.95  # mirrored it would be below 0
    vars(view)["seen"] = np.zeros(len(V))
    assert np.ptp(behind_colors(template, view)[eye], axis=0).max() == 0
