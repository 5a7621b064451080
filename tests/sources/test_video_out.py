"""Videos written: whole or not there, frames at their times, in the colours they were given, and with sound."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from segface_edge.errors import InputError, UsageError
from segface_edge.sources import video_out
from segface_edge.sources.formats import WRITTEN_SUFFIXES
from segface_edge.sources.video import Video
from segface_edge.sources.video_out import VideoWriter

from .films import RED, film, first_sound

UNEVEN = (0.0, 0.033, 0.1, 0.25, 0.3, 0.6, 0.95, 1.0, 1.4, 1.5)
BLACK = np.zeros((48, 64, 3), np.uint8)


def write(path: Path, times: tuple[float, ...] = UNEVEN, *, sound_of: Path | None = None, fps: float = 10) -> str:
    """A video of the red square's colour; what became of the sound."""
    writer = VideoWriter(path, fps=fps, sound_of=sound_of)
    for seconds in times:
        writer.write(np.full((48, 64, 3), RED, np.uint8), seconds)
    writer.close()
    return writer.sound


def test_a_written_video_is_whole_or_not_there(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", fps=5)
    writer.write(BLACK)
    assert not (tmp_path / "a.mp4").exists()
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    VideoWriter(tmp_path / "b.mp4", fps=5).close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    with pytest.raises(UsageError, match="is no name of a video that can be written"):
        VideoWriter(tmp_path / "c.gif", fps=5)
    with pytest.raises(InputError, match="its folder does not exist"):
        VideoWriter(tmp_path / "no" / "c.mp4", fps=5)


def test_a_writer_and_a_video_take_any_path_and_close_themselves(tmp_path: Path) -> None:
    picture = np.full((32, 48, 3), 200, np.uint8)
    for path in (tmp_path / "a.mp4", str(tmp_path / "b.mp4")):
        with VideoWriter(path, fps=5) as writer:
            writer.write(picture)
        assert Path(path).is_file()
        with Video(path) as video:
            assert [frame.image.shape for frame in iter(video)] == [(32, 48, 3)]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link.mp4").symlink_to(tmp_path / "there" / "a.mp4")
    write(tmp_path / "link.mp4")
    assert (tmp_path / "link.mp4").is_symlink()
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("suffix", WRITTEN_SUFFIXES)
def test_red_stays_red(suffix: str, tmp_path: Path) -> None:
    """Here and where OpenCV reads it: the matrix and the range are said and meant."""
    write(tmp_path / f"red{suffix}")
    with Video(str(tmp_path / f"red{suffix}")) as video:
        ours = [frame.image for frame in video]
    theirs = cv2.VideoCapture(str(tmp_path / f"red{suffix}")).read()[1][:, :, ::-1]
    assert len(ours) == len(UNEVEN)
    assert all(np.abs(image.reshape(-1, 3).mean(axis=0) - RED).max() < 4 for image in ours)
    # OpenCV takes every video for ITU 601's.
    assert np.abs(theirs.reshape(-1, 3).mean(axis=0) - RED).max() < (4 if suffix == ".avi" else 40)


@pytest.mark.parametrize("suffix", WRITTEN_SUFFIXES)
def test_frames_are_shown_at_their_times(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    times = UNEVEN if suffix != ".avi" else tuple(round(seconds * 10) / 10 for seconds in (0, 0.1, 0.4, 0.5, 1.2))
    write(path, times)
    with Video(str(path)) as video:
        assert [frame.seconds for frame in video] == pytest.approx(times, abs=0.001)


def test_an_avi_has_slots_and_keeps_every_frame(tmp_path: Path) -> None:
    write(tmp_path / "a.avi", (0.0, 0.03, 0.06, 0.5))
    with Video(str(tmp_path / "a.avi")) as video:
        assert [frame.seconds for frame in video] == pytest.approx([0, 0.1, 0.2, 0.5])


@pytest.mark.parametrize(
    ("suffix", "codec"),
    [(".mp4", "h264"), (".m4v", "h264"), (".mov", "h264"), (".mkv", "h264"), (".webm", "vp9"), (".avi", "mjpeg")],
)
def test_what_is_written_plays_where_the_docs_say(suffix: str, codec: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    write(path, (0.0, 0.1, 0.2))
    with av.open(str(path)) as source:
        stream = source.streams.video[0]
        assert stream.codec_context.name == codec
        assert stream.codec_context.pix_fmt == ("yuvj420p" if codec == "mjpeg" else "yuv420p")
        assert float(stream.average_rate) == pytest.approx(10, rel=0.01)
        assert source.duration == pytest.approx(300_000, abs=2000)
    if suffix in (".mp4", ".m4v", ".mov"):  # a browser need not load it whole to begin
        content = path.read_bytes()
        assert content.index(b"moov") < content.index(b"mdat")


def test_odd_sizes_lose_a_row_and_others_are_fitted(tmp_path: Path) -> None:
    frame = np.zeros((49, 65, 3), np.uint8)
    frame[:, :, 0] = 220  # red
    writer = VideoWriter(tmp_path / "red.webm", fps=29.97)
    writer.write(frame)
    writer.write(cv2.resize(frame, (130, 98)))
    writer.write(frame[::-1, ::-1])
    writer.close()
    with Video(str(tmp_path / "red.webm")) as video:
        frames = list(video)
    assert [one.image.shape for one in frames] == [(48, 64, 3)] * 3
    assert all(one.image[20, 20, 0] > 190 and one.image[20, 20, 2] < 40 for one in frames)


@pytest.mark.parametrize(
    ("source", "codec", "sound", "suffix", "state"),
    [
        ("a.mp4", "libx264", "aac", ".mp4", "copied"),
        ("a.mts", "libx264", "aac", ".mp4", "copied"),
        ("a.mp4", "libx264", "aac", ".mkv", "copied"),
        ("a.mts", "libx264", "ac3", ".mp4", "as aac"),
        ("a.mts", "libx264", "ac3", ".mov", "copied"),
        ("a.webm", "libvpx", "libopus", ".webm", "copied"),
        ("a.webm", "libvpx", "libopus", ".mp4", "copied"),
        ("a.mp4", "libx264", "aac", ".webm", "as opus"),
        ("a.mp4", "libx264", "aac", ".avi", "as mp3"),
        ("a.wmv", "wmv2", "wmav2", ".mp4", "as aac"),
    ],
)
def test_sound_comes_along_and_in_time(
    source: str, codec: str, sound: str, suffix: str, state: str, tmp_path: Path
) -> None:
    """A flash is seen and heard at once, in uneven frames from a file that does not begin at zero."""
    even = codec == "wmv2" or suffix == ".avi"
    times = tuple(index / 10 for index in range(16)) if even else UNEVEN
    path = film(
        tmp_path / source, codec=codec, container={"wmv2": "asf"}.get(codec), times=times, flash=0.6, sound=sound,
        ticks=10 if codec == "wmv2" else 90000,
    )  # fmt: skip
    assert first_sound(path) == pytest.approx(0.6, abs=0.05)
    out = tmp_path / f"out{suffix}"
    with Video(str(path)) as video:
        writer = VideoWriter(out, fps=video.fps, sound_of=path)
        seen = []
        for frame in video:
            writer.write(frame.image, frame.seconds)
            seen.append(frame.seconds)
    writer.close()
    assert writer.sound == state
    with Video(str(out)) as video:
        flash = next(frame.seconds for frame in video if frame.image.mean() > 220)
    assert flash == pytest.approx(0.6, abs=0.051)
    assert first_sound(out) == pytest.approx(0.6, abs=0.05)
    with av.open(str(out)) as written:
        pictures, heard = written.streams.video[0], written.streams.audio[0]
        ends = [
            max(float((p.pts + (p.duration or 0)) * p.time_base) for p in written.demux(heard) if p.pts is not None)
        ]
        assert pictures is not None
    assert ends[0] == pytest.approx(seen[-1] + 0.1, abs=0.15)  # no longer than the pictures


def test_only_what_has_sound_has_sound(tmp_path: Path) -> None:
    silent = film(tmp_path / "silent.mp4")
    assert write(tmp_path / "a.mp4", sound_of=silent) == "none"
    (tmp_path / "none.mp4").write_bytes(b"no video" * 50)
    assert write(tmp_path / "b.mp4", sound_of=tmp_path / "none.mp4").startswith("left out: it cannot be read")
    assert write(tmp_path / "c.mp4") == "none"
    for name in "abc":
        with av.open(str(tmp_path / f"{name}.mp4")) as written:
            assert [stream.type for stream in written.streams] == ["video"]


def test_sound_that_breaks_off_leaves_the_pictures(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mkv", sound="aac", times=tuple(index / 10 for index in range(60)))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert write(tmp_path / "b.mp4", tuple(index / 10 for index in range(60)), sound_of=path).startswith("copied")
    with Video(str(tmp_path / "b.mp4")) as video:
        assert len(list(video)) == 60


def test_who_does_not_wait_for_the_end_has_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", fps=5)
    for _ in range(5):
        writer.write(BLACK)

    def stopped(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writer, "_finish", stopped)
    with pytest.raises(KeyboardInterrupt):
        writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
    with Video(str(tmp_path / "out.mp4")) as video:
        assert next(iter(video)).image.shape == (48, 64, 3)


def test_a_disk_that_is_full_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", fps=5)
    writer.write(BLACK)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "_encode", full)
    monkeypatch.setattr(video_out, "_LEAST_KEPT", 0)
    with pytest.raises(InputError, match="the disk is full after 1 frames; make room"):
        writer.write(BLACK)
    monkeypatch.setattr(writer, "_finish", full)
    with pytest.raises(InputError, match="the disk is full after 1 frames"):
        writer.close()
    assert sorted(path.name for path in tmp_path.iterdir() if path.name.startswith(".")) == []


def test_a_video_whose_head_found_no_room_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # FFmpeg ends the process where it is asked to go on.
    writer = VideoWriter(tmp_path / "out.mp4", fps=5)
    writer.write(BLACK)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writer, "_encode", full)
    monkeypatch.setattr(writer, "_finish", None)
    with pytest.raises(InputError, match="the disk is full, and nothing is kept; make room, or choose another place"):
        writer.write(BLACK)
    writer.close()
    assert writer.frames == 0
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_finds_no_room_in_the_end_is_not_said_to_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", fps=5)
    writer.write(BLACK)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(video_out.os, "fsync", full)
    with pytest.raises(InputError, match="the disk is full, and nothing is kept"):
        writer.close()
    assert writer.frames == 0
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "out.mp4", fps=5)
    with pytest.raises(InputError, match="cannot be written as libx264 of 20000 x 16"):
        writer.write(np.zeros((16, 20000, 3), np.uint8))
    writer.close()
    assert list(tmp_path.iterdir()) == []
