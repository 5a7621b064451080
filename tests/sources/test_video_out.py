"""Videos written: whole or not there, in the colours they were given, and with sound."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from segface_edge.errors import InputError, UsageError
from segface_edge.sources.video import Video
from segface_edge.sources.video_out import VideoWriter


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty grey frames, each a little brighter, 96 x 64, ten a second."""
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = VideoWriter(path, fps=10)
    for index in range(30):
        writer.write(np.full((64, 96, 3), 8 * index, np.uint8))
    writer.close()
    return path


def test_a_written_video_is_whole_or_not_there(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mp4", fps=5)
    writer.write(np.zeros((32, 32, 3), np.uint8))
    assert not (tmp_path / "a.mp4").exists()
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    VideoWriter(tmp_path / "b.mp4", fps=5).close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    with pytest.raises(UsageError, match="is no name of a video that can be written"):
        VideoWriter(tmp_path / "c.gif", fps=5)
    with pytest.raises(InputError, match="its folder does not exist"):
        VideoWriter(tmp_path / "no" / "c.mp4", fps=5)


def test_colours_and_odd_sizes_come_back(tmp_path: Path) -> None:
    frame = np.zeros((49, 65, 3), np.uint8)
    frame[:, :, 0] = 220  # red
    writer = VideoWriter(tmp_path / "red.avi", fps=29.97)
    writer.write(frame)
    writer.write(cv2.resize(frame, (130, 98)))  # another size is fitted
    writer.close()
    with Video(str(tmp_path / "red.avi")) as video:
        frames = list(video)
    assert [one.image.shape for one in frames] == [(48, 64, 3)] * 2
    assert all(one.image[20, 20, 0] > 180 and one.image[20, 20, 2] < 60 for one in frames)


def test_sound_is_copied_where_ffmpeg_is(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a stand-in for ffmpeg, which notes what it was asked for."""
    for status, words in ((0, "copied"), (1, "left out: ffmpeg failed")):
        script = tmp_path / "bin" / "ffmpeg"
        script.parent.mkdir(exist_ok=True)
        script.write_text(
            f"#!{sys.executable}\n"
            "import shutil, sys\n"
            f"open({str(tmp_path / 'asked')!r}, 'a').write(' '.join(sys.argv) + chr(10))\n"
            f"if {status}: sys.exit({status})\n"
            "shutil.copy(sys.argv[sys.argv.index('-i') + 1], sys.argv[-1])\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
        writer = VideoWriter(tmp_path / "out.mp4", fps=5, sound_of=clip)
        writer.write(np.zeros((32, 32, 3), np.uint8))
        writer.close()
        assert writer.sound.startswith(words)
        assert (tmp_path / "out.mp4").stat().st_size > 0
    assert f"-i {clip} -map 0:v -map 1:a? -c copy -t 0.200" in (tmp_path / "asked").read_text()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    writer = VideoWriter(tmp_path / "out.mp4", fps=5, sound_of=clip)
    writer.write(np.zeros((32, 32, 3), np.uint8))
    writer.close()
    assert writer.sound == "left out: ffmpeg is not installed"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["asked", "bin", "out.mp4"]


def test_who_does_not_wait_for_the_sound_has_the_video(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: "ffmpeg")

    def stopped(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", stopped)
    writer = VideoWriter(tmp_path / "out.mp4", fps=5, sound_of=clip)
    writer.write(np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(KeyboardInterrupt):
        writer.close()
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
