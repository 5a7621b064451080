"""Pictures that move: the first frame as a photo, or all of them as a video, at their times."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser
from segface_edge.engines import FakeEngine
from segface_edge.errors import DataError, PictureSizeError
from segface_edge.sources.animation import Animation
from segface_edge.sources.kinds import is_video
from segface_edge.sources.video import Video

Cli = Callable[..., Any]
SPANS = (100, 50, 200, 100)


def moving(path: Path, format: str, *, spans: tuple[int, ...] = SPANS, **options: Any) -> Path:
    """A black square that moves down, on nothing."""
    images = []
    for index in range(len(spans)):
        pixels = np.zeros((64, 64, 4), np.uint8)
        if format == "WEBP":  # Pillow's writer keeps no transparency of these
            pixels[:] = 255
        pixels[8 * index + 4 : 8 * index + 24, 16:48] = (0, 0, 0, 255)
        images.append(Image.fromarray(pixels))
    more = {"disposal": 2} if format == "GIF" else {}
    images[0].save(
        path, format, save_all=True, append_images=images[1:], duration=list(spans), loop=0, **more, **options
    )
    return path


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG"])
def test_its_frames_come_at_their_times_and_lie_on_white(format: str, tmp_path: Path) -> None:
    path = moving(tmp_path / "anim", format)
    assert not is_video(str(path))
    assert is_video(str(path), animations=True)
    with Video(str(path)) as video:
        assert (video.width, video.height, video.count, video.live) == (64, 64, 4, False)
        found = list(video)
    assert [frame.seconds for frame in found] == pytest.approx([0, 0.1, 0.15, 0.35])
    for index, frame in enumerate(found):
        assert frame.image[8 * index + 14, 32].max() < 40
        assert frame.image[60, 4].min() > 240
        assert (frame.image[:, 32].max(axis=1) < 128).sum() == pytest.approx(20, abs=2)  # the one before is gone


def test_no_time_at_all_is_a_tenth_of_a_second(tmp_path: Path) -> None:
    """As browsers show it."""
    path = moving(tmp_path / "fast.gif", "GIF", spans=(0, 10, 0))
    with Video(str(path)) as video:
        assert video.fps == pytest.approx(10)
        assert [frame.seconds for frame in video] == pytest.approx([0, 0.1, 0.2])


def test_the_output_says_what_it_is(cli: Cli, tmp_path: Path) -> None:
    path = moving(tmp_path / "anim.gif", "GIF")
    assert cli("parse", path, "-o", tmp_path / "a.mp4", "--locate", "whole").code == 0
    with Video(str(tmp_path / "a.mp4")) as video:
        assert [frame.seconds for frame in video] == pytest.approx([0, 0.1, 0.15, 0.35], abs=0.001)
    assert cli("parse", path, "-o", tmp_path / "a.png", "--locate", "whole").code == 0
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.size == (64, 64)
    done = cli("parse", path, "--jsonl", "-", "--every", 2, "--locate", "whole")
    assert [json.loads(line)["seconds"] for line in done.out.splitlines()] == [0, 0.15]
    done = cli("parse", path, "--jsonl", "-", "--locate", "whole")
    assert len(done.out.splitlines()) == 1


def test_in_python_too(tmp_path: Path) -> None:
    path = moving(tmp_path / "anim.webp", "WEBP")
    with FaceParser(FakeEngine(), locate="whole") as parser:
        assert len(list(parser.stream(path))) == 1
        assert [one.index for one in parser.stream(path, every=2)] == [0, 2]
        with Video(str(path)) as video:
            assert len(list(parser.stream(video))) == 4


def test_one_that_is_cut_off_says_so(tmp_path: Path) -> None:
    spans = (100,) * 4
    path = moving(tmp_path / "anim.png", "PNG", spans=spans)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 3 // 4])
    found = []
    with Video(str(path)) as video, pytest.raises(DataError, match="breaks off after [1-3] of 4 frames"):
        found.extend(iter(video))
    assert found


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_that_is_cut_off_anywhere_is_said(tmp_path: Path, kind: str) -> None:
    frames = [Image.new("RGB", (16, 16), (40 * index, 0, 0)) for index in range(3)]
    buffer = io.BytesIO()
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:], duration=40)
    content = buffer.getvalue()
    path = tmp_path / "cut.gif"
    for end in range(0, len(content), 3):
        path.write_bytes(content[:end])
        is_video(str(path), animations=True)
        with suppress(DataError), closing(Animation(str(path))) as animation:  # nothing else
            for _, picture in animation.read():
                assert picture().shape == (16, 16, 3)


def test_an_animation_of_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = moving(tmp_path / "anim.webp", "WEBP")
    monkeypatch.setattr(Animation, "_span", None)
    with pytest.raises(PictureSizeError, match=r"anim\.webp: has 64 x 64 pixels, over the limit of 4095"):
        Video(str(path), max_pixels=4095)


@pytest.mark.parametrize("brand", [b"avif", b"avis"])
def test_a_damaged_avif_is_not_handed_on(brand: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """FFmpeg would open it, whatever that takes."""
    (tmp_path / "a.avif").write_bytes(b"\0\0\0\x1cftyp" + brand + b"\0\0\0\0" + brand + b"no more")
    monkeypatch.setattr("segface_edge.sources.recorded.open_container", None)
    with pytest.raises(DataError, match=r"a\.avif: is an AVIF without an animation that can be read; give a video"):
        Video(tmp_path / "a.avif")
