"""Label maps as files: against a PNG decoder of a few lines that knows nothing of palettes and scales nothing."""

from __future__ import annotations

import io
import logging
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

from segface_edge.datasets.samples import UnknownIdError, read_labels
from segface_edge.errors import DataError
from segface_edge.labels import label_set
from segface_edge.parsing.result import FaceParse
from segface_edge.pictures.label_maps import indexed, read_ids

Array = npt.NDArray[np.uint8]
ORDERS = ("celebamask-hq", "lapa", "helen", "segface")
GREY, PALETTE = 0, 3


def png(ids: Array, bits: int, kind: int) -> bytes:
    """A PNG as its standard has it (ISO 15948): samples of so many bits, packed from the left, no filter."""
    height, width = ids.shape
    if bits == 16:
        rows = ids.astype(">u2").tobytes()
        lines = [rows[2 * width * y : 2 * width * (y + 1)] for y in range(height)]
    else:
        spread = (ids[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        lines = [np.packbits(row.reshape(-1)).tobytes() for row in spread]

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    colors = chunk(b"PLTE", bytes(range(3 << min(bits, 6)))) if kind == PALETTE else b""
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + line for line in lines)))
    return b"\x89PNG\r\n\x1a\n" + header + colors + pixels + chunk(b"IEND", b"")


def stored(content: bytes) -> Array:
    """The samples of an 8-bit PNG of one channel without filters, as they lie in the file: what torchvision returns."""
    width, height, bits, _ = struct.unpack(">IIBB", content[16:26])
    assert bits == 8
    at, packed = 8, b""
    while at < len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        if content[at + 4 : at + 8] == b"IDAT":
            packed += content[at + 8 : at + 8 + length]
        at += 12 + length
    rows = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()  # Pillow writes palettes unfiltered
    return rows[:, 1:]


def parsed(order: str, labels: Array) -> FaceParse:
    return FaceParse(image=np.zeros((*labels.shape, 3), np.uint8), labels=labels, label_set=label_set(order))


def test_masks_of_every_order_have_ids_of_8_bits(tmp_path: Path) -> None:
    for order in ORDERS:
        ids = np.random.default_rng(0).integers(0, len(label_set(order)), (20, 30), np.uint8)
        parsed(order, ids).save(tmp_path / f"{order}.png", "mask")
        assert np.array_equal(stored((tmp_path / f"{order}.png").read_bytes()), ids)
        with Image.open(tmp_path / f"{order}.png") as picture:
            assert picture.mode == "P"
            assert np.array_equal(np.asarray(picture), ids)
            assert np.array_equal(np.asarray(picture.convert("RGB")), label_set(order).palette[ids])


def test_a_mask_that_is_saved_as_a_pil_image_has_ids_of_8_bits() -> None:
    buffer = io.BytesIO()
    ids = np.arange(11, dtype=np.uint8).repeat(20).reshape(11, 20)
    parsed("lapa", ids).picture("mask").save(buffer, "PNG")
    assert np.array_equal(stored(buffer.getvalue()), ids)


def test_opencv_shows_a_mask_in_its_colours() -> None:
    ids = np.arange(11, dtype=np.uint8).repeat(20).reshape(11, 20)
    buffer = io.BytesIO()
    parsed("lapa", ids).picture("mask").save(buffer, "PNG")
    shown = cv2.imdecode(np.frombuffer(buffer.getvalue(), np.uint8), cv2.IMREAD_COLOR)
    assert np.array_equal(shown[..., ::-1], label_set("lapa").palette[ids])


@given(st.integers(1, 256), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_any_ids_come_back_whatever_the_palette(colors: int, seed: int) -> None:
    ids = np.random.default_rng(seed).integers(0, 256, (16, 17), np.uint8)
    ids[0, 0] = 255  # ignored: past every palette but the longest
    buffer = io.BytesIO()
    indexed(ids, np.zeros((colors, 3), np.uint8)).save(buffer, "PNG")
    assert np.array_equal(stored(buffer.getvalue()), ids)


@given(st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_grey_ids_are_read_as_they_are_stored(
    tmp_path_factory: pytest.TempPathFactory, bits: int, width: int, seed: int
) -> None:
    ids = np.random.default_rng(seed).integers(0, 1 << min(bits, 8), (9, width), np.uint8)
    path = tmp_path_factory.mktemp("grey") / "a.png"
    path.write_bytes(png(ids, bits, GREY))
    found, depth = read_ids(path)
    assert found.dtype == np.uint8
    assert depth == bits
    assert np.array_equal(found, ids)


@given(st.sampled_from([1, 2, 4, 8]), st.integers(1, 40), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_palette_ids_are_read_as_they_are_stored(
    tmp_path_factory: pytest.TempPathFactory, bits: int, width: int, seed: int
) -> None:
    ids = np.random.default_rng(seed).integers(0, 1 << bits, (9, width), np.uint8)
    path = tmp_path_factory.mktemp("palette") / "a.png"
    path.write_bytes(png(ids, bits, PALETTE))
    found, depth = read_ids(path)
    assert depth == bits
    assert np.array_equal(found, ids)


@pytest.mark.parametrize(("bits", "factor"), [(1, 255), (2, 85), (4, 17)])
def test_grey_of_few_bits_is_said_once_a_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, bits: int, factor: int
) -> None:
    ids = np.zeros((16, 16), np.uint8)
    ids[4:8] = 1
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(png(ids, bits, GREY))
        with caplog.at_level(logging.WARNING):
            assert set(np.unique(read_labels(tmp_path / name, label_set("celebamask-hq")))) == {0, 1}
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: has label maps of {bits}-bit grey: ids are read as they are stored, "
        f"other readers multiply them by {factor}"
    ]


def test_a_palette_and_8_bits_are_read_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ids = np.zeros((16, 16), np.uint8)
    for name, content in {"a.png": png(ids, 8, GREY), "b.png": png(ids, 4, PALETTE)}.items():
        (tmp_path / name).write_bytes(content)
        read_ids(tmp_path / name)
    assert not caplog.records


def test_255_that_four_bits_folded_is_explained(tmp_path: Path) -> None:
    """What Pillow writes of a palette of 11 colours: 4 bits, in which 255 becomes 15."""
    ids = np.zeros((16, 16), np.uint8)
    ids[:4] = 255
    picture = Image.fromarray(ids)
    picture.putpalette(label_set("lapa").palette.tobytes())
    picture.save(tmp_path / "a.png")
    with pytest.raises(UnknownIdError, match=r"has the id 15, .*its 4 have no room for 255 \(ignored\)"):
        read_labels(tmp_path / "a.png", label_set("lapa"))


def test_an_id_of_16_bits_over_255_is_refused(tmp_path: Path) -> None:
    ids = np.zeros((16, 16), np.uint16)
    ids[3, 3] = 65535
    Image.fromarray(ids).save(tmp_path / "a.png")
    with pytest.raises(DataError, match="has the id 65535, and ids end at 255"):
        read_ids(tmp_path / "a.png")
