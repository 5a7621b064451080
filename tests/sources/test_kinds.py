"""What is a video and what a photo: by what is in a file, by its name where there is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segface_edge.sources.kinds import is_live, is_video

from .films import film


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "PPM"])
@pytest.mark.parametrize("name", ["photo", "photo.mp4", "photo.mts", "photo.png"])
def test_a_photo_is_one_whatever_its_name(format: str, name: str, tmp_path: Path) -> None:
    Image.fromarray(np.full((32, 32, 3), 99, np.uint8)).save(tmp_path / name, format)
    known_by_its_name = name.endswith(("mp4", "mts")) and format in ("BMP", "PPM")  # too little to tell them by
    assert is_video(str(tmp_path / name), animations=True) is known_by_its_name


def test_a_photo_of_a_phone_is_no_video_though_ffmpeg_opens_it(shared: Path) -> None:
    folder = shared / "reports" / "from-a-phone"
    if not folder.is_dir():
        pytest.skip("no ../shared/reports here: what users sent does not travel with the repository")
    assert [path.name for path in folder.iterdir() if is_video(str(path), animations=True)] == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.txt", b"a.mp4\nb.jpg\n"),
        ("nothing", b""),
        ("noise.bin", bytes(range(256)) * 40),
        ("words", b"a letter to nobody\n" * 50),
        ("broken.jpg", b"\xff\xd8\xff and no more"),
    ],
)
def test_other_files_are_no_videos(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert not is_video(str(tmp_path / name), animations=True)


def test_what_should_be_a_video_is_told_as_one(tmp_path: Path) -> None:
    """So that the line that says what is wrong with it speaks of videos."""
    for name in ("a.mp4", "a.MTS", "a.h264"):
        assert is_video(str(tmp_path / name))  # it is not there
        (tmp_path / name).write_bytes(b"")
        assert is_video(str(tmp_path / name))


@pytest.mark.parametrize(
    ("source", "video", "live"),
    [
        ("0", True, True),
        ("rtsp://camera/stream", True, True),
        ("http://camera/clip", True, True),
        ("https://host/photo.jpg?size=large", False, True),
        ("v4l2src ! appsink", True, True),
        ("absent.webm", True, False),
        ("absent.jpg", False, False),
        ("folder/*.png", False, False),
    ],
)
def test_what_is_no_file_is_told_by_its_name(source: str, video: bool, live: bool) -> None:
    assert (is_video(source), is_live(source)) == (video, live)


def test_motion_jpeg_begins_as_a_photo_does(tmp_path: Path) -> None:
    film(tmp_path / "a.mjpeg", codec="mjpeg", container="mjpeg", pixels="yuvj420p", ticks=10)
    assert is_video(str(tmp_path / "a.mjpeg"))
