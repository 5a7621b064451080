"""Reading, fitting and restoring: against formulas that are written down here, apart from the package."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image, features

from segface_edge import zoo
from segface_edge.errors import ImageError, UsageError
from segface_edge.pictures import imaging
from segface_edge.pictures.imaging import FaceBox, Fitted, Geometry

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


# ---------------------------------------------------------------------------------------------------------------------
# load
# ---------------------------------------------------------------------------------------------------------------------

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
    assert np.array_equal(imaging.load(content), UPRIGHT[orientation](stored))


def test_exif_orientation_of_a_jpeg_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "phone.jpg"
    picture = Image.fromarray(noise(24, 40))
    plain = encoded(picture, "JPEG")
    path.write_bytes(encoded(picture, "JPEG", exif=exif))
    assert np.array_equal(imaging.load(path), UPRIGHT[6](imaging.load(plain)))


def test_a_path_its_text_its_bytes_its_array_and_its_pil_image_give_the_same_pixels(portrait: Path) -> None:
    wanted = np.asarray(Image.open(portrait).convert("RGB"))
    content = portrait.read_bytes()
    with Image.open(portrait) as picture:
        photos = [portrait, str(portrait), content, bytearray(content), memoryview(content), picture, wanted]
        for photo in photos:
            found = imaging.load(photo)
            assert found.dtype == np.uint8
            assert np.array_equal(found, wanted), type(photo)


def test_grey_becomes_three_equal_channels() -> None:
    grey = noise(20, 30, 0)
    assert np.array_equal(imaging.load(encoded(Image.fromarray(grey))), np.dstack([grey] * 3))


def test_black_and_white_becomes_0_and_255() -> None:
    bits = noise(20, 30, 0) > 127
    found = imaging.load(encoded(Image.fromarray(bits.astype(np.uint8) * 255).convert("1", dither=Image.Dither.NONE)))
    assert np.array_equal(found, np.dstack([bits * np.uint8(255)] * 3))


def on_white(color: Array, alpha: Array) -> Floats:
    share = alpha[..., None] / 255.0
    return color * share + 255.0 * (1 - share)


def test_transparency_is_laid_on_white() -> None:
    rgba = noise(20, 30, 4)
    found = imaging.load(encoded(Image.fromarray(rgba)))
    assert np.abs(found - on_white(rgba[..., :3], rgba[..., 3])).max() <= 1
    clear = np.zeros((16, 16, 4), np.uint8)
    assert (imaging.load(encoded(Image.fromarray(clear))) == 255).all()


def test_grey_with_alpha_is_laid_on_white() -> None:
    la = noise(20, 30, 2)
    picture = Image.merge("LA", [Image.fromarray(np.ascontiguousarray(la[..., i])) for i in range(2)])
    found = imaging.load(encoded(picture))
    assert np.abs(found - on_white(np.dstack([la[..., 0]] * 3), la[..., 1])).max() <= 1


def test_16_bit_grey_keeps_the_upper_8_bits() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30), np.uint16)
    deep[0, :4] = [0, 255, 256, 65535]
    found = imaging.load(encoded(Image.fromarray(deep)))
    assert np.array_equal(found, np.dstack([(deep // 256).astype(np.uint8)] * 3))


def test_16_bit_colour_keeps_the_upper_8_bits() -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3), np.uint16)
    ok, content = cv2.imencode(".png", deep)
    assert ok
    assert np.array_equal(imaging.load(content.tobytes()), (deep[..., ::-1] // 256).astype(np.uint8))


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
    found = imaging.load(encoded(Image.new("CMYK", (24, 24), ink), "JPEG", quality=100))
    assert np.abs(found.astype(int) - color).max() <= 4


def palette_picture() -> tuple[Image.Image, Array]:
    indices = noise(20, 30, 0) % 5
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [10, 20, 30], [200, 100, 50]], np.uint8)
    picture = Image.fromarray(indices)
    picture.putpalette(colors.tobytes())
    return picture, colors[indices]


def test_a_palette_is_looked_up() -> None:
    picture, wanted = palette_picture()
    assert np.array_equal(imaging.load(encoded(picture)), wanted)


def test_a_transparent_palette_entry_is_white() -> None:
    picture, wanted = palette_picture()
    clear = np.asarray(picture) == 3
    assert clear.any()
    assert np.array_equal(imaging.load(encoded(picture, transparency=3)), np.where(clear[..., None], 255, wanted))


def test_the_transparent_colour_of_an_rgb_png_is_white() -> None:
    picture, wanted = palette_picture()
    clear = (wanted == (10, 20, 30)).all(axis=-1)
    found = imaging.load(encoded(picture.convert("RGB"), transparency=(10, 20, 30)))
    assert np.array_equal(found, np.where(clear[..., None], 255, wanted))


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_of_several_frames_the_first_counts(kind: str) -> None:
    colors = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    frames = [Image.new("RGB", (20, 18), color) for color in colors]
    options = {"lossless": True} if kind == "WEBP" else {}
    found = imaging.load(encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options))
    assert np.array_equal(found, np.full((18, 20, 3), (255, 0, 0)))


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PPM"])
def test_other_lossless_formats_are_read(kind: str) -> None:
    wanted = noise(20, 30)
    assert np.array_equal(imaging.load(encoded(Image.fromarray(wanted), kind)), wanted)


def test_a_bgr_array_becomes_rgb() -> None:
    rgb = noise(20, 30)
    found = imaging.load(np.ascontiguousarray(rgb[..., ::-1]), color="bgr")
    assert np.array_equal(found, rgb)
    assert found.flags.c_contiguous


def test_bgr_concerns_arrays_only() -> None:
    rgb = noise(20, 30)
    assert np.array_equal(imaging.load(encoded(Image.fromarray(rgb)), color="bgr"), rgb)


@pytest.mark.parametrize("view", [np.s_[::-1], np.s_[:, ::-1], np.s_[::2, 1::2], np.s_[..., ::-1]])
def test_an_array_need_not_be_contiguous(view: tuple[slice, ...]) -> None:
    array = noise(64, 70)[view]
    found = imaging.load(array)
    assert not array.flags.c_contiguous
    assert found.flags.c_contiguous
    assert np.array_equal(found, array)


def test_a_pil_image_is_not_changed() -> None:
    picture, _ = palette_picture()
    before = picture.tobytes()
    imaging.load(picture)
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
        imaging.load(array)


@pytest.mark.parametrize("shape", [(20, 20), (20, 20, 1), (20, 20, 4), (3, 20, 20), (1, 20, 20, 3), ()])
def test_an_array_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=r"is not \(H, W, 3\)"):
        imaging.load(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("shape", [(0, 0, 3), (0, 20, 3), (15, 20, 3), (20, 15, 3), (1, 1, 3)])
def test_an_array_below_16_pixels_a_side_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ImageError, match=f"only {shape[1]} x {shape[0]} pixels"):
        imaging.load(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("photo", [None, 7, [1, 2, 3], {"a": 1}], ids=["none", "number", "list", "dict"])
def test_what_is_no_picture_is_refused(photo: object) -> None:
    with pytest.raises(ImageError, match="is not a picture"):
        imaging.load(photo)  # type: ignore[arg-type]


def test_an_empty_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "empty.jpg"
    path.write_bytes(b"")
    with pytest.raises(ImageError, match=r"empty\.jpg: is empty"):
        imaging.load(path)
    with pytest.raises(ImageError, match="is empty"):
        imaging.load(b"")


def test_text_named_jpg_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "notes.jpg"
    path.write_text("I am not a picture.\n" * 100)
    with pytest.raises(ImageError, match=r"notes\.jpg: is not a picture that can be read") as caught:
        imaging.load(path)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_truncated_file_is_refused(kind: str, share: float, portrait: Path) -> None:
    content = encoded(Image.open(portrait).crop((150, 150, 250, 240)), kind)
    with pytest.raises(ImageError, match=r"damaged|not a picture that can be read"):
        imaging.load(content[: int(len(content) * share)])


def test_a_truncated_pil_image_is_refused(portrait: Path) -> None:
    content = portrait.read_bytes()
    with Image.open(io.BytesIO(content[: len(content) // 2])) as lazy, pytest.raises(ImageError, match="damaged"):
        imaging.load(lazy)


@pytest.mark.skipif(not features.check("avif"), reason="this Pillow has no AVIF")
@pytest.mark.parametrize(("part", "problem"), [(b"iloc", "not a picture that can be read"), (b"mdat", "damaged")])
def test_a_damaged_avif_is_refused(part: bytes, problem: str) -> None:
    """Its decoder raises RuntimeError: without the table of its items (iloc) at once, without pixels (mdat) later."""
    content = encoded(Image.fromarray(noise(40, 40)), "AVIF")
    at = content.index(part)
    damaged = content.replace(part, b"xxxx") if part == b"iloc" else content[: at + 4] + bytes(len(content) - at - 4)
    with pytest.raises(ImageError, match=problem):
        imaging.load(damaged)


@given(st.data())
@settings(max_examples=100, deadline=None)
def test_damaged_bytes_give_a_picture_or_an_image_error(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "BMP", "WEBP"]))
    content = bytearray(encoded(Image.fromarray(noise(20, 24) // 64 * 64), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = imaging.load(bytes(content), max_pixels=100_000)
    except ImageError:
        return
    assert found.dtype == np.uint8
    assert found.shape[2:] == (3,)


@pytest.mark.parametrize("size", [(1, 1), (15, 400), (400, 15)])
def test_a_file_below_16_pixels_a_side_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match=f"only {size[0]} x {size[1]} pixels"):
        imaging.load(encoded(Image.new("RGB", size)))


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"absent\.jpg: no such file"):
        imaging.load(tmp_path / "absent.jpg")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="is a directory"):
        imaging.load(tmp_path)


# Pillow warns from 89 million pixels on and refuses from 179 million on; 5000 x 5000 is below either.
@pytest.mark.parametrize("side", [5000, 12000, 20000])
def test_too_many_pixels_are_refused_before_they_are_decoded(side: int) -> None:
    content = png_that_claims(side, side)
    limit = 10_000_000 if side == 5000 else imaging.DEFAULT_MAX_PIXELS
    with pytest.raises(ImageError, match=r"over the limit of|more than 178000000 pixels"):
        imaging.load(content, max_pixels=limit)


def test_a_header_without_pixels_within_the_limit_is_damaged() -> None:
    with pytest.raises(ImageError, match="damaged"):
        imaging.load(png_that_claims(100, 100))


def test_max_pixels_is_the_largest_number_that_passes() -> None:
    picture = Image.fromarray(noise(20, 30))
    for photo in (picture, np.asarray(picture), encoded(picture)):
        assert imaging.load(photo, max_pixels=600).shape == (20, 30, 3)
        with pytest.raises(ImageError, match="30 x 20 pixels, over the limit of 599"):
            imaging.load(photo, max_pixels=599)


@pytest.mark.parametrize("limit", [0, -1, imaging.LARGEST_MAX_PIXELS + 1])
def test_a_limit_out_of_range_is_a_usage_error(limit: int) -> None:
    with pytest.raises(UsageError, match=f"max pixels {limit}"):
        imaging.load(noise(20, 20), max_pixels=limit)


def test_the_largest_limit_is_below_pillows_own() -> None:
    assert Image.MAX_IMAGE_PIXELS is not None
    assert imaging.LARGEST_MAX_PIXELS <= 2 * Image.MAX_IMAGE_PIXELS


def test_an_unknown_channel_order_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="color 'gbr'"):
        imaging.load(noise(20, 20), color="gbr")  # type: ignore[arg-type]


def test_pictures_of_32_bits_a_pixel_are_refused() -> None:
    with pytest.raises(ImageError, match="floating-point"):
        imaging.load(Image.fromarray(np.zeros((20, 20), np.float32)))
    with pytest.raises(ImageError, match="32-bit"):
        imaging.load(Image.fromarray(np.full((20, 20), 1 << 20, np.int32)))


# ---------------------------------------------------------------------------------------------------------------------
# fit
# ---------------------------------------------------------------------------------------------------------------------


def bicubic(image: Array, width: int, height: int, box: tuple[float, float, float, float] | None = None) -> Array:
    return np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC, box=box))


def to_frame(geometry: Geometry, x: float, y: float) -> tuple[float, float]:
    return geometry.scale_x * x + geometry.offset_x, geometry.scale_y * y + geometry.offset_y


@pytest.mark.parametrize("size", [64, 256, 544])
def test_a_square_photo_is_pillows_bicubic(size: int) -> None:
    photo = imaging.load(zoo.ASTRONAUT)
    fitted = imaging.fit(photo, size)
    assert np.array_equal(fitted.pixels, bicubic(photo, size, size))
    assert to_frame(fitted.geometry, 0, 0) == (0, 0)
    assert to_frame(fitted.geometry, 512, 512) == (size, size)


def test_a_photo_of_the_frames_size_is_unchanged() -> None:
    photo = noise(64, 64)
    assert np.array_equal(imaging.fit(photo, 64).pixels, photo)


@pytest.mark.parametrize(
    ("height", "width", "inside"),
    [
        (60, 100, np.s_[20:80, :]),
        (100, 60, np.s_[:, 20:80]),
        (30, 50, np.s_[20:80, :]),
        (400, 100, np.s_[:, 38:62]),
    ],
    ids=["wide", "tall", "small", "rounded"],
)
def test_other_photos_are_centred_on_padding(height: int, width: int, inside: tuple[slice, slice]) -> None:
    photo = noise(height, width)
    fitted = imaging.fit(photo, 100)
    drawn = fitted.pixels[inside]
    assert np.array_equal(drawn, bicubic(photo, drawn.shape[1], drawn.shape[0]))
    outside = np.ones((100, 100), bool)
    outside[inside] = False
    assert (fitted.pixels[outside] == (124, 116, 104)).all()
    top_left = to_frame(fitted.geometry, 0, 0)
    bottom_right = to_frame(fitted.geometry, width, height)
    assert top_left == pytest.approx((inside[1].start or 0, inside[0].start or 0))
    assert bottom_right == pytest.approx((inside[1].stop or 100, inside[0].stop or 100))
    geometry = fitted.geometry
    assert (geometry.left, geometry.top) == pytest.approx(top_left)
    assert (geometry.right, geometry.bottom) == pytest.approx(bottom_right)


def test_padding_is_the_mean_colour_that_normalisation_turns_to_0() -> None:
    mean = np.array([0.485, 0.456, 0.406])
    assert np.abs(np.array(imaging.PADDING) - 255 * mean).max() <= 0.5


def test_squash_stretches_to_the_square() -> None:
    photo = noise(60, 100)
    fitted = imaging.fit(photo, 64, squash=True)
    assert np.array_equal(fitted.pixels, bicubic(photo, 64, 64))
    assert to_frame(fitted.geometry, 100, 60) == pytest.approx((64, 64))


def test_a_box_is_what_the_frame_shows() -> None:
    photo = noise(90, 120)
    box = FaceBox(left=10, top=20, right=70, bottom=80)
    fitted = imaging.fit(photo, 64, box=box)
    assert np.array_equal(fitted.pixels, bicubic(photo, 64, 64, (10, 20, 70, 80)))
    assert to_frame(fitted.geometry, 10, 20) == pytest.approx((0, 0))
    assert to_frame(fitted.geometry, 70, 80) == pytest.approx((64, 64))


def test_a_box_that_reaches_beyond_the_photo_shows_padding_there() -> None:
    photo = noise(80, 80)
    box = FaceBox(left=-40, top=20, right=40, bottom=100)
    fitted = imaging.fit(photo, 64, box=box)
    assert np.array_equal(fitted.pixels[:48, 32:], bicubic(photo, 32, 48, (0, 20, 40, 80)))
    assert (fitted.pixels[:, :32] == imaging.PADDING).all()
    assert (fitted.pixels[48:] == imaging.PADDING).all()
    geometry = fitted.geometry
    assert (geometry.left, geometry.top, geometry.right, geometry.bottom) == (32, 0, 64, 48)
    assert to_frame(geometry, -40, 20) == pytest.approx((0, 0))


@pytest.mark.parametrize("squash", [False, True])
@pytest.mark.parametrize(
    "edges",
    [(80, 0, 120, 40), (-50, -50, 0, 0), (0, 81, 10, 90), (5, 5, 5, 5), (30, 5, 20, 40)],
    ids=["right of it", "above left", "below", "empty", "inside out"],
)
def test_a_box_without_any_of_the_photo_is_refused(edges: tuple[float, ...], squash: bool) -> None:
    box = FaceBox(**dict(zip(("left", "top", "right", "bottom"), edges, strict=True)))
    with pytest.raises(ImageError, match="outside the picture of 80 x 80"):
        imaging.fit(noise(80, 80), 64, box=box, squash=squash)


@given(
    height=st.integers(16, 90),
    width=st.integers(16, 90),
    size=st.integers(8, 48),
    squash=st.booleans(),
    shift=st.tuples(st.floats(-0.5, 0.5), st.floats(-0.5, 0.5)),
    zoom=st.tuples(st.floats(0.2, 1.5), st.floats(0.2, 1.5)),
)
@settings(max_examples=100, deadline=None)
def test_geometry_maps_the_shown_part_of_any_box_to_whole_frame_pixels(
    height: int, width: int, size: int, squash: bool, shift: tuple[float, float], zoom: tuple[float, float]
) -> None:
    left, top = shift[0] * width, shift[1] * height
    box = FaceBox(left=left, top=top, right=left + zoom[0] * width, bottom=top + zoom[1] * height)
    seen = max(left, 0), max(top, 0), min(box.right, width), min(box.bottom, height)
    assume(seen[2] - seen[0] > 1)
    assume(seen[3] - seen[1] > 1)
    fitted = imaging.fit(np.zeros((height, width, 3), np.uint8), size, box=box, squash=squash)
    geometry = fitted.geometry
    assert fitted.pixels.shape == (size, size, 3)
    assert 0 <= geometry.left < geometry.right <= size
    assert 0 <= geometry.top < geometry.bottom <= size
    assert to_frame(geometry, seen[0], seen[1]) == pytest.approx((geometry.left, geometry.top), abs=1e-6)
    assert to_frame(geometry, seen[2], seen[3]) == pytest.approx((geometry.right, geometry.bottom), abs=1e-6)
    black = np.zeros((size, size), bool)
    black[geometry.top : geometry.bottom, geometry.left : geometry.right] = True
    assert np.array_equal((fitted.pixels == 0).all(axis=-1), black)


# ---------------------------------------------------------------------------------------------------------------------
# restore
# ---------------------------------------------------------------------------------------------------------------------


def smoothed(mask: Floats) -> Floats:
    """3 x 3 Gaussian of standard deviation 0.6, edges repeated."""
    side = np.exp(-1 / (2 * 0.6**2))
    kernel = np.array([side, 1, side]) / (1 + 2 * side)
    height, width = mask.shape
    padded = np.pad(mask, 1, mode="edge")
    return sum(kernel[i] * kernel[j] * padded[i : i + height, j : j + width] for i in range(3) for j in range(3))  # type: ignore[return-value]


def bilinear(values: Floats, rows: Floats, columns: Floats) -> Floats:
    """`values` at the crossings of `rows` and `columns`, in pixel indices; beyond the edge the edge's value."""

    def weights(at: Floats, count: int) -> Floats:
        at = np.clip(at, 0, count - 1)
        return np.maximum(0, 1 - np.abs(at[:, None] - np.arange(count)))

    return weights(rows, values.shape[0]) @ values @ weights(columns, values.shape[1]).T


def formula(labels: Array, geometry: Geometry, height: int, width: int) -> tuple[Array, Floats, npt.NDArray[np.bool_]]:
    """(label map, margin between the two largest weights, what the frame shows), all (height, width), in float64."""
    shown = labels[geometry.top : geometry.bottom, geometry.left : geometry.right]
    masks = [(shown == label).astype(np.float64) for label in range(int(labels.max()) + 2)]
    if geometry.scale_x < 1 or geometry.scale_y < 1:
        masks = [smoothed(mask) for mask in masks]
    x = (np.arange(width) + 0.5) * geometry.scale_x + geometry.offset_x
    y = (np.arange(height) + 0.5) * geometry.scale_y + geometry.offset_y
    weights = np.stack([bilinear(mask, y - geometry.top - 0.5, x - geometry.left - 0.5) for mask in masks])
    ordered = np.sort(weights, axis=0)
    in_x = (x > geometry.left - 1e-9) & (x < geometry.right + 1e-9)
    in_y = (y > geometry.top - 1e-9) & (y < geometry.bottom + 1e-9)
    inside = in_y[:, None] & in_x
    return np.where(inside, weights.argmax(axis=0), 0).astype(np.uint8), ordered[-1] - ordered[-2], inside


# Masks are warped in 8 bits.
CLEAR = 4 / 255


@st.composite
def scenes(draw: st.DrawFn) -> tuple[Array, Fitted, int, int]:
    """A label map of a frame, the fit of a photo (whole, or a box of it), and the photo's height and width."""
    size = draw(st.integers(8, 40))
    height, width = draw(st.integers(16, 120)), draw(st.integers(16, 120))
    box = None
    if draw(st.booleans()):
        left, top = draw(st.floats(-0.3, 0.5)) * width, draw(st.floats(-0.3, 0.5)) * height
        right, bottom = left + draw(st.floats(0.4, 1.2)) * width, top + draw(st.floats(0.4, 1.2)) * height
        box = FaceBox(left=left, top=top, right=right, bottom=bottom)
    photo = np.zeros((height, width, 3), np.uint8)
    fitted = imaging.fit(photo, size, box=box, squash=draw(st.booleans()))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    coarse = draw(st.integers(1, 6))
    blocks = random.integers(0, 6, (size // coarse + 1, size // coarse + 1), np.uint8)
    labels = np.repeat(np.repeat(blocks, coarse, axis=0), coarse, axis=1)[:size, :size] * 3
    return np.ascontiguousarray(labels), fitted, height, width


@given(scenes())
@settings(max_examples=150, deadline=None)
def test_restored_labels_are_the_formulas_wherever_it_is_clear(scene: tuple[Array, Fitted, int, int]) -> None:
    labels, fitted, height, width = scene
    wanted, margin, inside = formula(labels, fitted.geometry, height, width)
    restored = imaging.restore(labels, fitted.geometry, height, width)
    assert restored.dtype == np.uint8
    assert restored.shape == (height, width)
    clear = (margin > CLEAR) | ~inside
    assert np.array_equal(restored[clear], wanted[clear])


@given(st.floats(1.0, 1.6), st.floats(0.0, 0.99), st.floats(0.0, 0.99), st.integers(0, 2**32 - 1))
@settings(max_examples=100, deadline=None)
def test_a_class_may_win_half_a_pixel_beyond_its_own_pixels_where_its_neighbours_differ(
    scale: float, x: float, y: float, seed: int
) -> None:
    size = 24
    geometry = Geometry(
        scale_x=scale, scale_y=scale, offset_x=x, offset_y=y, left=0, top=0, right=size, bottom=size
    )  # fmt: skip
    side = int((size - 1) / scale)
    labels = np.random.default_rng(seed).integers(0, 60, (size, size), np.uint8)
    labels[8:16, 8:16] = 70
    wanted, margin, _ = formula(labels, geometry, side, side)
    clear = margin > CLEAR
    assert np.array_equal(imaging.restore(labels, geometry, side, side)[clear], wanted[clear])


@given(scenes())
@settings(max_examples=60, deadline=None)
def test_only_labels_of_the_shown_part_appear_and_nothing_outside_it(scene: tuple[Array, Fitted, int, int]) -> None:
    labels, fitted, height, width = scene
    labels = labels + np.uint8(1)  # no background in the frame
    geometry = fitted.geometry
    restored = imaging.restore(labels, geometry, height, width)
    _, _, inside = formula(labels, geometry, height, width)
    shown = labels[geometry.top : geometry.bottom, geometry.left : geometry.right]
    assert set(np.unique(restored[inside])) <= set(np.unique(shown))
    assert not restored[~inside].any()


@given(st.integers(16, 64), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_a_photo_of_the_frames_size_has_the_frames_labels(size: int, seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 256, (size, size), np.uint8)
    geometry = imaging.fit(np.zeros((size, size, 3), np.uint8), size).geometry
    assert np.array_equal(imaging.restore(labels, geometry, size, size), labels)


@given(scenes())
@settings(max_examples=60, deadline=None)
def test_mirroring_the_label_map_mirrors_the_result(scene: tuple[Array, Fitted, int, int]) -> None:
    labels, _, height, width = scene
    geometry = imaging.fit(np.zeros((height, width, 3), np.uint8), len(labels), squash=True).geometry
    mirrored = imaging.restore(np.ascontiguousarray(labels[:, ::-1]), geometry, height, width)[:, ::-1]
    _, margin, _ = formula(labels, geometry, height, width)
    clear = margin > CLEAR
    assert clear.any()
    assert np.array_equal(mirrored[clear], imaging.restore(labels, geometry, height, width)[clear])


@pytest.mark.parametrize("times", [2, 4, 8])
@pytest.mark.parametrize("slope", [0.3, 0.7, 1.3])
def test_an_enlarged_diagonal_edge_is_closer_to_the_line_than_blocks(slope: float, times: int) -> None:
    size = 48

    def below_line(side: int) -> Array:
        at = (np.arange(side) + 0.5) / side
        return np.where(at[:, None] > 0.1 + slope * (at - 0.1), 5, 9).astype(np.uint8)

    labels, ideal = below_line(size), below_line(size * times)
    geometry = imaging.fit(np.zeros((size * times, size * times, 3), np.uint8), size).geometry
    restored = imaging.restore(labels, geometry, size * times, size * times)
    blocks = np.repeat(np.repeat(labels, times, axis=0), times, axis=1)
    assert not np.array_equal(restored, blocks)
    assert (restored != ideal).sum() < 0.8 * (blocks != ideal).sum()


def test_a_thin_class_survives_enlarging() -> None:
    labels = np.zeros((32, 32), np.uint8)
    labels[16, 4:28] = 6
    geometry = imaging.fit(np.zeros((128, 128, 3), np.uint8), 32).geometry
    restored = imaging.restore(labels, geometry, 128, 128)
    share = (restored == 6).sum() / ((labels == 6).sum() * 16)
    assert 0.4 < share < 1.5


def test_a_photo_smaller_than_the_frame_keeps_its_regions() -> None:
    labels = np.zeros((64, 64), np.uint8)
    labels[16:48, 16:48] = 7
    geometry = imaging.fit(np.zeros((16, 16, 3), np.uint8), 64).geometry
    wanted = np.zeros((16, 16), np.uint8)
    wanted[4:12, 4:12] = 7
    assert np.array_equal(imaging.restore(labels, geometry, 16, 16), wanted)


@pytest.mark.parametrize(("height", "width"), [(64, 40_000), (40_000, 64)])
def test_a_very_long_photo_is_restored(height: int, width: int) -> None:
    fitted = imaging.fit(np.zeros((height, width, 3), np.uint8), 64)
    at = np.arange(64, dtype=np.uint8) // 16 + 1
    labels = np.broadcast_to(at if width > height else at[:, None], (64, 64)).copy()
    restored = imaging.restore(labels, fitted.geometry, height, width)
    line = restored[32] if width > height else restored[:, 32]
    assert restored.shape == (height, width)
    assert (restored == (line if width > height else line[:, None])).all()
    assert np.bincount(line, minlength=5).tolist() == pytest.approx([0, 10_000, 10_000, 10_000, 10_000], abs=10)
    assert (np.diff(line.astype(int)) >= 0).all()


def test_of_equal_weights_the_lowest_label_wins() -> None:
    labels = np.repeat(np.array([[4, 2]], np.uint8), 2, axis=0)
    geometry = Geometry(scale_x=2.0, scale_y=1.0, offset_x=0.0, offset_y=0.0, left=0, top=0, right=2, bottom=2)
    # One photo pixel per row, its centre on the edge between the two labels.
    assert imaging.restore(labels, geometry, 2, 1).tolist() == [[2], [2]]


def test_a_label_map_of_another_scale_uses_the_same_way() -> None:
    labels = noise(32, 32, 0) % 3
    photo = np.zeros((60, 100, 3), np.uint8)
    scaled = imaging.fit(photo, 32).geometry.for_photo_scaled(2, 2)
    direct = imaging.fit(np.zeros((120, 200, 3), np.uint8), 32).geometry
    for name in ("scale_x", "scale_y", "offset_x", "offset_y", "left", "top", "right", "bottom"):
        assert getattr(scaled, name) == pytest.approx(getattr(direct, name))
    assert np.array_equal(imaging.restore(labels, scaled, 120, 200), imaging.restore(labels, direct, 120, 200))


@given(scenes(), st.integers(1, 255))
@settings(max_examples=40, deadline=None)
def test_constant_confidence_stays_constant(scene: tuple[Array, Fitted, int, int], value: int) -> None:
    labels, fitted, height, width = scene
    confidence = np.full_like(labels, value)
    restored = imaging.restore_confidence(confidence, fitted.geometry, height, width)
    _, _, inside = formula(labels, fitted.geometry, height, width)
    assert restored.dtype == np.uint8
    assert np.array_equal(restored, np.where(inside, value, 0))


@given(scenes())
@settings(max_examples=40, deadline=None)
def test_confidence_is_bilinear(scene: tuple[Array, Fitted, int, int]) -> None:
    labels, fitted, height, width = scene
    geometry = fitted.geometry
    confidence = noise(*labels.shape, 0, seed=height * width)
    shown = confidence[geometry.top : geometry.bottom, geometry.left : geometry.right].astype(np.float64)
    y = (np.arange(height) + 0.5) * geometry.scale_y + geometry.offset_y - geometry.top - 0.5
    x = (np.arange(width) + 0.5) * geometry.scale_x + geometry.offset_x - geometry.left - 0.5
    _, _, inside = formula(labels, geometry, height, width)
    restored = imaging.restore_confidence(confidence, geometry, height, width)
    assert np.abs(np.where(inside, bilinear(shown, y, x), 0) - restored).max() <= 1.5
