"""Reading of photos from files, bytes, PIL images and arrays."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facegeom import ImageError, load_image
from facegeom.reconstruction import demo_photo

PICTURES = Path(__file__).with_name("pictures")


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    """Return the bytes of an image file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(width: int = 40, height: int = 30) -> np.ndarray:
    """Return an image (height, width, 3) in which no flip or rotation is the identity."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:, :, 0] = np.linspace(0, 255, width).astype(np.uint8)
    image[:, :, 1] = np.linspace(0, 255, height).astype(np.uint8)[:, None]
    return image


def test_every_kind_of_input_gives_the_same_image(tmp_path: Path) -> None:
    image = gradient()
    content = encoded(Image.fromarray(image), "png")
    path = tmp_path / "photo.png"
    path.write_bytes(content)
    with open(path, "rb") as file:
        for source in (path, str(path), content, bytearray(content), Image.fromarray(image), image, file):
            np.testing.assert_array_equal(load_image(source), image)
    with Image.open(path) as opened:  # not yet decoded
        np.testing.assert_array_equal(load_image(opened), image)


def test_float_images_and_tensors_in_the_range_from_0_to_1_are_accepted() -> None:
    import torch

    image = gradient()
    share = image / 255.0
    tensor = torch.from_numpy(image)
    for source in (
        share,
        share.astype(np.float32),
        tensor,
        tensor.permute(2, 0, 1),
        tensor.permute(2, 0, 1) / 255.0,
        (tensor / 255.0).requires_grad_(),
        torch.from_numpy(share),
    ):
        np.testing.assert_array_equal(load_image(source), image)
    half = load_image((tensor / 255.0).bfloat16())  # 8 bits of precision
    np.testing.assert_allclose(half.astype(int), image.astype(int), atol=1)
    np.testing.assert_array_equal(load_image(share[:, :, 0]), np.repeat(image[:, :, :1], 3, axis=2))
    clear = np.concatenate([share, np.zeros_like(share[:, :, :1])], axis=2)
    assert (load_image(clear) == 255).all()


def test_other_arrays_are_rejected_with_the_conversion() -> None:
    import torch

    image = gradient()
    with pytest.raises(ValueError, match=r"lie in \[0, 1\], got 0 to 255: .*image.astype\(numpy.uint8\)"):
        load_image(image.astype(np.float32))
    with pytest.raises(ValueError, match=r"got nan"):
        load_image(np.full((20, 20), np.nan))
    with pytest.raises(ValueError, match=r"image.transpose\(1, 2, 0\)"):
        load_image(image.transpose(2, 0, 1))
    with pytest.raises(ValueError, match=r"give batch\[0\]"):
        load_image(torch.zeros(1, 3, 20, 20))
    with pytest.raises(TypeError, match=r"got dtype int64: .*image.astype\(numpy.uint8\)"):
        load_image(image.astype(np.int64))
    with pytest.raises(TypeError, match=r"got list: convert it with numpy\.asarray"):
        load_image([[0]])  # type: ignore[arg-type]


def test_file_objects_are_read_from_where_they_are(tmp_path: Path) -> None:
    content = encoded(Image.fromarray(gradient()), "png")
    np.testing.assert_array_equal(load_image(io.BytesIO(content)), gradient())
    later = io.BytesIO(b"header" + content)
    later.seek(6)
    np.testing.assert_array_equal(load_image(later), gradient())
    with pytest.raises(TypeError, match="open it with mode 'rb'"):
        load_image(io.StringIO("text"))  # type: ignore[arg-type]
    closed = io.BytesIO(content)
    closed.close()
    with pytest.raises(ImageError, match="the file object cannot be read"):
        load_image(closed)


def test_endless_file_objects_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facegeom.images.decoding.LARGEST_READ", 3 * 2**20)

    class Endless(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            return bytes(size)

    with pytest.raises(ImageError, match=r"at most 3.15 MB: give a path instead"):
        load_image(Endless())  # type: ignore[arg-type]


def test_heic_is_read_by_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    image = load_image(PICTURES / "portrait.heic")
    assert image.shape == (64, 96, 3)
    with Image.open(demo_photo()) as portrait:
        expected = np.asarray(portrait.convert("RGB").resize((96, 64)), dtype=int)
    assert np.abs(image - expected).mean() < 10
    turned = load_image(PICTURES / "portrait_turned.heic")  # the same photo turned by 90 degrees
    assert np.abs(turned.astype(int) - np.rot90(image, -1)).mean() < 10
    assert "HEIF" not in Image.OPEN  # Pillow is not changed for the caller
    for module in ("pi_heif", "pi_heif.as_plugin"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImageError, match=r"portrait.heic is a HEIC photo.*pip install 'facegeom\[heic\]'"):
        load_image(PICTURES / "portrait.heic")


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = gradient()
    undo = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }[orientation]
    stored = Image.fromarray(np.ascontiguousarray(undo(upright)))
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(load_image(encoded(stored, "png", exif=exif)), upright)


def test_grey_alpha_palette_cmyk_and_16_bit_images_are_converted() -> None:
    gray = np.tile(np.arange(32, dtype=np.uint8) * 8, (32, 1))
    three = np.repeat(gray[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(load_image(encoded(Image.fromarray(gray), "png")), three)
    deep = Image.fromarray(gray.astype(np.uint16) * 257)
    np.testing.assert_array_equal(load_image(encoded(deep, "png")), three)
    np.testing.assert_array_equal(load_image(gray), three)
    np.testing.assert_array_equal(load_image(gray.astype(np.uint16) * 257), three)

    clear = np.zeros((20, 20, 4), np.uint8)
    clear[:10] = (10, 20, 30, 255)
    for source in (clear, encoded(Image.fromarray(clear), "png")):
        loaded = load_image(source)
        assert (loaded[:10] == (10, 20, 30)).all()
        assert (loaded[10:] == 255).all()  # transparent pixels become white

    palette = Image.fromarray(three).convert("P")
    assert load_image(encoded(palette, "gif")).shape == (32, 32, 3)
    ink = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    red = load_image(encoded(ink, "jpeg", quality=95))[16, 16].astype(int)
    assert red[0] > 200
    assert red[1:].max() < 60
    assert load_image(encoded(Image.fromarray(gray > 100), "png")).max() == 255


def test_error_for_a_missing_file_contains_its_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such image: .*nobody\.jpg"):
        load_image(tmp_path / "nobody.jpg")


def test_folders_and_files_without_an_image_are_rejected(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a folder"):
        load_image(tmp_path)
    text = tmp_path / "text.jpg"
    text.write_text("hello")
    with pytest.raises(ImageError, match=r"text\.jpg is in no image format"):
        load_image(text)
    with pytest.raises(ImageError, match="is in no image format"):
        load_image(b"")


@pytest.mark.parametrize("kind", ["png", "jpeg", "gif", "bmp", "tiff", "webp", "avif", "ppm"])
def test_a_truncated_image_is_rejected(kind: str) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = encoded(Image.fromarray(noise), kind)
    with pytest.raises(ImageError):
        load_image(content[: len(content) // 3])


def test_too_small_images_are_rejected() -> None:
    with pytest.raises(ImageError, match="at least 16 pixels on each side, got 40 x 15"):
        load_image(gradient(40, 15))
    with pytest.raises(ImageError, match="1 x 1"):
        load_image(encoded(Image.new("RGB", (1, 1)), "png"))
    with pytest.raises(ImageError, match="empty"):
        load_image(np.zeros((0, 10, 3), np.uint8))


def test_invalid_arrays_are_rejected() -> None:
    with pytest.raises(ValueError, match=r"got shape \(30, 40, 2\)"):
        load_image(gradient()[:, :, :2])
    with pytest.raises(TypeError, match="got int"):
        load_image(5)  # type: ignore[arg-type]


def test_the_demo_photo_is_a_small_file() -> None:
    assert demo_photo().stat().st_size < 150_000
    assert load_image(demo_photo()).shape == (512, 512, 3)
