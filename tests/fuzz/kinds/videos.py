"""Videos and pictures that move, read to their ends."""

from __future__ import annotations

from pathlib import Path
from random import Random

import av

from segface_edge.sources.kinds import is_video
from segface_edge.sources.video import Video
from tests.fuzz.mutate import changed_bytes
from tests.sources.films import film

from .pictures import portrait, saved

# Suffix -> what FFmpeg is to write with.
_FILMS = {
    ".mp4": {"codec": "libx264"},
    ".mkv": {"codec": "mpeg4"},
    ".avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    ".webm": {"codec": "libvpx"},
    ".mov": {"codec": "libx264", "sound": "aac"},
    ".ts": {"codec": "mpeg2video"},
    ".flv": {"codec": "flv"},
}
# An animation is decoded in some twenty bytes a pixel, and an input may take 400 MiB.
_MAX_PIXELS = 20_000_000


class Fuzz:
    def __init__(self, folder: Path, argument: str) -> None:
        av.logging.set_level(None)
        self.folder = folder
        self.seeds: dict[str, bytes] = {}
        if argument == "videos":
            for suffix, options in _FILMS.items():
                path = folder / f"seed{suffix}"
                try:
                    film(path, size=(48, 32), times=[index / 10 for index in range(5)], **options)  # type: ignore[arg-type]
                except (av.FFmpegError, ValueError):  # an FFmpeg without that encoder
                    continue
                self.seeds[suffix] = path.read_bytes()
        else:
            frames = [portrait((24, 20)), portrait((24, 20)).rotate(90), portrait((24, 20)).rotate(180)]
            for suffix, kind in ((".gif", "GIF"), (".webp", "WEBP"), (".png", "PNG"), (".avif", "AVIF")):
                options = {"speed": 10} if kind == "AVIF" else {}
                self.seeds[suffix] = saved(
                    frames[0], kind, save_all=True, append_images=frames[1:], duration=40, **options
                )

    def make(self, random: Random) -> tuple[str, bytes]:
        suffix = random.choice(list(self.seeds))
        return suffix, changed_bytes(random, self.seeds[suffix], list(self.seeds.values()))

    def run(self, given: tuple[str, bytes]) -> None:
        suffix, content = given
        path = self.folder / f"film{suffix}"
        path.write_bytes(content)
        is_video(str(path), animations=True)
        with Video(str(path), max_pixels=_MAX_PIXELS) as video:
            for index, frame in enumerate(video):
                assert frame.image.shape[2] == 3
                if index > 50:
                    break
