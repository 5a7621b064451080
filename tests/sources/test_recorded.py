"""Files as phones, browsers and camcorders write them: each frame at its time, upright, square pixels, its colours."""

from __future__ import annotations

import gc
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame

from segface_edge import FaceParser
from segface_edge.errors import DataError, PictureSizeError
from segface_edge.sources import video as video_module
from segface_edge.sources.containers import Clock
from segface_edge.sources.kinds import is_video
from segface_edge.sources.recorded import Recorded
from segface_edge.sources.video import Frame, Video

from .films import film, is_red, turned

TIMES = tuple(index / 10 for index in range(8))
UNEVEN = (0.0, 0.033, 0.1, 0.25, 0.3, 0.6, 0.95, 1.0)
SQUARE = (slice(26, 38), slice(18, 30))  # well inside, of 96 x 64


def frames(path: Path | str, **options: int) -> list[Frame]:
    with Video(str(path), **options) as video:
        return list(video)


@pytest.mark.parametrize(
    ("name", "codec", "container"),
    [
        ("a.mts", "libx264", "mpegts"),
        ("a.m2ts", "libx264", "mpegts"),
        ("a.3gp", "libx264", "3gp"),
        ("a.wmv", "wmv2", "asf"),
        ("a.flv", "flv", "flv"),
        ("a.vob", "mpeg2video", "vob"),
        ("a.mpg", "mpeg2video", "mpeg"),
        ("a.ogv", "libvpx", "ogg"),
        ("a.h264", "libx264", "h264"),
        ("a.mjpeg", "mjpeg", "mjpeg"),
        ("a.avi", "mpeg4", "avi"),
        ("a.mkv", "libvpx-vp9", "matroska"),
        ("a", "libx264", "mp4"),
        ("a.bak", "libvpx", "webm"),
        ("a.jpg", "libx264", "mov"),  # what opens is a video, whatever its name
    ],
)
def test_every_kind_of_file_is_read(name: str, codec: str, container: str, tmp_path: Path) -> None:
    even = codec in ("mpeg2video", "mpeg4", "wmv2", "flv", "mjpeg") or container == "ogg"
    rate = 25 if codec == "mpeg2video" or container in ("h264", "mjpeg") else 10
    times = tuple(index / rate for index in range(8))
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    film(
        tmp_path / name, codec=codec, container=container, times=times, rate=rate, ticks=rate if even else 90000,
        pixels=pixels,
    )  # fmt: skip
    assert is_video(str(tmp_path / name))
    with Video(str(tmp_path / name)) as video:
        assert (video.width, video.height, video.live) == (96, 64, False)
        assert video.fps == pytest.approx(rate, rel=0.2 if container == "ogg" else 0.02)
        found = list(video)
    assert [frame.seconds for frame in found] == pytest.approx(times, abs=0.002)
    assert all(is_red(frame.image, SQUARE) for frame in found)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.webm", "libvpx-vp9")])
def test_uneven_frames_keep_their_times(name: str, codec: str, tmp_path: Path) -> None:
    film(tmp_path / name, codec=codec, times=UNEVEN)
    assert [frame.seconds for frame in frames(tmp_path / name)] == pytest.approx(UNEVEN, abs=0.001)
    some = frames(tmp_path / name, every=3)
    assert [(frame.index, frame.seconds) for frame in some] == [
        (index, pytest.approx(UNEVEN[index], abs=0.001)) for index in (0, 3, 6)
    ]


def test_a_rate_that_is_none_is_taken_from_the_times(tmp_path: Path) -> None:
    """As browsers record: a thousand frames a second, says the file."""
    times = tuple(round(index * 1000 / 30) / 1000 for index in range(45))
    film(tmp_path / "a.webm", codec="libvpx", times=times, rate=1000, ticks=1000)
    with Video(str(tmp_path / "a.webm")) as video:
        assert video.fps == pytest.approx(30, rel=0.01)
    film(tmp_path / "fast.mp4", times=tuple(index / 240 for index in range(20)), rate=240)
    with Video(str(tmp_path / "fast.mp4")) as video:  # a phone's slow motion is true
        assert video.fps == pytest.approx(240)


@pytest.mark.parametrize(
    ("pixel", "size"),
    [((4, 3), (128, 64)), ((8, 9), (96, 72)), ((16, 11), (140, 64)), ((1, 1), (96, 64)), ((200, 1), (96, 64))],
)
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "mpeg4")])
def test_pixels_become_square(
    pixel: tuple[int, int], size: tuple[int, int], name: str, codec: str, tmp_path: Path
) -> None:
    """A DVD's, an anamorphic lens's; 200 times as wide as high is a mistake."""
    film(tmp_path / name, codec=codec, pixel=Fraction(*pixel), times=TIMES[:2], ticks=10)
    with Video(str(tmp_path / name)) as video:
        assert (video.width, video.height) == size
        first = next(iter(video)).image
    assert first.shape == (*size[::-1], 3)
    left, right = (round(x * size[0] / 96) for x in (18, 30))
    assert is_red(first, (slice(size[1] * 2 // 5, size[1] * 3 // 5), slice(left, right)))


# Where the red square's middle is, of a picture that was 96 x 64 with the square at (24, 32).
@pytest.mark.parametrize(
    ("matrix", "size", "middle"),
    [
        ((1, 0, 0, 1), (96, 64), (24, 32)),
        ((0, 1, -1, 0), (64, 96), (32, 24)),  # a phone held upright
        ((-1, 0, 0, -1), (96, 64), (72, 32)),
        ((0, -1, 1, 0), (64, 96), (32, 72)),
        ((-1, 0, 0, 1), (96, 64), (72, 32)),  # a mirror
    ],
)
def test_a_video_is_read_upright(
    matrix: tuple[int, int, int, int], size: tuple[int, int], middle: tuple[int, int], tmp_path: Path
) -> None:
    path = turned(film(tmp_path / "a.mp4", times=TIMES[:2]), matrix)
    with Video(str(path)) as video:
        assert (video.width, video.height) == size
        first = next(iter(video)).image
    assert first.shape == (*size[::-1], 3)
    x, y = middle
    assert is_red(first, (slice(y - 5, y + 5), slice(x - 5, x + 5)))
    wide = turned(film(tmp_path / "b.mp4", times=TIMES[:2], pixel=Fraction(4, 3)), matrix)
    expected = (128, 64) if size == (96, 64) else (64, 128)  # pixels become square before it is turned
    assert frames(wide)[0].image.shape == (*expected[::-1], 3)


def test_frames_that_are_done_with_are_gone_at_once(tmp_path: Path) -> None:
    film(tmp_path / "a.mp4", times=tuple(index / 10 for index in range(30)))
    gc.collect()
    before = sum(type(one) is VideoFrame for one in gc.get_objects())
    gc.disable()
    try:
        with Video(str(tmp_path / "a.mp4")) as video:
            for _ in video:
                pass
        assert sum(type(one) is VideoFrame for one in gc.get_objects()) <= before + 3  # of 30
    finally:
        gc.enable()


def test_recordings_one_after_another_go_on(tmp_path: Path) -> None:
    """As a DVD's parts do: the second begins at its own zero."""
    one = film(tmp_path / "one.ts", container="mpegts").read_bytes()
    (tmp_path / "two.ts").write_bytes(one + one)
    seconds = [frame.seconds for frame in frames(tmp_path / "two.ts")]
    assert len(seconds) == 16
    assert np.diff(seconds).min() > 0
    assert seconds[-1] == pytest.approx(1.5, abs=0.11)


def test_times_never_go_back() -> None:
    clock = Clock(1.5, 0.1)
    said = [1.5, 1.6, 1.6, None, 1.75, 100.0, 0.0, 0.1, 0.2]
    found = [clock(time) for time in said]
    assert found == pytest.approx([0, 0.1, 0.101, 0.201, 0.25, 98.5, 98.6, 98.7, 98.8])


@pytest.mark.parametrize("name", ["clip:1.mp4", "http:a.mp4", "100%d.mp4", "-a b.mp4", "concat:x|y.mp4", "ä!.mp4"])
def test_any_name_will_do(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film(tmp_path / name, times=TIMES[:3])
    monkeypatch.chdir(tmp_path)
    assert is_video(name)
    assert len(frames(name)) == 3


def test_what_opens_but_has_no_pictures_is_no_video(tmp_path: Path) -> None:
    import av

    with av.open(str(tmp_path / "song.mka"), "w", format="matroska") as output:
        stream = output.add_stream("aac", rate=48000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.sample_rate = 48000
        output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    (tmp_path / "song.mka").rename(tmp_path / "song.mp4")
    with pytest.raises(DataError, match="song.mp4: holds no video; give an MP4"):
        Video(str(tmp_path / "song.mp4"))


def test_a_list_of_other_files_is_not_followed(tmp_path: Path) -> None:
    film(tmp_path / "secret.ts", container="mpegts")
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n")
    with pytest.raises(DataError, match=r"list\.mp4: (is|holds) no video"):
        Video(str(tmp_path / "list.mp4"))


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = film(tmp_path / "a.mp4")
    assert len(frames(path, max_pixels=96 * 64)) == 8
    monkeypatch.setattr(Recorded, "_decoded", None)
    said = r"a\.mp4: has 96 x 64 pixels, over the limit of 6143; raise --max-pixels or scale it down"
    with pytest.raises(PictureSizeError, match=said):
        frames(path, max_pixels=96 * 64 - 1)


def test_a_parser_s_bound_is_that_of_its_videos(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4")
    with FaceParser(max_pixels=96 * 64 - 1) as parser, pytest.raises(PictureSizeError, match="has 96 x 64 pixels"):
        next(iter(parser.stream(path)))


def test_pixels_are_counted_as_they_are_shown(tmp_path: Path) -> None:
    path = film(tmp_path / "a.mp4", pixel=Fraction(4, 1))
    with pytest.raises(PictureSizeError, match="has 384 x 64 pixels, over the limit of 10000"):
        frames(path, max_pixels=10_000)


def test_frames_that_become_larger_are_not_decoded(tmp_path: Path) -> None:
    """What a file says of itself is the first of its recordings."""
    first, second = film(tmp_path / "a.h264", container="h264"), film(tmp_path / "b.h264", size=(320, 256))
    (tmp_path / "both.h264").write_bytes(first.read_bytes() + second.read_bytes())
    assert {one.image.shape for one in frames(tmp_path / "both.h264")} == {(64, 96, 3), (256, 320, 3)}
    seen = []
    with Video(str(tmp_path / "both.h264"), max_pixels=10_000) as video, pytest.raises(DataError):
        seen.extend(one.image.shape for one in iter(video))
    assert set(seen) == {(64, 96, 3)}


def test_nor_are_they_shown_larger_than_the_bound(tmp_path: Path) -> None:
    """Decoders count the pixels of a file, and these are four times as wide as high."""
    first = film(tmp_path / "a.h264", container="h264", pixel=Fraction(4, 1))
    second = film(tmp_path / "b.h264", container="h264", pixel=Fraction(4, 1), size=(128, 96))
    (tmp_path / "both.h264").write_bytes(first.read_bytes() + second.read_bytes())
    seen = []
    with (
        Video(tmp_path / "both.h264", max_pixels=30_000) as video,
        pytest.raises(PictureSizeError, match="has 512 x 96 pixels, over the limit of 30000; raise --max-pixels"),
    ):
        seen.extend(one.image.shape for one in iter(video))
    assert set(seen) == {(64, 384, 3)}


@pytest.mark.parametrize("name", ["a.mp4", "a.avi"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_that_is_cut_off_says_so_once(name: str, share: float, tmp_path: Path) -> None:
    codec, options = ("mjpeg", {"pixels": "yuvj420p", "ticks": 10}) if name == "a.avi" else ("libx264", {})
    path = film(tmp_path / name, codec=codec, times=tuple(index / 10 for index in range(40)), **options)
    if name == "a.mp4":
        from segface_edge.sources.video_out import VideoWriter

        writer = VideoWriter(path, fps=10)  # its index comes first
        for index in range(40):
            writer.write(np.random.default_rng(index).integers(0, 255, (64, 96, 3), np.uint8))
        writer.close()
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    found = []
    with Video(str(path)) as video, pytest.raises(DataError, match=r"breaks off after \d+ of 40 frames; copy"):
        found.extend(frame.index for frame in iter(video))
    assert 40 * share - 8 < len(found) < 40


def test_nothing_but_our_line_reaches_the_terminal(tmp_path: Path) -> None:
    film(tmp_path / "a.ts", container="mpegts")
    content = bytearray((tmp_path / "a.ts").read_bytes())
    content[400:4000:7] = bytes(len(content[400:4000:7]))
    (tmp_path / "bad.ts").write_bytes(content)
    (tmp_path / "none.mp4").write_bytes(b"no video" * 90)
    program = (
        "import sys\nfrom segface_edge.sources.video import Video\n"
        "for name in sys.argv[1:]:\n    try: list(Video(name))\n    except Exception: pass\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "bad.ts"), str(tmp_path / "none.mp4")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_network_that_is_not_there_is_one_line() -> None:
    for address in ("http://127.0.0.1:9/a.mp4", "rtsp://127.0.0.1:9/a"):
        with pytest.raises(DataError, match=r"is no camera or stream that can be opened \(connection refused\)"):
            Video(address)


def test_a_missing_pyav_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from segface_edge.errors import MissingDependencyError

    monkeypatch.setitem(sys.modules, "segface_edge.sources.recorded", None)
    monkeypatch.delattr(video_module, "recorded", raising=False)
    with pytest.raises(MissingDependencyError, match="pip install av"):
        Video(str(film(tmp_path / "a.mp4")))


@pytest.mark.parametrize(
    ("name", "shape", "count", "last"),
    [
        ("anamorphic.mp4", (270, 480, 3), 4, 0.3),
        ("browser.webm", (240, 240, 3), 60, 1.972),
        ("camcorder.mts", (270, 480, 3), 4, 0.3),
    ],
)
def test_files_that_users_sent(name: str, shape: tuple[int, int, int], count: int, last: float, shared: Path) -> None:
    path = shared / "reports" / name
    if not path.is_file():
        pytest.skip("no ../shared/reports here: what users sent does not travel with the repository")
    assert is_video(str(path))
    found = frames(path)
    assert len(found) == count
    assert {frame.image.shape for frame in found} == {shape}
    assert (found[0].seconds, found[-1].seconds) == (0, pytest.approx(last, abs=0.002))
