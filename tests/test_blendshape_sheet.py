"""The sheet of pictures of all blendshapes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from facegeom.evaluation.blendshape_sheet import CLOSE_UPS, blendshape_sheet, close_up_sheet, mean_face
from facegeom.face_model.blendshapes import ARKIT_NAMES
from facegeom.measures.report import CAPTION, GAP


def test_pictures_change_with_moving_blendshapes_only() -> None:
    face = mean_face()
    assert list(face.blendshapes) == list(ARKIT_NAMES)
    some = replace(
        face, blendshapes={name: face.blendshapes[name] for name in ("jawOpen", "mouthClose", "browInnerUp")}
    )
    still = replace(some, blendshapes={name: 0 * shape for name, shape in some.blendshapes.items()})
    page = blendshape_sheet(some, still, size=48)
    down, across = 48 + CAPTION + GAP, 48 + GAP
    assert page.shape == (2 * down + GAP, 12 * across + GAP, 3)
    tiles = [
        page[GAP + CAPTION + row * down :][:48, GAP + column * across :][:, :48]
        for row in (0, 1)
        for column in range(12)
    ]
    for number, changes in ((4, True), (8, True), (12, True), (6, False), (10, False), (14, False)):
        neutral = tiles[number % 4]
        assert (np.abs(tiles[number].astype(int) - neutral).max() > 20) == changes, number
        assert len(np.unique(tiles[number])) > 20


def test_bad_arguments_are_reported() -> None:
    with pytest.raises(ValueError, match="at least one"):
        blendshape_sheet()
    bare = replace(mean_face(), blendshapes={})
    with pytest.raises(
        ValueError, match=r"meshes\[1\] must have the blendshapes of the first, got none called eyeBlink"
    ):
        blendshape_sheet(mean_face(), bare)


@pytest.mark.parametrize("name", CLOSE_UPS)
def test_close_ups_show_each_pose_of_each_head(name: str) -> None:
    head = replace(mean_face(), weights={"jawOpen": 0.5, "eyeBlinkLeft": 0.8})
    close_up = CLOSE_UPS[name]
    page = close_up_sheet([head, head], ["one", "two"], close_up, size=40)
    count, across, down = len(close_up.poses), 40 + GAP, 40 + CAPTION + GAP
    assert page.shape == (2 * down + GAP, count * across + GAP, 3)
    first, second = (page[GAP + CAPTION + row * down :][:40].astype(int) for row in (0, 1))
    np.testing.assert_array_equal(first, second)
    tiles = [first[:, GAP + column * across :][:, :40] for column in range(count)]
    neutral = list(close_up.poses).index("neutral")
    for column, tile in enumerate(tiles):
        assert (np.abs(tile - tiles[neutral]).max() > 20) == (column != neutral), list(close_up.poses)[column]


def test_close_ups_need_a_head() -> None:
    with pytest.raises(ValueError, match="at least one"):
        close_up_sheet([], [], CLOSE_UPS["eyes"])
