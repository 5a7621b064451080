"""Threads and processes: each rule of docs/threads.md. What starts processes does so from a program of its own."""

from __future__ import annotations

import asyncio
import os
import pickle
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from segface_edge import FaceParse, FaceParser, zoo
from segface_edge.errors import SegFaceEdgeError
from segface_edge.pictures.geometry import UInt8Array
from segface_edge.pictures.reading import load

THREADS = 8


@pytest.fixture(scope="module")
def photos() -> list[UInt8Array]:
    """Eight photos of as many sizes and contents, small."""
    photo = load(zoo.PORTRAIT)[::2, ::2]
    mirrored = photo[:, ::-1]
    return [np.ascontiguousarray((mirrored if i % 2 else photo)[: 256 - 8 * i, 4 * i :]) for i in range(THREADS)]


@pytest.fixture(scope="module")
def alone(parser: FaceParser, photos: list[UInt8Array]) -> list[FaceParse]:
    return [parser(photo) for photo in photos]


def same(found: list[FaceParse], wanted: list[FaceParse]) -> bool:
    return all(
        np.array_equal(one.labels, other.labels) and one.faces == other.faces
        for one, other in zip(found, wanted, strict=True)
    )


def test_a_parser_may_be_called_by_many_threads_at_once(
    parser: FaceParser, photos: list[UInt8Array], alone: list[FaceParse]
) -> None:
    together = threading.Barrier(THREADS)

    def call(photo: UInt8Array) -> FaceParse:
        together.wait(60)
        return parser(photo)

    with ThreadPoolExecutor(THREADS) as pool:
        assert same(list(pool.map(call, photos)), alone)


def test_results_are_not_touched_by_later_calls(
    parser: FaceParser, photos: list[UInt8Array], alone: list[FaceParse]
) -> None:
    before = [face.labels.copy() for face in alone]
    parser(photos[0][::-1])
    assert all(np.array_equal(face.labels, labels) for face, labels in zip(alone, before, strict=True))


def test_several_parsers_live_side_by_side(photos: list[UInt8Array], alone: list[FaceParse]) -> None:
    with (
        FaceParser(threads=1) as one,
        FaceParser(threads=2) as other,
        ThreadPoolExecutor(2) as pool,
    ):
        found = [pool.submit((one, other)[i % 2], photo) for i, photo in enumerate(photos[:4])]
        assert same([future.result() for future in found], alone[:4])
        one.close()
        assert same([other(photos[0])], alone[:1])
    with pytest.raises(SegFaceEdgeError, match="closed"):
        one(photos[0])


def test_two_streams_of_a_parser_may_run_at_once_each_in_one_thread(parser: FaceParser) -> None:
    content = zoo.PORTRAIT.read_bytes()

    def read(_: int) -> list[FaceParse]:
        return [streamed.face for streamed in parser.stream([content, content]) if streamed.face is not None]

    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(read, range(2))
    assert len(first) == 2
    assert same(first, second)


def test_asyncio_calls_it_in_a_thread(parser: FaceParser, photos: list[UInt8Array], alone: list[FaceParse]) -> None:
    async def both() -> list[FaceParse]:
        return list(await asyncio.gather(*(asyncio.to_thread(parser, photo) for photo in photos[:2])))

    assert same(asyncio.run(both()), alone[:2])


def test_results_are_pickled(alone: list[FaceParse]) -> None:
    back = pickle.loads(pickle.dumps(alone[0]))
    assert same([back], alone[:1])
    assert back.label_set == alone[0].label_set
    assert back.areas() == alone[0].areas()


def test_a_parser_is_not_pickled_and_says_what_to_do(parser: FaceParser) -> None:
    with pytest.raises(TypeError, match="make one in each process"):
        pickle.dumps(parser)


SPAWNED = """
import multiprocessing, sys
from segface_edge import FaceParser, zoo

def start():
    global parser
    parser = FaceParser(threads=1)

def parse(path):
    return parser(path)

if __name__ == "__main__":
    with multiprocessing.get_context(sys.argv[1]).Pool(2, start) as pool:
        found = pool.map(parse, [zoo.PORTRAIT, zoo.PORTRAIT, zoo.ASTRONAUT])
    print([len(face.faces) for face in found], (found[0].labels == found[1].labels).all())
"""

FORKED = """
import os, signal, traceback, warnings
import numpy as np
from segface_edge import FaceParser, zoo
from segface_edge.engines.ort.engine import OrtEngine
from segface_edge.errors import UsageError
from segface_edge.serving.sharing import SharedEngine

warnings.simplefilter("ignore")  # Python 3.12 and later: that there are threads
parser, other = FaceParser(threads=2), FaceParser(OrtEngine(zoo.DEFAULT_MODEL, threads=2))
labels = parser(zoo.PORTRAIT).labels
shared = SharedEngine(parser.engine)
squares = np.zeros((1, parser.spec.size, parser.spec.size, 3), np.uint8)
reads, writes = os.pipe()
if os.fork() == 0:
    signal.alarm(60)
    try:
        said = []
        for call in (
            lambda: parser(zoo.PORTRAIT),
            lambda: other(zoo.PORTRAIT),
            lambda: list(parser.stream([zoo.PORTRAIT])),
            lambda: parser.warmup(),
            lambda: parser.engine.infer(squares),
            lambda: shared.infer(squares),
        ):
            try:
                call()
            except UsageError as error:
                said.append("docs/threads.md" in str(error))
        parser.close()
        parser = other = None  # a child that makes its own may call it by the same name
        os.write(writes, repr(said).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
os.close(writes)
child = os.wait()[1]
print(child, os.read(reads, 99).decode(), (parser(zoo.PORTRAIT).labels == labels).all())
shared.close()
"""


def output(tmp_path: Path, program: str, *arguments: str) -> str:
    path = tmp_path / "program.py"
    path.write_text(program)
    done = subprocess.run(
        [sys.executable, str(path), *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_each_process_makes_its_own(method: str, tmp_path: Path) -> None:
    assert output(tmp_path, SPAWNED, method) == "[1, 1, 1] True"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
def test_a_forked_child_is_told_and_the_parent_goes_on(tmp_path: Path) -> None:
    assert output(tmp_path, FORKED) == "0 [True, True, True, True, True, True] True"


def test_each_rule_names_its_test(root: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", (root / "docs" / "threads.md").read_text(encoding="utf-8")))
    here = {name for name in globals() if name.startswith("test_")} - {"test_each_rule_names_its_test"}
    assert named == here
