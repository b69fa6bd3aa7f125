"""Hair meshes: brought to the face model, carried along with other heads, and drawn over them."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from facegeom.errors import FacegeomError
from facegeom.face_model import load_face_model
from facegeom.training.data.assets import Assets
from facegeom.training.data.hair_drawing import HairPixels, hair_pixels
from facegeom.training.data.hair_meshes import (
    LEAST_GAP_MM,
    ORIGINS_MM,
    HairMesh,
    fit_hair,
    hair_anchors,
    lifted,
    read_hair,
)
from facegeom.training.data.pose import Pose
from facegeom.training.data.synthetic import SyntheticFaces, SyntheticOptions
from facegeom.training.data.texture_model import skin_vertices
from hair_cap import RAISED_MM, hair_cap

CC0 = Path(__file__).parents[2] / "shared" / "data" / "cc0"
MODEL = load_face_model()
SKULL = np.array([0.0, 15.0, -75.0])


def strip(left: float, right: float, alpha: int, shade: int = 100) -> HairMesh:
    """Return a square strip from row 2 to row 13, with the columns `left` to `right`, in the plane z = 0."""
    V = np.array([[left, 2, 0], [right, 2, 0], [right, 13, 0], [left, 13, 0]], np.float32)
    return HairMesh(
        V,
        np.tile(np.float32([0, 0, -1]), (4, 1)),
        np.array([[0, 1, 2], [0, 2, 3]], np.int64),
        np.full((4, 2), 0.5, np.float32),
        np.full((256, 256, 2), (shade, alpha), np.uint8),
        np.zeros((4, 1), np.int64),
        np.ones((4, 1), np.float32),
        np.zeros(1, np.uint8),
    )


def test_hair_moves_with_the_scalp_below_it() -> None:
    rng = np.random.default_rng(0)
    cap = hair_cap(MODEL)
    displacement = rng.normal(0, 3, MODEL.mean.shape).astype(np.float32)
    moved = cap.on_head(displacement)
    np.testing.assert_allclose(moved - cap.V, displacement[cap.rows[:, 0]], atol=1e-5)


def test_mirrored_hair_moves_like_the_mirrored_head() -> None:
    cap = hair_cap(MODEL)
    displacement = np.random.default_rng(1).normal(0, 3, MODEL.mean.shape).astype(np.float32)
    flip = np.array([-1, 1, 1], np.float32)
    mirrored = cap.mirrored(MODEL)
    there = mirrored.on_head(displacement[MODEL.mirror] * flip)
    np.testing.assert_allclose(there * flip, cap.on_head(displacement), atol=1e-4)
    np.testing.assert_array_equal(mirrored.mirrored(MODEL).rows, cap.rows)


def test_points_inside_the_head_are_raised_and_others_stay() -> None:
    skin = skin_vertices(MODEL)
    faces = MODEL.faces[skin[MODEL.faces].all(1)]
    crown = MODEL.mean[MODEL.regions["scalp"] & (MODEL.mean[:, 1] > 60)]
    outward = (crown - SKULL) / np.linalg.norm(crown - SKULL, axis=1, keepdims=True)
    far = crown + 12 * outward
    np.testing.assert_array_equal(lifted(far, MODEL.mean, faces), far)
    raised = lifted(crown - 4 * outward, MODEL.mean, faces)
    height = ((raised - crown) * outward).sum(1)
    assert height.min() > 0.5 * LEAST_GAP_MM
    assert height.max() < 3 * LEAST_GAP_MM


@pytest.mark.parametrize("origin", ORIGINS_MM)
def test_hair_of_each_origin_comes_to_the_same_place(origin: np.ndarray) -> None:
    cap = hair_cap(MODEL)
    registered = MODEL.mean[skin_vertices(MODEL)]
    fitted = fit_hair(MODEL, registered, cap.V - origin, cap.F, cap.uv, cap.texture)
    np.testing.assert_allclose(fitted.V, cap.V, atol=0.01)
    np.testing.assert_allclose(fitted.weights.sum(1), 1, atol=1e-5)
    assert hair_anchors(MODEL)[fitted.rows].all()
    scalp = MODEL.regions["scalp"]
    assert np.median(fitted.cover[scalp]) == 255
    assert not fitted.cover[~scalp].any()


def test_hair_follows_a_larger_head_in_the_fit() -> None:
    """On a head of other proportions the cap keeps its distance from the scalp."""
    stretch = np.array([1.1, 1.0, 0.95])
    cap = hair_cap(MODEL)
    registered = MODEL.mean[skin_vertices(MODEL)] * stretch
    fitted = fit_hair(MODEL, registered, cap.V * stretch, cap.F, cap.uv, cap.texture)
    assert np.abs(fitted.V - cap.V).mean() < 1.0


def test_the_head_hides_hair_behind_it_only() -> None:
    depth = np.full((16, 16), np.nan)
    depth[:, :8] = 0.0  # the head covers the left half
    for z, columns in ((5.0, 12), (-5.0, 6)):
        hair = strip(1.5, 13.5, 255)
        points = hair.V.astype(float) + np.array([0, 0, z])
        pixels = hair_pixels(hair, points, hair.N, depth)
        seen = np.unique(pixels.place % 16)
        assert len(seen) == columns
        assert (pixels.normal[:, 2] > 0).all()  # strips have two sides


def test_near_strips_cover_far_ones() -> None:
    far, near = strip(1.5, 13.5, 255, 50), strip(1.5, 13.5, 128, 200)
    both = HairMesh(
        np.concatenate([near.V, far.V]),
        np.concatenate([near.N, far.N]),
        np.concatenate([near.F, far.F + 4]),
        np.concatenate([np.tile(np.float32([[0.75, 0.5]]), (4, 1)), np.tile(np.float32([[0.25, 0.5]]), (4, 1))]),
        np.concatenate([far.texture[:, :128], near.texture[:, 128:]], axis=1),
        np.concatenate([near.rows, far.rows]),
        np.concatenate([near.weights, far.weights]),
        near.cover,
    )
    points = both.V.astype(float)
    points[:4, 2] += 10
    pixels = hair_pixels(both, points, both.N, np.full((16, 16), np.nan))
    shown = pixels.picture(np.repeat(pixels.pattern[:, None], 3, 1), (16, 16))[8, 8]
    assert shown[3] == pytest.approx(1, abs=1e-3)
    assert shown[0] == pytest.approx(0.5 * 128 / 255 + 2.0 * 128 / 255, abs=0.02)


def test_the_share_of_a_mask_that_hair_covers() -> None:
    mask = np.zeros((16, 16), bool)
    mask[2:14, 2:14] = True
    for alpha, share in ((255, 1.0), (100, 0.0)):
        hair = strip(1.5, 13.5, alpha)
        found = hair_pixels(hair, hair.V.astype(float), hair.N, np.full((16, 16), np.nan)).share(mask)
        assert found == pytest.approx(share, abs=0.1)
    assert hair_pixels(hair, hair.V.astype(float), hair.N, np.full((16, 16), np.nan)).share(~mask & mask) == 0


def test_hair_that_hides_the_face_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit decides whether a cap is drawn."""
    options = SyntheticOptions(hair_mesh=1.0)
    assets = Assets(
        np.full((5, *MODEL.mean.shape), 60, np.uint8),
        np.arange(5),
        np.ones((5, 16, 9, 3), np.float32),
        np.zeros((5, 12, 48, 48, 3), np.uint8),
        np.arange(5),
        (hair_cap(MODEL),),
        np.arange(1),
    )
    faces = SyntheticFaces(MODEL, options=options, assets=assets)
    drawn = []
    picture = HairPixels.picture
    monkeypatch.setattr(HairPixels, "picture", lambda *args: drawn.append(1) or picture(*args))
    for limit, expected in ((1.0, 3), (-1.0, 0)):
        monkeypatch.setattr("facegeom.training.data.synthetic.MOST_HIDDEN", limit)
        drawn.clear()
        for seed in range(3):
            faces.draw(np.random.default_rng(seed), 32)
        assert len(drawn) == expected


def test_hair_outside_the_image_is_left_out() -> None:
    hair = strip(40, 60, 255)
    pixels = hair_pixels(hair, hair.V.astype(float), hair.N, np.full((16, 16), np.nan))
    assert not len(pixels.place)
    assert not pixels.picture(np.zeros((0, 3), np.float32), (16, 16)).any()


def test_textures_without_opacity_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 0 1\nf 1/1 2/2 3/3\n")
    with pytest.raises(FacegeomError, match=r"a\.png, RGBA"):
        read_hair(tmp_path / "a.obj")
    cv2.imwrite(str(tmp_path / "a.png"), np.full((64, 64, 4), 90, np.uint8))
    V, F, uv, texture = read_hair(tmp_path / "a.obj")
    assert (V.shape, F.shape, uv.shape, texture.shape) == ((3, 3), (1, 3), (3, 2), (256, 256, 2))
    (tmp_path / "b.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    with pytest.raises(FacegeomError, match="no texture coordinates"):
        read_hair(tmp_path / "b.obj")


def test_transparent_pixels_take_the_grey_level_of_the_hair_beside_them(tmp_path: Path) -> None:
    picture = np.zeros((512, 512, 4), np.uint8)
    picture[...] = (255, 255, 255, 0)
    picture[:, :256] = (60, 60, 60, 255)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    (tmp_path / "a.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nvt .5 0\nvt 0 1\nf 1/1 2/2 3/3\n")
    texture = read_hair(tmp_path / "a.obj")[3]
    assert abs(int(texture[128, 130, 0]) - int(texture[128, 40, 0])) <= 2
    assert texture[128, 130, 1] == 0


def test_a_worn_cap_is_drawn_on_the_scalp() -> None:
    """A worn cap reaches above the crown, and is as far to the left as to the right."""
    faces = SyntheticFaces(MODEL)
    cap = hair_cap(MODEL)
    pose = Pose(MODEL.mean, np.eye(3), 0.5, np.array([64.0, 64.0]))
    identity = np.array([[1.0, 0, 0], [0, 1, 0]])
    depth = np.full((128, 128), np.nan)
    pixels = faces._strands(cap, pose, identity, depth, np.random.default_rng(0))
    rows, columns = np.divmod(pixels.place, 128)
    assert rows.min() < 64 - 0.5 * (110 + RAISED_MM - 3)
    assert abs(columns.mean() - 64) < 2


@pytest.mark.data
@pytest.mark.skipif(not CC0.is_dir(), reason="needs ../shared/data/cc0")
def test_each_hair_mesh_sits_on_the_skull() -> None:
    from facegeom.geometry import closest_points
    from facegeom.training.data.makehuman import read_makehuman, register_head

    head = read_makehuman(CC0 / "makehuman_base.obj")
    registered = register_head(MODEL, head)
    crown = MODEL.mean[MODEL.regions["scalp"] & (MODEL.mean[:, 1] > 60)]
    paths = sorted((CC0 / "hair").glob("*.obj"))
    assert len(paths) == 10
    for path in paths:
        V, *others = read_hair(path)
        hair = fit_hair(MODEL, registered, head.place(V), *others)
        gap = closest_points(hair.V.astype(float), hair.F.astype(np.int64), crown).distance
        assert np.median(gap) < 25, path.stem
        assert 105 < hair.V[:, 1].max() < 155, path.stem  # the crown is at 111 mm
        assert (hair.cover[MODEL.regions["scalp"]] > 128).mean() > 0.6, path.stem
