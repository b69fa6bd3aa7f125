"""Limits on pictures: number of pixels, memory, kinds of files and formats, and the pixels of a reduced photo."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import subprocess
import sys
import textwrap
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import facegeom
from facegeom import Camera, ImageError, load_image
from facegeom.images.decoding import UPRIGHT
from facegeom.images.image_files import read_photo
from facegeom.images.photo import Photo
from facegeom.reconstruction import demo_photo


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def smooth(width: int, height: int) -> np.ndarray:
    """Return an image (height, width, 3) whose red is proportional to x and whose green to y."""
    image = np.full((height, width, 3), 90, np.uint8)
    image[:, :, 0] = np.linspace(0, 255, width)
    image[:, :, 1] = np.linspace(0, 255, height)[:, None]
    return image


@pytest.mark.parametrize("kind", ["png", "jpeg"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_reduced_photo_knows_its_pixels_in_the_file(kind: str, orientation: int) -> None:
    upright = smooth(331, 243)
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    stored = Image.fromarray(np.ascontiguousarray(UPRIGHT[undo](upright) if undo in UPRIGHT else upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 100, "subsampling": 0} if kind == "jpeg" else {}
    content = encoded(stored, kind, exif=exif, **options)
    np.testing.assert_allclose(load_image(content).astype(int), upright, atol=5)

    photo = read_photo(content, kept_pixels=331 * 243 // 14)
    assert photo.size == (331, 243)
    assert photo.reduction == 4
    assert photo.image.shape == (60, 82, 3)
    # The colours at the centre of each reduced pixel are those of its place in the given photo.
    x = (np.arange(82) + 0.5) * 4 - 0.5 + photo.offset[0]
    y = (np.arange(60) + 0.5) * 4 - 0.5 + photo.offset[1]
    np.testing.assert_allclose(photo.image[30, :, 0], x * 255 / 330, atol=3)
    np.testing.assert_allclose(photo.image[:, 41, 1], y * 255 / 242, atol=3)


def test_boxes_and_cameras_of_a_reduced_photo_are_converted() -> None:
    photo = Photo(np.zeros((60, 82, 3), np.uint8), (331, 243), 4, (3, 0))
    box = (10.0, 20.0, 50.0, 57.0)
    np.testing.assert_allclose(photo.box_in_photo((-0.5, -0.5, 81.5, 59.5)), (2.5, -0.5, 330.5, 239.5))
    np.testing.assert_allclose(photo.box_in_image(photo.box_in_photo(box)), box)
    assert photo.detection_in_photo((*box, 0.7))[4] == 0.7
    camera = Camera(np.eye(3), 0.5, (20.0, 30.0))
    points = np.random.default_rng(0).normal(0, 40, (9, 3))
    there = photo.camera_in_photo(camera).project(points)
    np.testing.assert_allclose((there - photo.offset + 0.5) / 4 - 0.5, camera.project(points))


def test_reconstruct_returns_pixels_of_the_given_photo(
    tmp_path: Path, coded_face: Any, coded_network: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same photo, once as it is and once four times as large in a file, which is reduced by 4 on reading."""
    coded_network(coded_face)
    height, width = coded_face.photo.shape[:2]
    large = Image.fromarray(coded_face.photo.repeat(4, axis=0).repeat(4, axis=1))
    large.save(tmp_path / "large.png")
    monkeypatch.setattr("facegeom.images.image_files.KEPT_PIXELS", width * height)
    monkeypatch.setattr(
        "facegeom.reconstruction.read_photo",
        lambda image, max_pixels: read_photo(image, max_pixels=max_pixels, kept_pixels=width * height),
    )
    own = facegeom.reconstruct(coded_face.photo, pipeline="facevision", box=coded_face.box)
    box = Photo(coded_face.photo, large.size, 4).box_in_photo(coded_face.box)
    rec = facegeom.reconstruct(tmp_path / "large.png", pipeline="facevision", box=box)
    assert rec.photo_size == large.size
    np.testing.assert_array_equal(rec.mesh.vertices, own.mesh.vertices)
    np.testing.assert_allclose((np.array(rec.maps.box) + 0.5) / 4 - 0.5, own.maps.box)
    np.testing.assert_allclose((rec.camera.project(rec.landmarks) + 0.5) / 4 - 0.5, own.camera.project(own.landmarks))
    assert rec.maps.step == pytest.approx(4 * own.maps.step)
    found = facegeom.predict(tmp_path / "large.png", box)
    np.testing.assert_allclose(found.camera.translation, rec.camera.translation)


def test_the_preview_of_a_reduced_photo_marks_the_same_place(coded_face: Any, coded_network: Any) -> None:
    from facegeom.render import preview_sheet

    coded_network(coded_face)
    rec = facegeom.reconstruct(coded_face.photo, pipeline="facevision", box=coded_face.box)
    width, height = rec.photo_size
    photo = Photo(coded_face.photo, (3 * width, 3 * height), 3)
    other = replace(
        rec, maps=photo.maps_in_photo(rec.maps), camera=photo.camera_in_photo(rec.camera), photo_size=photo.size
    )
    expected, drawn = (preview_sheet(each, coded_face.photo, size=64).astype(int) for each in (rec, other))
    assert np.abs(expected - drawn).max() <= 2


def test_detect_returns_pixels_of_the_given_photo(monkeypatch: pytest.MonkeyPatch) -> None:
    with Image.open(demo_photo()) as portrait:
        large = encoded(portrait.resize((2048, 2048), Image.Resampling.BICUBIC), "png", compress_level=1)
    photo = read_photo(large, kept_pixels=512 * 512)
    own = facegeom.detect(photo.image)
    monkeypatch.setattr(
        "facegeom.detection.detector.read_photo",
        lambda image, max_pixels: read_photo(image, max_pixels=max_pixels, kept_pixels=512 * 512),
    )
    assert facegeom.detect(large) == [photo.detection_in_photo(found) for found in own]
    assert photo.reduction == 4
    assert own[0][2] < 512 < facegeom.detect(large)[0][2]


# ---- the number of pixels --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "tiff", "bmp", "gif", "ppm", "avif"])
def test_the_limit_is_checked_before_decoding_and_named(kind: str) -> None:
    content = encoded(Image.fromarray(smooth(120, 90)), kind)
    with pytest.raises(ImageError, match=r"120 x 90 pixels, and at most 10799 are read; max_pixels sets this limit"):
        load_image(content, max_pixels=10799)
    limit = {"webp": 18 / 4, "avif": 12 / 4}.get(kind, 1.0)
    assert load_image(content, max_pixels=round(10800 * limit) + 4).shape == (90, 120, 3)


@pytest.mark.parametrize("kind", ["webp", "avif"])
def test_formats_that_need_more_memory_have_a_lower_limit(kind: str) -> None:
    with pytest.raises(ImageError, match=rf"this kind of {kind.upper()} file takes so much memory that the limit is"):
        load_image(encoded(Image.fromarray(smooth(120, 90)), kind), max_pixels=20000)


def test_progressive_jpeg_and_compressed_tiff_in_one_strip_have_a_lower_limit() -> None:
    image = Image.fromarray(smooth(200, 200))
    assert load_image(encoded(image, "jpeg", subsampling=0), max_pixels=40000).shape == (200, 200, 3)
    with pytest.raises(ImageError, match="takes so much memory that the limit is 0\\.016 "):
        load_image(encoded(image, "jpeg", subsampling=0, progressive=True), max_pixels=40000)
    assert load_image(encoded(image, "tiff"), max_pixels=40000).shape == (200, 200, 3)
    with pytest.raises(ImageError, match="this kind of TIFF file"):
        load_image(encoded(image, "tiff", compression="tiff_lzw", tiffinfo={278: 200}), max_pixels=40000)


def test_a_jpeg_with_thousands_of_scans_is_refused() -> None:
    content = encoded(Image.fromarray(smooth(400, 400)), "jpeg", progressive=True)
    start = content.rindex(b"\xff\xda")
    many = content[:start] + content[start:-2] * 2000 + content[-2:]
    with pytest.raises(ImageError, match=r"has 20\d\d scans, which take too long"):
        load_image(many, max_pixels=400 * 400 * 3)


@pytest.mark.parametrize("limit", [0, -1, 1.5, None, "many", True])
def test_invalid_limits_are_rejected(limit: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="max_pixels must be"):
        load_image(smooth(20, 20), max_pixels=limit)


def test_arrays_and_pillow_images_have_the_same_limit() -> None:
    for source in (smooth(40, 30), Image.fromarray(smooth(40, 30))):
        with pytest.raises(ImageError, match="40 x 30 pixels, and at most 1000"):
            load_image(source, max_pixels=1000)


def test_the_command_line_has_the_limit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from facegeom.cli import main

    Image.fromarray(smooth(120, 90)).save(tmp_path / "photo.png")
    arguments = ["reconstruct", str(tmp_path / "photo.png"), "-o", str(tmp_path / "face.glb"), "--max-pixels", "10000"]
    assert main(arguments) == 1
    assert "120 x 90 pixels, and at most 10000 are read" in capsys.readouterr().err


# ---- kinds of files --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 50 50\n%%EndComments\nshowpage\n", "figure.eps"),
        (b"%PDF-1.4\n%%EOF\n", "page.pdf"),
    ],
    ids=["eps", "pdf"],
)
def test_formats_of_other_programs_are_not_opened(
    tmp_path: Path, content: bytes, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "Popen", lambda *args, **options: pytest.fail("a program was started"))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ImageError, match="is in no image format that facegeom reads: JPEG, PNG"):
        load_image(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs and devices")
def test_fifos_and_devices_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "link.png").symlink_to("/dev/zero")
    for path in (tmp_path / "pipe.png", tmp_path / "link.png", "/dev/zero", "/dev/null", "/dev/urandom"):
        with pytest.raises(ImageError, match="is not a regular file"):
            load_image(path)


def test_sparse_files_are_not_read_whole(tmp_path: Path) -> None:
    header = encoded(Image.fromarray(smooth(20, 20)), "webp")
    starts = {"zeros.jpg": b"", "picture.webp": header, "start.jpg": b"\xff\xd8\xff", "start.gif": b"GIF89a"}
    for name, start in starts.items():
        with open(tmp_path / name, "wb") as file:
            file.write(start)
            file.truncate(2**40)
        with pytest.raises(ImageError):
            load_image(tmp_path / name)


def test_paths_that_cannot_be_opened_are_reported(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to("loop.png")
    with pytest.raises(ImageError, match=r"loop.png cannot be read: Too many"):
        load_image(tmp_path / "loop.png")
    with pytest.raises(ImageError, match="cannot be read: File name too long"):
        load_image(tmp_path / ("x" * 300))
    for missing in ("null\0character.png", tmp_path / "two\nlines.png", ""):
        with pytest.raises(FileNotFoundError, match=r"no such image: [^\n]*$"):
            load_image(missing)


@pytest.mark.parametrize("kind", ["webp", "jpeg", "png"])
def test_damaged_exif_data_are_ignored_with_a_message(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    exif = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" if kind == "jpeg" else b"nonsense"
    with caplog.at_level(logging.WARNING, "facegeom"):
        assert load_image(encoded(Image.fromarray(smooth(30, 20)), kind, exif=exif)).shape == (20, 30, 3)
    for line in caplog.messages:
        assert line == "the image: the EXIF data are damaged, so the photo is taken as upright"


def test_warnings_of_pillow_do_not_reach_the_caller() -> None:
    damaged = encoded(Image.fromarray(smooth(30, 20)), "jpeg", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x00\x01")
    multiple = encoded(Image.fromarray(smooth(30, 20)), "mpo", save_all=True, append_images=[Image.new("RGB", (9, 9))])
    palette = Image.fromarray(smooth(30, 20)).convert("P")
    content = encoded(palette, "png", transparency=bytes(range(20)))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for source in (damaged, multiple[:400] + multiple[420:], content):
            with contextlib.suppress(ImageError):
                load_image(source)
        warnings.warn("a warning of the caller", UserWarning, stacklevel=1)
    assert [str(entry.message) for entry in seen] == ["a warning of the caller"]


def test_messages_of_libtiff_are_not_printed(capfd: pytest.CaptureFixture[str]) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        content = bytearray(encoded(noise, "tiff", compression=compression))
        for place in range(40, len(content) - 400, 40):
            content[place : place + 4] = b"\xff\x00\xff\xfe"
        with pytest.raises(ImageError, match="cannot be decoded"):
            load_image(bytes(content))
    assert capfd.readouterr() == ("", "")


# ---- memory ----------------------------------------------------------------------------------------------------------

WRITE = """
    import sys
    from PIL import Image
    path, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    options = {"compress_level": 1} if path.endswith("png") else {}
    Image.new("RGB", (width, height), (200, 120, 40)).save(path, **options)
"""

PEAK = """
    import resource, sys
    import facegeom
    image = facegeom.load_image(sys.argv[1])
    print(*image.shape, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "width", "height", "shape"),
    [
        ("square.png", 13300, 13300, (4433, 4433)),
        ("square.tif", 13300, 13300, (4433, 4433)),
        ("largest.png", 20000, 10000, (3333, 6666)),
        ("largest.tif", 20000, 10000, (3333, 6666)),
        ("largest.bmp", 20000, 10000, (3333, 6666)),
        ("largest.jpg", 20000, 10000, (2500, 5000)),
    ],
)
def test_large_photos_take_less_than_1500_megabytes(
    tmp_path: Path, name: str, width: int, height: int, shape: tuple[int, int]
) -> None:
    subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(WRITE), str(tmp_path / name), str(width), str(height)], check=True
    )
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", textwrap.dedent(PEAK), str(tmp_path / name)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    *found, peak = (int(word) for word in done.stdout.split())
    assert tuple(found) == (*shape, 3)
    assert peak < 1.5e9
    assert done.stderr == ""
