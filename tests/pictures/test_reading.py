"""Reading: against formulas that are written down here, apart from the package."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segface_edge.errors import ImageError, UsageError
from segface_edge.pictures import formats, reading

Array = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> Array:
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png_that_claims(width: int, height: int) -> bytes:
    """A PNG whose header is sound and whose pixels are not there."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


# EXIF orientation -> how the stored pixels become upright (EXIF 2.32, 4.6.4 A, tag 274).
UPRIGHT: dict[int, Callable[[Array], Array]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: a[::-1].transpose(1, 0, 2),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: a[:, ::-1].transpose(1, 0, 2),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_exif_orientation_is_applied(orientation: int) -> None:
    stored = noise(20, 33)
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(stored), exif=exif)
    assert np.array_equal(reading.load(content), UPRIGHT[orientation](stored))


def test_exif_orientation_of_a_jpeg_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "phone.jpg"
    picture = Image.fromarray(noise(24, 40))
    plain = encoded(picture, "JPEG")
    path.write_bytes(encoded(picture, "JPEG", exif=exif))
    assert np.array_equal(reading.load(path), UPRIGHT[6](reading.load(plain)))


def test_a_path_its_text_its_bytes_its_array_and_its_pil_image_give_the_same_pixels(portrait: Path) -> None:
    wanted = np.asarray(Image.open(portrait).convert("RGB"))
    content = portrait.read_bytes()
    with Image.open(portrait) as picture:
        photos = [portrait, str(portrait), content, bytearray(content), memoryview(content), picture, wanted]
        for photo in photos:
            found = reading.load(photo)
            assert found.dtype == np.uint8
            assert np.array_equal(found, wanted), type(photo)


def test_grey_becomes_three_equal_channels() -> None:
    grey = noise(20, 30, 0)
    assert np.array_equal(reading.load(encoded(Image.fromarray(grey))), np.dstack([grey] * 3))


def test_black_and_white_becomes_0_and_255() -> None:
    bits = noise(20, 30, 0) > 127
    found = reading.load(encoded(Image.fromarray(bits.astype(np.uint8) * 255).convert("1", dither=Image.Dither.NONE)))
    assert np.array_equal(found, np.dstack([bits * np.uint8(255)] * 3))


def on_white(color: Array, alpha: Array) -> Floats:
    share = alpha[..., None] / 255.0
    return color * share + 255.0 * (1 - share)


def test_transparency_is_laid_on_white() -> None:
    rgba = noise(20, 30, 4)
    found = reading.load(encoded(Image.fromarray(rgba)))
    assert np.abs(found - on_white(rgba[..., :3], rgba[..., 3])).max() <= 1
    clear = np.zeros((16, 16, 4), np.uint8)
    clear[0, 0, 3] = 1
    assert (reading.load(encoded(Image.fromarray(clear)))[1:] == 255).all()


def test_grey_with_alpha_is_laid_on_white() -> None:
    la = noise(20, 30, 2)
    picture = Image.merge("LA", [Image.fromarray(np.ascontiguousarray(la[..., i])) for i in range(2)])
    found = reading.load(encoded(picture))
    assert np.abs(found - on_white(np.dstack([la[..., 0]] * 3), la[..., 1])).max() <= 1


def test_16_bit_grey_keeps_the_upper_8_bits() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30), np.uint16)
    deep[0, :4] = [0, 255, 256, 65535]
    found = reading.load(encoded(Image.fromarray(deep)))
    assert np.array_equal(found, np.dstack([(deep // 256).astype(np.uint8)] * 3))


def test_16_bit_colour_keeps_the_upper_8_bits() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), np.uint16)
    ok, content = cv2.imencode(".png", deep)
    assert ok
    assert np.array_equal(reading.load(content.tobytes()), (deep[..., ::-1] // 256).astype(np.uint8))


@pytest.mark.parametrize(
    ("ink", "color"),
    [
        ((255, 0, 0, 0), (0, 255, 255)),
        ((0, 255, 0, 0), (255, 0, 255)),
        ((0, 0, 255, 0), (255, 255, 0)),
        ((0, 0, 0, 255), (0, 0, 0)),
        ((0, 0, 0, 0), (255, 255, 255)),
        ((0, 255, 255, 128), (127, 0, 0)),
    ],
    ids=["cyan", "magenta", "yellow", "black", "paper", "dark red"],
)
def test_a_cmyk_jpeg_becomes_rgb(ink: tuple[int, ...], color: tuple[int, ...]) -> None:
    found = reading.load(encoded(Image.new("CMYK", (24, 24), ink), "JPEG", quality=100))
    assert np.abs(found.astype(int) - color).max() <= 4


def palette_picture() -> tuple[Image.Image, Array]:
    indices = noise(20, 30, 0) % 5
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30], [200, 100, 50]], np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette(colors.tobytes())
    return picture, colors[indices]


def test_a_palette_is_looked_up() -> None:
    picture, wanted = palette_picture()
    assert np.array_equal(reading.load(encoded(picture)), wanted)


def test_a_transparent_palette_entry_is_white() -> None:
    picture, wanted = palette_picture()
    clear = np.asarray(picture) == 3
    assert clear.any()
    assert np.array_equal(reading.load(encoded(picture, transparency=3)), np.where(clear[..., None], 255, wanted))


def test_the_transparent_colour_of_an_rgb_png_is_white() -> None:
    picture, wanted = palette_picture()
    clear = (wanted == (10, 20, 30)).all(axis=-1)
    found = reading.load(encoded(picture.convert("RGB"), transparency=(10, 20, 30)))
    assert np.array_equal(found, np.where(clear[..., None], 255, wanted))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_of_several_frames_the_first_counts(kind: str) -> None:
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    frames = [Image.new("RGB", (20, 18), color) for color in colors]
    options = {"lossless": True} if kind == "WEBP" else {}
    found = reading.load(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert np.array_equal(found, np.full((18, 20, 3), (255, 0, 0)))


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PPM"])
def test_other_lossless_formats_are_read(kind: str) -> None:
    wanted = noise(20, 30)
    assert np.array_equal(reading.load(encoded(Image.fromarray(wanted), kind)), wanted)


def test_a_bgr_array_becomes_rgb() -> None:
    rgb = noise(20, 30)
    found = reading.load(np.ascontiguousarray(rgb[..., ::-1]), color="bgr")
    assert np.array_equal(found, rgb)
    assert found.flags.c_contiguous


def test_bgr_concerns_arrays_only() -> None:
    rgb = noise(20, 30)
    assert np.array_equal(reading.load(encoded(Image.fromarray(rgb)), color="bgr"), rgb)


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, ::-1], np.s_[::2, 1::2], np.s_[..., ::-1]])
def test_an_array_need_not_be_contiguous(view: tuple[slice, ...]) -> None:
    array = noise(64, 70)[view]
    found = reading.load(array)
    assert not array.flags.c_contiguous
    assert found.flags.c_contiguous
    assert np.array_equal(found, array)


def test_a_pil_image_is_not_changed() -> None:
    picture, _ = palette_picture()
    before = picture.tobytes()
    reading.load(picture)
    assert (picture.mode, picture.tobytes()) == ("P", before)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((20, 20, 3), np.float32),
        np.zeros((20, 20, 3), np.float64),
        np.zeros((20, 20, 3), np.uint16),
        np.zeros((20, 20, 3), np.int8),
        np.zeros((20, 20, 3), bool),
        np.zeros((20, 20, 3), object),
    ],
    ids=lambda array: str(array.dtype),
)
def test_an_array_of_another_type_is_refused(array: Array) -> None:
    with pytest.raises(ImageError, match=f"{array.dtype} is not uint8|{array.dtype}: is not uint8"):
        reading.load(array)


@pytest.mark.parametrize("shape", [(20, 20), (20, 20, 1), (20, 20, 4), (3, 20, 20), (1, 20, 20, 3), ()])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=r"is not \(H, W, 3\)"):
        reading.load(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 20, 3), (15, 20, 3), (20, 15, 3), (1, 1, 3)])
def test_an_array_below_16_pixels_a_side_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=f"only {shape[1]} x {shape[0]} pixels"):
        reading.load(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("photo", [None, 7, [1, 2, 3], {"a": 1}], ids=["none", "number", "list", "dict"])
def test_what_is_no_picture_is_refused(photo: object) -> None:
    with pytest.raises(ImageError, match="is not a picture"):
        reading.load(photo)  # type: ignore[arg-type]


def test_an_empty_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.write_bytes(b"")
    with pytest.raises(ImageError, match=r"empty\.jpg: is empty"):
        reading.load(path)
    with pytest.raises(ImageError, match="is empty"):
        reading.load(b"")


def test_text_named_jpg_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("I am not a picture.\n" * 100)
    with pytest.raises(ImageError, match=r"notes\.jpg: is not a picture that can be read") as caught:
        reading.load(path)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_file_is_refused(kind: str, share: float, portrait: Path) -> None:
    content = encoded(Image.open(portrait).crop((150, 150, 250, 240)), kind)
    with pytest.raises(ImageError, match=r"damaged|not a picture that can be read"):
        reading.load(content[: int(len(content) * share)])


def test_a_truncated_pil_image_is_refused(portrait: Path) -> None:
    content = portrait.read_bytes()
    with Image.open(io.BytesIO(content[: len(content) // 2])) as lazy, pytest.raises(ImageError, match="damaged"):
        reading.load(lazy)


@pytest.mark.skipif(".avif" not in formats.suffixes(), reason="this Pillow has no AVIF")
@pytest.mark.parametrize(("part", "problem"), [(b"iloc", "not a picture that can be read"), (b"mdat", "damaged")])
def test_a_damaged_avif_is_refused(part: bytes, problem: str) -> None:
    """Its decoder raises RuntimeError: without the table of its items (iloc) at once, without pixels (mdat) later."""
    content = encoded(Image.fromarray(noise(40, 40)), "AVIF")
    at = content.index(part)
    damaged = content.replace(part, b"xxxx") if part == b"iloc" else content[: at + 4] + bytes(len(content) - at - 4)
    with pytest.raises(ImageError, match=problem):
        reading.load(damaged)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_bytes_give_a_picture_or_an_image_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP"]))
    content = bytearray(encoded(Image.fromarray(noise(20, 24) // 64 * 64), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = reading.load(bytes(content), max_pixels=100_000)
    except ImageError:
        return
    assert found.dtype == np.uint8
    assert found.shape[2:] == (3,)


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 15)])
def test_a_file_below_16_pixels_a_side_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"only {size[0]} x {size[1]} pixels"):
        reading.load(encoded(Image.new("RGB", size)))


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.jpg: no such file"):
        reading.load(tmp_path / "absent.jpg")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a directory"):
        reading.load(tmp_path)


# Pillow warns from 89 million pixels on and refuses from 179 million on; 5000 x 5000 is below either, 20000 over both.
@pytest.mark.parametrize("side", [5000, 12000, 20000])
def test_too_many_pixels_are_refused_before_they_are_decoded(side: int) -> None:
    content = png_that_claims(side, side)
    limit = 10_000_000 if side == 5000 else reading.DEFAULT_MAX_PIXELS
    with pytest.raises(ImageError, match=f"{side} x {side} pixels, over the limit of {limit}"):
        reading.load(content, max_pixels=limit)


def test_a_header_without_pixels_within_the_limit_is_damaged() -> None:
    with pytest.raises(ImageError, match="damaged"):
        reading.load(png_that_claims(100, 100))


def test_max_pixels_is_the_largest_number_that_passes() -> None:
    picture = Image.fromarray(noise(20, 30))
    for photo in (picture, np.asarray(picture), encoded(picture)):
        assert reading.load(photo, max_pixels=600).shape == (20, 30, 3)
        with pytest.raises(ImageError, match="30 x 20 pixels, over the limit of 599"):
            reading.load(photo, max_pixels=599)


@pytest.mark.parametrize("limit", [0, -1, reading.LARGEST_MAX_PIXELS + 1])
def test_a_limit_out_of_range_is_a_usage_error(limit: int) -> None:
    with pytest.raises(UsageError, match=f"max pixels {limit}"):
        reading.load(noise(20, 20), max_pixels=limit)


def test_an_unknown_channel_order_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="color 'gbr'"):
        reading.load(noise(20, 20), color="gbr")  # type: ignore[arg-type]


def test_pictures_of_32_bits_a_pixel_are_refused() -> None:
    with pytest.raises(ImageError, match="floating-point"):
        reading.load(Image.fromarray(np.zeros((20, 20), np.float32)))
    with pytest.raises(ImageError, match="32-bit"):
        reading.load(Image.fromarray(np.full((20, 20), 1 << 20, np.int32)))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.mark.parametrize("exif", [b"", b"x", b"II*\0", b"II*\0\x08", b"MM\0*\0\0\0\x08\0\x09", b"\0" * 40])
def test_a_damaged_exif_does_not_make_a_picture_unreadable(exif: bytes) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (9, 8, 7)).save(buffer, "PNG")
    content = buffer.getvalue()
    assert (reading.load(content[:33] + _chunk(b"eXIf", exif) + content[33:]) == (9, 8, 7)).all()


@pytest.mark.parametrize(
    "kind", [b"iCCP", b"tRNS", b"fcTL", b"acTL", b"fdAT", b"gAMA", b"pHYs", b"cHRM", b"zTXt", b"PLTE"]
)
@pytest.mark.parametrize("size", [0, 1, 2])
@pytest.mark.parametrize("behind", [True, False])
def test_chunks_that_are_too_short_are_said_or_overlooked(kind: bytes, size: int, behind: bool) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (9, 8, 7)).save(buffer, "PNG")
    content = buffer.getvalue()
    at = len(content) - 12 if behind else 33
    with suppress(ImageError):  # nothing else
        assert (reading.load(content[:at] + _chunk(kind, b"x\0"[:size]) + content[at:]) == (9, 8, 7)).all()
