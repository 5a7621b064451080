"""16 bits a channel: those that are used count."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segface_edge import zoo
from segface_edge.errors import ImageError
from segface_edge.pictures import reading

Deep = npt.NDArray[np.uint16]


def deep_noise(bits: int, channels: int = 3) -> Deep:
    """Whose largest value needs all of the bits."""
    deep = np.random.default_rng(bits).integers(0, 1 << bits, (20, 30, channels), np.uint16)
    deep[0, 0] = (1 << bits) - 1
    return deep


def encoded(deep: Deep, suffix: str) -> bytes:
    """By OpenCV, which writes 16 bits of colour; Pillow does not."""
    ok, content = cv2.imencode(suffix, np.ascontiguousarray(deep))
    assert ok
    return content.tobytes()


def with_exif(png: bytes, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = exif.tobytes().removeprefix(b"Exif\0\0")
    chunk = b"eXIf" + content
    return png[:33] + struct.pack(">I", len(content)) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_upper_8_of_the_bits_that_are_used_count(bits: int, suffix: str) -> None:
    deep = deep_noise(bits)
    wanted = (deep >> (bits - 8)).astype(np.uint8)
    assert np.array_equal(reading.load(encoded(deep[..., ::-1], suffix)), wanted)
    assert np.array_equal(reading.load(encoded(deep[..., 0], suffix)), np.dstack([wanted[..., 0]] * 3))


@pytest.mark.parametrize("opaque", [4095, 65535])
def test_transparency_is_in_the_range_of_the_colours_or_in_all_16_bits(opaque: int) -> None:
    deep = deep_noise(12)
    alpha = np.full((20, 30), opaque, np.uint16)
    found = reading.load(encoded(np.dstack([deep[..., ::-1], alpha]), ".png"))
    assert np.array_equal(found, (deep >> 4).astype(np.uint8))


def test_a_12_bit_portrait_looks_as_its_8_bits(tmp_path: Path) -> None:
    portrait = reading.load(zoo.PORTRAIT)[::4, ::4]
    (tmp_path / "scan.png").write_bytes(encoded(portrait[..., ::-1].astype(np.uint16) * 16 + 7, ".png"))
    assert np.array_equal(reading.load(tmp_path / "scan.png"), portrait)


def test_a_turned_picture_of_12_bits_is_upright() -> None:
    deep = deep_noise(12)
    found = reading.load(with_exif(encoded(deep[..., ::-1], ".png"), 6))
    assert np.array_equal(found, (deep >> 4).astype(np.uint8)[::-1].transpose(1, 0, 2))


def test_a_tiff_that_says_its_bits_is_believed(caplog: pytest.LogCaptureFixture) -> None:
    """12 bits packed, none of which is over 10: dark, and not a picture of 10 bits."""
    dark = np.random.default_rng(0).integers(0, 1000, (16, 20), np.uint16)
    pairs = dark.reshape(-1, 2)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    strip = packed.astype(np.uint8).tobytes()
    entries = {256: 20, 257: 16, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 16, 279: len(strip)}
    table = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    tiff = b"II*\0" + struct.pack("<I", 8 + len(strip)) + strip + struct.pack("<H", len(entries)) + table + bytes(4)
    assert np.array_equal(reading.load(tiff)[..., 0], dark >> 4)
    assert not caplog.records


def test_the_bits_are_said_once_with_the_largest_value(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    deep = deep_noise(12)
    (tmp_path / "a.png").write_bytes(encoded(deep, ".png"))
    (tmp_path / "b.png").write_bytes(encoded(deep_noise(16), ".png"))
    for _ in range(2):
        reading.load(tmp_path / "a.png")
        reading.load(tmp_path / "b.png")
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}/a.png: uses 12 of its 16 bits (its largest value is 4095); it is scaled by these"
    ]


def test_black_stays_black(caplog: pytest.LogCaptureFixture) -> None:
    for deep in (np.zeros((20, 30), np.uint16), np.zeros((20, 30, 3), np.uint16)):
        assert not reading.load(encoded(deep, ".png")).any()
    assert not caplog.records


def test_grey_with_transparency_in_few_bits_is_refused() -> None:
    """Pillow has the upper bytes only."""

    def png(values: Deep) -> bytes:
        def chunk(kind: bytes, content: bytes) -> bytes:
            return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

        rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, 4, 0, 0, 0))
        return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")

    grey = np.full((20, 30, 2), 65535, np.uint16)
    grey[..., 0] = 40000
    assert (reading.load(png(grey)) == 40000 >> 8).all()
    grey[..., 0] = 4000
    with pytest.raises(ImageError, match="is grey with transparency, and uses 14 or fewer of its 16 bits"):
        reading.load(png(grey))


@given(st.integers(1, 65535), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_scaling_keeps_the_order_and_uses_the_range(largest: int, seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, largest + 1, 400, np.uint16)
    values[0] = largest
    buffer = io.BytesIO()
    Image.fromarray(values.reshape(20, 20)).save(buffer, "PNG")
    found = reading.load(buffer.getvalue())[..., 0].reshape(-1)
    order = np.argsort(values, kind="stable")
    assert (np.diff(found[order].astype(int)) >= 0).all()
    assert found.max() >= (64 if largest > 255 else largest)  # a step of depths is 2 bits, but from 16 to 14 and below


def planar_tiff(planes: Deep) -> bytes:
    """(3, H, W) uint16 as an uncompressed TIFF with a strip a plane (TIFF 6.0, section 2)."""
    _, height, width = planes.shape
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, 3, 0), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 3, 0),
            (277, 3, 1, 3), (278, 3, 1, height), (279, 4, 3, 0), (284, 3, 1, 2)]  # fmt: skip
    after = 8 + 2 + 12 * len(tags) + 4
    long = {258: struct.pack("<3H", 16, 16, 16)}
    size = 2 * height * width
    long[273] = struct.pack("<3I", *(after + 30 + size * plane for plane in range(3)))
    long[279] = struct.pack("<3I", size, size, size)
    entries, at = b"", after
    for tag, kind, count, value in tags:
        if tag in long:
            value, at = at, at + len(long[tag])
        entries += struct.pack("<HHII", tag, kind, count, value)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + struct.pack("<I", 0)
    return head + b"".join(long.values()) + planes.astype("<u2").tobytes()


def test_deep_planes_that_pillow_misreads_are_refused(tmp_path: Path) -> None:
    planes = np.moveaxis(deep_noise(16), 2, 0)
    path = tmp_path / "planes.tiff"
    path.write_bytes(planar_tiff(planes))
    with Image.open(path) as image:
        assert (image.mode, image.size) == ("RGB", (30, 20))
    with pytest.raises(ImageError, match=r"planes\.tiff: has 16 bits a channel in separate planes"):
        reading.load(path)


def test_planes_of_8_bits_and_deep_interleaved_colours_are_read(tmp_path: Path) -> None:
    deep = deep_noise(16)
    assert np.array_equal(reading.load(encoded(deep, ".tiff")), (deep[:, :, ::-1] >> 8).astype(np.uint8))
    photo = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "planes.tiff", compression="raw", tiffinfo={284: 2})
    with Image.open(tmp_path / "planes.tiff") as image:
        expected = np.asarray(image.convert("RGB"))
    assert np.array_equal(reading.load(tmp_path / "planes.tiff"), expected)
