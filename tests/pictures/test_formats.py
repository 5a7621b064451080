"""Which formats are read, and what is said of the others."""

from __future__ import annotations

import io
import logging
import shutil
import subprocess
import sys
import threading
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, TiffImagePlugin

from segface_edge import zoo
from segface_edge.datasets.opening import folder
from segface_edge.errors import DataError, ImageError
from segface_edge.pictures import formats, reading
from segface_edge.sources.photos import find

REPORTS = Path(__file__).parents[3] / "shared" / "reports" / "from-a-phone"
# Suffix -> what Pillow calls it; what phones, cameras and scanners write.
WRITTEN = {
    ".jfif": "JPEG",
    ".jpe": "JPEG",
    ".mpo": "MPO",
    ".jp2": "JPEG2000",
    ".ppm": "PPM",
    ".tga": "TGA",
    ".qoi": "QOI",
    ".apng": "PNG",
    ".avif": "AVIF",
}


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def written(path: Path, kind: str) -> None:
    with Image.open(zoo.PORTRAIT) as picture:
        picture.convert("RGB").resize((64, 48)).save(path, kind)


@pytest.fixture
def no_heif(monkeypatch: pytest.MonkeyPatch) -> None:
    """As where pillow-heif is not installed."""
    monkeypatch.setattr(formats, "reads_heif", lambda: False)
    Image.init()
    monkeypatch.setattr(Image, "EXTENSION", {k: v for k, v in Image.EXTENSION.items() if v != "HEIF"})
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k != "HEIF"})
    monkeypatch.setattr(Image, "ID", [k for k in Image.ID if k != "HEIF"])


def test_what_pillow_reads_is_taken_from_a_folder(tmp_path: Path) -> None:
    Image.init()
    kinds = {s: k for s, k in WRITTEN.items() if k in Image.SAVE}  # Pillow writes AVIF from 11.3, QOI from 11.2 on
    for suffix, kind in kinds.items():
        written(tmp_path / f"a{suffix}", kind)
        written(tmp_path / f"B{suffix.upper()}", kind)
    found = find(str(tmp_path))
    assert {Path(one.name).suffix.lower() for one in found} == set(kinds)
    assert len(found) == 2 * len(kinds)
    assert all(reading.load(one.photo).shape == (48, 64, 3) for one in found)


def test_whatever_is_taken_is_opened_by_pillow_itself() -> None:
    """No suffix of a format that needs another program, has no reader, or is only written."""
    taken = formats.suffixes()
    assert {".jpg", ".png", ".webp", ".tif", ".bmp", ".gif", ".mpo", ".jp2"} <= taken
    assert not {".pdf", ".eps", ".ps", ".mpg", ".mpeg", ".hdf", ".h5", ".grib", ".bufr", ".wmf", ".emf"} & taken


@pytest.mark.usefixtures("no_heif")
def test_one_line_says_what_is_left_out_and_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path / "a.jpg", "JPEG")
    for name in ("b.HEIC", "c.heif", "d.cr2", "notes.txt", "film.mp4", "plain", ".DS_Store", "._a.jpg"):
        (tmp_path / name).write_bytes(b"x")
    assert [one.name for one in find(str(tmp_path))] == [str(tmp_path / "a.jpg")]
    (line,) = said(caplog)
    assert line == (
        f"{tmp_path}: 6 files left out: 1 .cr2 (first: develop to TIFF, PNG or JPEG), "
        "2 .heic .heif (first: pip install 'segface-edge[heif]'), 3 .mp4 .txt without suffix (no pictures)"
    )


def test_notes_beside_pictures_need_no_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path / "a.jfif", "JPEG")
    (tmp_path / "a.json").write_text("{}")
    find(str(tmp_path))
    find(str(tmp_path / "*"))
    assert not said(caplog)


def test_a_glob_is_looked_at_as_a_folder_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    written(tmp_path / "a.jpe", "JPEG")
    (tmp_path / "a.jxl").write_bytes(b"x")
    assert len(find(str(tmp_path / "a*"))) == 1
    assert said(caplog) == [f"{tmp_path / 'a*'}: 1 file left out: 1 .jxl (first: save as PNG or JPEG)"]


@pytest.mark.usefixtures("no_heif")
def test_a_folder_of_what_cannot_be_read_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.HEIC").write_bytes(b"x")
    with pytest.raises(DataError, match=r"holds no pictures that can be read: 1 \.heic \(first: pip install"):
        find(str(tmp_path))


def test_hidden_folders_are_left_alone(tmp_path: Path) -> None:
    for place in (".trash", "album"):
        (tmp_path / place).mkdir()
        written(tmp_path / place / "a.jpg", "JPEG")
    assert [str(one.below) for one in find(str(tmp_path), recursive=True)] == ["album/a.jpg"]


def test_a_labelled_folder_takes_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for part in ("images", "labels"):
        (tmp_path / part).mkdir()
    written(tmp_path / "images" / "a.jfif", "JPEG")
    (tmp_path / "images" / "b.cr3").write_bytes(b"x")
    Image.new("L", (64, 48)).save(tmp_path / "labels" / "a.png")
    assert [sample.name for sample in folder(tmp_path)] == ["a"]
    assert "1 file left out: 1 .cr3" in said(caplog)[0]


def heic() -> bytes:
    """The head of a HEIC file."""
    return b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(200)


@pytest.mark.usefixtures("no_heif")
def test_a_heic_without_its_reader_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.HEIC").write_bytes(heic())
    with pytest.raises(ImageError, match=r"IMG_1\.HEIC: is a HEIC picture.*pip install 'segface-edge\[heif\]'"):
        reading.load(tmp_path / "IMG_1.HEIC")


def test_pillow_heif_is_used_where_it_is_installed(tmp_path: Path) -> None:
    """By a stand-in for it, in a process of its own: what it registers with Pillow is taken and read."""
    shutil.copy(zoo.PORTRAIT, tmp_path / "portrait.png")
    (tmp_path / "pillow_heif.py").write_text(
        "import io\n"
        "from PIL import Image, ImageFile\n"
        "class Heif(ImageFile.ImageFile):\n"
        "    format = 'HEIF'\n"
        "    def _open(self):\n"
        "        self._mode, self._size, self.tile = 'RGB', (40, 30), []\n"
        "    def load(self):\n"
        "        self.im = Image.new('RGB', (40, 30), (9, 8, 7)).im\n"
        "        return Image.Image.load(self)\n"
        "def register_heif_opener():\n"
        "    Image.register_open('HEIF', Heif, lambda head: head[4:12] == b'ftypheic')\n"
        "    Image.register_extensions('HEIF', ['.heic'])\n"
    )
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "IMG_1.HEIC").write_bytes(heic())
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from segface_edge.sources.photos import find\n"
        "from segface_edge.pictures.reading import load\n"
        "print(load(sys.argv[1] + '/photos/IMG_1.HEIC')[3, 4].tolist(), len(find(sys.argv[1] + '/photos')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "[9, 8, 7] 1\n"


@pytest.mark.skipif(find_spec("pillow_heif") is None, reason="pillow-heif is not installed")
def test_a_heic_of_a_phone_is_read_as_its_jpeg() -> None:
    if not REPORTS.is_dir():
        pytest.skip("../shared/reports is not there")
    photos = {one.photo.name: reading.load(one.photo) for one in find(str(REPORTS)) if isinstance(one.photo, Path)}
    assert sorted(photos) == ["D.HEIC", "a.jpg", "b.jfif", "c.avif"]
    assert all(photo.shape == (256, 256, 3) for photo in photos.values())
    assert np.abs(photos["D.HEIC"].astype(int) - photos["a.jpg"]).mean() < 4


@pytest.mark.skipif(find_spec("pillow_heif") is None, reason="pillow-heif is not installed")
@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_of_either_brand_is_read_and_upright(brand: bytes) -> None:
    assert formats.reads_heif()
    with Image.open(zoo.PORTRAIT) as picture:
        portrait = picture.convert("RGB").resize((96, 64))
    exif = Image.Exif()
    exif[0x0112] = 6
    portrait.info["exif"] = exif.tobytes()  # what makes pillow-heif turn it
    buffer = io.BytesIO()
    portrait.save(buffer, "HEIF", quality=90)
    found = reading.load(buffer.getvalue().replace(b"ftypheic", b"ftyp" + brand, 1))
    wanted = np.asarray(portrait.transpose(Image.Transpose.ROTATE_270))
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).mean() < 6


def test_reading_leaves_pillow_and_warnings_as_they_are(portrait: Path) -> None:
    """From many threads at a time: what one silences, another must not leave silent."""
    limit, before = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    threads = [threading.Thread(target=lambda: [reading.load(portrait) for _ in range(3)]) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit == Image.MAX_IMAGE_PIXELS
    assert list(warnings.filters) == before


def test_more_pixels_than_pillow_opens_are_read_where_they_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's limit is lowered instead of a picture of 200 million pixels made."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    for kind in ("PNG", "BMP", "PPM", "JPEG", "MPO"):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, kind)
        with pytest.raises(Image.DecompressionBombError):
            Image.open(io.BytesIO(buffer.getvalue()))
        found = reading.load(buffer.getvalue(), max_pixels=4800)
        assert found.shape == (60, 80, 3)
        assert kind in ("JPEG", "MPO") or np.array_equal(found, pixels)
        with pytest.raises(ImageError, match="80 x 60 pixels, over the limit of 4799"):
            reading.load(buffer.getvalue(), max_pixels=4799)
    assert Image.MAX_IMAGE_PIXELS == 1000


def test_a_format_that_pillow_checks_again_is_refused_over_its_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """As newer ones do in a TIFF of one strip, when it is decoded."""

    def check(_: object) -> None:
        raise Image.DecompressionBombError

    buffer = io.BytesIO()
    Image.new("RGB", (80, 60)).save(buffer, "TIFF")
    monkeypatch.setattr(TiffImagePlugin.TiffImageFile, "load_prepare", check)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(ImageError, match="has over 2000 pixels, and Pillow reads no more of this format"):
        reading.load(buffer.getvalue())


def test_a_line_is_logged_once_a_picture(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (20, 20), (10, 20, 30, 0)).save(path)
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert (reading.load(path) == (10, 20, 30)).all()
    assert said(caplog) == [f"{path}: is transparent everywhere; its colours are taken as they are"]
