#!/usr/bin/env bash
# PyAV 17.1.0 and 18.1.0: a frame whose `side_data` was looked at once (to see how a phone was held, as one does) is not gone
# when nobody holds it: the container of side data holds the frame, and the frame that container. So decoded pictures stay
# until Python looks for cycles, which counts objects and not megabytes; and where `to_ndarray(format="rgb24")` was called,
# so do the threads of FFmpeg's scaler, two a frame: 120 after 60 frames, a thousand in a minute of video. With a container of
# one's own, `SideDataContainer(frame)`, the frame holds nothing, and both are gone with it.
# What one would expect: that reading an attribute keeps nothing, and that a decoded frame ends with its last reference.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
for version in 17.1.0 18.1.0; do
    "$folder/venv/bin/pip" install --quiet "av==$version" numpy==2.2.6
    "$folder/venv/bin/python" - "$folder/a.mp4" <<'PY'
import gc
import os
import sys

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer

FRAMES = 60
with av.open(sys.argv[1], "w") as output:
    stream = output.add_stream("mpeg4", rate=25)
    stream.width, stream.height, stream.pix_fmt, stream.thread_count = 320, 240, "yuv420p", 1
    for index in range(FRAMES):
        picture = np.full((240, 320, 3), 4 * index, np.uint8)
        output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
    output.mux(stream.encode(None))


def threads():
    return len(os.listdir("/proc/self/task"))


def alive():
    return sum(isinstance(one, av.VideoFrame) for one in gc.get_objects())


def left(look):
    """Frames and threads that are there after the video was read and let go, and after Python looked for cycles."""
    gc.collect()
    frames, before = alive(), threads()
    gc.disable()
    with av.open(sys.argv[1]) as source:
        source.streams.video[0].thread_type = "NONE"
        for frame in source.decode(video=0):
            look(frame)
            frame.to_ndarray(format="rgb24")
    del frame
    after = alive() - frames, threads() - before
    gc.enable()
    gc.collect()
    return after, (alive() - frames, threads() - before)


ways = {
    "not looked at": lambda frame: None,
    "frame.side_data": lambda frame: frame.side_data.get("DISPLAYMATRIX"),
    "SideDataContainer(frame)": lambda frame: SideDataContainer(frame).get("DISPLAYMATRIX"),
}
found = {name: left(look) for name, look in ways.items()}
print(f"PyAV {av.__version__}; (frames, threads) left after {FRAMES} frames, and after gc.collect(): {found}")
assert found["not looked at"][0] == found["SideDataContainer(frame)"][0] == (0, 0)
(frames, more), collected = found["frame.side_data"]
assert frames >= FRAMES - 1
assert more >= FRAMES - 1
assert collected == (0, 0)
PY
done
