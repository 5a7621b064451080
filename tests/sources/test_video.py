"""Videos and cameras: every frame of a file, the newest of a camera; what breaks off is kept and said."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from segface_edge import FaceParser, zoo
from segface_edge.cli.lines import Lines
from segface_edge.engines import FakeEngine, Output
from segface_edge.errors import DataError, InputError, UsageError
from segface_edge.parsing import stream as stream_module
from segface_edge.parsing.stream import lanes
from segface_edge.pictures import reading
from segface_edge.sources import camera as camera_module
from segface_edge.sources import video as video_module
from segface_edge.sources import video_out
from segface_edge.sources.kinds import is_video
from segface_edge.sources.video import Video
from segface_edge.sources.video_out import VideoWriter

Cli = Callable[..., Any]
FRAMES, FPS = 30, 10


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty grey frames, each a little brighter, 96 x 64, ten a second."""
    path = tmp_path_factory.mktemp("video") / "clip.avi"
    writer = VideoWriter(path, fps=FPS)
    for index in range(FRAMES):
        writer.write(np.full((64, 96, 3), 8 * index, np.uint8))
    writer.close()
    return path


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The portrait, moving to the right: 12 frames."""
    path = tmp_path_factory.mktemp("video") / "faces.mp4"
    small = cv2.resize(reading.load(zoo.PORTRAIT), (120, 120), interpolation=cv2.INTER_AREA)
    writer = VideoWriter(path, fps=FPS)
    for index in range(12):
        frame = np.full((120, 240, 3), 128, np.uint8)
        frame[:, 10 * index : 10 * index + 120] = small
        writer.write(frame)
    writer.close()
    return path


def brightness(image: np.ndarray) -> float:
    return float(image.mean()) / 8


def test_every_frame_comes_in_order(clip: Path) -> None:
    with Video(str(clip)) as video:
        assert (video.width, video.height, video.fps, video.count, video.live) == (96, 64, FPS, FRAMES, False)
        frames = list(video)
    assert [frame.index for frame in frames] == list(range(FRAMES))
    assert [frame.seconds for frame in frames] == pytest.approx([index / FPS for index in range(FRAMES)])
    assert [brightness(frame.image) for frame in frames] == pytest.approx(list(range(FRAMES)), abs=0.4)
    assert video.dropped == 0


def test_only_some_frames_come(clip: Path) -> None:
    with Video(str(clip), every=7) as video:
        assert video.count == 5
        frames = list(video)
    assert [frame.index for frame in frames] == [0, 7, 14, 21, 28]
    assert [brightness(frame.image) for frame in frames] == pytest.approx([0, 7, 14, 21, 28], abs=0.4)
    with pytest.raises(UsageError, match="every 0: is below 1"):
        Video(str(clip), every=0)


def test_few_frames_wait(clip: Path) -> None:
    """A slow taker does not fill the memory, and a video that is not taken to its end can be closed."""
    with Video(str(clip)) as video:
        next(iter(video))
        time.sleep(0.3)
        assert video._frames._queue.qsize() <= 4
    assert not video._frames._thread.is_alive()


def test_a_file_that_breaks_off_gives_what_it_has(clip: Path, tmp_path: Path) -> None:
    content = clip.read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) * 3 // 4])
    found = []
    with (
        Video(str(tmp_path / "cut.avi")) as video,
        pytest.raises(DataError, match=r"breaks off after \d+ of 30 frames"),
    ):
        for frame in video:
            found.append(frame)
    assert 2 < len(found) < FRAMES
    for name, content, words in (
        ("none.mp4", b"no video" * 50, "is no video that can be read"),
        ("empty.mp4", b"", "is no video that can be read"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=words):
            Video(str(tmp_path / name))
    with pytest.raises(DataError, match="no such file"):
        Video(str(tmp_path / "absent.mp4"))


class Camera:
    """A capture that has a new frame each millisecond, and is unplugged after some."""

    def __init__(self, frames: int) -> None:
        self.left, self.taken = frames, 0

    def isOpened(self) -> bool:
        return True

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 32.0, cv2.CAP_PROP_FRAME_HEIGHT: 16.0}.get(what, 0.0)

    def grab(self) -> bool:
        time.sleep(0.001)
        if self.taken == self.left:
            return False
        self.taken += 1
        return True

    def retrieve(self) -> tuple[bool, np.ndarray]:
        return True, np.full((16, 32, 3), self.taken % 256, np.uint8)

    def release(self) -> None:
        self.left = 0


def test_of_a_camera_the_newest_frame_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = Camera(200)
    monkeypatch.setattr(camera_module, "_open", lambda _: camera)
    seen = []
    with Video("0") as video, pytest.raises(DataError, match=r"0: gives no more frames after 200; check its cable"):
        assert (video.live, video.count, video.fps) == (True, None, 25)
        for frame in video:
            seen.append(frame.index)
            time.sleep(0.02)
    assert seen == sorted(set(seen))
    assert video.dropped > 50
    assert len(seen) + video.dropped >= 199
    # What was taken last is not old: a frame or two wait, never all.
    assert seen[-1] > 150


@pytest.mark.parametrize(
    ("source", "video"),
    [
        ("0", True),
        ("clip.MP4", True),
        ("rtsp://camera/stream", True),
        ("nvarguscamerasrc ! videoconvert ! appsink", True),
        ("photo.jpg", False),
        ("photos/", False),
        ("-", False),
        ("photos/*.png", False),
    ],
)
def test_sources_are_told_apart(source: str, video: bool) -> None:
    assert is_video(source) is video


def test_a_camera_or_pipeline_that_is_not_there() -> None:
    with pytest.raises(DataError, match="is no camera or stream that can be opened; see which cameras there are"):
        Video("97")
    with pytest.raises(DataError, match="an OpenCV with GStreamer"):
        Video("nosuchsrc ! appsink")


def test_a_video_is_parsed_frame_by_frame(cli: Cli, faces: Path, tmp_path: Path) -> None:
    done = cli(
        "parse", faces, "-o", tmp_path / "out.mp4", "--jsonl", tmp_path / "out.jsonl", "--every", 4, "--json", "-",
        "--order", "lapa",
    )  # fmt: skip
    assert (done.code, done.err) == (0, "")
    document = json.loads(done.out)
    assert document["frames"] == 3
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(line["frame"], line["seconds"]) for line in lines] == [(0, 0.0), (4, 0.4), (8, 0.8)]
    assert {line["label_order"] for line in lines} == {"lapa"}
    # The face moves to the right, and its box with it.
    left = [line["faces"][0]["box"][0] for line in lines]
    assert np.diff(left) == pytest.approx([40, 40], abs=8)
    with Video(str(tmp_path / "out.mp4")) as video:
        assert (video.width, video.height, video.fps, video.count) == (240, 120, 2.5, 3)
        first = next(iter(video)).image
    with Video(str(faces)) as video:
        plain = next(iter(video)).image
    assert np.abs(first.astype(int) - plain).mean() > 5  # colours lie on it
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.mp4"]


def test_what_was_done_is_kept(cli: Cli, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = clip.read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) * 3 // 4])
    done = cli("parse", tmp_path / "cut.avi", "-o", tmp_path / "out.mp4", "--every", 5, "--locate", "whole")
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "breaks off after" in done.err
    assert f"frames are in {tmp_path / 'out.mp4'}; copy or download it again" in done.err
    with Video(str(tmp_path / "out.mp4")) as video:
        assert len(list(video)) >= 2

    free = iter([2**40, 0])
    monkeypatch.setattr(video_out, "_FRAMES_A_LOOK", 2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(free, 0)))
    done = cli("parse", clip, "-o", tmp_path / "full.mp4", "--every", 5, "--locate", "whole")
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "the disk is full after 2 frames" in done.err
    with Video(str(tmp_path / "full.mp4")) as video:
        assert len(list(video)) == 2


def test_a_video_of_too_many_pixels_is_one_line(cli: Cli, clip: Path, tmp_path: Path) -> None:
    done = cli("parse", clip, "-o", tmp_path / "out.mp4", "--max-pixels", 1000)
    assert done.code == 1
    assert done.err.startswith(f"error: {clip}: has 96 x 64 pixels, over the limit of 1000; raise --max-pixels")
    assert list(tmp_path.iterdir()) == []


ENDLESS = """
import signal, sys, time
import cv2, numpy
from segface_edge import cli
from segface_edge.sources import camera

class Endless:
    def isOpened(self): return True
    def get(self, what): return {cv2.CAP_PROP_FRAME_WIDTH: 64, cv2.CAP_PROP_FRAME_HEIGHT: 48}.get(what, 0)
    def grab(self): time.sleep(0.02); return True
    def retrieve(self): return True, numpy.full((48, 64, 3), 90, numpy.uint8)
    def release(self): pass

signal.signal(signal.SIGINT, signal.default_int_handler)
camera._open = lambda _: Endless()
cli.main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)])
def test_a_camera_is_ended_by_ctrl_c_and_its_command_by_sigterm(
    number: signal.Signals, code: int, tmp_path: Path, tiny_model: Callable[..., Path]
) -> None:
    """Both put the video right first."""
    model = tiny_model(tmp_path / "tiny.onnx")
    command = ["parse", "0", "--model", str(model), "--locate", "whole", "-o", "out.mp4", "--jsonl", "out.jsonl"]
    child = subprocess.Popen([sys.executable, "-c", ENDLESS, *command], cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and child.poll() is None:
        if any(path.read_text().count("\n") >= 2 for path in tmp_path.glob("out.jsonl")):
            break
        time.sleep(0.05)
    child.send_signal(number)
    _, said = child.communicate(timeout=120)
    assert child.returncode == code, said
    assert "Traceback" not in said
    count = (tmp_path / "out.jsonl").read_text().count("\n")
    with Video(str(tmp_path / "out.mp4")) as video:
        assert len(list(video)) == count >= 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.mp4", "tiny.onnx"]


def test_ctrl_c_keeps_what_was_done(clip: Path, tmp_path: Path) -> None:
    program = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "import segface_edge.cli as c; c.main()"
    )
    command = [
        sys.executable,
        "-c",
        program,
        "parse",
        str(clip),
        "-o",
        "out.mp4",
        "--jsonl",
        "out.jsonl",
        "--threads",
        "1",
    ]
    child = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if any(path.read_text().count("\n") >= 2 for path in tmp_path.glob("out.jsonl")):
            break
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=120)
    assert child.returncode == 130
    assert "stopped" in said
    count = (tmp_path / "out.jsonl").read_text().count("\n")
    assert 2 <= count < FRAMES
    with Video(str(tmp_path / "out.mp4")) as video:
        assert len(list(video)) == count


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{clip}", "-o", "out.gif"], 2, "is no name of a video that can be written"),
        (["{clip}", "-o", "-"], 2, "cannot take a video"),
        (["{clip}", "-o", "out.mp4", "--visualize", "mask"], 2, "is not for videos"),
        (["{clip}", "-o", "no/out.mp4"], 1, "its folder does not exist"),
        (["{clip}", "--jsonl", "no/out.jsonl"], 1, "its folder does not exist"),
        (["{clip}", "-o", "out.mp4", "--skip-existing"], 2, "--skip-existing: is for photos; leave it out"),
        (["{clip}"], 2, "has nowhere to put its result"),
        (["absent.mp4", "-o", "out.mp4"], 1, "no such file"),
        (
            ["*.mp4", "-o", "out.mp4"],
            1,
            "*.mp4: is a pattern of several videos; parse takes one a run: for v in *.mp4;",
        ),
        (
            ["{clip}", "{clip}", "-o", "out/"],
            2,
            "is a video among several sources; parse takes one a run: for v in *.mp4;",
        ),
        (
            ["{photo}", "0", "--show"],
            2,
            "0: is a video among several sources; parse takes one a run: for v in *.mp4; do",
        ),
        (["{photo}", "-o", "out.png", "--every", "2"], 2, "--every: is for videos and cameras"),
        (["{photo}", "-o", "out.png", "--jsonl", "{photo}"], 2, "is the source itself"),
        (["{clip}", "--jsonl", "-", "--json", "-"], 2, "--json - and --jsonl -: cannot share standard output"),
    ],
)
def test_what_does_not_fit_is_one_line(
    arguments: list[str],
    code: int,
    words: str,
    cli: Cli,
    clip: Path,
    portrait: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("parse", *(word.format(clip=clip, photo=portrait) for word in arguments))
    assert (done.code, len(done.err.splitlines())) == (code, 1), done.err
    assert words.format(clip=clip) in done.err
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_is_the_source_is_refused(cli: Cli, clip: Path, tmp_path: Path) -> None:
    source = tmp_path / "same.avi"
    shutil.copy(clip, source)
    (tmp_path / "link.avi").symlink_to(source)
    before = source.read_bytes()
    for arguments in (["-o", source], ["-o", tmp_path / "link.avi"], ["--jsonl", source], ["--json", source]):
        done = cli("parse", source, *arguments, *([] if "-o" in arguments else ["-o", tmp_path / "x.mp4"]))
        assert (done.code, len(done.err.splitlines())) == (2, 1)
        assert "is the source itself" in done.err
    done = cli("parse", source, "--jsonl", tmp_path / "a", "--json", tmp_path / "a")
    assert (done.code, "is named twice" in done.err) == (2, True)
    assert source.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("frame", [2, 29])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("what OpenCV says")])
def test_whatever_fails_in_drawing_ends_it(
    frame: int, error: Exception, cli: Cli, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in the last frames; nothing hangs, and no half of a file is left."""
    write = VideoWriter.write

    def fails(self: VideoWriter, image: np.ndarray, seconds: float | None = None) -> None:
        if self.frames == frame:
            raise error
        write(self, image, seconds)

    monkeypatch.setattr(VideoWriter, "write", fails)
    done = cli("parse", clip, "-o", tmp_path / "out.mp4", "--jsonl", tmp_path / "out.jsonl", "--locate", "whole")
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert f"cannot be drawn or written ({error})" in done.err
    assert f"{frame} frames are in {tmp_path / 'out.mp4'}" in done.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.jsonl", "out.mp4"]
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == frame


class Strange(Camera):
    """A camera of grey frames, or one that fails, or one that hangs."""

    def __init__(self, what: str) -> None:
        super().__init__(3)
        self.what = what

    def retrieve(self) -> tuple[bool, np.ndarray]:
        read, picture = super().retrieve()
        if self.what == "fails":
            raise cv2.error("the driver is gone")
        if self.what == "hangs":
            time.sleep(30)
        return read, picture[:, :, 0]


def test_strange_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "_PATIENCE_S", 0.3)
    for what in ("grey", "fails", "hangs"):
        monkeypatch.setattr(camera_module, "_open", lambda _, what=what: Strange(what))
        video = Video("0")
        began = time.monotonic()
        if what == "grey":
            assert next(iter(video)).image.shape == (16, 32, 3)
        elif what == "fails":
            with pytest.raises(DataError, match=r"cannot be read any further \(the driver is gone\)"):
                next(iter(video))
        video.close()
        assert list(video) == []  # closed, or ended: no more, and no waiting
        assert time.monotonic() - began < 10


def test_what_lies_on_the_disk_is_no_camera(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "2024").mkdir()
    (tmp_path / "party!.jpg").touch()
    assert not is_video("2024")
    assert not is_video("party!.jpg")


def test_lines_go_to_standard_output(cli: Cli, clip: Path) -> None:
    done = cli("parse", clip, "--jsonl", "-", "--frames", 2, "--locate", "whole")
    assert done.code == 0
    assert [json.loads(line)["frame"] for line in done.out.splitlines()] == [0, 1]


def test_no_thread_is_left_by_any_of_the_above() -> None:
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("decoder of /", "preparing", "inferring", "drawing"))]


def test_the_library_streams_photos_and_frames(faces: Path, tmp_path: Path) -> None:
    Image.fromarray(reading.load(zoo.PORTRAIT)).resize((96, 96)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no picture")
    (tmp_path / "c").mkdir()
    shutil.copy(tmp_path / "a.png", tmp_path / "c" / "d.png")
    with FaceParser() as parser:
        found = list(parser.stream(tmp_path, recursive=True))
        frames = list(parser.stream(faces, every=6))
    assert [Path(one.name).name for one in found] == ["a.png", "b.png", "d.png"]
    assert [one.face is None for one in found] == [False, True, False]
    assert "is not a picture that can be read" in str(found[1].error)
    assert [(one.index, one.error) for one in frames] == [(0, None), (6, None)]
    assert [one.seconds for one in frames] == pytest.approx([0, 0.6])
    assert all(one.face is not None and "hair" in one.face.present() for one in frames)


@pytest.mark.parametrize("locate", ["self", "whole"])
def test_a_stream_gives_what_one_at_a_time_gives(locate: str, faces: Path) -> None:
    """In order, however many are in flight."""
    with FaceParser(locate=locate, threads=1) as parser, Video(str(faces), every=2) as video:
        expected = [parser(frame.image) for frame in video]
        with pytest.raises(UsageError, match="in_flight 0: is below 1"):
            FaceParser(in_flight=0)
    for in_flight in (1, 3):
        with FaceParser(locate=locate, threads=1, in_flight=in_flight) as parser:
            found = [one.face for one in parser.stream(faces, every=2)]
        assert len(found) == len(expected) == 6
        for one, other in zip(found, expected, strict=True):
            assert one is not None
            assert np.array_equal(one.labels, other.labels)
            assert (one.faces, one.locator) == (other.faces, locate)


def test_a_stream_that_is_left_ends_its_threads(faces: Path) -> None:
    before = set(threading.enumerate())
    with FaceParser(locate="whole", in_flight=2) as parser:
        stream = parser.stream(faces)
        next(stream)
        stream.close()
        assert [one.index for one in parser.stream(faces, limit=2)] == [0, 1]
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("in_flight", [1, 2, 8])
def test_what_was_taken_before_a_video_breaks_off_is_given(in_flight: int, clip: Path, tmp_path: Path) -> None:
    content = clip.read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) * 3 // 4])
    with Video(str(tmp_path / "cut.avi")) as video, pytest.raises(DataError):
        for frame in video:
            last = frame.index
    found = []
    with (
        FaceParser(FakeEngine(delay=0.01), locate="whole", in_flight=in_flight) as parser,
        pytest.raises(DataError, match="breaks off"),
    ):
        for one in parser.stream(tmp_path / "cut.avi"):
            found.append(one.index)
    assert found == list(range(last + 1))


def most_at_a_time(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """At the start of each call, how many there are of it."""
    lock, running, most = threading.Lock(), [], []
    infer = engine.infer

    def counted(frames: np.ndarray) -> Any:
        with lock:
            running.append(1)
            most.append(len(running))
        time.sleep(0.03)
        with lock:
            running.pop()
        return infer(frames)

    monkeypatch.setattr(engine, "infer", counted)
    return most


def test_several_frames_are_in_flight_and_no_more(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()
    most = most_at_a_time(engine, monkeypatch)
    for in_flight, steady, expected in ((3, False, 3), (1, False, 1), (3, True, 1)):
        most.clear()
        with FaceParser(engine, locate="whole", in_flight=in_flight) as parser:
            assert len(list(parser.stream(clip, steady=steady))) == FRAMES
        assert max(most) == expected


def test_one_large_photo_is_in_flight(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many were asked for: memory is bounded by pixels too."""
    monkeypatch.setattr(stream_module, "_MOST_PIXELS", 96 * 64)
    engine = FakeEngine()
    most = most_at_a_time(engine, monkeypatch)
    with FaceParser(engine, locate="whole", in_flight=4) as parser:
        assert [one.index for one in parser.stream(clip)] == list(range(FRAMES))
    assert max(most) == 1


@pytest.mark.parametrize(("threads", "expected"), [(1, (1, 1)), (2, (2, 1)), (8, (8, 1)), (12, (6, 2)), (32, (8, 4))])
def test_a_cpu_has_as_many_photos_in_flight_as_threads(threads: int, expected: tuple[int, int]) -> None:
    assert lanes(threads) == expected


def test_the_command_has_several_frames_of_a_file_in_flight(
    cli: Cli, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    opened = FaceParser.__init__

    def noted(self: FaceParser, *arguments: Any, **options: Any) -> None:
        asked.append((options["threads"], options["in_flight"]))
        opened(self, *arguments, **options)

    monkeypatch.setattr(FaceParser, "__init__", noted)
    monkeypatch.setattr(camera_module, "_open", lambda _: Camera(3))
    arguments = ("--jsonl", tmp_path / "o.jsonl", "--frames", 1, "--threads", 4, "--locate", "whole")
    assert cli("parse", clip, *arguments).code == 0
    assert cli("parse", clip, *arguments, "--steady").code == 0
    assert cli("parse", "0", *arguments).code == 0
    assert cli("parse", zoo.PORTRAIT, "--jsonl", tmp_path / "o.jsonl", "--threads", 4).code == 0
    assert asked == [(1, 4), (4, 1), (4, 1), (4, 1)]


def test_of_a_camera_nothing_is_done_before_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes out is new, however slow its taker is."""
    camera = Camera(10_000)
    monkeypatch.setattr(camera_module, "_open", lambda _: camera)
    engine = FakeEngine(np.zeros((64, 64), np.uint8))
    with FaceParser(engine, locate="whole", in_flight=4) as parser, Video("0") as video:
        for count, one in enumerate(parser.stream(video, limit=5), 1):
            assert len(engine.calls) == count
            assert camera.taken - one.index < 60  # a frame a millisecond, against 100 ms of this loop
            time.sleep(0.1)
        assert video.dropped > 50


def test_results_are_kept_where_the_engine_overwrites_its_own(clip: Path) -> None:
    class Views(FakeEngine):
        """Each call's labels are in the memory of the call before."""

        gives_views = True
        memory = np.zeros((1, 64, 64), np.uint8)

        def run(self, frames: np.ndarray) -> Any:
            self.calls.append(len(frames))
            self.memory[:] = len(self.calls) % 19
            return Output(self.memory)

    with FaceParser(Views(), locate="whole") as parser:
        found = [int(one.face.labels[0, 48]) for one in parser.stream(clip) if one.face is not None]
    assert found == [(index + 1) % 19 for index in range(FRAMES)]


def test_a_stream_that_is_open_when_python_ends_ends_with_it(clip: Path) -> None:
    program = (
        "from segface_edge import FaceParser; from segface_edge.engines import FakeEngine;"
        f"stream = FaceParser(FakeEngine(), locate='whole', in_flight=2).stream({str(clip)!r}); next(stream)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stream_takes_lists_and_says_what_it_does_not_take(clip: Path, portrait: Path) -> None:
    with FaceParser(FakeEngine(), locate="whole") as parser:
        found = list(parser.stream([portrait, str(portrait), portrait.read_bytes()]))
        assert [(one.index, one.error) for one in found] == [(0, None), (1, None), (2, None)]
        with Video(str(clip)) as video, pytest.raises(UsageError, match="every 2: is for videos by their names"):
            parser.stream(video, every=2)
        with pytest.raises(UsageError, match="limit 0: is below 1"):
            parser.stream(clip, limit=0)
        with pytest.raises(DataError, match="97: is no camera"):
            next(parser.stream(97))


def test_a_photo_that_cannot_be_fitted_ends_nothing(cli: Cli, portrait: Path, tmp_path: Path) -> None:
    """Two of three are parsed, also where the box of the third misses it by its padding alone."""
    (tmp_path / "in").mkdir()
    for name, width in (("a", 400), ("b", 300), ("c", 400)):
        Image.open(portrait).resize((width, 300)).save(tmp_path / "in" / f"{name}.png")
    found = cli("parse", tmp_path / "in", "-o", tmp_path / "out", "--boxes", "298.5,20,330,40")
    assert found.code == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    assert "b.png" in found.err


def test_lines_are_there_as_they_come_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_text("old\n")
    with closing(Lines(path)) as lines:
        assert path.read_text() == "old\n"
        lines.write({"a": 1})
        assert path.read_text() == '{"a": 1}\n'
        lines.write({"b": 2})

        class Full:
            """A disk with room for half a line."""

            def write(self, content: bytes) -> None:
                with path.open("ab") as file:
                    file.write(content[:4])
                raise OSError(28, "No space left on device")

            def close(self) -> None:
                pass

        assert lines._file is not None
        lines._file.close()
        lines._file = Full()  # type: ignore[assignment]
        with pytest.raises(InputError, match="No space left on device"):
            lines.write({"c": 3})
    assert path.read_text() == '{"a": 1}\n{"b": 2}\n'
    with closing(Lines(path, go_on=True)) as lines:
        lines.write({"d": 4})
    assert len(path.read_text().splitlines()) == 3
    with closing(Lines(path)):
        pass
    assert path.read_text() == ""


def test_a_folder_of_folders_is_parsed_into_one_like_it(cli: Cli, portrait: Path, tmp_path: Path) -> None:
    for name in ("in/a.jpg", "in/sub/a.jpg", "in/sub/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.open(portrait).resize((64, 64)).save(tmp_path / name)
    done = cli("parse", tmp_path / "in", "-o", tmp_path / "out", "--recursive", "--visualize", "mask")
    assert done.code == 0, done.err
    made = sorted(str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*.png"))
    assert made == ["a.png", "sub/a.png", "sub/b.png"]
